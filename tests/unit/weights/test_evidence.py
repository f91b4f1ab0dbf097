"""The vectors of the canaries that are kept with a model: whole, damaged, and of other weights."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import tiny
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.weights.evidence import keep_canaries, kept_canaries
from virnucpro_kernels.weights.load import verify
from virnucpro_kernels.weights.registry import BUNDLED, Model, find_model


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A model with vectors that are kept."""
    model = tiny.write_model(tmp_path / "tiny-500")
    rng = np.random.default_rng(0)
    widths = {"nucleotide": model.nucleotide.dimension, "protein": model.protein.dimension}
    keep_canaries(model, {name: rng.normal(size=(4, width)).astype(np.float32) for name, width in widths.items()})
    return model


def change(model: Model, damage: Callable[[dict[str, Any]], object]) -> None:
    path = model.directory / "canaries.json"
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))


def another_digit(content: dict[str, Any]) -> None:
    content["protein"][2][1] += 0.1


def another_weight(content: dict[str, Any]) -> None:
    content["weights"][0] = "0" * 64


def a_short_row(content: dict[str, Any]) -> None:
    content["protein"][1].pop()


def short_rows(content: dict[str, Any]) -> None:
    for row in content["protein"]:
        row.pop()


def a_row_less(content: dict[str, Any]) -> None:
    content["nucleotide"].pop()


def no_checksum(content: dict[str, Any]) -> None:
    del content["sha256"]


def a_word(content: dict[str, Any]) -> None:
    content["nucleotide"][0][0] = "x"


def a_huge_number(content: dict[str, Any]) -> None:
    content["nucleotide"][0][0] = 10**400


@pytest.mark.parametrize(
    "damage",
    [another_digit, another_weight, a_short_row, short_rows, a_row_less, no_checksum, a_word, a_huge_number],
)
def test_damaged_vectors_are_refused_and_never_compared(
    model: Model, damage: Callable[[dict[str, Any]], object]
) -> None:
    assert verify(model) == []
    change(model, damage)
    for alphabet in ("nucleotide", "protein"):
        with pytest.raises(
            DamagedFileError, match=r"canaries\.json: damaged .*; remove it, or .*--canaries`$"
        ) as caught:
            kept_canaries(model, alphabet)
        assert type(caught.value) is DamagedFileError, "no fault of the device"
    assert [problem.partition(": damaged")[0] for problem in verify(model)] == [str(model.directory / "canaries.json")]


def test_vectors_of_another_width_are_refused_although_their_checksum_is_right(model: Model) -> None:
    keep_canaries(model, {name: np.ones((4, 3), np.float32) for name in ("nucleotide", "protein")})
    with pytest.raises(DamagedFileError, match="nucleotide vectors are not of"):
        kept_canaries(model, "protein")


def test_vectors_of_other_weights_are_left_out_and_the_log_says_so(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = replace(model, classifier=replace(model.classifier, sha256="0" * 64))
    assert kept_canaries(model, "protein") is not None
    assert "canaries.json" not in caplog.text
    assert kept_canaries(other, "protein") is None
    assert "canaries.json is of other weights" in caplog.text


def test_the_command_finds_damaged_vectors_and_makes_them_again(model: Model) -> None:
    verify_model = ["weights", "verify", str(model.directory)]
    change(model, another_digit)
    with pytest.raises(DamagedFileError, match=r"canaries\.json: damaged"):
        app(verify_model, standalone_mode=False)
    app([*verify_model, "--canaries", "--threads", "1"], standalone_mode=False)
    app(verify_model, standalone_mode=False)
    assert kept_canaries(model, "protein") is not None


def test_the_model_of_the_package_has_vectors_of_its_weights() -> None:
    model = find_model(BUNDLED)
    for alphabet, width in (("nucleotide", model.nucleotide.dimension), ("protein", model.protein.dimension)):
        vectors = kept_canaries(model, alphabet)
        assert vectors is not None
        assert vectors.shape == (4, width)
