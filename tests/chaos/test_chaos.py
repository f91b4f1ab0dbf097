"""Random interruption and damage: the same command ends with the same bytes, at the latest when it is given again.

`make chaos SEEDS=10` runs the seeds 0 to 9, `SEEDS=7-7` that one again. A seed prints what it did.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.helpers.runs import MODEL, checksums, contigs, virnucpro, virnucpro_command

pytestmark = pytest.mark.chaos

LIMIT = 600
OPTIONS = ("--model", MODEL, "--set", "min_chunks=6", "--threads", "2", "--no-progress")
DAY = 86_400
#: Files that a run may find damaged.
KINDS = (
    *("work/pools.tsv", "work/*/*/chunks.tsv", "work/*/*/unusable.tsv", "work/*/*/contigs.parquet"),
    *("work/*/*/windows.parquet", "work/*/*/chunks/*.f?a", "work/*/*/*/*.h5", "work/*/*/*/*.partial/*.h5"),
    *("work/*/*/*/*/*.parquet", "work/*/*/*/*/gathered.sha256", "work/**/*.json", "results/*/*", "results/failed.tsv"),
    *(".snakemake/metadata/*", ".snakemake/incomplete/*"),
)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    directory = tmp_path_factory.mktemp("undisturbed")
    for name, text in (("one", contigs(0, 6)), ("two", contigs(6, 10))):
        (directory / f"{name}.fa").write_text(text)
    ended = virnucpro("predict", *directory.glob("*.fa"), "--output-dir", directory / "out", *OPTIONS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return directory


def final(directory: Path) -> dict[str, str]:
    """Checksums of the results, without what was set aside."""
    return {name: value for name, value in checksums(directory).items() if ".damaged" not in name}


def processes(out: Path) -> list[psutil.Process]:
    """The processes of Snakemake and its jobs."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(out) or str(out) in process.cmdline():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


class Chaos:
    """What one seed does to a run.

    Attributes:
        deeds: Words for all that was done.
    """

    def __init__(self, seed: int, directory: Path) -> None:
        self._choose, self._directory, self._out = random.Random(seed), directory, directory / "out"
        self.deeds: list[str] = []

    def _say(self, deed: str) -> None:
        self.deeds.append(deed)
        print(deed)  # noqa: T201 so that a seed can be followed

    def interrupt(self) -> None:
        """Start a run and send signals to a part of it, at some moment."""
        command = virnucpro_command("predict", "--output-dir", self._out, *OPTIONS)
        with (self._directory / "output.txt").open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        time.sleep(self._choose.uniform(3, 25))
        number = self._choose.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        victim = self._choose.choice(["predict", "snakemake", "job", "all", "storm"])
        self._say(f"{number.name} to {victim}")
        for _ in range(8 if victim == "storm" else 1):
            alive = processes(self._out)
            of_snakemake = [one for one in alive if "snakemake" in self._words(one)]
            jobs = [one for one in alive if one not in of_snakemake and one.pid != process.pid]
            targets = {"predict": [], "snakemake": of_snakemake, "job": jobs[-1:]}.get(victim, [*of_snakemake, *jobs])
            for target in [*([] if victim in ("snakemake", "job") else [psutil.Process(process.pid)]), *targets]:
                try:
                    target.send_signal(number)
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.05)
        try:
            process.wait(LIMIT / 2)
        except subprocess.TimeoutExpired:
            pytest.fail(f"no end after {self.deeds}")
        _, left = psutil.wait_procs(processes(self._out), timeout=60)
        for orphan in left:
            orphan.kill()
        psutil.wait_procs(left, timeout=60)

    @staticmethod
    def _words(process: psutil.Process) -> list[str]:
        try:
            return list(process.cmdline())
        except psutil.NoSuchProcess:
            return []

    def damage(self) -> None:
        """Damage some files, of kinds that are there."""
        deeds: tuple[Callable[[Path], None], ...] = (
            *(self._truncate, self._empty, self._flip, self._swap, self._delete, self._garbage),
            *(self._leave_hidden, self._move_clock),
        )
        for _ in range(self._choose.randint(1, 3)):
            paths = sorted({path for path in self._out.glob(self._choose.choice(KINDS)) if path.is_file()})
            if paths:
                path, deed = self._choose.choice(paths), self._choose.choice(deeds)
                self._say(f"{deed.__name__.strip('_')} {path.relative_to(self._out)}")
                deed(path)
        if self._choose.random() < 0.2:
            self._say("stale lock")
            locks = self._out / ".snakemake" / "locks"
            locks.mkdir(parents=True, exist_ok=True)
            (locks / "0.output.lock").write_bytes(self._choose.randbytes(20))

    def _truncate(self, path: Path) -> None:
        path.write_bytes(path.read_bytes()[: self._choose.randint(0, path.stat().st_size)])

    def _empty(self, path: Path) -> None:
        path.write_bytes(b"")

    def _flip(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        if content:
            content[self._choose.randrange(len(content))] ^= 1 << self._choose.randrange(8)
        path.write_bytes(content)

    def _swap(self, path: Path) -> None:
        others = sorted(other for other in path.parent.glob(f"*{path.suffix}") if other.is_file() and other != path)
        if others:
            other = self._choose.choice(others)
            one, two = path.read_bytes(), other.read_bytes()
            path.write_bytes(two)
            other.write_bytes(one)

    def _delete(self, path: Path) -> None:
        path.unlink()

    def _garbage(self, path: Path) -> None:
        path.write_bytes(self._choose.randbytes(200))

    def _leave_hidden(self, path: Path) -> None:
        if path.parts[len(self._out.parts)] != ".snakemake":
            path.with_name(f".4194304.{path.name}").write_bytes(b"half")

    def _move_clock(self, path: Path) -> None:
        moved = time.time() + self._choose.choice([-DAY, DAY])
        for other in path.parent.iterdir():
            os.utime(other, (moved, moved))


def test_chaos(chaos_seed: int, undisturbed: Path, tmp_path: Path) -> None:
    chaos = Chaos(chaos_seed, tmp_path)
    for path in undisturbed.glob("*.fa"):
        shutil.copy(path, tmp_path)
    command: tuple[str | Path, ...] = (
        "predict",
        *sorted(tmp_path.glob("*.fa")),
        "--output-dir",
        tmp_path / "out",
        *OPTIONS,
    )
    if chaos_seed % 3 == 2:  # a run that was complete
        shutil.copytree(undisturbed / "out", tmp_path / "out", symlinks=True)
    else:
        (tmp_path / "out" / "config").mkdir(parents=True, exist_ok=True)
        shutil.copy(undisturbed / "out" / "config" / "config.yaml", tmp_path / "out" / "config")
        sheet = (undisturbed / "out" / "config" / "samples.tsv").read_text()
        (tmp_path / "out" / "config" / "samples.tsv").write_text(sheet.replace(str(undisturbed), str(tmp_path)))
        chaos.interrupt()
    chaos.damage()
    for attempt in range(2):
        ended = virnucpro(*command)
        chaos.deeds.append(f"start {attempt + 1}: {ended.returncode}")
        if ended.returncode == 0:
            break
        assert "Traceback (most recent call last)" not in ended.stderr, (chaos.deeds, ended.stderr)
    assert ended.returncode == 0, (chaos.deeds, ended.stdout + ended.stderr)
    print(chaos.deeds)  # noqa: T201
    assert final(tmp_path / "out") == final(undisturbed / "out"), chaos.deeds
    assert virnucpro("verify", tmp_path / "out").returncode == 0, chaos.deeds
    left = [str(path) for name in ("work", "results") for path in (tmp_path / "out" / name).rglob(".[0-9]*.*")]
    assert left == [], chaos.deeds
