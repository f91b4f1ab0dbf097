"""Runs that are killed go on where they stopped and end with the same bytes. Real processes, real signals."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from tests.helpers.runs import (
    MODEL,
    checksums,
    contigs,
    heed_signals,
    snakemake,
    snakemake_command,
    virnucpro,
    virnucpro_command,
)
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.run.status import read_status

SAMPLES = ("first", "second")
#: Seconds after which a test gives up waiting for something, on a machine that may be busy.
LIMIT = 600
OPTIONS = ("--model", MODEL, "--set", "min_chunks=3", "--threads", "2", "--no-progress", "--no-report")


def write_inputs(directory: Path) -> list[Path]:
    paths = [directory / f"{name}.fa" for name in SAMPLES]
    for number, path in enumerate(paths):
        path.write_text(contigs(8 * number, 8 * number + 8))
    return paths


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the same samples that nobody disturbed; all workers of a parallel test run share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    directory = shared / "uninterrupted"
    with FileLock(shared / "uninterrupted.lock"):
        if not directory.exists():
            directory.mkdir()
            ended = virnucpro("predict", *write_inputs(directory), "--output-dir", directory / "out", *OPTIONS)
            assert ended.returncode == 0, ended.stdout + ended.stderr
    return directory / "out"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run of `predict` into `tmp_path/out`; whatever is left of it is killed at the end."""
    yield from start(tmp_path, heed_signals)


@pytest.fixture
def started_by_a_script(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The same, in the background of a script: such a shell has its background jobs ignore SIGINT."""
    yield from start(tmp_path, ignore_interrupts)


def start(tmp_path: Path, signals: Callable[[], None]) -> Iterator[subprocess.Popen[bytes]]:
    command = virnucpro_command("predict", *write_inputs(tmp_path), "--output-dir", tmp_path / "out", *OPTIONS)
    with (tmp_path / "output.txt").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, preexec_fn=signals)
    yield process
    for left in processes(tmp_path / "out"):
        left.kill()
    process.kill()
    process.wait()


def ignore_interrupts() -> None:
    heed_signals()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def processes(directory: Path, *words: str) -> list[psutil.Process]:
    """The live processes of the run in `directory`, Snakemake and its jobs, whose command lines have all `words`."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if set(words) <= set(command) and (process.cwd() == str(directory) or str(directory) in command):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait_for_job(directory: Path, stage: str, *, already: int = 0) -> list[psutil.Process]:
    """Wait until a job of `stage` works, with at least `already` chunks scored; return its processes."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        scored = len(list(directory.glob("work/*/*/*/*/*.parquet")))
        jobs = [job for job in processes(directory, stage) if job in processes(directory, "virnucpro_kernels")]
        if jobs and scored >= already and record_of(directory, stage):
            return jobs
        time.sleep(0.02)
    raise AssertionError(f"no job of {stage} was seen; {(directory.parent / 'output.txt').read_text()}")


def record_of(directory: Path, stage: str) -> bool:
    """Whether a job of `stage` has begun its work, so that it is killed in the middle of it."""
    return any(read_job(path).get("state") == "running" for path in directory.rglob(f"*{stage}.json"))


def scored(directory: Path) -> dict[str, int]:
    """When each chunk was scored (ns)."""
    return {str(path): path.stat().st_mtime_ns for path in directory.glob("work/*/*/*/*/*.parquet")}


def kill(targets: list[psutil.Process]) -> None:
    """Kill processes and wait until they are gone: until then they hold their locks."""
    for target in targets:
        try:
            os.kill(target.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    psutil.wait_procs(targets, timeout=LIMIT)


def unfinished(directory: Path) -> list[str]:
    """What killed processes left under temporary names in `work/` and `results/`."""
    return sorted(
        str(path.relative_to(directory))
        for folder in ("work", "results")
        for path in (directory / folder).rglob(".[0-9]*.*")
    )


@pytest.mark.parametrize(
    ("stage", "already", "victim"),
    [
        ("split", 0, "everything"),
        ("embed", 0, "snakemake"),
        ("embed", 1, "job"),
        ("embed", 2, "everything"),
        ("collect", 3, "everything"),
    ],
)
def test_a_killed_run_ends_with_the_same_bytes(
    uninterrupted: Path, started: subprocess.Popen[bytes], tmp_path: Path, stage: str, already: int, victim: str
) -> None:
    out = tmp_path / "out"
    jobs = wait_for_job(out, stage, already=already)
    before = scored(out)
    if victim == "job":
        kill(jobs)
        assert started.wait(LIMIT) != 0, "a killed job is a failure"
        assert "killed" in (out / "results" / "failed.tsv").read_text()
    elif victim == "snakemake":
        kill(processes(out, "snakemake"))
        assert started.wait(LIMIT) != 0
    else:
        kill([psutil.Process(started.pid), *processes(out)])
        started.wait(LIMIT)
    ended = virnucpro("predict", "--output-dir", out, "--no-progress")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert checksums(out) == checksums(uninterrupted)
    after = scored(out)
    assert {path: after[path] for path in before} == before, "a chunk that was finished is not computed again"
    assert not (out / "results" / "failed.tsv").exists()
    assert unfinished(out) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_lost_terminal_end_cleanly_and_keep_what_is_finished(
    started: subprocess.Popen[bytes], tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    wait_for_job(out, "embed", already=1)
    before = scored(out)
    looked_at = read_status(out)
    assert looked_at.state == "running"
    assert looked_at.progress.chunks == 3
    assert "`virnucpro`" in looked_at.worker
    started.send_signal(number)
    assert started.wait(LIMIT) == 130
    assert processes(out) == [], "no job is left behind"
    after_all = read_status(out)
    assert after_all.state == "stopped", after_all
    last_line = (tmp_path / "output.txt").read_text().splitlines()[-1]
    assert last_line.startswith("interrupted: finished work is kept")
    assert last_line.endswith("run the same command to resume")
    ended = virnucpro("predict", "--output-dir", out, "--no-progress")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    after = scored(out)
    assert {path: after[path] for path in before} == before


def test_a_run_in_the_background_of_a_script_is_stopped_by_the_first_signal(
    started_by_a_script: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """Snakemake and its jobs do not ignore SIGINT, as in the foreground: nobody has to wait for a stronger signal."""
    out = tmp_path / "out"
    jobs = wait_for_job(out, "embed")
    ignored = {process.pid: ignores_interrupts(process) for process in (*processes(out, "snakemake"), *jobs)}
    assert len(ignored) >= 2
    assert not any(ignored.values()), ignored
    assert ignores_interrupts(psutil.Process(started_by_a_script.pid)), "the script's own choice stays"
    started_by_a_script.terminate()
    assert started_by_a_script.wait(LIMIT) == 130
    assert processes(out) == [], "no job is left behind"


def test_snakemake_and_all_of_its_jobs_end_by_sigterm_during_merge(uninterrupted: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(uninterrupted, tmp_path / "out", symlinks=True))
    for pattern in ("work/*/*/*/*/00001.*", "work/*/*/*/*/gathered.sha256", "results/*/run.json"):
        for path in out.glob(pattern):
            path.unlink()
    with (tmp_path / "output.txt").open("wb") as output:
        started = subprocess.Popen(
            snakemake_command(), cwd=out, stdout=output, stderr=output, preexec_fn=heed_signals, start_new_session=True
        )
    try:
        merge = suspend_at_work(out, "merge", started)
        for process in (merge, *processes(out)):
            with suppress(psutil.NoSuchProcess):  # a shell ends with what it has started
                process.terminate()
        merge.resume()
        assert started.wait(LIMIT) == 1
        assert psutil.wait_procs(processes(out), timeout=LIMIT)[1] == []
    finally:
        kill(processes(out))
        started.wait()
    said = (tmp_path / "output.txt").read_text()
    assert list(out.glob("work/*/*/*/00001.nucleotide.h5")), said
    assert not list(out.glob("work/*/*/*/00001.features.h5")), said
    assert record_of(out / "work", "merge"), f"the job was not interrupted in its work; {said}"
    ended = snakemake(out)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert checksums(out) == checksums(uninterrupted)
    assert unfinished(out) == []


def suspend_at_work(directory: Path, stage: str, run: subprocess.Popen[bytes]) -> psutil.Process:
    """Suspend the process of a job of `stage` in the midst of its work, to which it goes in small steps."""
    while not (jobs := processes(directory, stage, "virnucpro_kernels")):
        assert run.poll() is None, (directory.parent / "output.txt").read_text()
        time.sleep(0.01)
    (job,) = jobs
    job.suspend()
    while not record_of(directory / "work", stage):
        job.resume()
        time.sleep(0.004)
        job.suspend()
    return job


def ignores_interrupts(process: psutil.Process) -> bool:
    status = Path("/proc", str(process.pid), "status").read_text()
    (ignored,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:")]
    return bool(int(ignored, 16) >> (signal.SIGINT - 1) & 1)


def test_what_killed_jobs_left_unfinished_is_removed(uninterrupted: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(uninterrupted, tmp_path / "out", symlinks=True))
    (pool,) = out.glob("work/*/*/")
    (embeddings,) = pool.glob("*/00001.embed.json")
    made = [
        *(path for path in pool.rglob("*") if path.suffix in {".json", ".parquet", ".tsv"}),
        *(embeddings.with_name(f"00001.{kind}.h5") for kind in ("nucleotide", "protein", "features")),
        *out.glob("results/*/collect.json"),
        out / "results" / "failed.tsv",
    ]
    for path in made:
        path.with_name(f".999999999.{path.name}").write_text("half a file")
        path.unlink(missing_ok=True)
    for path in (*pool.rglob("gathered.sha256"), *out.glob("results/*/run.json")):
        path.unlink()
    (pool / ".999999999.chunks").mkdir()
    (pool / ".999999999.chunks" / "00000.fna").write_text(">half a chunk")
    ended = virnucpro("predict", "--output-dir", out, "--no-progress")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert unfinished(out) == []
    assert checksums(out) == checksums(uninterrupted)


def test_a_second_predict_in_the_same_folder_is_refused(started: subprocess.Popen[bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    wait_for_job(out, "split")
    ended = virnucpro("predict", "--output-dir", out)
    assert ended.returncode == 1
    assert f"another `virnucpro` works in {out} (process {started.pid})" in ended.stderr
    kill([psutil.Process(started.pid)])
    started.wait(LIMIT)  # until then /proc still has it
    ended = virnucpro("predict", "--output-dir", out)
    assert ended.returncode == 1
    said = re.search(
        rf"\(process {started.pid}, which is gone, but the Snakemake that it started, process (\d+), is not\); wait for"
        r" it, or stop it and its jobs: (kill .*)",
        ended.stderr,
    )
    assert said, ended.stderr
    assert "snakemake" in psutil.Process(int(said[1])).cmdline()
    left = processes(out)
    assert subprocess.run(said[2], shell=True, check=False).returncode == 0
    assert psutil.wait_procs(left, timeout=LIMIT)[1] == []
    assert virnucpro("predict", "--output-dir", out, "--dry-run").returncode == 0


def test_a_damaged_chunk_is_split_again(uninterrupted: Path, tmp_path: Path) -> None:
    """The embedding job finds the damage and exits 3; the others go on, and the next start splits the pool again."""
    out = Path(shutil.copytree(uninterrupted, tmp_path / "out", symlinks=True))
    (manifest,) = out.glob("work/*/*/chunks.tsv")
    first = max(read_manifest(manifest), key=lambda chunk: chunk.protein_tokens).chunk
    chunk = manifest.parent / "chunks" / f"{first}.faa"
    text = chunk.read_bytes()
    chunk.write_bytes(text[:-2] + b"X\n")
    for pattern in ("work/*/*/*/*/*.parquet", "work/*/*/*/*/gathered.sha256", "results/*/run.json"):
        for path in out.glob(pattern):
            path.unlink()
    ended = virnucpro("predict", "--output-dir", out)
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "embed (exit code 3)" in ended.stderr
    assert chunk.with_name(f"{first}.faa.damaged").exists()
    assert len(scored(out)) == 2
    failed = (out / "results" / "failed.tsv").read_text().splitlines()
    assert [line.split("\t")[:5] for line in failed[1:]] == [[s, first, "embed", "2", "3"] for s in SAMPLES]
    assert all((out / line.split("\t")[5]).exists() for line in failed[1:])
    ended = virnucpro("predict", "--output-dir", out)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert checksums(out) == checksums(uninterrupted)
