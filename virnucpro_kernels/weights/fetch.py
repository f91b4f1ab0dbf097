"""Fetching a released model: its published files downloaded, each checked against its known checksum, then imported."""

import logging
import shutil
import sys
from pathlib import Path

import pooch
import requests

from virnucpro_kernels.errors import DamagedFileError, UsageError, VirnucproError
from virnucpro_kernels.weights.import_model import find_encoder, import_model
from virnucpro_kernels.weights.published import PublishedFile, Recipe, digests
from virnucpro_kernels.weights.registry import Model

_log = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 60
pooch.get_logger().setLevel(logging.WARNING)  # this module logs downloads itself


def fetch_model(recipe: Recipe, models_dir: Path, *, keep_downloads: bool = False) -> Model:
    """Download the files that `recipe` names and import the model from them.

    An encoder that another model in `models_dir` has is not downloaded again. Downloads stay in `models_dir`/.downloads
    until the model is complete; after an interruption, a file that is whole is not downloaded again.

    Raises:
        UsageError: the model exists already.
        DamagedFileError: a download is not the published file.
        VirnucproError: a file cannot be downloaded, or the disk is too small.
    """
    if (models_dir / recipe.name).exists():
        raise UsageError(f"model {recipe.name} is in {models_dir} already; another --models-dir takes another copy")
    protein = find_encoder(recipe.protein_sha256, "esm2", models_dir)
    nucleotide = find_encoder(recipe.nucleotide_sha256, "dnabert", models_dir)
    wanted = {
        "protein": () if protein else (recipe.protein,),
        "nucleotide": () if nucleotide else recipe.nucleotide,
        "classifier": (recipe.classifier,),
    }
    downloads = models_dir / ".downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    _check_space(downloads, sum(file.megabytes for files in wanted.values() for file in files))
    paths = {part: [download(file, downloads / part) for file in files] for part, files in wanted.items()}
    model = import_model(
        recipe.name,
        recipe.window_length,
        protein=protein.path if protein else paths["protein"][0],
        nucleotide=nucleotide.path if nucleotide else downloads / "nucleotide",
        classifier=paths["classifier"][0],
        models_dir=models_dir,
    )
    if not keep_downloads:
        shutil.rmtree(downloads)
    return model


def download(file: PublishedFile, directory: Path) -> Path:
    """Return `directory`/name of the published file, downloaded unless it is there already.

    Raises:
        DamagedFileError: the downloaded file is not the published one; it is removed.
        VirnucproError: the file cannot be downloaded.
    """
    path = directory / file.name
    if path.is_file() and _is(file, path):
        return path
    path.unlink(missing_ok=True)
    _log.info("downloading %s (%.1f MB)", file.url, file.megabytes)
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=_TIMEOUT_SECONDS)
    try:
        pooch.retrieve(file.url, known_hash=None, fname=file.name, path=directory, downloader=downloader)
    except (requests.RequestException, OSError) as error:
        raise VirnucproError(
            f"cannot download {file.url} ({error}); try again, or get it elsewhere and use `virnucpro weights import`"
        ) from error
    if not _is(file, path):
        path.unlink()
        raise DamagedFileError(
            f"{file.url}: the download is not the published file ({file.digest}); removed. Try again"
        )
    return path


def _is(file: PublishedFile, path: Path) -> bool:
    sha256, git = digests(path)
    return file.digest in {f"sha256:{sha256}", f"git:{git}"}


def _check_space(directory: Path, megabytes: float) -> None:
    free = shutil.disk_usage(directory).free / 1e6
    if free < 2 * megabytes:  # for the downloads and for the model
        raise VirnucproError(f"{directory}: {2 * megabytes:,.0f} MB needed, {free:,.0f} MB free; choose --models-dir")
