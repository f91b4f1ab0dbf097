"""The published files from which the released models are made, by address and checksum: `data/published.toml`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import read_data


@dataclass(frozen=True)
class PublishedFile:
    """A file that somebody published.

    Attributes:
        url: Address; its last component is the file's name.
        digest: `sha256:` or `md5:` and the checksum, or `git:` and the ID that git gives the content.
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

    def address(self, mirror: str | None = None) -> str:
        """Return the address of the file: its publisher's, or below that of a mirror."""
        return self.url if mirror is None else f"{mirror.rstrip('/')}/{self.name}"


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
        files = [file for file in self.nucleotide if file.name != "tokenizer.json"]
        return joint_sha256({file.name: file.digest.removeprefix("sha256:") for file in files})


#: Published files of each part of a model, and the original's results.
_FILES = {part: tuple(PublishedFile(**file) for file in files) for part, files in read_data("published.toml").items()}
#: What the original gave for some frames; the last folder of an address is part of the file's name.
ORIGINAL_VECTORS = _FILES.pop("original")
PUBLISHED = tuple(chain.from_iterable(_FILES.values()))
RECIPES = tuple(
    Recipe(f"virnucpro-{file.window_length}", file.window_length, _FILES["protein"][0], _FILES["nucleotide"], file)
    for file in _FILES["classifier"]
)


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a released model.

    Raises:
        UsageError: there is no released model of that name.
    """
    for recipe in RECIPES:
        if recipe.name == name:
            return recipe
    raise UsageError(f"{name!r} is not a released model; released are {', '.join(recipe.name for recipe in RECIPES)}")


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
