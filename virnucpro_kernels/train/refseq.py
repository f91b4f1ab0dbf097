"""The original's training set: files of a RefSeq release, with their checksums, and a table of their records.

The original takes the first file of viruses, one random file each of bacteria, archaea, fungi and protozoa, and ten
each of plants, invertebrates and both folders of vertebrates. Here the seed decides which.
"""

import csv
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from virnucpro_kernels.errors import UsageError, VirnucproError
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.tsv import read_rows, write_rows
from virnucpro_kernels.sequences.formats import genbank_id, genbank_records
from virnucpro_kernels.sequences.records import identify, read_records
from virnucpro_kernels.train.genomes import TABLE
from virnucpro_kernels.weights.download import digest_like, download, download_text
from virnucpro_kernels.weights.published import PublishedFile

_log = logging.getLogger(__name__)

SOURCE = "https://ftp.ncbi.nlm.nih.gov/refseq/release"
#: File in the folder of a download, beside the table to train with: the list of what belongs to it.
FILES = "refseq.tsv"
_INSTEAD = "or a mirror (--source URL), or run the command on another machine and copy its folder"


@dataclass(frozen=True)
class _Folder:
    """A folder of the release: label and category of its records, and the number of its files to take."""

    label: str
    category: str
    files: int


_FOLDERS = {
    "viral": _Folder("virus", "viral", 1),
    **{name: _Folder("host", name, 1) for name in ("bacteria", "archaea", "fungi", "protozoa")},
    **{name: _Folder("host", name, 10) for name in ("plant", "invertebrate")},
    **{f"vertebrate_{name}": _Folder("host", "vertebrate", 10) for name in ("mammalian", "other")},
}


@dataclass(frozen=True)
class RefseqFile:
    """A pair of files of a release.

    Attributes:
        release: Number of the release.
        folder: Folder of the release.
        genomic, annotation: FASTA file, and GenBank file with the coding sequences of its records.
        genomic_md5, annotation_md5: Their checksums as the release has them.
    """

    release: str
    folder: str
    genomic: str
    genomic_md5: str
    annotation: str
    annotation_md5: str


def fetch_refseq(directory: Path, source: str, seed: int) -> Path:
    """Download the training set, or go on with a download that was interrupted; return the table of genomes.

    Args:
        directory: Folder for the files.
        source: Address of the release's folder.
        seed: Seed of the choice of files; that of an earlier start in the folder stays.

    Raises:
        UsageError: the release is another one than that of an earlier start in the folder.
        DamagedFileError: a download is not the file that the release lists.
        VirnucproError: a file cannot be downloaded, or the release lists none of a kind.
    """
    source = source.rstrip("/")
    files = _chosen(directory, source, seed)
    for number, file in enumerate(files, start=1):
        _log.info("%d of %d: %s", number, len(files), file.genomic)
        for name, md5 in ((file.genomic, file.genomic_md5), (file.annotation, file.annotation_md5)):
            path, digest = directory / file.folder / name, f"md5:{md5}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or digest_like(digest, path) != digest:
                address = f"{source}/{file.folder}/{name}"
                download(PublishedFile(address, digest, name, "public domain", 0), address, path, instead=_INSTEAD)
    table = directory / TABLE
    with atomic_path(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerow(("file", "seq_id", "annotation", "label", "category", "group"))
        for file in files:
            writer.writerows(_lines(directory, file))
    return table


def _chosen(directory: Path, source: str, seed: int) -> list[RefseqFile]:
    """Return the files of an earlier start in the folder, or else choose."""
    release = download_text(f"{source}/RELEASE_NUMBER", instead=_INSTEAD).strip()
    path = directory / FILES
    if path.exists():
        files = read_rows(path, RefseqFile, remedy="remove it and what lies beside it, then start again")
        if files[0].release != release:
            raise UsageError(
                f"{directory} has files of RefSeq release {files[0].release}, but {source} is release {release} now,"
                " which has others; choose a new folder"
            )
        return files
    listing = download_text(f"{source}/release-catalog/release{release}.files.installed", instead=_INSTEAD)
    md5_of = {name: md5 for md5, name in (line.split() for line in listing.splitlines() if line)}
    chance = np.random.default_rng(seed)
    files = [file for folder in _FOLDERS for file in _choose(folder, release, md5_of, chance)]
    directory.mkdir(parents=True, exist_ok=True)
    write_rows(path, RefseqFile, files)
    return files


def _choose(folder: str, release: str, md5_of: Mapping[str, str], chance: np.random.Generator) -> Iterator[RefseqFile]:
    found: list[tuple[int, int, RefseqFile]] = []
    for name, md5 in md5_of.items():
        match = re.fullmatch(rf"{folder}\.(\d+)\.(\d+)\.genomic\.fna\.gz", name)
        annotation = f"{folder}.{match[1]}.genomic.gbff.gz" if match else ""
        if match and annotation in md5_of:
            file = RefseqFile(release, folder, name, md5, annotation, md5_of[annotation])
            found.append((int(match[1]), int(match[2]), file))
    if not found:
        raise VirnucproError(
            f"RefSeq release {release} lists no {folder}.N.M.genomic.fna.gz with its genomic.gbff.gz; its files may"
            " have other names now"
        )
    files = [file for *_, file in sorted(found, key=lambda entry: entry[:2])]
    number = min(_FOLDERS[folder].files, len(files))
    # Of viruses it is the first file.
    chosen = range(number) if folder == "viral" else sorted(chance.choice(len(files), number, replace=False).tolist())
    return (files[index] for index in chosen)


def _lines(directory: Path, file: RefseqFile) -> Iterator[tuple[str, ...]]:
    """Yield a line of the table for each record of a file.

    The group of a virus is its family, or the last taxon that it has; that of a host is its genus, the first word of
    the description.
    """
    kind, folder = _FOLDERS[file.folder], directory / file.folder
    families = dict(_families(folder / file.annotation)) if kind.label == "virus" else {}
    for record in read_records(folder / file.genomic):
        group = families.get(record.contig) or _genus(record.description)
        yield (
            f"{file.folder}/{file.genomic}",
            record.contig,
            f"{file.folder}/{file.annotation}",
            kind.label,
            kind.category,
            f"{kind.category}:{group}",
        )


def _families(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ID and family of the records of a GenBank file."""
    for record, _, _ in genbank_records(path, identify(path, str(path))):
        taxa = record.annotations.get("taxonomy", [])
        family = next((taxon for taxon in taxa if taxon.endswith("viridae")), "")
        yield genbank_id(record), family or (taxa[-1] if taxa else record.annotations.get("organism", ""))


def _genus(description: str) -> str:
    words = re.sub(r"[\[\]'\"]", "", description).split()
    return " ".join(words[:2] if words[:1] == ["Candidatus"] else words[:1]) or "unnamed"
