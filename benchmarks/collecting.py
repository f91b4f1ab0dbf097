"""Time and peak memory of `virnucpro collect`, on random reads of 150 bases with made-up scores.

    python -m benchmarks.collecting [--reads 500000 2000000] [--threads 4] [--original-files original]

The reads are split as in any run; their scores are drawn instead of computed.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from virnucpro_kernels.pool.chunk_fasta import read_frames
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.score.classify import softmax
from virnucpro_kernels.weights.registry import Model, find_model

_BASES = 150
# The process says its own peak: what the system reports of a child includes that of its parent before the start.
_PROGRAM = """
import atexit, pathlib, sys
from virnucpro_kernels.cli.main import main
status, answer = pathlib.Path("/proc/self/status"), pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: answer.write_text(next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))))
main()
"""
_COLUMNS = ("reads", "frames", "chunks", "seconds", "CPU seconds", "reads per CPU second", "peak memory, MB")


def write_reads(path: Path, reads: int) -> None:
    """Random reads with headers like a sequencer's."""
    chance = np.random.default_rng(0)
    with path.open("wb") as file:
        for first in range(0, reads, 10_000):
            count = min(10_000, reads - first)
            bases = np.frombuffer(b"ACGT", np.uint8)[chance.choice(4, (count, _BASES), p=(0.2, 0.3, 0.3, 0.2))]
            lines = [
                b">A00123:45:HXXXXDSX2:1:1101:%d:%d 1:N:0:ACGTACGT\n%s\n" % (read // 5000, read, sequence.tobytes())
                for read, sequence in enumerate(bases, start=first)
            ]
            file.write(b"".join(lines))


def draw_scores(pool: Path, scores: Path, model: Model) -> int:
    """Write a score file for each chunk of a pool; return the number of frames."""
    chance = np.random.default_rng(1)
    scores.mkdir(parents=True)
    frames = 0
    for chunk in read_manifest(pool / "chunks.tsv"):
        rows = read_frames(*(pool / "chunks" / f"{chunk.chunk}{suffix}" for suffix in (".fna", ".faa"))).rows
        logit = chance.normal(scale=4, size=len(rows)).astype(np.float32)
        p_other, p_virus = softmax(logit).T
        table = pa.table({"row": rows, "logit": logit, "p_other": p_other, "p_virus": p_virus})
        table = table.replace_schema_metadata({"model_id": model.model_id})
        pq.write_table(table, scores / f"{chunk.chunk}.parquet", row_group_size=1 << 16)
        frames += len(rows)
    return frames


def run(command: list[str | Path]) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak resident memory (MB) of a `virnucpro` command."""
    with tempfile.NamedTemporaryFile("r") as answer:
        started, used = time.perf_counter(), _cpu_seconds()
        subprocess.run(
            [sys.executable, "-c", _PROGRAM, answer.name, *map(str, command)], check=True, stdout=subprocess.DEVNULL
        )
        memory = int(answer.read().split()[1]) * 1024 / 1e6
        return time.perf_counter() - started, _cpu_seconds() - used, memory


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, nargs="+", default=[500_000, 2_000_000])
    parser.add_argument("--original-files", default="original", choices=["original", "broad", "none"])
    parser.add_argument("--chunk-tokens", type=int, default=4_000_000)
    parser.add_argument("--model", default="builtin-300")
    parser.add_argument("--threads", type=int, default=1, help="threads of `collect`")
    arguments = parser.parse_args()
    model = find_model(arguments.model)
    print(f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|", flush=True)
    for reads in arguments.reads:
        with tempfile.TemporaryDirectory(prefix="virnucpro-bench-") as folder:
            directory = Path(folder)
            sample, pool = directory / "sample.fa", directory / "pool"
            scores = pool / "encoders" / model.model_id
            write_reads(sample, reads)
            run(
                [
                    *("split", sample, "--window-length", str(model.window_length), "--output-dir", pool),
                    *("--chunk-tokens", str(arguments.chunk_tokens), "--threads", "2"),
                ]
            )
            frames = draw_scores(pool, scores, model)
            seconds, cpu_seconds, megabytes = run(
                [
                    *("collect", "--sample", "sample", "--model", str(model.directory), "--inputs", sample),
                    *("--contigs", pool / "contigs.parquet", "--windows", pool / "windows.parquet"),
                    *("--manifest", pool / "chunks.tsv", "--scores-dir", scores),
                    *("--original-files", arguments.original_files, "--output-dir", directory / "results"),
                    *("--threads", str(arguments.threads)),
                ]
            )
            chunks = len(read_manifest(pool / "chunks.tsv"))
        print(
            f"| {reads:,} | {frames:,} | {chunks} | {seconds:.1f} | {cpu_seconds:.1f}"
            f" | {reads / cpu_seconds:,.0f} | {megabytes:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
