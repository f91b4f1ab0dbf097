"""Our packed ESM-2 against fair-esm's own, on the same weights, in fp32."""

import json
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from esm.model.esm2 import ESM2
from transformers import EsmConfig, EsmForMaskedLM

from tests.helpers.published_files import fair_esm, write_fair_esm
from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.models.esm2 import Esm2, Esm2Config
from virnucpro_kernels.models.tokenizers import ESM2_VOCABULARY, tokenize_proteins
from virnucpro_kernels.ops.packing import PackedBatch, TokenArray, pack
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.weights.checkpoints.esm2 import read_esm2

RESIDUES = [token for token in ESM2_VOCABULARY if len(token) == 1]  # the twenty, and X B U Z O . -
SHORT = (1, 2, 17, 50, 64, 166)
LONG = (1, 2, 3, 15, 16, 17, 63, 64, 65, 166, 333, 1023, 1024, 1025, 1400)
TOLERANCE = {False: 1e-5, True: 3e-5}  # of the reference's root mean square; with planted outlier channels


def random_proteins(lengths: tuple[int, ...]) -> list[str]:
    rng = np.random.default_rng(5)
    return ["".join(rng.choice(RESIDUES, length)) for length in rng.permutation(lengths)]


def read_back(path: Path) -> dict[str, Any]:
    with torch.serialization.safe_globals([Namespace]):
        return torch.load(path, weights_only=True)


def load(path: Path) -> Esm2:
    config, tensors = read_esm2(path)
    model = Esm2(config).eval()
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return model


def batch_of(proteins: list[str]) -> tuple[TokenArray, PackedBatch]:
    tokens = tokenize_proteins(SequenceArray.from_list([protein.encode() for protein in proteins]))
    return tokens, pack(tokens, slice(0, len(proteins)))


def reference_tokens(model: ESM2, proteins: list[str]) -> list[torch.Tensor]:
    """What fair-esm gives for each protein by itself: (length + 2, hidden), special tokens included."""
    convert = model.alphabet.get_batch_converter()
    with torch.inference_mode():
        return [
            model(convert([("", protein)])[2], [model.num_layers])["representations"][model.num_layers][0]
            for protein in proteins
        ]


def worst(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """Largest difference, in units of the reference's root mean square."""
    return float((ours - reference).abs().max() / reference.square().mean().sqrt())


def check_parity(path: Path, reference: ESM2, proteins: list[str], tolerance: float) -> None:
    model = load(path)
    tokens, batch = batch_of(proteins)
    states, embeddings = model(batch), model.embed(batch)
    assert embeddings.dtype == torch.float32
    for index, expected in enumerate(reference_tokens(reference, proteins)):
        ours = states[tokens.offsets[index] : tokens.offsets[index + 1]]
        assert worst(ours, expected) <= tolerance, f"tokens of {len(proteins[index])} residues"
        mean = expected[1 : 1 + min(len(proteins[index]), 1024)].mean(0)
        assert worst(embeddings[index], mean) <= tolerance, f"mean of {len(proteins[index])} residues"


@pytest.mark.parametrize("outliers", [False, True], ids=["initial", "outliers"])
@pytest.mark.parametrize(
    ("layers", "hidden", "heads", "lengths"),
    [
        pytest.param(6, 320, 20, SHORT, id="8M"),
        pytest.param(2, 480, 20, SHORT, id="35M"),
        pytest.param(2, 640, 20, SHORT, id="150M"),
        pytest.param(1, 1280, 20, SHORT, id="650M"),
        pytest.param(4, 64, 4, LONG, id="head16"),
        pytest.param(2, 48, 2, LONG, id="head24"),
        pytest.param(2, 64, 2, LONG, id="head32"),
        pytest.param(2, 128, 2, LONG, id="head64"),
        pytest.param(2, 256, 2, LONG, id="head128"),
    ],
)
def test_same_numbers_as_fair_esm(
    tmp_path: Path, layers: int, hidden: int, heads: int, lengths: tuple[int, ...], outliers: bool
) -> None:
    reference = fair_esm(layers, hidden, heads, outliers=outliers)
    path = write_fair_esm(tmp_path / "esm2.pt", reference)
    check_parity(path, reference, random_proteins(lengths), TOLERANCE[outliers])


def test_same_numbers_as_fair_esm_at_the_width_of_3b(tmp_path: Path) -> None:
    reference = fair_esm(1, 2560, 40)
    path = write_fair_esm(tmp_path / "esm2.pt", reference)
    check_parity(path, reference, random_proteins((1, 64, 100)), TOLERANCE[False])


def test_same_numbers_as_fair_esm_in_a_padded_batch(tmp_path: Path) -> None:
    reference = fair_esm(2, 320, 20)
    model = load(write_fair_esm(tmp_path / "esm2.pt", reference))
    proteins = random_proteins((1, 7, 40, 64, 100))
    _, _, padded = reference.alphabet.get_batch_converter()([("", protein) for protein in proteins])
    with torch.inference_mode():
        expected = reference(padded, [2])["representations"][2]
    embeddings = model.embed(batch_of(proteins)[1])
    for index, protein in enumerate(proteins):
        assert worst(embeddings[index], expected[index, 1 : len(protein) + 1].mean(0)) <= TOLERANCE[False]


@pytest.mark.parametrize("prefix", ["encoder.sentence_encoder.", "encoder.", ""])
def test_every_style_of_names_is_read(tmp_path: Path, prefix: str) -> None:
    reference = fair_esm(1, 64, 4)
    config, tensors = read_esm2(write_fair_esm(tmp_path / "a.pt", reference, prefix))
    assert config == Esm2Config(layers=1, hidden=64, heads=4, feed_forward=256, vocabulary=33)
    assert torch.equal(tensors["blocks.0.feed_forward.up.weight"], reference.layers[0].fc1.weight)


def test_every_place_of_the_options_is_read(tmp_path: Path) -> None:
    path = write_fair_esm(tmp_path / "a.pt", fair_esm(1, 64, 4))
    whole = read_back(path)
    expected, options = read_esm2(path)[0], whole["cfg"]["model"]
    for place in ({"cfg": options}, {"args": options}, {"cfg": vars(options)}):
        torch.save({"model": whole["model"], **place}, path)
        assert read_esm2(path)[0] == expected
    torch.save({"model": whole["model"]}, path)
    with pytest.raises(DamagedFileError, match="no `cfg` in it"):
        read_esm2(path)


def test_the_embedding_scale_follows_token_dropout(tmp_path: Path) -> None:
    reference = fair_esm(1, 64, 4)
    path = write_fair_esm(tmp_path / "a.pt", reference)
    whole = read_back(path)
    whole["cfg"]["model"].token_dropout = False
    torch.save(whole, path)
    assert torch.equal(read_esm2(path)[1]["embedding.weight"], reference.embed_tokens.weight)
    del whole["cfg"]["model"].token_dropout
    torch.save(whole, path)
    with pytest.raises(DamagedFileError, match="token_dropout"):
        read_esm2(path)


def test_a_checkpoint_in_fp16_gives_what_fair_esm_makes_of_it(tmp_path: Path) -> None:
    """The published 3B is fp16, its rotary frequencies too; fair-esm upcasts the rounded ones."""
    path = write_fair_esm(tmp_path / "esm2.pt", fair_esm(2, 128, 2).half())
    reference = ESM2(2, 128, 2, "ESM-1b").eval()
    state = read_back(path)["model"]
    state = {name.removeprefix("encoder.").removeprefix("sentence_encoder."): x for name, x in state.items()}
    reference.load_state_dict(state, strict=False)
    _, tensors = read_esm2(path)
    assert tensors["blocks.0.attention.qkv.weight"].dtype == torch.float16
    check_parity(path, reference, random_proteins((1, 166, 600)), TOLERANCE[False])


def test_casting_the_model_rounds_neither_rotary_tables_nor_summed_biases(tmp_path: Path) -> None:
    model = load(write_fair_esm(tmp_path / "esm2.pt", fair_esm(1, 64, 4, outliers=True)))
    tables, carried = model.rope.tables(1200), model.norm.carried_bias.clone()
    model.half()
    assert model.embedding.weight.dtype == torch.float16
    for before, after in zip(tables, model.rope.tables(1200), strict=True):
        assert torch.equal(before, after)
    assert torch.equal(carried, model.norm.carried_bias)


@pytest.mark.parametrize(("dtype", "cosine"), [(torch.float16, 0.99999), (torch.bfloat16, 0.9995)])
def test_sixteen_bit_stays_near_fp32(tmp_path: Path, dtype: torch.dtype, cosine: float) -> None:
    model = load(write_fair_esm(tmp_path / "esm2.pt", fair_esm(2, 320, 20)))
    _, batch = batch_of(random_proteins(SHORT))
    exact = model.embed(batch)
    rounded = model.to(dtype).embed(batch)
    assert rounded.dtype == torch.float32
    assert float(torch.cosine_similarity(exact, rounded).min()) > cosine


def test_padding_changes_nothing(tmp_path: Path) -> None:
    model = load(write_fair_esm(tmp_path / "esm2.pt", fair_esm(2, 128, 8)))
    tokens, batch = batch_of(random_proteins((5, 40, 64)))
    padded = pack(tokens, slice(0, 3), total_tokens=batch.tokens.numel() + 50)
    assert worst(model.embed(padded), model.embed(batch)) <= 1e-6


def hugging_face(layers: int = 2, hidden: int = 128, heads: int = 4) -> EsmForMaskedLM:
    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=33,
        mask_token_id=32,
        pad_token_id=1,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        layer_norm_eps=1e-5,
        position_embedding_type="rotary",
        emb_layer_norm_before=False,
        token_dropout=True,
    )
    model = EsmForMaskedLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
    return model


def write_hugging_face(directory: Path, model: EsmForMaskedLM, layout: str) -> Path:
    """A directory as downloaded: `safetensors`, `bin`, `shards`, or `fastesm` (rotary frequencies in every layer)."""
    shard = "60KB" if layout == "shards" else "5GB"
    model.save_pretrained(directory, max_shard_size=shard)
    if layout in {"bin", "fastesm"}:
        state = model.state_dict()
        if layout == "fastesm":
            frequencies = state.pop("esm.rotary_embeddings.inv_freq")
            for index in range(model.config.num_hidden_layers):
                state[f"esm.encoder.layer.{index}.attention.self.rotary_embeddings.inv_freq"] = frequencies
            options = json.loads((directory / "config.json").read_text())
            (directory / "config.json").write_text(json.dumps(options | {"model_type": "fast_esm"}))
        torch.save(state, directory / "pytorch_model.bin")
        (directory / "model.safetensors").unlink()
    return directory


@pytest.mark.parametrize("layout", ["safetensors", "bin", "shards", "fastesm"])
def test_hugging_face_format_is_read(tmp_path: Path, layout: str) -> None:
    theirs = hugging_face()
    directory = write_hugging_face(tmp_path / "esm2", theirs, layout)
    assert (layout == "shards") == (directory / "model.safetensors.index.json").exists()
    model = load(directory)
    proteins = random_proteins((1, 20, 64))
    tokens, batch = batch_of(proteins)
    states = model(batch)
    for start, stop in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True):
        with torch.inference_mode():
            expected = theirs.esm(torch.from_numpy(tokens.tokens[start:stop].astype(np.int64))[None])
        assert worst(states[start:stop], expected.last_hidden_state[0]) <= 1e-5


@pytest.mark.parametrize(
    "change", [{"position_embedding_type": "absolute"}, {"emb_layer_norm_before": True}, {"layer_norm_eps": 1e-12}]
)
def test_a_model_of_another_kind_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    directory = write_hugging_face(tmp_path / "esm", hugging_face(1, 64, 4), "safetensors")
    options = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(options | change))
    with pytest.raises(DamagedFileError, match=next(iter(change))):
        read_esm2(directory)


def test_missing_and_surplus_tensors_are_refused(tmp_path: Path) -> None:
    path = write_fair_esm(tmp_path / "esm2.pt", fair_esm(2, 64, 4))
    whole = read_back(path)
    name = "encoder.sentence_encoder.layers.1.fc1.bias"
    torch.save(whole | {"model": {key: x for key, x in whole["model"].items() if key != name}}, path)
    with pytest.raises(DamagedFileError, match=r"layers\.1\.fc1\.bias"):
        read_esm2(path)
    surplus = {"encoder.sentence_encoder.emb_layer_norm_before.weight": torch.ones(64)}
    torch.save(whole | {"model": whole["model"] | surplus}, path)
    with pytest.raises(DamagedFileError, match="emb_layer_norm_before"):
        read_esm2(path)


def test_missing_shards_and_files_are_named(tmp_path: Path) -> None:
    directory = write_hugging_face(tmp_path / "esm", hugging_face(), "shards")
    next(directory.glob("*.safetensors")).unlink()
    with pytest.raises(DamagedFileError, match=r"index\.json"):
        read_esm2(directory)
    shutil.rmtree(directory)
    directory.mkdir()
    with pytest.raises(UsageError, match=r"no model\.safetensors"):
        read_esm2(directory)
