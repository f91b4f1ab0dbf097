"""Checkpoints in the layouts of their publishers, made here with random weights at sizes that a test can afford."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import tokenizers
import torch
from esm.model.esm2 import ESM2
from tokenizers import models, pre_tokenizers, processors, trainers
from torch import nn

from virnucpro_kernels.models.classifier import ClassifierConfig
from virnucpro_kernels.models.dnabert_s import DnabertConfig


def fair_esm(layers: int, hidden: int, heads: int, *, outliers: bool = False) -> ESM2:
    """fair-esm's ESM-2 as it initialises itself with seed 0; with `outliers`, a few channels are thirty times larger.

    Trained transformers have such channels, and they are what makes rounding visible.
    """
    torch.manual_seed(0)
    model = ESM2(layers, hidden, heads, "ESM-1b").eval()
    if outliers:
        with torch.no_grad():
            for channel in (3, hidden // 2, hidden - 7):
                model.embed_tokens.weight[:, channel] *= 30
                for layer in model.layers:
                    layer.self_attn_layer_norm.weight[channel] *= 5
                    layer.fc2.weight[channel] *= 30
                    layer.self_attn.out_proj.bias[channel] += 3
                    layer.fc2.bias[channel] -= 5
    return model


def write_fair_esm(path: Path, model: ESM2, prefix: str = "encoder.sentence_encoder.") -> Path:
    """Save as fair-esm publishes it: `cfg` with an argparse.Namespace, and `model` with prefixed names."""
    options = Namespace(
        encoder_layers=model.num_layers,
        encoder_embed_dim=model.embed_dim,
        encoder_attention_heads=model.attention_heads,
        token_dropout=True,
    )
    state = {
        ("encoder." if name.startswith("lm_head") and prefix else prefix) + name: tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith("contact_head")
    }
    torch.save({"cfg": {"model": options}, "model": state}, path)
    return path


def dnabert_state(config: DnabertConfig, prefix: str = "") -> dict[str, torch.Tensor]:
    """Random tensors under the names of MosaicBERT, with everything that a checkpoint has besides the encoder.

    They are as large as in the published initialisation (0.02 at 768 channels); with larger ones attention is so sharp
    that rounding alone grows from layer to layer.
    """
    generator = torch.Generator().manual_seed(1)
    scale = 0.02 * (768 / config.hidden) ** 0.5

    def normal(*shape: int, mean: float = 0.0) -> torch.Tensor:
        return mean + scale * torch.randn(*shape, generator=generator)

    hidden = config.hidden
    state = {
        "embeddings.word_embeddings.weight": normal(config.vocabulary, hidden),
        "embeddings.token_type_embeddings.weight": normal(2, hidden),
        "embeddings.LayerNorm.weight": normal(hidden, mean=1),
        "embeddings.LayerNorm.bias": normal(hidden),
        "pooler.dense.weight": normal(hidden, hidden),
        "pooler.dense.bias": normal(hidden),
    }
    for index in range(config.layers):
        layer = f"encoder.layer.{index}"
        state |= {
            f"{layer}.attention.self.Wqkv.weight": normal(3 * hidden, hidden),
            f"{layer}.attention.self.Wqkv.bias": normal(3 * hidden),
            f"{layer}.attention.output.dense.weight": normal(hidden, hidden),
            f"{layer}.attention.output.dense.bias": normal(hidden),
            f"{layer}.attention.output.LayerNorm.weight": normal(hidden, mean=1),
            f"{layer}.attention.output.LayerNorm.bias": normal(hidden),
            f"{layer}.mlp.gated_layers.weight": normal(2 * config.feed_forward, hidden),
            f"{layer}.mlp.wo.weight": normal(hidden, config.feed_forward),
            f"{layer}.mlp.wo.bias": normal(hidden),
            f"{layer}.mlp.layernorm.weight": normal(hidden, mean=1),
            f"{layer}.mlp.layernorm.bias": normal(hidden),
        }
    return {prefix + name: tensor for name, tensor in state.items()}


def write_dnabert(directory: Path, config: DnabertConfig, prefix: str = "") -> Path:
    """A directory as DNABERT-S is downloaded: `pytorch_model.bin`, `config.json`, `tokenizer.json`."""
    directory.mkdir(parents=True)
    torch.save(dnabert_state(config, prefix), directory / "pytorch_model.bin")
    options = {
        "hidden_act": "gelu",
        "hidden_size": config.hidden,
        "intermediate_size": config.feed_forward,
        "layer_norm_eps": 1e-12,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "vocab_size": config.vocabulary,
    }
    (directory / "config.json").write_text(json.dumps(options))
    write_tokenizer(directory / "tokenizer.json", config.vocabulary)
    return directory


def write_tokenizer(path: Path, vocabulary: int) -> Path:
    """A byte-pair tokenizer that pads and truncates, as the published one does."""
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    generator = torch.Generator().manual_seed(2)
    texts = ["".join("ACGT"[i] for i in torch.randint(4, (300,), generator=generator)) for _ in range(40)]
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_truncation(2000)
    tokenizer.enable_padding(length=2000, pad_id=3, pad_token="[PAD]")
    tokenizer.save(str(path))
    return path


class MLPClassifier(nn.Module):
    """The structure of the released classifiers. Its pickle names it `__main__.MLPClassifier`, as theirs do."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.hidden_layer = nn.Linear(config.dimension, config.hidden)
        self.bn1 = nn.BatchNorm1d(config.hidden)
        self.output_layer = nn.Linear(config.hidden, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.output_layer(self.dropout(torch.relu(self.bn1(self.hidden_layer(features)))))


def classifier(config: ClassifierConfig) -> MLPClassifier:
    """A classifier with statistics as after training."""
    torch.manual_seed(3)
    model = MLPClassifier(config).eval()
    mean, variance = model.bn1.running_mean, model.bn1.running_var
    assert mean is not None
    assert variance is not None
    mean.normal_()
    variance.uniform_(0.5, 2)
    model.bn1.weight.data.uniform_(0.5, 2)
    model.bn1.bias.data.normal_()
    return model


def write_pickled_classifier(path: Path, model: MLPClassifier) -> Path:
    """Save the whole module, as a script that defines the class itself does."""
    main = sys.modules["__main__"]
    MLPClassifier.__module__ = "__main__"
    vars(main)["MLPClassifier"] = MLPClassifier
    try:
        torch.save(model, path)
    finally:
        del vars(main)["MLPClassifier"]
    return path
