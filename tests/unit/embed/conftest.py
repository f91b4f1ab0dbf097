"""Fixtures of the tests of embedding."""

from pathlib import Path

import pytest

from tests.helpers import tiny
from tests.helpers.cache_runs import embed, mixed
from virnucpro_kernels.models.tokenizers import DnaTokenizer
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.weights.registry import Model


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> DnaTokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tiny.write_tokenizer(path)
    return DnaTokenizer(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny.write_model(tmp_path_factory.mktemp("models") / "tiny-500")


@pytest.fixture
def samples(tmp_path: Path, model: Model) -> tuple[Frames, Frames]:
    """Two samples, half of whose distinct sequences they share; `alone` has the files of the second without a cache."""
    shared, one, other = (tiny.frames(90, distinct=60, seed=seed) for seed in (1, 2, 3))
    first, second = mixed(shared, one), mixed(shared, other, seed=1)
    embed(tmp_path / "alone", second, model)
    return first, second
