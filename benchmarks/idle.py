"""How long the GPU idles while a chunk is embedded, from a trace of every kernel.

    python benchmarks/idle.py CHUNKS_TSV MODEL [--chunk 00000] [--precision fp16] [--threads 8]

For instance the chunk and the model that `virnucpro bench --chunk 20000x50 --folder FOLDER` leaves in FOLDER. The first
batch of each encoder is left out: it waits for kernels to be loaded.
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


def trace(request: Any) -> list[dict[str, Any]]:
    """Embed a chunk in this process; return what ran on the GPU: name, `ts` and `dur` in microseconds."""
    import torch

    from virnucpro_kernels.embed import embed

    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities, acc_events=True) as profile:
        embed(request)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    return [event for event in events if event.get("cat") == "kernel"]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, metavar="CHUNKS_TSV")
    parser.add_argument("model", help="name or directory")
    parser.add_argument("--chunk", default="00000")
    parser.add_argument("--precision", default="fp16")
    parser.add_argument("--threads", type=int, default=8)
    options = parser.parse_args()

    from virnucpro_kernels.embed import Request
    from virnucpro_kernels.registry import find_model

    with tempfile.TemporaryDirectory() as folder:
        nucleotide, protein = Path(folder) / "nucleotide.h5", Path(folder) / "protein.h5"
        request = Request(
            options.manifest, options.chunk, find_model(options.model), nucleotide, protein,
            device="cuda", precision=options.precision, threads=options.threads,
        )  # fmt: skip
        kernels = trace(request)
        record = json.loads((Path(folder) / f"{options.chunk}.embed.json").read_text())
    starts = np.array([kernel["ts"] for kernel in kernels], np.float64)
    ends = starts + np.array([kernel["dur"] for kernel in kernels], np.float64)
    batch_ends = np.sort(ends[[_LAST_OF_BATCH in kernel["name"] for kernel in kernels]])
    first = record["nucleotide"]["batches"]
    print("| encoder | batches | s | idle | longest gaps, ms |")
    print("|---|---|---|---|---|")
    for name, of_encoder in (("nucleotide", batch_ends[:first]), ("protein", batch_ends[first:])):
        begin, end = float(of_encoder[0]), float(of_encoder[-1])
        idle = gaps(starts, ends, begin, end)
        longest = ", ".join(f"{gap / 1e3:.2f}" for gap in idle[:_LONGEST])
        share = idle.sum() / (end - begin)
        print(f"| {name} | {len(of_encoder) - 1} | {(end - begin) / 1e6:.2f} | {share:.2%} | {longest} |")


if __name__ == "__main__":
    main()
