"""Ways to start the workflow: in a clone, elsewhere, as a module of another workflow, from a wheel."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.runs import DEMO, ROOT, call, contigs, planned, snakemake, write_run
from virnucpro_kernels import __version__


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone: what git tracks or would track, and nothing else."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs the files of a git checkout")
    listing = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    target = tmp_path / "clone"
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).exists() or (ROOT / name).is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


def test_a_clone_runs_its_configuration(clone: Path) -> None:
    """`snakemake --cores 2` on the bundled sequences, with the code of the clone."""
    assert planned(clone, snakefile=Path("Snakefile")) == {"split": 1, "gather": 1, "collect": 1, "report": 1}
    (clone / "virnucpro_kernels" / "__init__.py").write_text('__version__ = "0.0.clone"\n')
    ended = snakemake(clone, snakefile=Path("Snakefile"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    contig_lines = (clone / "results" / "demo" / "contigs.tsv").read_text().splitlines()
    assert len(contig_lines) == 1 + contigs(longest=10**9).count(">")
    assert '"version": "0.0.clone"' in (clone / "results" / "demo" / "run.json").read_text()
    assert not (clone / "results" / "failed.tsv").exists()
    assert planned(clone, snakefile=Path("Snakefile")) == {}


def test_the_test_folder_is_a_run(clone: Path) -> None:
    """`.test/` holds a configuration of its own, for those who look whether the workflow works."""
    assert planned(clone / ".test", snakefile=clone / "Snakefile") == {
        "split": 1,
        "gather": 1,
        "collect": 1,
        "report": 1,
    }


def test_the_slurm_profile_is_found_by_its_name() -> None:
    assert (ROOT / "slurm").resolve() == ROOT / "profiles" / "slurm"
    ended = call([sys.executable, "-m", "snakemake", "--profile", "slurm", "--dry-run"], ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "fp16" in ended.stdout + ended.stderr, "jobs that go to a cluster are planned for its GPUs"


@pytest.mark.parametrize(
    ("options", "threads"), [(["--cores", "32"], 16), (["--profile", ROOT / "slurm", "--cores", "32"], 4)]
)
def test_embedding_on_a_cpu_asks_a_cluster_for_few_cores(
    copy_of_finished: Path, options: list[str | Path], threads: int
) -> None:
    """A job that asks for more than a node has would never run, but on one machine Snakemake asks for no more."""
    again = ("--dry-run", "--forcerun", "embed", "--config", "device=cpu")
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", *again, *options]
    ended = call(command, copy_of_finished)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    jobs = [job for job in (ended.stdout + ended.stderr).split("\nrule ") if job.startswith("embed:")]
    assert jobs
    assert all(f"threads: {threads}" in job for job in jobs), jobs[0]


def test_elsewhere_the_clones_configuration_is_used(tmp_path: Path) -> None:
    ended = snakemake(tmp_path, "--dry-run", "--printshellcmds")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"demo={DEMO}" in ended.stdout + ended.stderr
    assert list(tmp_path.glob("work")) == [], "a dry run writes nothing of ours"


def test_a_directory_with_a_configuration_uses_its_own(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {"mine": contigs(0, 1)})
    ended = call(
        [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--directory", tmp_path / "run"], ROOT
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "mine=data/mine.fa" in ended.stdout + ended.stderr
    assert "demo" not in ended.stdout


def test_one_file_instead_of_a_sheet(tmp_path: Path) -> None:
    (tmp_path / "reads.fa").write_text(contigs(0, 1))
    ended = snakemake(tmp_path, "--dry-run", "--config", "input=reads.fa", "model=builtin-500")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "results/reads/contigs.tsv" in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("config", "sheet", "message"),
    [
        ("modle: x\n", None, "unknown key 'modle'; did you mean 'model'"),
        ("min_chunks: '2'\n", None, "min_chunks: '2' is not of type 'integer'"),
        ("", "sample\tinput\none\t../data/none.fa\n", "data/none.fa does not exist"),
        ("", "sample\tinput\none\t../data/one.fa\none\t../data/one.fa\n", "sample 'one' occurs 2 times"),
    ],
)
def test_a_wrong_configuration_is_one_clear_error(tmp_path: Path, config: str, sheet: str | None, message: str) -> None:
    write_run(tmp_path / "run", {"one": contigs(0, 1)}, config)
    if sheet:
        (tmp_path / "run" / "config" / "samples.tsv").write_text(sheet)
    ended = snakemake(tmp_path / "run", "--dry-run")
    assert ended.returncode == 1
    assert message in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_configuration_without_a_sheet_does_not_fall_back_on_the_demonstration(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {"one": contigs(0, 1)})
    (tmp_path / "run" / "config" / "samples.tsv").unlink()
    ended = snakemake(tmp_path / "run", "--dry-run")
    assert ended.returncode == 1
    assert "no such sample sheet" in ended.stdout + ended.stderr


MODULE = """
module virnucpro:
    snakefile: "{snakefile}"
    config: {{"samples": "samples.tsv", "model": "builtin-500"}}
{prefix}

use rule * from virnucpro as virnucpro_*

onstart:
    virnucpro.onstart()

onsuccess:
    virnucpro.onsuccess()

rule count:
    default_target: True
    input: "{where}results/one/contigs.tsv"
    output: "count.txt"
    shell: "wc -l < {{input}} > {{output}}"
"""


@pytest.fixture
def outer(tmp_path: Path) -> Path:
    """Folder of another workflow with one sample."""
    folder = tmp_path / "outer"
    folder.mkdir()
    (folder / "one.fa").write_text(contigs(0, 3))
    (folder / "samples.tsv").write_text("sample\tinput\none\tone.fa\n")
    return folder


def test_another_workflow_uses_ours_as_a_module(outer: Path) -> None:
    text = MODULE.format(snakefile=ROOT / "Snakefile", prefix="", where="")
    (outer / "Snakefile").write_text(text)
    assert planned(outer, snakefile=Path("Snakefile")) == {
        "virnucpro_split": 1,
        "virnucpro_gather": 1,
        "virnucpro_collect": 1,
        "count": 1,
    }


def test_another_workflow_uses_ours_under_a_prefix(outer: Path) -> None:
    prefix = '    prefix: "viruses"'
    text = MODULE.format(snakefile=ROOT / "workflow" / "Snakefile", prefix=prefix, where="viruses/")
    (outer / "Snakefile").write_text(text)
    ended = snakemake(outer, snakefile=Path("Snakefile"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (outer / "count.txt").read_text().strip() == "4"
    assert (outer / "viruses" / "work" / "pools.tsv").exists()
    assert not (outer / "work").exists()
    assert not (outer / "results").exists()
    assert planned(outer, snakefile=Path("Snakefile")) == {}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the dependencies and the wheel, and nothing of the clone."""
    tmp_path = tmp_path_factory.mktemp("installed")
    built = call([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", "."], ROOT)
    assert built.returncode == 0, built.stdout + built.stderr
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    dependencies = next(Path(path) for path in sys.path if (Path(path) / "snakemake").is_dir())
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    ended = call([sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel])
    assert ended.returncode == 0, ended.stderr
    return tmp_path / "venv"


def in_wheel(installed: Path, directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment that knows nothing of this one."""
    return call([installed / "bin" / command[0], *command[1:]], directory, PATH="/usr/bin:/bin", PYTHONPATH="")


def test_an_installed_wheel_runs_predict_in_an_empty_directory(installed: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "contigs.fa").write_text(contigs(0, 3))
    options = ("--output-dir", "out", "--model", "builtin-500")
    ended = in_wheel(installed, empty, "virnucpro", "predict", "contigs.fa", *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len((empty / "out" / "results" / "contigs" / "contigs.tsv").read_text().splitlines()) == 4
    for name in ("model_card.md", "canaries.json"):
        assert list(installed.rglob(f"data/models/compact-500/{name}")), name
    link = empty / "out" / ".snakemake" / "virnucpro" / "virnucpro_kernels"
    (site,) = (installed / "lib").glob("python*/site-packages")
    assert link.resolve() == site / "virnucpro_kernels"

    ended = in_wheel(installed, empty, "virnucpro", "predict", "contigs.fa", *options, "--set", "modle=x")
    assert ended.returncode == 5
    page = ended.stderr.partition("see ")[2].partition(" for all keys")[0]
    assert Path(page).is_relative_to(site), "a page that a user of the wheel has"
    assert "`viral_threshold`" in Path(page).read_text()


def test_an_installed_wheel_runs_the_tutorial(installed: Path, tmp_path: Path) -> None:
    """Its commands as they stand there, and what it says that they print."""
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8").partition("## Your own data")[0]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    commands = [block for kind, block in blocks if not kind]
    printed = [line for kind, block in blocks if kind == "text" for line in block.splitlines()]
    assert commands[0] == "virnucpro demo\n"
    only_wheel = {"PATH": f"{installed}/bin:/usr/bin:/bin", "PYTHONPATH": ""}
    ended = call(["bash", "-euo", "pipefail", "-c", "".join(commands)], tmp_path, **only_wheel)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert set(printed) <= set(ended.stdout.splitlines())
    assert (tmp_path / "pictures" / "cutoffs.svg").exists()
    assert "1 sample were cut into windows" in (tmp_path / "one-sample.html").read_text(encoding="utf-8")

    again = in_wheel(installed, tmp_path, "virnucpro", "demo")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "jobs     none" in in_wheel(installed, tmp_path, "virnucpro", "predict", "-o", "demo", "--dry-run").stderr
    page = (tmp_path / "demo" / "results" / "report.html").read_text(encoding="utf-8")
    assert "10 of 104 contigs are called viral" in page
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    ended = in_wheel(installed, tmp_path, "virnucpro", "demo", "-o", "other")
    assert ended.returncode == 5
    assert "other holds something else than the demonstration; choose another folder" in ended.stderr


def test_an_installed_wheel_says_what_it_is(installed: Path, tmp_path: Path) -> None:
    program = (
        "import virnucpro; from importlib import metadata;"
        " print(virnucpro.__version__, *metadata.metadata('virnucpro').get_all('Project-URL'), sep='\\n')"
    )
    ended = in_wheel(installed, tmp_path, "python", "-P", "-c", program)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{__version__}\nHomepage, https://")
    assert sum(path.stat().st_size for path in installed.parent.glob("dist/*.whl")) < 7_500_000
