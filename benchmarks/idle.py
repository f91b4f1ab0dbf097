"""How long the GPU idles while a chunk is embedded, from a trace of every kernel.

    python -m benchmarks.idle CHUNKS_TSV MODEL [--chunk 00000] [--precision fp16] [--threads 8]

For instance the chunk and the model that `benchmarks.chunks --chunk 100000x50 --folder FOLDER` leaves in FOLDER. The
first batch of each encoder is left out, since it waits for kernels to be loaded; in the row of the whole chunk only
that of the nucleotide encoder is, so that the change from one encoder to the other counts.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: The kernel that ends every batch.
_LAST_OF_BATCH = "layernorm_mean"
_LONGEST = 5


def gaps(starts: Floats, ends: Floats, begin: float, end: float) -> Floats:
    """Lengths of the times between `begin` and `end` in which none of the intervals runs, descending."""
    inside = (ends > begin) & (starts < end)
    starts, ends = starts[inside].clip(begin, end), ends[inside].clip(begin, end)
    order = np.argsort(starts)
    busy_until = np.maximum.accumulate(np.concatenate(([begin], ends[order])))
    idle = np.concatenate((starts[order], [end])) - busy_until
    return np.sort(idle[idle > 0])[::-1]


def trace(embed_options: Any) -> list[dict[str, Any]]:
    """Embed a chunk in this process; return what ran on the GPU: name, `ts` and `dur` in microseconds."""
    import torch

    from virnucpro_kernels.embed.embed import embed

    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities, acc_events=True) as profile:
        embed(embed_options)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    return [event for event in events if event.get("cat") == "kernel"]


def describe(starts: Floats, ends: Floats, batch_ends: Floats, nucleotide_batches: int) -> list[str]:
    """Rows of the table: each encoder and the whole chunk, from the end of its first batch to the end of its last.

    Times are in microseconds: `starts` and `ends` of all kernels, `batch_ends` ascending, nucleotide encoder first.
    """
    stretches = {
        "nucleotide": batch_ends[:nucleotide_batches],
        "protein": batch_ends[nucleotide_batches:],
        "chunk": batch_ends,
    }
    rows = []
    for name, of_stretch in stretches.items():
        begin, end = float(of_stretch[0]), float(of_stretch[-1])
        idle = gaps(starts, ends, begin, end)
        longest = ", ".join(f"{gap / 1e3:.2f}" for gap in idle[:_LONGEST])
        fraction = idle.sum() / (end - begin)
        rows.append(f"| {name} | {len(of_stretch) - 1} | {(end - begin) / 1e6:.2f} | {fraction:.2%} | {longest} |")
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, metavar="CHUNKS_TSV")
    parser.add_argument("model", help="name or directory")
    parser.add_argument("--chunk", default="00000")
    parser.add_argument("--precision", default="fp16")
    parser.add_argument("--threads", type=int, default=8)
    options = parser.parse_args()

    from virnucpro_kernels.embed.embed import EmbedOptions
    from virnucpro_kernels.weights.registry import find_model

    with tempfile.TemporaryDirectory() as folder:
        nucleotide, protein = Path(folder) / "nucleotide.h5", Path(folder) / "protein.h5"
        embed_options = EmbedOptions(
            options.manifest, options.chunk, find_model(options.model), nucleotide, protein,
            device="cuda", precision=options.precision, embedding_dtype="auto", attention="auto", token_budget=0,
            threads=options.threads,
        )  # fmt: skip
        kernels = trace(embed_options)
        record = json.loads((Path(folder) / f"{options.chunk}.embed.json").read_text())
    starts = np.array([kernel["ts"] for kernel in kernels], np.float64)
    ends = starts + np.array([kernel["dur"] for kernel in kernels], np.float64)
    batch_ends = np.sort(ends[[_LAST_OF_BATCH in kernel["name"] for kernel in kernels]])
    print("| | batches | s | idle | longest gaps, ms |")
    print("|---|---|---|---|---|")
    print("\n".join(describe(starts, ends, batch_ends, record["nucleotide"]["batches"])))


if __name__ == "__main__":
    main()
