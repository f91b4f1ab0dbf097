"""What happens to a run in a chaos test: signals, damaged files, a disk that is full or read-only."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import psutil
import pytest

from tests.helpers.runs import heed_signals

DAY = 86_400
#: Time after which a start counts as one that never ends.
LIMIT_SECONDS = 300
#: Files that a run may find damaged.
KINDS = (
    *("work/pools.tsv", "work/*/*/chunks.tsv", "work/*/*/unusable.tsv", "work/*/*/contigs.parquet"),
    *("work/*/*/windows.parquet", "work/*/*/chunks/*.f?a", "work/*/*/*/*.h5", "work/*/*/*/*.partial/*"),
    *("work/*/*/*/*/*.parquet", "work/*/*/*/*/gathered.sha256", "work/**/*.json", "results/*/*", "results/failed.tsv"),
    *(".snakemake/metadata/**/*", ".snakemake/incomplete/*", "config/*", "work/.*", "logs/**/*"),
)
INTERRUPTIONS = [
    (number, victim)
    for number in ("SIGKILL", "SIGTERM", "SIGINT")
    for victim in ("the command", "snakemake", "a job", "all", "all, many times")
]


def processes(out: Path) -> list[psutil.Process]:
    """The processes that work in the folder of a run: the command, Snakemake, jobs."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.pid != os.getpid() and (process.cwd() == str(out) or str(out) in process.cmdline()):
                found.append(process)
    return found


def _is_snakemake(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return "snakemake" in process.cmdline()
    return False


def end_all(out: Path) -> None:
    """Kill what works in the folder of a run."""
    left = processes(out)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=60)


def interrupt(
    choose: Random, kinds: list[tuple[str, str]], command: list[str | Path], out: Path, output: Path, seconds: float
) -> str:
    """Start a command in the folder of a run and interrupt it after so many seconds; return how."""
    name, victim = choose.choice(kinds)
    with output.open("ab") as file:
        started = subprocess.Popen(
            command,
            cwd=out,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=heed_signals,
        )
    with suppress(subprocess.TimeoutExpired):
        started.wait(seconds)
    for _ in range(8 if "many" in victim else 1):
        alive = processes(out)
        if victim == "the command":
            alive = [process for process in alive if process.pid == started.pid]
        elif victim == "snakemake":
            alive = [process for process in alive if _is_snakemake(process)]
        elif victim == "a job":
            alive = [process for process in alive if process.pid != started.pid and not _is_snakemake(process)][-1:]
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.Signals[name])
        time.sleep(0.05)
    try:
        started.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"no end {LIMIT_SECONDS} s after {name} to {victim}")
    # Orphans, which a start would refuse or wait for: where only the command was killed, Snakemake finishes the run.
    _, left = psutil.wait_procs(processes(out), timeout=LIMIT_SECONDS)
    assert left == [], f"{left} go on after {name} to {victim}"
    return f"{name} to {victim} after {seconds:.0f} s"


class Disk:
    """Context manager that mounts a disk of its own as the folder of a run, which can become full or read-only.

    Attributes:
        mounted: Whether it is mounted.
    """

    def __init__(self, folder: Path, *, wanted: bool) -> None:
        self.mounted, self._folder = wanted, folder

    def _mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, self._folder], check=True)

    def __enter__(self) -> Self:
        self._folder.mkdir()
        if self.mounted:
            self._mount("-t", "tmpfs", "-o", "size=1g", "tmpfs")
        return self

    def spoil(self, choose: Random) -> str:
        """Make the disk full or read-only; return which."""
        if choose.random() < 0.3:
            self._mount("-o", "remount,ro")
            return "read-only"
        left = choose.choice([0, 8, 30, 100, 300])
        self._mount("-o", f"remount,size={shutil.disk_usage(self._folder).used // 1024 + left}k")
        return f"{left} kB left on the disk"

    def repair(self) -> None:
        """Make the disk large and writable."""
        if self.mounted:
            self._mount("-o", "remount,rw,size=1g")

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.mounted:
            end_all(self._folder)
            subprocess.run(["umount", self._folder], check=True)


class Damage:
    """Damage of files, of a kind and in a way that `choose` chooses."""

    def __init__(self, choose: Random, out: Path) -> None:
        self._choose, self._out = choose, out

    def do(self) -> list[str]:
        """Damage up to three files; return what was done."""
        deeds = (
            *(self._truncate, self._empty, self._flip, self._swap, self._delete, self._garbage),
            *(self._leave_hidden, self._move_clock),
        )
        done = []
        for _ in range(self._choose.randint(1, 3)):
            paths = sorted({path for path in self._out.glob(self._choose.choice(KINDS)) if path.is_file()})
            if paths:
                path, deed = self._choose.choice(paths), self._choose.choice(deeds)
                deed(path)
                done.append(f"{deed.__name__.strip('_')} {path.relative_to(self._out)}")
        if self._choose.random() < 0.2:
            locks = self._out / ".snakemake" / "locks"
            locks.mkdir(parents=True, exist_ok=True)
            (locks / "0.output.lock").write_bytes(self._choose.randbytes(20))
            done.append("stale lock")
        return done

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
        """Exchange a file with another one of its kind: beside it, or of its name in another folder."""
        others = {*path.parent.glob(f"*{path.suffix}"), *path.parent.parent.glob(f"*/{path.name}")} - {path}
        if files := sorted(other for other in others if other.is_file()):
            other = self._choose.choice(files)
            one, two = path.read_bytes(), other.read_bytes()
            path.write_bytes(two)
            other.write_bytes(one)

    def _delete(self, path: Path) -> None:
        path.unlink()

    def _garbage(self, path: Path) -> None:
        path.write_bytes(self._choose.randbytes(200))

    def _leave_hidden(self, path: Path) -> None:
        if path.relative_to(self._out).parts[0] in ("work", "results"):
            path.with_name(f".4194304.{path.name}").write_bytes(b"half")

    def _move_clock(self, path: Path) -> None:
        """Move the times of a folder's files, or of all files of the run, by a day."""
        moved = time.time() + self._choose.choice([-DAY, DAY])
        folder = self._choose.choice([path.parent, self._out])
        for other in folder.rglob("*"):
            if other.is_file() and not other.is_symlink():
                os.utime(other, (moved, moved))
