"""Speed and memory of windows, frames and `virnucpro split`, on real sequence.

    python benchmarks/splitting.py rate GENOMES.fa.gz…      windows a second in memory, on one core
    python benchmarks/splitting.py threads GENOMES.fa.gz…   seconds of `split` by number of threads
    python benchmarks/splitting.py memory GENOMES.fa.gz…    peak memory of `split` by number of reads

Any sequence files will do; reads and contigs are drawn from them at random.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.sequences.records import read_batches
from virnucpro_kernels.split.frames import find_frames, frame_sequences
from virnucpro_kernels.split.windows import place_windows

_RATE_BASES = 1 << 23
_ROUNDS = 5


@dataclass(frozen=True)
class RecordKind:
    """Records of random length between two bounds, with headers as real ones have them."""

    name: str
    shortest: int
    longest: int
    header: bytes


_READS = RecordKind("reads of 150 nt", 150, 150, b"A00123:45:HXXXXDSX2:1:1101:%d 1:N:0:ACGTACGT")
_CONTIGS = RecordKind("contigs of 300 to 3,000 bp", 300, 3000, b"k141_%d flag=1 multi=2.0 len=%d")


def genome(paths: list[Path]) -> bytes:
    """Return all sequences of the files, end to end."""
    return b"".join(batch.sequences.data.tobytes() for path in paths for batch in read_batches(path))


def draw(bases: bytes, kind: RecordKind, total: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield header and sequence of random pieces, `total` bases in all."""
    chance = np.random.default_rng(0)
    number = 0
    while total > 0:
        lengths = chance.integers(kind.shortest, kind.longest, 10_000, endpoint=True)
        starts = chance.integers(0, len(bases) - kind.longest, 10_000)
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            if total <= 0:
                return
            values = (number, length)[: kind.header.count(b"%d")]
            yield kind.header % values, bases[start : start + length]
            number += 1
            total -= length


def write_fasta(path: Path, bases: bytes, kind: RecordKind, total: int) -> None:
    """Write random pieces; the lines of contigs are wrapped at 60 columns."""
    with path.open("wb") as file:
        for header, sequence in draw(bases, kind, total):
            text = sequence
            if kind is _CONTIGS:
                text = b"\n".join(sequence[at : at + 60] for at in range(0, len(sequence), 60))
            file.write(b">%b\n%b\n" % (header, text))


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of `work` in this process, the best of several rounds."""
    seconds = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def rate(bases: bytes) -> None:
    """Print in how many windows a second frames are found, and found and cut out, in memory."""
    print_row("sequence", "window", "windows", "frames a window", "find, windows/s", "find and cut, windows/s")
    print_row(*["---"] * 6)
    whole = SequenceArray.from_list([bases[:_RATE_BASES]])
    cases = [("one long contig", whole, 500), ("one long contig", whole, 300)]
    for kind, window in ((_CONTIGS, 500), (_CONTIGS, 300), (_READS, 500)):
        pieces = [sequence for _, sequence in draw(bases, kind, _RATE_BASES)]
        cases.append((kind.name, SequenceArray.from_list(pieces), window))
    for name, sequences, window in cases:

        def place_and(
            work: Callable[..., object], sequences: SequenceArray = sequences, window: int = window
        ) -> Callable[[], object]:
            return lambda: work(sequences, place_windows(sequences.lengths, window, "original"), "original")

        windows = place_windows(sequences.lengths, window, "original")
        frames = len(find_frames(sequences, windows, "original"))
        find, cut = (cpu_seconds(place_and(work)) for work in (find_frames, frame_sequences))
        count = len(windows)
        print_row(name, f"{window} bp", count, f"{frames / count:.2f}", int(count / find), int(count / cut))


def start_split(sample: Path, pool: Path, threads: int) -> subprocess.Popen[bytes]:
    """Start `virnucpro split`."""
    command = [sys.executable, "-m", "virnucpro_kernels", "split", f"sample={sample}", "--window-length", "500"]
    return subprocess.Popen(
        [*command, "--output-dir", str(pool), "--threads", str(threads)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def together(sample: Path, folder: Path, number: int) -> float:
    """Return the wall seconds of `number` runs of `virnucpro split` with one thread, at the same time."""
    started = time.perf_counter()
    processes = [start_split(sample, folder / f"pool{n}", 1) for n in range(number)]
    if any(list(map(subprocess.Popen.wait, processes))):
        raise SystemExit("virnucpro split failed")
    return time.perf_counter() - started


def split(sample: Path, pool: Path, threads: int) -> tuple[float, float, float]:
    """Run `virnucpro split`.

    Returns:
        Wall seconds, CPU seconds, and the sum of the peak resident memory (MB) of all processes.
    """
    before = os.times()
    started = time.perf_counter()
    process = start_split(sample, pool, threads)
    peaks: dict[int, int] = {}
    while process.poll() is None:
        try:
            family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        except psutil.NoSuchProcess:
            continue
        for pid in family:
            peaks[pid] = max(peak_kilobytes(pid), peaks.get(pid, 0))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit("virnucpro split failed")
    wall, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu, sum(peaks.values()) * 1024 / 1e6


def peak_kilobytes(pid: int) -> int:
    """Return the peak resident memory of a process so far, 0 for a process that has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def digest(pool: Path) -> str:
    """Return a checksum of all files of a pool but its record."""
    total = hashlib.sha256()
    for path in sorted(path for path in pool.rglob("*") if path.is_file() and path.suffix != ".json"):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:12]


def clear(folder: Path) -> None:
    """Remove the pools, and wait until all data are on the disk, so that the next run does not pay for them."""
    for pool in folder.glob("pool*"):
        shutil.rmtree(pool)
    os.sync()


def threads(bases: bytes, total: int, numbers: list[int], rounds: int) -> None:
    """Print the seconds of `split` for numbers of threads, in turn; medians of several rounds.

    The column *the machine's* is the gain of as many independent processes of one thread over one such process.
    """
    print_row("input", "Mbp", "threads", "wall, s", "CPU, s", "Mbp/s", "speed-up", "the machine's", "all files")
    print_row(*["---"] * 9)
    with tempfile.TemporaryDirectory(prefix="virnucpro-bench-") as temporary:
        folder = Path(temporary)
        sample, pool = folder / "sample.fa", folder / "pool"
        for kind in (_CONTIGS, _READS):
            write_fasta(sample, bases, kind, total)
            seconds: dict[int, list[tuple[float, float]]] = {number: [] for number in numbers}
            apart: dict[int, list[float]] = {number: [] for number in numbers}
            digests: dict[int, str] = {}
            for _ in range(rounds):
                for number in numbers:
                    seconds[number].append(split(sample, pool, number)[:2])
                    digests[number] = digest(pool)
                    clear(folder)
                    apart[number].append(together(sample, folder, number))
                    clear(folder)
            medians = {number: np.median(times, axis=0) for number, times in seconds.items()}
            for number, (wall, cpu) in medians.items():
                speed_up = medians[numbers[0]][0] / wall
                machine = number * np.median(apart[numbers[0]]) / np.median(apart[number])
                rates = (f"{wall:.1f}", f"{cpu:.1f}", f"{total / wall / 1e6:.1f}", f"{speed_up:.2f}", f"{machine:.2f}")
                print_row(kind.name, total // 1_000_000, number, *rates, digests[number])


def memory(bases: bytes, reads: list[int], number: int) -> None:
    """Print the peak memory of `split` for numbers of reads."""
    print_row("reads", "threads", "wall, s", "reads/s", "peak memory, MB", "bytes a read more")
    print_row(*["---"] * 6)
    earlier: tuple[int, float] | None = None
    with tempfile.TemporaryDirectory(prefix="virnucpro-bench-") as folder:
        for count in reads:
            sample = Path(folder) / "sample.fa"
            write_fasta(sample, bases, _READS, _READS.longest * count)
            wall, _, megabytes = split(sample, Path(folder) / "pool", number)
            growth = f"{(megabytes - earlier[1]) * 1e6 / (count - earlier[0]):.1f}" if earlier else ""
            print_row(count, number, f"{wall:.1f}", int(count / wall), int(megabytes), growth)
            earlier = count, megabytes


def print_row(*cells: object) -> None:
    """Print a row of a table."""
    texts = (f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells)
    print(f"| {' | '.join(texts)} |", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "threads", "memory"])
    parser.add_argument("genomes", type=Path, nargs="+", help="sequence files")
    parser.add_argument("--bases", type=int, default=300_000_000, help="of the input of `threads`")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3, help="of `threads`")
    parser.add_argument("--reads", type=int, nargs="+", default=[1_000_000, 4_000_000])
    arguments = parser.parse_args()
    bases = genome(arguments.genomes)
    match arguments.what:
        case "rate":
            rate(bases)
        case "threads":
            threads(bases, arguments.bases, arguments.threads, arguments.rounds)
        case "memory":
            memory(bases, arguments.reads, arguments.threads[-1])


if __name__ == "__main__":
    main()
