"""Fixtures of several files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.helpers.collect_runs import ODD, plain
from tests.helpers.original_models import Originals, write_originals
from tests.helpers.synthetic_pool import Pool, write_pool


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    """Original files of a small model."""
    return write_originals(tmp_path / "originals")


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """A pool of four samples with scores."""
    return write_pool(tmp_path / "pool", {"first": plain(23), "odd": ODD, "empty": [], "last": plain(9)})


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Have torch use one thread, so that products of any batch are added in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
