"""Fetching a released model: its published files downloaded, each checked against its known checksum, then imported."""

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from virnucpro_kernels.errors import UsageError, VirnucproError
from virnucpro_kernels.files import take_lock
from virnucpro_kernels.weights.directory import unwritable
from virnucpro_kernels.weights.download import download
from virnucpro_kernels.weights.import_model import find_encoder, import_model
from virnucpro_kernels.weights.published import PublishedFile, Recipe, digests
from virnucpro_kernels.weights.registry import Model

_log = logging.getLogger(__name__)


def fetch_model(recipe: Recipe, models_dir: Path, *, mirror: str | None = None, keep_downloads: bool = False) -> Model:
    """Download the files that `recipe` names and import the model from them.

    An encoder that another model in `models_dir` has is not downloaded again. Downloads stay in `models_dir`/.downloads
    until the model is complete; after an interruption, the next call goes on with what is there, whole files or parts.

    Args:
        recipe: Model and its published files.
        models_dir: Folder of the models.
        mirror: Address below which the files lie, all by their own names; None for those of their publishers.
        keep_downloads: Whether to keep the original files.

    Raises:
        UsageError: the model exists already, or `mirror` is no address.
        DamagedFileError: a download is not the published file.
        VirnucproError: a file cannot be downloaded, or the disk is too small or cannot be written.
    """
    if mirror is not None and (urlsplit(mirror).scheme not in {"http", "https"} or not urlsplit(mirror).netloc):
        raise UsageError(f"--source {mirror} is not an address; give one that begins with https:// or http://")
    downloads = models_dir / ".downloads"
    with _working_alone(downloads):
        if (models_dir / recipe.name).exists():
            raise UsageError(f"model {recipe.name} is in {models_dir} already; another --models-dir takes another copy")
        protein = find_encoder(recipe.protein_sha256, "esm2", models_dir)
        nucleotide = find_encoder(recipe.nucleotide_sha256, "dnabert", models_dir)
        wanted = [recipe.classifier]
        wanted += [] if nucleotide else recipe.nucleotide
        wanted += [] if protein else [recipe.protein]
        missing = [file for file in wanted if not _is_there(file, downloads / file.name)]
        _check_space(downloads, wanted, missing)
        for file in missing:
            try:
                download(file, file.address(mirror), downloads / file.name)
            except OSError as error:
                raise unwritable(downloads / file.name, error) from error
        model = import_model(
            recipe.name,
            recipe.window_length,
            protein=protein.path if protein else downloads / recipe.protein.name,
            nucleotide=nucleotide.path if nucleotide else downloads,
            classifier=downloads / recipe.classifier.name,
            models_dir=models_dir,
        )
        if not keep_downloads:
            shutil.rmtree(downloads)
        return model


@contextmanager
def _working_alone(downloads: Path) -> Iterator[None]:
    """Keep other fetches away from the downloads for the time of the block: two would append to the same files."""

    def told() -> None:
        _log.info("waiting until another fetch into %s has ended", downloads.parent)

    try:
        lock = take_lock(downloads / ".lock", if_taken=told)
    except OSError as error:
        raise unwritable(downloads, error) from error
    try:
        yield
    finally:
        os.close(lock)


def _is_there(file: PublishedFile, path: Path) -> bool:
    if not path.is_file():
        return False
    sha256, git = digests(path)
    return file.digest in {f"sha256:{sha256}", f"git:{git}"}


def _check_space(downloads: Path, wanted: Sequence[PublishedFile], missing: Sequence[PublishedFile]) -> None:
    """Tell what will be downloaded and how much of the disk it takes; refuse a disk that is too small."""
    parts = [downloads / f"{file.name}.part" for file in missing]
    have = sum(part.stat().st_size for part in parts if part.exists()) / 1e6
    to_download = max(sum(file.megabytes for file in missing) - have, 0)
    needed = to_download + sum(file.megabytes for file in wanted)  # the model takes as much as the files it is made of
    free = shutil.disk_usage(downloads).free / 1e6
    _log.info(
        "%d files, %.0f MB, are to be downloaded; with the model, %s needs %.0f MB of disk, and %.0f MB are free",
        *(len(missing), to_download, downloads.parent, needed, free),
    )
    if free < needed:
        raise VirnucproError(
            f"{downloads.parent} needs {needed:,.0f} MB of disk, but {free:,.0f} MB are free; make room there, or"
            " choose another folder with --models-dir"
        )
