"""ESM-2 as published: fair-esm's `.pt`, and directories in Hugging Face format (FastESM2 too)."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.models.esm2 import EMBEDDING_SCALE, EPS, Esm2Config
from virnucpro_kernels.models.layers import inverse_frequencies
from virnucpro_kernels.weights.checkpoints.safe_pickle import read_checkpoint
from virnucpro_kernels.weights.checkpoints.tensors import (
    Checkpoint,
    Tensors,
    expect,
    only_tensors,
    read_hugging_face,
    size,
)

#: Our parts, and their names in checkpoints of fair-esm and of Hugging Face; those below `blocks` are of each layer.
_NAMES = {
    "embedding": ("embed_tokens", "embeddings.word_embeddings"),
    "norm": ("emb_layer_norm_after", "encoder.emb_layer_norm_after"),
    "blocks": ("layers", "encoder.layer"),
    "attention.query": ("self_attn.q_proj", "attention.self.query"),
    "attention.key": ("self_attn.k_proj", "attention.self.key"),
    "attention.value": ("self_attn.v_proj", "attention.self.value"),
    "attention.out": ("self_attn.out_proj", "attention.output.dense"),
    "attention_norm": ("self_attn_layer_norm", "attention.LayerNorm"),
    "feed_forward.up": ("fc1", "intermediate.dense"),
    "feed_forward.down": ("fc2", "output.dense"),
    "feed_forward_norm": ("final_layer_norm", "LayerNorm"),
}
_NOT_NEEDED = ("lm_head.", "contact_head.")


def read_esm2(path: Path) -> tuple[Esm2Config, Tensors]:
    """Read an ESM-2: fair-esm's `.pt`, or a directory in Hugging Face format.

    Raises:
        UsageError: there is no such file or directory.
        DamagedFileError: the checkpoint is not an ESM-2, is damaged, or unsafe.
    """
    if path.is_dir():
        options, tensors = read_hugging_face(path)
        checkpoint = Checkpoint(path, tensors, ("esm.",))
        names = {ours: name for ours, (_, name) in _NAMES.items()}
        # Positions are rotary: the table of learned ones is there but unused.
        not_needed: tuple[str, ...] = (*_NOT_NEEDED, "pooler.", "embeddings.position_")
        sizes = ("num_hidden_layers", "hidden_size", "num_attention_heads")
        expect(path, options, position_embedding_type="rotary", emb_layer_norm_before=False, hidden_act="gelu")
        expect(path, options, layer_norm_eps=EPS, rope_theta=10000.0)
    else:
        content = read_checkpoint(path, [Namespace])
        options = _fair_esm_options(path, content)
        checkpoint = Checkpoint(path, only_tensors(path, content["model"]), ("encoder.sentence_encoder.", "encoder."))
        names = {ours: name for ours, (name, _) in _NAMES.items()}
        not_needed = _NOT_NEEDED
        sizes = ("encoder_layers", "encoder_embed_dim", "encoder_attention_heads")
    layers, hidden, heads = (size(path, options, name) for name in sizes)
    if not isinstance(options.get("token_dropout"), bool):
        raise DamagedFileError(f"{path}: its configuration does not say token_dropout, which decides a scale")
    scale = EMBEDDING_SCALE if options["token_dropout"] else 1.0
    converted = _convert(checkpoint, names, layers, hidden, heads, scale)
    checkpoint.check_rest(not_needed)
    feed_forward = len(converted["blocks.0.feed_forward.up.bias"])
    return Esm2Config(layers, hidden, heads, feed_forward, len(converted["embedding.weight"])), converted


def _convert(
    checkpoint: Checkpoint, names: dict[str, str], layers: int, hidden: int, heads: int, scale: float
) -> Tensors:
    embedding = checkpoint.take(f"{names['embedding']}.weight")
    if embedding.shape[1:] != (hidden,) or hidden % (2 * heads):
        raise DamagedFileError(
            f"{checkpoint.path}: its configuration ({hidden} wide, {heads} heads) does not belong to its weights"
        )
    converted: Tensors = {"embedding.weight": embedding.float() * scale}
    converted["rope.inverse_frequencies"] = _frequencies(checkpoint, hidden // heads)
    carried = torch.zeros(hidden)
    for index in range(layers):
        old, new = f"{names['blocks']}.{index}.", f"blocks.{index}."
        for kind in ("weight", "bias"):
            parts = [checkpoint.take(f"{old}{names[f'attention.{part}']}.{kind}") for part in ("query", "key", "value")]
            converted[f"{new}attention.qkv.{kind}"] = torch.cat(parts)
            for part in ("attention_norm", "feed_forward_norm", "feed_forward.up"):
                converted[f"{new}{part}.{kind}"] = checkpoint.take(f"{old}{names[part]}.{kind}")
        # Each LayerNorm carries the biases of all projections before it.
        for norm, projection in (("attention_norm", "attention.out"), ("feed_forward_norm", "feed_forward.down")):
            converted[f"{new}{norm}.carried_bias"] = carried
            converted[f"{new}{projection}.weight"] = checkpoint.take(f"{old}{names[projection]}.weight")
            carried = carried + checkpoint.take(f"{old}{names[projection]}.bias").float()
    converted["norm.carried_bias"] = carried
    for kind in ("weight", "bias"):
        converted[f"norm.{kind}"] = checkpoint.take(f"{names['norm']}.{kind}")
    return converted


def _frequencies(checkpoint: Checkpoint, head_dim: int) -> torch.Tensor:
    """Rotary frequencies of the checkpoint, rounded where they were saved in fp16: fair-esm uses those too."""
    found = [frequencies.float() for frequencies in checkpoint.take_all("inv_freq")]
    if not found:
        return inverse_frequencies(head_dim)
    if any(not torch.equal(found[0], other) for other in found):
        raise DamagedFileError(f"{checkpoint.path} has layers with different rotary frequencies, which no ESM-2 has")
    return found[0]


def _fair_esm_options(path: Path, content: Any) -> dict[str, Any]:
    """Options of a fair-esm checkpoint: under `cfg`, itself divided or not, or under `args`."""
    if not isinstance(content, dict) or "model" not in content:
        raise DamagedFileError(f"{path} is not a fair-esm checkpoint: there is no `model` in it")
    options = content.get("cfg", content.get("args"))
    if isinstance(options, dict) and "model" in options:
        options = options["model"]
    if isinstance(options, Namespace):
        options = vars(options)
    if not isinstance(options, dict):
        raise DamagedFileError(f"{path} is not a fair-esm checkpoint: there is no `cfg` in it")
    return options
