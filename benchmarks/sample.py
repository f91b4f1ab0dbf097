"""A whole sample, FASTA to tables, by `virnucpro predict` with one GPU, two, …: seconds of each stage.

    python benchmarks/sample.py FOLDER [--reads 1000000] [--encoder esm2-3b] [--gpus 1 2] [--json FILE]

Random reads of 150 nt (54.5 % GC, which leaves 0.8 frames a read, as in real samples) and a model of random
weights of the true shapes; both stay in FOLDER (some 7 GB) and are used again. `--device cpu` with a small encoder
tries it out.
"""

import argparse
import json
import logging
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch

from virnucpro_kernels.bench.chunk import write_random_model

_READ = 150
_READS_AT_ONCE = 100_000
_GC = 0.545


@dataclass(frozen=True)
class Result:
    """One run.

    Attributes:
        gpus: in use, 0 for a CPU.
        seconds: of the whole command.
        split_seconds: of `split`.
        embed_seconds: from the start of the first embedding job to the end of the last, loading of the models included.
        chunks, frames, protein_tokens: of the sample.
        tokens_per_second: protein tokens over `embed_seconds`.
        utilisation_percent: of the GPUs while a job had one, mean over the jobs; None where nobody counts.
        joules: that the GPUs took for it.
    """

    gpus: int
    seconds: float
    split_seconds: float
    embed_seconds: float
    chunks: int
    frames: int
    protein_tokens: int
    tokens_per_second: float
    utilisation_percent: float | None
    joules: float | None


def write_reads(path: Path, number: int) -> None:
    """Write random reads, unless they are there."""
    if path.exists():
        return
    chance = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", np.uint8)
    shares = [(1 - _GC) / 2, _GC / 2, _GC / 2, (1 - _GC) / 2]
    with path.open("wb") as file:
        for first in range(0, number, _READS_AT_ONCE):
            reads = chance.choice(letters, (min(_READS_AT_ONCE, number - first), _READ), p=shares)
            file.writelines(b">read_%d\n%b\n" % (first + i, read.tobytes()) for i, read in enumerate(reads))


def run(reads: Path, model: Path, output: Path, *, device: str, gpus: int, precision: str) -> Result:
    """Run the workflow from nothing to the tables."""
    shutil.rmtree(output, ignore_errors=True)
    command: list[object] = [sys.executable, "-m", "virnucpro_kernels", "predict", reads, "--output-dir", output]
    command += ["--model", model, "--device", device, "--precision", precision, "--no-progress"]
    command += ["--gpus", gpus] if device == "cuda" else []
    started = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True)
    seconds = time.perf_counter() - started
    (split,) = (json.loads(path.read_text()) for path in output.glob("work/*/*/split.json"))
    jobs = [json.loads(path.read_text()) for path in output.glob("work/*/*/*/*.embed.json")]
    starts = [datetime.fromisoformat(job["started"]).timestamp() for job in jobs]
    ends = [start + job["seconds"] for start, job in zip(starts, jobs, strict=True)]
    embed_seconds = max(ends) - min(starts)
    tokens = sum(job["protein"]["tokens"] for job in jobs)
    on_gpu = device == "cuda"
    return Result(
        gpus=gpus if on_gpu else 0,
        seconds=seconds,
        split_seconds=split["seconds"],
        embed_seconds=embed_seconds,
        chunks=len(jobs),
        frames=sum(job["rows"] for job in jobs),
        protein_tokens=tokens,
        tokens_per_second=tokens / embed_seconds,
        utilisation_percent=float(np.mean([job["gpu_utilisation_percent"] for job in jobs])) if on_gpu else None,
        joules=sum(job["gpu_energy_joules"] for job in jobs) if on_gpu else None,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reads", type=int, default=1_000_000)
    parser.add_argument("--encoder", default="esm2-3b", help="protein encoder; DNABERT-S comes with it")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path, help="write the results here too, after each run")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    options.folder.mkdir(parents=True, exist_ok=True)
    model, reads = options.folder / f"{options.encoder}-random", options.folder / f"{options.reads}.fa"
    if not (model / "model.toml").exists():
        write_random_model(model, options.encoder, torch.device(options.device))
    write_reads(reads, options.reads)
    results: list[Result] = []
    for gpus in options.gpus:
        output = options.folder / f"run-{gpus}"
        results.append(run(reads, model, output, device=options.device, gpus=gpus, precision=options.precision))
        if options.json:
            options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    print("| GPUs | whole, s | split, s | embed, s | chunks | frames | tokens/s | gain | GPU in use | kJ |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for result in results:
        gain = max(other.embed_seconds for other in results) / result.embed_seconds
        used = "" if result.utilisation_percent is None else f"{result.utilisation_percent:.1f} %"
        energy = "" if result.joules is None else f"{result.joules / 1e3:.1f}"
        cells = (
            *(result.gpus, f"{result.seconds:.1f}", f"{result.split_seconds:.1f}", f"{result.embed_seconds:.1f}"),
            *(result.chunks, f"{result.frames:,}", f"{result.tokens_per_second:,.0f}", f"{gain:.2f}", used, energy),
        )
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
