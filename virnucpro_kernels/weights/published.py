"""The published files from which the released models are made: addresses, and checksums that tell a true copy."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CLASSIFIERS = "https://raw.githubusercontent.com/Li-Jing-1997/VirNucPro/0f93f2755a7ea1acd3ff1bcf182892f960ef3326"
_DNABERT_S = "https://huggingface.co/zhihan1996/DNABERT-S/resolve/00e47f96cdea35e4b6f5df89e5419cbe47d490c6"


@dataclass(frozen=True)
class PublishedFile:
    """A file that somebody published.

    Attributes:
        url: Address; its last component is the file's name.
        digest: `sha256:` and the checksum, or `git:` and the ID that git gives the content.
        what: Description for people.
        licence: Licence of the weights.
        encoder: Name of the encoder in the file, if there is one.
        window_length: Window length in bp of the classifier in the file, if there is one.
        megabytes: Size, to show before a download.
    """

    url: str
    digest: str
    what: str
    licence: str
    megabytes: float
    encoder: str = ""
    window_length: int = 0

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Recipe:
    """A released model and the published files from which it is made."""

    name: str
    window_length: int
    protein: PublishedFile
    nucleotide: tuple[PublishedFile, ...]
    classifier: PublishedFile

    @property
    def protein_sha256(self) -> str:
        """Checksum of the protein encoder's file."""
        return self.protein.digest.removeprefix("sha256:")

    @property
    def nucleotide_sha256(self) -> str:
        """Joint checksum of the files that decide the nucleotide encoder's tensors: all but the tokenizer."""
        return joint_sha256(
            {
                file.name: file.digest.removeprefix("sha256:")
                for file in self.nucleotide
                if file.name != "tokenizer.json"
            }
        )


# Meta publishes no checksum. This one is on record with several projects that do not depend on each other.
ESM2_3B = PublishedFile(
    url="https://dl.fbaipublicfiles.com/fair-esm/models/esm2_t36_3B_UR50D.pt",
    digest="sha256:7de8b4082ba15891959ab368b77ce3886697af1efb16d3c9e9e7b0c5d3f07500",
    what="ESM-2 3B as published with fair-esm",
    licence="MIT",
    megabytes=5678.1,
    encoder="esm2-3b",
)
DNABERT_S = (
    PublishedFile(
        url=f"{_DNABERT_S}/pytorch_model.bin",
        digest="sha256:f3cfc3d0541859df64759e758cc4bc40fe1d5760799a7d098a9f9f09501c1e5f",
        what="DNABERT-S as published by zhihan1996",
        licence="Apache-2.0",
        megabytes=468.3,
        encoder="dnabert-s",
    ),
    PublishedFile(
        url=f"{_DNABERT_S}/config.json",
        digest="sha256:d54c142114563aa34ef7c2b54ccc921d08e50cd7c3cd69c439d5e0d2bbcfcdee",
        what="configuration of DNABERT-S",
        licence="Apache-2.0",
        megabytes=0.001,
    ),
    PublishedFile(
        url=f"{_DNABERT_S}/tokenizer.json",
        digest="sha256:667f5a0e6e9630f7052b004784dda7c7aeba395cc4ca3c01b11b02e6aa29d7b1",
        what="tokenizer of DNABERT-S",
        licence="Apache-2.0",
        megabytes=0.2,
    ),
)
CLASSIFIERS = tuple(
    PublishedFile(
        url=f"{_CLASSIFIERS}/{window_length}_model.pth",
        digest=f"git:{blob}",
        what=f"classifier for {window_length} bp as released with VirNucPro",
        licence="MIT",
        megabytes=6.8,
        window_length=window_length,
    )
    for window_length, blob in (
        (500, "fc35d5ef9f1f4564eea7036f34f4f8ec6000d33d"),
        (300, "a0b5b85e7c1e44f00cde146d091beb82b2c8e855"),
    )
)
RECIPES = tuple(
    Recipe(f"virnucpro-{file.window_length}", file.window_length, ESM2_3B, DNABERT_S, file) for file in CLASSIFIERS
)
PUBLISHED = (ESM2_3B, *DNABERT_S, *CLASSIFIERS)


def digests(path: Path) -> tuple[str, str]:
    """Return a file's hexadecimal SHA-256 and the ID that git gives its content (`git hash-object`), read once."""
    sha256 = hashlib.sha256()
    git = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            sha256.update(block)
            git.update(block)
    return sha256.hexdigest(), git.hexdigest()


def recognise(sha256: str, git: str) -> PublishedFile | None:
    """Return the published file with one of these digests."""
    return next((file for file in PUBLISHED if file.digest in {f"sha256:{sha256}", f"git:{git}"}), None)


def joint_sha256(files: Mapping[str, str]) -> str:
    """Return one checksum for files, given the SHA-256 of each by name: for several, that of `sha256sum`'s output."""
    if len(files) == 1:
        return next(iter(files.values()))
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
