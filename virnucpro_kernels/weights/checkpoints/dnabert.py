"""DNABERT-2 and DNABERT-S as published: directories in Hugging Face format."""

from pathlib import Path

import torch

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.models.dnabert_s import EPS, DnabertConfig
from virnucpro_kernels.weights.checkpoints.tensors import Checkpoint, Tensors, expect, read_hugging_face, size


def read_dnabert(directory: Path) -> tuple[DnabertConfig, Tensors]:
    """Read a DNABERT-2 or DNABERT-S: a directory in Hugging Face format.

    Raises:
        UsageError: there is no such directory, or a file is missing there.
        DamagedFileError: the directory has another model, or a file that is damaged or unsafe.
    """
    options, tensors = read_hugging_face(directory)
    expect(directory, options, hidden_act="gelu", layer_norm_eps=EPS)
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    layers, hidden, heads, feed_forward = (size(directory, options, name) for name in names)
    checkpoint = Checkpoint(directory, tensors, ("bert.",))
    words = checkpoint.take("embeddings.word_embeddings.weight")
    if words.shape[1:] != (hidden,) or hidden % heads:
        raise DamagedFileError(
            f"{directory}: config.json ({hidden} wide, {heads} heads) does not belong to the weights"
        )
    types = checkpoint.take("embeddings.token_type_embeddings.weight")
    converted: Tensors = {"embedding.weight": words.float() + types[0].float()}
    converted |= _norm(checkpoint, "embeddings.LayerNorm", "embedding_norm", torch.zeros(hidden))
    for index in range(layers):
        old, new = f"encoder.layer.{index}.", f"blocks.{index}."
        for kind in ("weight", "bias"):
            converted[f"{new}attention.qkv.{kind}"] = checkpoint.take(f"{old}attention.self.Wqkv.{kind}")
        converted[f"{new}attention.out.weight"] = checkpoint.take(f"{old}attention.output.dense.weight")
        converted[f"{new}feed_forward.gated.weight"] = checkpoint.take(f"{old}mlp.gated_layers.weight")
        converted[f"{new}feed_forward.down.weight"] = checkpoint.take(f"{old}mlp.wo.weight")
        bias = checkpoint.take(f"{old}attention.output.dense.bias")
        converted |= _norm(checkpoint, f"{old}attention.output.LayerNorm", f"{new}attention_norm", bias)
        bias = checkpoint.take(f"{old}mlp.wo.bias")
        converted |= _norm(checkpoint, f"{old}mlp.layernorm", f"{new}norm", bias)
    checkpoint.check_rest(("pooler.", "cls.", "embeddings.position_"))
    return DnabertConfig(layers, hidden, heads, feed_forward, len(words)), converted


def _norm(checkpoint: Checkpoint, old: str, new: str, projection_bias: torch.Tensor) -> Tensors:
    norm = {f"{new}.{kind}": checkpoint.take(f"{old}.{kind}") for kind in ("weight", "bias")}
    return {**norm, f"{new}.projection_bias": projection_bias.float()}
