"""Time, peak memory and size of `virnucpro report`, on contigs with made-up scores.

    python -m benchmarks.reporting [--contigs 100000 1000000] [--folder FOLDER]

Lengths are spread as in an assembly, from 200 bp to some 100 kbp. Contigs and scores are drawn, and `virnucpro collect`
makes the tables of them. With `--folder`, the results stay there.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.collecting import run
from virnucpro_kernels.pool.manifest import Chunk, write_manifest
from virnucpro_kernels.pool.schemas import CONTIG_SCHEMA, WINDOW_SCHEMA
from virnucpro_kernels.score.classify import softmax
from virnucpro_kernels.split.windows import place_windows
from virnucpro_kernels.weights.registry import Model, find_model

_COLUMNS = ("contigs", "windows", "collect, CPU seconds", "report, seconds", "CPU seconds", "peak memory, MB", "MB")
#: Of the contigs that are viruses, and of those of hosts that hold one.
_VIRAL, _PROPHAGE = 0.08, 0.01


def write_pool(folder: Path, contigs: int, model: Model) -> int:
    """Write the tables and scores of a pool with one sample, `sample`; return the number of windows."""
    chance = np.random.default_rng(0)
    lengths = np.clip(chance.lognormal(7.0, 0.9, contigs), 200, 200_000).astype(np.int64)
    windows = place_windows(lengths, model.window_length, "original")
    counts = np.bincount(windows.contig, minlength=contigs)
    # Three frames of ten are open, as it happens, and the score of a frame is that of its contig and chance.
    mask = np.packbits(chance.random((len(windows), 6)) < 0.3, axis=1, bitorder="little")[:, 0]
    frames = np.bitwise_count(mask)
    viral = chance.random(contigs) < _VIRAL
    inside = windows.number / np.maximum(counts[windows.contig], 1)
    prophage = (chance.random(contigs) < _PROPHAGE)[windows.contig] & (inside > 0.3) & (inside < 0.6)
    state = np.where(viral[windows.contig] | prophage, 2.5, -2.5)
    logit = (np.repeat(state, frames) + chance.normal(scale=1.8, size=frames.sum())).astype(np.float32)
    columns = (
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(contigs, np.int32)), ["sample"]),
        [f"NODE_{number + 1}_length_{length}_cov_{3 + number % 40}.7" for number, length in enumerate(lengths)],
        [""] * contigs,
        lengths,
        pa.array(
            np.where(np.bincount(windows.contig, frames, contigs) > 0, "scored", "no_open_frame")
        ).dictionary_encode(),
        counts.astype(np.int32),
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(contigs, np.int32)), [""]),
    )
    pq.write_table(pa.table(list(columns), schema=CONTIG_SCHEMA), folder / "contigs.parquet")
    placed = (windows.contig, windows.start, windows.end, mask, np.cumsum(frames, dtype=np.int64) - frames)
    pq.write_table(pa.table(list(placed), schema=WINDOW_SCHEMA), folder / "windows.parquet")
    p_other, p_virus = softmax(logit).T
    scores = pa.table({"row": np.arange(len(logit)), "logit": logit, "p_other": p_other, "p_virus": p_virus})
    (folder / "scores").mkdir()
    pq.write_table(
        scores.replace_schema_metadata({"model_id": model.model_id}),
        folder / "scores" / "00000.parquet",
        row_group_size=1 << 16,
    )
    write_manifest(
        folder / "chunks.tsv", [Chunk("00000", len(logit), 1, 1, 1, 1, "0", "0", f"{model.window_length}-original")]
    )
    return len(windows)


def measure(contigs: int, model: Model, directory: Path) -> str:
    """Return the row of the table for a number of contigs."""
    pool, results = directory / f"pool-{contigs}", directory / f"results-{contigs}"
    pool.mkdir(parents=True)
    windows = write_pool(pool, contigs, model)
    _, collect_seconds, _ = run(
        [
            *("collect", "--sample", "sample", "--model", str(model.directory), "--original-files", "none"),
            *("--contigs", pool / "contigs.parquet", "--windows", pool / "windows.parquet"),
            *("--manifest", pool / "chunks.tsv", "--scores-dir", pool / "scores", "--output-dir", results / "sample"),
        ]
    )
    seconds, cpu_seconds, megabytes = run(["report", results])
    size = (results / "report.html").stat().st_size / 1e6
    values = (f"{collect_seconds:.1f}", f"{seconds:.1f}", f"{cpu_seconds:.1f}", f"{megabytes:.0f}", f"{size:.1f}")
    return f"| {contigs:,} | {windows:,} | {' | '.join(values)} |"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contigs", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--model", default="builtin-500")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    model = find_model(arguments.model)
    print(f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|", flush=True)
    with tempfile.TemporaryDirectory(prefix="virnucpro-bench-") as folder:
        for contigs in arguments.contigs:
            print(measure(contigs, model, arguments.folder or Path(folder)), flush=True)


if __name__ == "__main__":
    main()
