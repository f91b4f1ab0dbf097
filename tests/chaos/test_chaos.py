"""Random interruption and damage: the same command ends with the same bytes, at the latest when it is given again.

`make chaos SEEDS=10` runs the seeds 0 to 9, `SEEDS=7-7` that one again. A seed prints what it did, and at the end the
summary says how many starts the seeds needed and how long these took beyond an undisturbed one.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.chaos.deeds import INTERRUPTIONS, LIMIT_SECONDS, Damage, Disk, end_all, interrupt
from tests.helpers.runs import MODEL, checksums, contigs, snakemake_command, virnucpro, virnucpro_command
from virnucpro_kernels.pool.file_names import CHUNKS
from virnucpro_kernels.run.damage import Depth, check_run

pytestmark = pytest.mark.chaos

OPTIONS = ("--model", MODEL, "--set", "min_chunks=3", "--threads", "2", "--no-progress", "--no-report")


@dataclass(frozen=True)
class Undisturbed:
    """The run that nothing happened to.

    Attributes:
        inputs: Its sequence files.
        out: Its folder.
        seconds: Time that it took, from nothing to the end.
    """

    inputs: list[Path]
    out: Path
    seconds: float


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    directory = tmp_path_factory.mktemp("undisturbed")
    for name, text in (("one", contigs(0, 4)), ("two", contigs(6, 8))):
        (directory / f"{name}.fa").write_text(text)
    inputs, out, began = sorted(directory.glob("*.fa")), directory / "out", time.monotonic()
    ended = virnucpro("predict", *inputs, "--output-dir", out, *OPTIONS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return Undisturbed(inputs, out, time.monotonic() - began)


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, in which nothing is at work after the test."""
    yield tmp_path / "out"
    end_all(tmp_path / "out")


def final(directory: Path) -> dict[str, str]:
    """Checksums of the results, without what was set aside."""
    return {name: value for name, value in checksums(directory).items() if ".damaged" not in name}


def damaged(out: Path) -> list[Path]:
    """What `verify` finds damaged, without sequences: nothing reads those of a chunk that has its scores."""
    return [
        checked.path for checked in check_run(out, Depth.ALL) if checked.problem and CHUNKS not in checked.path.parts
    ]


def prepare(choose: Random, finished: Path, out: Path) -> str:
    """Make a run that has come to some point; return which."""
    point = choose.choice(["nothing", "a part", "a part", "all"])
    shutil.copytree(finished, out, symlinks=True, dirs_exist_ok=True)
    if point == "nothing":
        for name in ("work", "results", ".snakemake"):
            shutil.rmtree(out / name)
    if point == "a part":
        scores = sorted(out.glob("work/*/*/*/*/*.parquet"))
        for path in choose.sample(scores, choose.randint(1, len(scores))):
            path.unlink()
        for path in out.glob("work/*/*/*/*/gathered.sha256"):
            path.unlink()
        shutil.rmtree(out / "results")
    return f"{point} was done"


def start(command: list[str | Path], output: Path) -> int:
    """Give the command and wait for its end; return the exit code."""
    with output.open("wb") as file:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=LIMIT_SECONDS, check=False
        ).returncode


def test_chaos(
    chaos_seed: int,
    undisturbed: Undisturbed,
    out: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    choose, output, deeds = Random(chaos_seed), tmp_path / "output.txt", list[str]()
    command = virnucpro_command("predict", *undisturbed.inputs, "--output-dir", out, *OPTIONS)
    with Disk(out, wanted=os.geteuid() == 0 and choose.random() < 0.2) as disk:
        deeds.append(prepare(choose, undisturbed.out, out))
        if disk.mounted:
            deeds.append(disk.spoil(choose))
        else:
            if "all" not in deeds[0]:
                plain = choose.random() < 0.3
                deeds.append("snakemake" if plain else "predict")
                started = snakemake_command() if plain else command
                kinds = [kind for kind in INTERRUPTIONS if not (plain and kind[0] == "SIGKILL")]
                moment = choose.uniform(0.05, 0.9) * undisturbed.seconds
                deeds.append(interrupt(choose, kinds, started, out, output, moment))
            deeds += Damage(choose, out).do()
        for number in (1, 2):
            began = time.monotonic()
            code = start(command, output)
            seconds, said = time.monotonic() - began, output.read_text(errors="replace")
            record_property("start", [number, seconds, undisturbed.seconds])
            deeds.append(f"start {number}: exit code {code} after {seconds:.0f} s")
            print(deeds, said, sep="\n")  # noqa: T201 so that a seed can be followed
            assert "Traceback (most recent call last)" not in said
            assert code == 0 or "error: " in said or "failed" in said, "one clear message"
            disk.repair()
            if code == 0:
                break
        assert code == 0, deeds
        assert final(out) == final(undisturbed.out), deeds
        assert damaged(out) == [], deeds
        left = [path for name in ("work", "results") for path in (out / name).rglob(".[0-9]*.*")]
        assert [*left, *out.rglob("*.partial")] == [], deeds
