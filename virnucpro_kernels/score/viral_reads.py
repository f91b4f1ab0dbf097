"""`viral.fastq.gz` and `host.fastq.gz`: reads with their qualities, sorted out by their calls; pairs stay together.

A pair of reads has one call, from the windows of both, as a contig has one from all of its windows.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.file_names import READ_FILES
from virnucpro_kernels.score.rule import Rule
from virnucpro_kernels.score.sample_reader import Sources, read_id_batches
from virnucpro_kernels.score.scoring import CALLS, Evidence
from virnucpro_kernels.score.tables import FAST_LEVEL, deterministic_gzip
from virnucpro_kernels.sequences.arrays import Bools, Int64s
from virnucpro_kernels.sequences.reads import holds_reads, read_fastq

ReadFiles = Literal["none", "viral", "both"]
_KINDS = {"none": (), "viral": ("viral",), "both": ("viral", "host")}
_VIRAL = CALLS.index("viral")


def wants_reads(sources: Sources, files: ReadFiles) -> bool:
    """Return whether a sample of reads, in FASTQ or BAM, is to be sorted out."""
    return files != "none" and bool(sources.inputs) and all(map(holds_reads, sources.inputs))


def write_reads(
    directory: Path,
    sources: Sources,
    sample: str,
    evidence: Evidence,
    files: ReadFiles,
    rule: Rule,
) -> dict[str, int]:
    """Write the reads of a sample, in the order of the input.

    Args:
        directory: Folder for the gzip-compressed FASTQ files.
        sources: Files of the sample.
        sample: Name of the sample.
        evidence: Evidence of each read.
        files: Files to write: `viral`, or `both` with all other reads in a second one.
        rule: What makes a read or pair viral.

    Returns:
        Numbers of `viral` and of `other` reads, and of `pairs`.

    Raises:
        UsageError: the files no longer hold what was split.
    """
    first, second = find_pairs(sources, sample, len(evidence.windows))
    viral: Bools = evidence.call(rule) == _VIRAL
    viral[first] = viral[second] = (evidence[first] + evidence[second]).call(rule) == _VIRAL
    start = 0
    for number, path in enumerate(sources.inputs, start=1):
        start += _sort_out(path, viral[start:], directory, _KINDS[files], number if len(sources.inputs) > 1 else 0)
    if start != len(viral):
        raise UsageError(f"{sources.inputs[-1]} has fewer reads than were split: start the run again from the split")
    return {"viral": int(viral.sum()), "other": int((~viral).sum()), "pairs": len(first)}


def _sort_out(path: Path, viral: Bools, directory: Path, kinds: Sequence[str], number: int) -> int:
    """Write the reads of one file, the `number`-th of two, or 0 for a single one; return how many it has."""
    count = 0
    with ExitStack() as exits:
        files = {
            kind == "viral": exits.enter_context(deterministic_gzip(directory / READ_FILES[kind][number], FAST_LEVEL))
            for kind in kinds
        }
        for record in read_fastq(path):
            if count == len(viral):
                raise UsageError(f"{path} has more reads than were split: start the run again from the split")
            if file := files.get(bool(viral[count])):
                file.write(record)
            count += 1
    return count


def find_pairs(sources: Sources, sample: str, reads: int) -> tuple[Int64s, Int64s]:
    """Return the numbers of the first and of the second read of each pair, int64 (p,) each.

    Two files hold pairs if their reads have the same names in the same order. In one file, a pair is two reads that
    follow each other and whose names differ by `/1` and `/2`, or are the same.
    """
    if len(sources.inputs) == 2:
        half = reads // 2
        same = reads == 2 * half and all(_same_names(sources, sample, half))
        return (np.arange(half), half + np.arange(half)) if same else (np.empty(0, np.int64), np.empty(0, np.int64))
    found = [np.empty(0, np.int64)]
    last, count = pa.array([], pa.string()), 0
    for names in read_id_batches(sources, sample):
        joined = pa.concat_arrays([last, names])
        found.append(count - len(last) + _neighbours(joined))
        last, count = joined[-1:], count + len(names)
    first = np.concatenate(found)
    return first, first + 1


def _same_names(sources: Sources, sample: str, half: int) -> Iterator[bool]:
    """Yield whether the names of both files are the same, a batch at a time."""
    second = read_id_batches(sources, sample, skip=half)
    waiting = pa.array([], pa.string())
    done = 0
    for names in read_id_batches(sources, sample):
        names = names[: half - done]
        while len(waiting) < len(names):
            waiting = pa.concat_arrays([waiting, next(second)])
        yield _without(names, "/1").equals(_without(waiting[: len(names)], "/2"))
        waiting, done = waiting[len(names) :], done + len(names)
        if done == half:
            return


def _without(names: pa.Array, mate: str) -> pa.Array:
    return pc.replace_substring_regex(names, f"{mate}$", "")


def _neighbours(names: pa.Array) -> Int64s:
    """Return the places of the names that begin a pair with the next one."""
    a, b = names[:-1], names[1:]
    mates = pc.and_(pc.ends_with(a, "/1"), pc.equal(pc.replace_substring_regex(a, "/1$", "/2"), b))
    # `duplicate_ids: suffix` gives the second of two equal names a number.
    renamed = pc.equal(pc.binary_join_element_wise(a, "_2", ""), b)
    found: Any = pc.or_(mates, renamed).to_numpy(zero_copy_only=False)
    places: npt.NDArray[np.int64] = np.flatnonzero(found)
    return places
