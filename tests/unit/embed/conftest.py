"""Fixtures of the tests of embedding."""

import pytest

from tests.helpers import tiny
from virnucpro_kernels.models.tokenizers import DnaTokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> DnaTokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tiny.write_tokenizer(path)
    return DnaTokenizer(path)
