"""The files of a pool, written from frames."""

from pathlib import Path

from virnucpro_kernels.files import sha256
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.manifest import Chunk, write_manifest


def write_pool(folder: Path, *chunks: Frames, geometry: str = "500-original") -> Path:
    """Write the chunks of a pool and their manifest as `split` does; return the manifest."""
    lines = []
    (folder / "chunks").mkdir(parents=True)
    for number, frames in enumerate(chunks):
        paths = []
        for suffix, sequences in ((".fna", frames.nucleotides), (".faa", frames.proteins)):
            records = zip(frames.rows, frames.ids, sequences, strict=True)
            text = "".join(f">{row} {name}\n{sequence.decode()}\n" for row, name, sequence in records)
            paths.append(folder / "chunks" / f"{number:05d}{suffix}")
            paths[-1].write_text(text)
        lengths = frames.proteins.lengths
        tokens = int((lengths + 2).sum())
        lines.append(
            Chunk(
                f"{number:05d}",
                len(frames),
                tokens,
                tokens,
                int(lengths.min()),
                int(lengths.max()),
                sha256(paths[0]),
                sha256(paths[1]),
                geometry,
            )
        )
    write_manifest(folder / "chunks.tsv", lines)
    return folder / "chunks.tsv"
