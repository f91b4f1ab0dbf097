"""The merge stage: the vectors of both encoders side by side, row by row, nucleotide before protein."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.files import remove_leftovers
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, EmbeddingWriter, write_linked
from virnucpro_kernels.pool.file_names import record_name, vector_name
from virnucpro_kernels.pool.job_record import Job
from virnucpro_kernels.pool.provenance import Provenance


def run_merge(nucleotide: Path, protein: Path, output: Path, encoders: str = "", *, link: bool = False) -> None:
    """Merge the embedding files of a chunk and keep the record of the job; see `merge`."""
    record = output.with_name(record_name("merge", output.name.removesuffix(vector_name("", "features"))))
    with Job(record, "merge") as job:
        provenance = merge(nucleotide, protein, output, encoders, job.progress, link=link)
        job.facts |= {"dimension": provenance.dimension}
        if link:  # HDF5 has checksums of all that it reads in so small a file, but not of unused bytes
            job.wrote(output)


def merge(
    nucleotide: Path,
    protein: Path,
    output: Path,
    encoders: str = "",
    progress: Callable[[int, int], None] = lambda *_: None,
    *,
    link: bool = False,
) -> Provenance:
    """Write the features of a chunk from its two embedding files, a block at a time, or linked to them.

    Args:
        nucleotide: File with the vectors of the nucleotide encoder, (n, 768).
        protein: File with the vectors of the protein encoder, (n, 2560).
        output: File to write, both side by side, (n, 3328), in the wider of the two types.
        encoders: Name of the encoders and the precision that must have made the vectors; any if empty.
        progress: Function that is given the number of rows done and the number of all rows.
        link: Whether the features point to the vectors of both files, which have to stay where they are, and copy none.
            All three files are in one folder then. Vectors of different types are always copied.

    Returns:
        Provenance of the features: that of both files.

    Raises:
        DamagedFileError: a file is damaged, or the files do not belong together: rows, chunk, content, geometry,
            encoders or precision differ.
        UsageError: `link`, and the files are not all in one folder.
    """
    if link and {path.absolute().parent for path in (nucleotide, protein)} != {output.absolute().parent}:
        raise UsageError(f"--link: {output}, {nucleotide} and {protein} have to be in one folder")
    remove_leftovers(output)
    with EmbeddingReader(nucleotide, encoders) as left, EmbeddingReader(protein, encoders) as right:
        provenance = _joined(left, right)
        rows = left.rows
        if link and left.dtype == right.dtype:
            write_linked(output, (left, right), provenance)
            return provenance
        dtype = np.result_type(left.dtype, right.dtype)
        with EmbeddingWriter(output, len(rows), dtype, provenance) as writer:
            done = 0
            for block, vectors in right.blocks():
                stop = done + len(block)
                writer.write(block, np.hstack([left.read(done, stop), vectors]))
                progress(stop, len(rows))
                done = stop
    return provenance


def _joined(left: EmbeddingReader, right: EmbeddingReader) -> Provenance:
    remedy = "`virnucpro predict --force` makes those of a run again"
    for reader, alphabet in ((left, "nucleotide"), (right, "protein")):
        if getattr(reader.provenance, alphabet) is None:
            raise DamagedFileError(
                f"{reader.path}: these are not the vectors of a {alphabet} encoder; give nucleotide, then protein"
            )
    for field in ("pool", "chunk", "geometry", "encoders", "nucleotide_fasta_sha256", "protein_fasta_sha256"):
        one, other = getattr(left.provenance, field), getattr(right.provenance, field)
        if one != other:
            raise DamagedFileError(
                f"{left.path} and {right.path}: attribute {field} is {one!r} in the first file and {other!r} in the"
                f" second; {remedy}"
            )
    if not np.array_equal(left.rows, right.rows):
        only = np.setxor1d(left.rows, right.rows)
        what = f"row {only[0]} is in one of them only" if len(only) else "the order differs"
        raise DamagedFileError(f"{left.path} and {right.path}: the files do not have the same rows ({what}); {remedy}")
    return replace(left.provenance, protein=right.provenance.protein)
