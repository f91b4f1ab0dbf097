"""Our packed DNABERT-S against a plain implementation of its published definition, and what of a checkpoint is read."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.helpers.blocks import dnabert_blocks
from tests.helpers.published_files import dnabert_state, write_dnabert
from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.models.dnabert_s import DnabertConfig, DnabertS, alibi_slopes
from virnucpro_kernels.ops.packing import PackedBatch, TokenArray, pack
from virnucpro_kernels.weights.checkpoints.dnabert import read_dnabert

SIZES = DnabertConfig(layers=4, hidden=768, heads=12, feed_forward=3072, vocabulary=200)
SMALL = DnabertConfig(layers=3, hidden=96, heads=12, feed_forward=80, vocabulary=50)
TWELVE_SLOPES = [2.0**-n for n in (1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5)]


def plain_dnabert(state: dict[str, torch.Tensor], config: DnabertConfig, tokens: torch.Tensor) -> torch.Tensor:
    """One sequence, dense attention, the published tensors as they are: last hidden state (length, hidden)."""

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = (x - mean).square().mean(-1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + 1e-12) * state[f"{name}.weight"] + state[f"{name}.bias"]

    position = torch.arange(len(tokens))
    distance = (position[:, None] - position[None, :]).abs()
    bias = -torch.tensor(TWELVE_SLOPES)[:, None, None] * distance
    width = config.hidden // config.heads
    x = state["embeddings.word_embeddings.weight"][tokens] + state["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    for index in range(config.layers):
        layer = f"encoder.layer.{index}"
        query, key, value = linear(x, f"{layer}.attention.self.Wqkv").view(-1, 3, config.heads, width).unbind(1)
        scores = torch.einsum("ihd,jhd->hij", query, key) / math.sqrt(width) + bias
        attended = torch.einsum("hij,jhd->ihd", scores.softmax(-1), value).flatten(1)
        x = norm(linear(attended, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm")
        gate, content = linear(x, f"{layer}.mlp.gated_layers").split(config.feed_forward, dim=-1)
        gated = 0.5 * gate * (1 + torch.erf(gate / math.sqrt(2))) * content
        x = norm(linear(gated, f"{layer}.mlp.wo") + x, f"{layer}.mlp.layernorm")
    return x


def load(directory: Path) -> DnabertS:
    config, tensors = read_dnabert(directory)
    model = DnabertS(config).eval()
    model.load_state_dict(tensors)
    return model


def random_tokens(lengths: tuple[int, ...], vocabulary: int) -> tuple[TokenArray, PackedBatch]:
    rng = np.random.default_rng(8)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = TokenArray(rng.integers(0, vocabulary, offsets[-1]).astype(np.uint16), offsets)
    return tokens, pack(tokens, slice(0, len(lengths)))


def worst(ours: torch.Tensor, reference: torch.Tensor) -> float:
    return float((ours - reference).abs().max() / reference.square().mean().sqrt())


@pytest.mark.parametrize(
    ("config", "lengths"),
    [
        pytest.param(SIZES, (2, 3, 64, 111, 17), id="true-width"),
        pytest.param(SMALL, (2, 900, 63, 64, 65, 2100, 3, 3), id="long"),
    ],
)
def test_same_numbers_as_the_published_definition(
    tmp_path: Path, config: DnabertConfig, lengths: tuple[int, ...]
) -> None:
    model = load(write_dnabert(tmp_path / "dnabert", config))
    state = dnabert_state(config)
    tokens, batch = random_tokens(lengths, config.vocabulary)
    states, embeddings = model(batch), model.embed(batch)
    for index, (start, stop) in enumerate(zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)):
        expected = plain_dnabert(state, config, torch.from_numpy(tokens.tokens[start:stop].astype(np.int64)))
        assert worst(states[start:stop], expected) <= 1e-5
        assert worst(embeddings[index], expected.mean(0)) <= 1e-5


def test_slopes_for_a_number_of_heads_that_is_no_power_of_two() -> None:
    assert alibi_slopes(12).tolist() == pytest.approx(TWELVE_SLOPES)
    assert alibi_slopes(8).tolist() == pytest.approx(TWELVE_SLOPES[:8])
    assert alibi_slopes(2).tolist() == pytest.approx([2.0**-4, 2.0**-8])


def test_casting_the_model_does_not_round_slopes(tmp_path: Path) -> None:
    model = load(write_dnabert(tmp_path / "dnabert", SMALL)).half()
    assert model.embedding.weight.dtype == torch.float16
    assert dnabert_blocks(model)[0].attention.slopes.tolist() == pytest.approx(TWELVE_SLOPES, rel=1e-7)


@pytest.mark.parametrize(("dtype", "cosine"), [(torch.float16, 0.99999), (torch.bfloat16, 0.999)])
def test_sixteen_bit_stays_near_fp32(tmp_path: Path, dtype: torch.dtype, cosine: float) -> None:
    model = load(write_dnabert(tmp_path / "dnabert", SMALL))
    _, batch = random_tokens((2, 30, 64, 110), SMALL.vocabulary)
    exact = model.embed(batch)
    assert float(torch.cosine_similarity(exact, model.to(dtype).embed(batch)).min()) > cosine


def test_dnabert_2_has_the_same_tensors_under_longer_names(tmp_path: Path) -> None:
    config, tensors = read_dnabert(write_dnabert(tmp_path / "s", SMALL))
    directory = write_dnabert(tmp_path / "2", SMALL, prefix="bert.")
    state = torch.load(directory / "pytorch_model.bin", weights_only=True)
    head = {"cls.predictions.decoder.weight": torch.zeros(2), "cls.predictions.transform.LayerNorm.bias": torch.ones(2)}
    torch.save(state | head, directory / "pytorch_model.bin")
    longer_config, longer = read_dnabert(directory)
    assert longer_config == config == SMALL
    assert longer.keys() == tensors.keys()
    assert all(torch.equal(longer[name], tensors[name]) for name in tensors)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    directory = write_dnabert(tmp_path / "dnabert", SMALL)
    options = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(options | {"hidden_act": "relu"}))
    with pytest.raises(DamagedFileError, match="hidden_act is 'relu'"):
        read_dnabert(directory)
    (directory / "config.json").write_text(json.dumps(options | {"num_hidden_layers": 2}))
    with pytest.raises(DamagedFileError, match=r"unexpected tensor encoder\.layer\.2"):
        read_dnabert(directory)
    (directory / "config.json").write_text("{")
    with pytest.raises(DamagedFileError, match=r"config\.json"):
        read_dnabert(directory)
    (directory / "config.json").unlink()
    with pytest.raises(UsageError, match=r"there is no file .*config\.json"):
        read_dnabert(directory)
