"""A finished run of the original tool, its vectors random."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.helpers.stages import run


def write_original(folder: Path, contigs: list[bytes], *, files: int = 2) -> tuple[Path, dict[str, Any]]:
    """Write a finished run of the original on `contigs` of under 300 bases; return it and its random vectors."""
    folder.mkdir()
    fasta = folder / "reads.fasta"
    fasta.write_bytes(b"".join(b">r%d some text\n%s\n" % (i, contig) for i, contig in enumerate(contigs)))
    frames_of = ["frames", fasta, "--window-length", "300", "--windows", folder / "reads_chunked300.fa"]
    run(*frames_of, "--nucleotide", folder / "reads_identified_nucleotide.fa",
        "--protein", folder / "reads_identified_protein.faa")  # fmt: skip
    ids = [line[1:] for line in (folder / "reads_identified_protein.faa").read_text().splitlines()[::2]]
    rng = np.random.default_rng(0)
    vectors = {name: (rng.normal(size=16), rng.normal(size=32).astype(np.float32)) for name in ids}
    for kind in ("nucleotide", "protein"):
        (folder / f"reads_{kind}").mkdir()
    for number in range(files):
        part = ids[number::files]
        data = [{"label": name, "mean_representation": vectors[name][0].tolist()} for name in part]
        torch.save(
            {"nucleotide": part, "data": data}, folder / "reads_nucleotide" / f"output_{number + 1}_DNABERT_S.pt"
        )
        part = sorted(part, key=lambda name: vectors[name][0][0])
        torch.save(
            {"proteins": part, "data": [torch.from_numpy(vectors[name][1]) for name in part]},
            folder / "reads_protein" / f"output_{number + 1}_ESM.pt",
        )
    return folder, vectors
