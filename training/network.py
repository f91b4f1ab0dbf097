"""The compact model while it is trained: ESM-2 and DNABERT-S in plain PyTorch, with gradients, and their heads.

The classes of the package compute on packed batches without gradients. These compute the same from the same weights,
bucket by bucket: a bucket holds segments padded to one length, so that all shapes stay the same from step to step and
`torch.compile` can fuse them. `CompactNetwork.modules_of_the_package` returns those classes with its weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from training.codons import CODON_RESIDUES, MASKED, SPECIAL_TOKENS
from virnucpro_kernels.models.classifier import BATCH_NORM_EPS, Classifier, ClassifierConfig
from virnucpro_kernels.models.dnabert_s import EPS as DNABERT_EPS
from virnucpro_kernels.models.dnabert_s import DnabertConfig, DnabertS, alibi_slopes
from virnucpro_kernels.models.esm2 import EPS as ESM2_EPS
from virnucpro_kernels.models.esm2 import Esm2, Esm2Config
from virnucpro_kernels.models.layers import inverse_frequencies
from virnucpro_kernels.models.tokenizers import CLS, EOS, ESM2_VOCABULARY

HEAD_DIM = 64
_FIRST_CODON = len(SPECIAL_TOKENS)
_FAR = -1e4  # bias of a score that must not count

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Sizes:
    """Sizes of both encoders; the classifier's follow from them."""

    nucleotide: DnabertConfig
    protein: Esm2Config

    @property
    def classifier(self) -> ClassifierConfig:
        """Sizes of the classifier of the joined vectors."""
        return ClassifierConfig(dimension=self.nucleotide.hidden + self.protein.hidden, hidden=512)


_TOKENS = 64 + len(SPECIAL_TOKENS)
#: What learns from the genomes, 2.1 M weights.
TEACHER = Sizes(
    DnabertConfig(layers=4, hidden=192, heads=3, feed_forward=384, vocabulary=_TOKENS),
    Esm2Config(layers=2, hidden=128, heads=2, feed_forward=512),
)
#: What learns from the teacher, and costs a CPU a third of it.
COMPACT = Sizes(
    DnabertConfig(layers=2, hidden=128, heads=2, feed_forward=256, vocabulary=_TOKENS),
    Esm2Config(layers=1, hidden=64, heads=1, feed_forward=256),
)


@dataclass(frozen=True, eq=False)
class Segments:
    """Segments of windows, bucket by bucket.

    Attributes:
        shapes: Number of segments and number of places of each bucket; a segment has one place before it and at least
            one behind it.
        codons: Codon of each place, 0 to 63, int64 (T,); any number where there is none.
        masked: Whether the codon is hidden from both encoders, bool (T,).
        lengths: Number of codons of each segment, int64 (s,).
        window: Window of each segment, int64 (s,); `windows` for a segment that only fills its bucket.
        windows: Number of windows.
        coding: Whether each segment is coding, as coding.py has it, int64 (s,).
    """

    shapes: tuple[tuple[int, int], ...]
    codons: torch.Tensor
    masked: torch.Tensor
    lengths: torch.Tensor
    window: torch.Tensor
    windows: int
    coding: torch.Tensor

    def buckets(self, values: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield each bucket's part of `values` (T, …), as (n, L, …), and the lengths of its segments, (n, 1)."""
        place = segment = 0
        for count, length in self.shapes:
            part = values[place : place + count * length]
            yield part.view(count, length, *values.shape[1:]), self.lengths[segment : segment + count, None]
            place, segment = place + count * length, segment + count


def attention(
    qkv: torch.Tensor, segments: Segments, biases: Sequence[torch.Tensor], rope: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return the attention of each segment over itself, (T, hidden), from queries, keys and values (T, 3, heads, d)."""
    found = []
    for number, (part, _) in enumerate(segments.buckets(qkv)):
        query, key, value = part.permute(2, 0, 3, 1, 4)
        if rope:
            query, key = _rotate(query, rope[number]), _rotate(key, rope[number])
        scores = (query @ key.transpose(-1, -2)).float() * HEAD_DIM**-0.5 + biases[number]
        attended = torch.softmax(scores, dim=-1).to(value.dtype) @ value
        found.append(attended.transpose(1, 2).flatten(2).flatten(0, 1))
    return torch.cat(found)


def _rotate(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return x * angles.cos().to(x.dtype) + turned * angles.sin().to(x.dtype)


class ProteinBlock(nn.Module):
    """A layer of ESM-2: both branches behind a LayerNorm."""

    def __init__(self, config: Esm2Config, dropout: float) -> None:
        super().__init__()
        hidden = config.hidden
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(hidden, ESM2_EPS), nn.LayerNorm(hidden, ESM2_EPS)
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, config.feed_forward), nn.Linear(config.feed_forward, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: torch.Tensor, segments: Segments, biases: Sequence[torch.Tensor], rope: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Take and return activations (T, hidden)."""
        qkv = self.qkv(self.attention_norm(x)).unflatten(1, (3, -1, HEAD_DIM))
        x = x + self.dropout(self.out(attention(qkv, segments, biases, rope)))
        branch: torch.Tensor = self.dropout(self.down(functional.gelu(self.up(self.feed_forward_norm(x)))))
        return x + branch


class NucleotideBlock(nn.Module):
    """A layer of DNABERT-S: a LayerNorm behind both residual sums, and a gated linear unit."""

    def __init__(self, config: DnabertConfig, dropout: float) -> None:
        super().__init__()
        hidden = config.hidden
        self.attention_norm, self.norm = nn.LayerNorm(hidden, DNABERT_EPS), nn.LayerNorm(hidden, DNABERT_EPS)
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.gated = nn.Linear(hidden, 2 * config.feed_forward, bias=False)
        self.down = nn.Linear(config.feed_forward, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, segments: Segments, biases: Sequence[torch.Tensor]) -> torch.Tensor:
        """Take and return activations (T, hidden)."""
        qkv = self.qkv(x).unflatten(1, (3, -1, HEAD_DIM))
        x = self.attention_norm(x + self.dropout(self.out(attention(qkv, segments, biases, ()))))
        gate, value = self.gated(x).chunk(2, dim=-1)
        found: torch.Tensor = self.norm(x + self.dropout(self.down(functional.gelu(gate) * value)))
        return found


class CompactNetwork(nn.Module):
    """Both encoders, the classifier, and the heads that help in training.

    Those tell viruses from hosts by each encoder alone, tell more of a window or a segment, such as the category, and
    name hidden codons and residues.
    """

    slopes: torch.Tensor
    frequencies: torch.Tensor
    residues: torch.Tensor

    def __init__(self, sizes: Sizes, helping: int, *, dropout: float = 0.15, head_dropout: float = 0.5) -> None:
        """Make a network with `helping` logits beside those of viruses and hosts."""
        super().__init__()
        self.sizes, nucleotide, protein = sizes, sizes.nucleotide, sizes.protein
        self.nucleotide_embedding = nn.Embedding(nucleotide.vocabulary, nucleotide.hidden)
        self.nucleotide_norm = nn.LayerNorm(nucleotide.hidden, DNABERT_EPS)
        self.nucleotide = nn.ModuleList(NucleotideBlock(nucleotide, dropout) for _ in range(nucleotide.layers))
        self.protein_embedding = nn.Embedding(protein.vocabulary, protein.hidden)
        nn.init.normal_(self.protein_embedding.weight, std=0.5)
        self.protein = nn.ModuleList(ProteinBlock(protein, dropout) for _ in range(protein.layers))
        self.protein_norm = nn.LayerNorm(protein.hidden, ESM2_EPS)
        self.hidden = nn.Linear(sizes.classifier.dimension, sizes.classifier.hidden)
        self.output = nn.Linear(sizes.classifier.hidden, 2 + helping)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.alone = nn.ModuleList(nn.Linear(config.hidden, 1) for config in (nucleotide, protein))
        self.recover = nn.ModuleList(
            nn.Linear(config.hidden, count) for config, count in ((nucleotide, 64), (protein, protein.vocabulary))
        )
        self.dropout, self.head_dropout = nn.Dropout(dropout), nn.Dropout(head_dropout)
        self.register_buffer("slopes", alibi_slopes(nucleotide.heads), persistent=False)
        self.register_buffer("frequencies", inverse_frequencies(HEAD_DIM), persistent=False)
        tokens = [ESM2_VOCABULARY.index(residue) for residue in CODON_RESIDUES]
        self.register_buffer("residues", torch.tensor(tokens), persistent=False)

    def embed(self, segments: Segments) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the vectors of both encoders, fp32 (s, hidden) each, and the loss of hidden codons and residues."""
        codon_tokens, residue_tokens, alibi, keys, rope = [], [], [], [], []
        means: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        cls, sep, mask = (SPECIAL_TOKENS.index(name) for name in ("[CLS]", "[SEP]", "[MASK]"))
        for (codons, length), (masked, _) in zip(
            segments.buckets(segments.codons), segments.buckets(segments.masked), strict=True
        ):
            place = torch.arange(codons.shape[1], device=codons.device)
            has_codon, in_sequence = (place > 0) & (place <= length), place < length + 2
            ends = torch.where(place == 0, cls, sep)
            tokens = torch.where(has_codon, torch.where(masked, mask, codons + _FIRST_CODON), ends)
            residues = torch.where(masked, ESM2_VOCABULARY.index(MASKED), self.residues[codons])
            codon_tokens.append(tokens.flatten())
            residue_tokens.append(torch.where(has_codon, residues, torch.where(place == 0, CLS, EOS)).flatten())
            key = torch.where(in_sequence, 0.0, _FAR)[:, None, None]
            keys.append(key)
            alibi.append(key - (place[:, None] - place).abs() * self.slopes[:, None, None])
            rope.append(torch.outer(place.float(), self.frequencies).repeat(1, 2))
            means[0].append(in_sequence / (length + 2.0))
            means[1].append(has_codon / length.float())
        x = self.dropout(self.nucleotide_norm(self.nucleotide_embedding(torch.cat(codon_tokens))))
        for block in self.nucleotide:
            x = block(x, segments, alibi)
        y = self.dropout(self.protein_embedding(torch.cat(residue_tokens)))
        for block in self.protein:
            y = block(y, segments, keys, rope)
        y = self.protein_norm(y)
        hidden = segments.masked.float()
        missed = hidden.new_zeros(len(hidden))
        for head, states, truth in zip(
            self.recover, (x, y), (segments.codons, self.residues[segments.codons]), strict=True
        ):
            missed = missed + functional.cross_entropy(head(states).float(), truth, reduction="none")
        loss = (missed * hidden).sum() / hidden.sum().clamp(min=1)
        return _mean(x, segments, means[0]), _mean(y, segments, means[1]), loss

    def forward(self, segments: Segments) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits of each segment, fp32 (s, 3 + helping), and the loss of hidden codons and residues.

        Columns are the logit of the classifier, those of either encoder alone, and the helping ones. The loss is
        the mean over hidden codons of the cross-entropies of the codon, from its nucleotides, and of its residue.
        """
        *vectors, missed = self.embed(segments)
        activated = functional.relu(self.hidden(self.head_dropout(torch.cat(vectors, dim=1))))
        other, virus, *helping = self.output(self.head_dropout(activated)).split(1, dim=1)
        alone = [head(vector) for head, vector in zip(self.alone, vectors, strict=True)]
        return torch.cat([virus - other, *alone, *helping], dim=1).float(), missed

    def modules_of_the_package(self) -> tuple[DnabertS, Esm2, Classifier]:
        """Return the encoders and the classifier with these weights, fp32 on the CPU, as the package computes them."""
        sizes = self.sizes
        state = {name: tensor.detach().float().cpu() for name, tensor in self.state_dict().items()}
        nucleotide: Tensors = {"embedding.weight": state["nucleotide_embedding.weight"]}
        nucleotide |= _norm(
            state, "nucleotide_norm", "embedding_norm", "projection_bias", torch.zeros(sizes.nucleotide.hidden)
        )
        for index in range(sizes.nucleotide.layers):
            old, new = f"nucleotide.{index}.", f"blocks.{index}."
            nucleotide |= {f"{new}attention.qkv.{kind}": state[f"{old}qkv.{kind}"] for kind in ("weight", "bias")}
            nucleotide[f"{new}attention.out.weight"] = state[f"{old}out.weight"]
            nucleotide |= {
                f"{new}feed_forward.{name}.weight": state[f"{old}{name}.weight"] for name in ("gated", "down")
            }
            for norm, projection in (("attention_norm", "out"), ("norm", "down")):
                bias = state[f"{old}{projection}.bias"]
                nucleotide |= _norm(state, f"{old}{norm}", f"{new}{norm}", "projection_bias", bias)

        protein = {"embedding.weight": state["protein_embedding.weight"]}
        protein["rope.inverse_frequencies"] = self.frequencies.float().cpu()
        carried = torch.zeros(sizes.protein.hidden)  # the biases that the residual stream lacks; see models/esm2.py
        for index in range(sizes.protein.layers):
            old, new = f"protein.{index}.", f"blocks.{index}."
            for kind in ("weight", "bias"):
                protein[f"{new}attention.qkv.{kind}"] = state[f"{old}qkv.{kind}"]
                protein[f"{new}feed_forward.up.{kind}"] = state[f"{old}up.{kind}"]
            for norm, place in (("attention_norm", "attention.out"), ("feed_forward_norm", "feed_forward.down")):
                protein |= _norm(state, f"{old}{norm}", f"{new}{norm}", "carried_bias", carried)
                projection = place.partition(".")[2]
                protein[f"{new}{place}.weight"] = state[f"{old}{projection}.weight"]
                carried = carried + state[f"{old}{projection}.bias"]
        protein |= _norm(state, "protein_norm", "norm", "carried_bias", carried)

        encoders = DnabertS(sizes.nucleotide), Esm2(sizes.protein)
        for encoder, tensors in zip(encoders, (nucleotide, protein), strict=True):
            encoder.load_state_dict(tensors)
        head = Classifier(sizes.classifier)
        with torch.no_grad():
            head.hidden.load_state_dict({kind: state[f"hidden.{kind}"] for kind in ("weight", "bias")})
            cast("torch.Tensor", head.norm.running_var).fill_(1 - BATCH_NORM_EPS)  # it normalises nothing
            head.output.weight.copy_(state["output.weight"][:2])
            head.output.bias.copy_(state["output.bias"][:2])
        return *encoders, head.eval()


def add_up(logits: torch.Tensor, segments: Segments) -> torch.Tensor:
    """Return the sums of the segments' logits (s, …) over each window, (windows, …)."""
    sums = logits.new_zeros(segments.windows + 1, *logits.shape[1:])
    return sums.index_add(0, segments.window, logits)[: segments.windows]


def _mean(x: torch.Tensor, segments: Segments, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    parts = (part for part, _ in segments.buckets(x))
    return torch.cat([(part.float() * weight[..., None]).sum(1) for part, weight in zip(parts, weights, strict=True)])


def _norm(state: Tensors, old: str, new: str, name: str, bias: torch.Tensor) -> Tensors:
    return {f"{new}.{kind}": state[f"{old}.{kind}"] for kind in ("weight", "bias")} | {f"{new}.{name}": bias}
