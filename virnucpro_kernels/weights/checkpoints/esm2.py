"""ESM-2 as published: fair-esm's `.pt`, and directories in Hugging Face format (FastESM2 too)."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.models.esm2 import EMBEDDING_SCALE, EPS, Esm2Config
from virnucpro_kernels.models.layers import inverse_frequencies
from virnucpro_kernels.weights.checkpoints.safe_pickle import read_checkpoint
from virnucpro_kernels.weights.checkpoints.source import Source, Tensors, expect, only_tensors, read_hugging_face, size


@dataclass(frozen=True)
class _Layout:
    """Names of the parts of ESM-2 in a checkpoint."""

    prefixes: tuple[str, ...]
    embedding: str
    final_norm: str
    layer: str
    qkv: tuple[str, str, str]
    attention_out: str
    attention_norm: str
    up: str
    down: str
    feed_forward_norm: str
    not_needed: tuple[str, ...]


_FAIR_ESM = _Layout(
    prefixes=("encoder.sentence_encoder.", "encoder."),
    embedding="embed_tokens.weight",
    final_norm="emb_layer_norm_after",
    layer="layers",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    attention_out="self_attn.out_proj",
    attention_norm="self_attn_layer_norm",
    up="fc1",
    down="fc2",
    feed_forward_norm="final_layer_norm",
    not_needed=("lm_head.", "contact_head."),
)
_HUGGING_FACE = _Layout(
    prefixes=("esm.",),
    embedding="embeddings.word_embeddings.weight",
    final_norm="encoder.emb_layer_norm_after",
    layer="encoder.layer",
    qkv=("attention.self.query", "attention.self.key", "attention.self.value"),
    attention_out="attention.output.dense",
    attention_norm="attention.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    feed_forward_norm="LayerNorm",
    # Positions are rotary: the table of learned ones is there but unused.
    not_needed=("lm_head.", "contact_head.", "pooler.", "embeddings.position_"),
)


def read_esm2(path: Path) -> tuple[Esm2Config, Tensors]:
    """Read an ESM-2: fair-esm's `.pt`, or a directory in Hugging Face format.

    Raises:
        UsageError: there is no such file or directory.
        DamagedFileError: the checkpoint is not an ESM-2, is damaged, or unsafe.
    """
    if path.is_dir():
        options, tensors = read_hugging_face(path)
        layout = _HUGGING_FACE
        names = ("num_hidden_layers", "hidden_size", "num_attention_heads")
        expect(path, options, position_embedding_type="rotary", emb_layer_norm_before=False, hidden_act="gelu")
        expect(path, options, layer_norm_eps=EPS, rope_theta=10000.0)
    else:
        checkpoint = read_checkpoint(path, [Namespace])
        options, tensors = _fair_esm_options(path, checkpoint), checkpoint["model"]
        layout = _FAIR_ESM
        names = ("encoder_layers", "encoder_embed_dim", "encoder_attention_heads")
    layers, hidden, heads = (size(path, options, name) for name in names)
    if not isinstance(options.get("token_dropout"), bool):
        raise DamagedFileError(f"{path}: its configuration does not say token_dropout, which decides a scale")
    scale = EMBEDDING_SCALE if options["token_dropout"] else 1.0
    source = Source(path, only_tensors(path, tensors), layout.prefixes)
    return _convert(source, layout, layers, hidden, heads, scale)


def _convert(
    source: Source, layout: _Layout, layers: int, hidden: int, heads: int, scale: float
) -> tuple[Esm2Config, Tensors]:
    embedding = source.take(layout.embedding)
    if embedding.shape[1:] != (hidden,) or hidden % (2 * heads):
        raise DamagedFileError(f"{source.path}: its configuration ({hidden} wide, {heads} heads) is not its weights'")
    converted: Tensors = {"embedding.weight": embedding.float() * scale}
    converted["rope.inverse_frequencies"] = _frequencies(source, hidden // heads)
    carried = torch.zeros(hidden)
    for index in range(layers):
        old, new = f"{layout.layer}.{index}.", f"blocks.{index}."
        for kind in ("weight", "bias"):
            parts = [source.take(f"{old}{name}.{kind}") for name in layout.qkv]
            converted[f"{new}attention.qkv.{kind}"] = torch.cat(parts)
            converted[f"{new}attention_norm.{kind}"] = source.take(f"{old}{layout.attention_norm}.{kind}")
            converted[f"{new}feed_forward_norm.{kind}"] = source.take(f"{old}{layout.feed_forward_norm}.{kind}")
            converted[f"{new}feed_forward.up.{kind}"] = source.take(f"{old}{layout.up}.{kind}")
        converted[f"{new}attention.out.weight"] = source.take(f"{old}{layout.attention_out}.weight")
        converted[f"{new}feed_forward.down.weight"] = source.take(f"{old}{layout.down}.weight")
        converted[f"{new}attention_norm.carried_bias"] = carried
        carried = carried + source.take(f"{old}{layout.attention_out}.bias").float()
        converted[f"{new}feed_forward_norm.carried_bias"] = carried
        carried = carried + source.take(f"{old}{layout.down}.bias").float()
    converted["norm.carried_bias"] = carried
    for kind in ("weight", "bias"):
        converted[f"norm.{kind}"] = source.take(f"{layout.final_norm}.{kind}")
    source.check_rest(layout.not_needed)
    feed_forward = len(converted["blocks.0.feed_forward.up.bias"])
    return Esm2Config(layers, hidden, heads, feed_forward, len(embedding)), converted


def _frequencies(source: Source, head_dim: int) -> torch.Tensor:
    """Rotary frequencies of the checkpoint, rounded where they were saved in fp16: fair-esm uses those too."""
    found = [frequencies.float() for frequencies in source.take_all("inv_freq")]
    if not found:
        return inverse_frequencies(head_dim)
    if any(not torch.equal(found[0], other) for other in found):
        raise DamagedFileError(f"{source.path}: layers with different rotary frequencies, which no ESM-2 has")
    return found[0]


def _fair_esm_options(path: Path, checkpoint: Any) -> dict[str, Any]:
    """Options of a fair-esm checkpoint: under `cfg`, itself divided or not, or under `args`."""
    if not isinstance(checkpoint, dict) or "model" not in checkpoint:
        raise DamagedFileError(f"{path}: not a fair-esm checkpoint (no `model` in it)")
    options = checkpoint.get("cfg", checkpoint.get("args"))
    if isinstance(options, dict) and "model" in options:
        options = options["model"]
    if isinstance(options, Namespace):
        options = vars(options)
    if not isinstance(options, dict):
        raise DamagedFileError(f"{path}: not a fair-esm checkpoint (no `cfg` in it)")
    return options
