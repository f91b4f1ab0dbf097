"""The encoders of a model, ready to run as asked: device, precision, attention backend, token budget.

What cannot run here is refused before anything is loaded.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from virnucpro_kernels.engine import Encoder
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.lanes import Embeds
from virnucpro_kernels.models.reference import ReferenceDnabertS, ReferenceEsm2
from virnucpro_kernels.ops.dispatch import resolve_attention
from virnucpro_kernels.parts import Kind
from virnucpro_kernels.registry import EncoderInfo, Model
from virnucpro_kernels.store import EncoderRun
from virnucpro_kernels.tokenizers import tokenize_proteins
from virnucpro_kernels.weights import load_dna_tokenizer, load_nucleotide_encoder, load_protein_encoder

_WEIGHTS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "reference": torch.float32}
_STORED = {"float32": torch.float32, "float16": torch.float16}

#: Tokens of a batch on a GPU: a multiple of 128 rows times the 132 SMs of an H200 or H100, so that the last wave of a
#: matrix product is a full one there.
_GPU_BUDGET = {"fp32": 16_896, "fp16": 33_792, "bf16": 33_792, "fp8": 33_792, "reference": 2_048}
#: On a CPU a larger batch is no faster, and results do not depend on it.
_CPU_BUDGET = 2_048


@dataclass(frozen=True)
class Setup:
    """How the encoders of a model will run.

    Attributes:
        model: whose encoders.
        device: where.
        precision: never `auto`.
        dtype: of the stored vectors.
        runs: what the files will say of each encoder.
    """

    model: Model
    device: torch.device
    precision: str
    dtype: torch.dtype
    runs: dict[Kind, EncoderRun]


def set_up(
    model: Model, device: torch.device, *, precision: str, attention: str, token_budget: int, embedding_dtype: str
) -> Setup:
    """Decide how to run the encoders of `model`.

    Args:
        model: as `registry.find_model` returns it.
        device: `cpu` or a GPU.
        precision: `auto` is fp16 on a GPU and fp32 on a CPU.
        attention: a backend, see `ops.dispatch`, or two with a comma between: nucleotide encoder's, protein encoder's.
        token_budget: 0 for the default, a constant of precision and type of device.
        embedding_dtype: `float32`, `float16`, or `auto`: float32 where the precision is fp32 or reference.

    Raises:
        UsageError: something of it cannot run here.
    """
    on_gpu = device.type == "cuda"
    if precision == "auto":
        precision = "fp16" if on_gpu else "fp32"
    if precision not in _WEIGHTS:
        raise UsageError(f"precision {precision!r}: choose from auto, {', '.join(_WEIGHTS)}")
    if embedding_dtype == "auto":
        embedding_dtype = "float32" if precision in ("fp32", "reference") else "float16"
    if embedding_dtype not in _STORED:
        raise UsageError(f"type of embeddings {embedding_dtype!r}: choose from auto, {', '.join(_STORED)}")
    budget = token_budget or (_GPU_BUDGET[precision] if on_gpu else _CPU_BUDGET)
    backends = attention.split(",")
    if len(backends) > 2:
        raise UsageError(f"attention {attention!r}: give one backend, or two: nucleotide encoder's, protein encoder's")

    def run(info: EncoderInfo, backend: str, *, tokenizer_sha256: str, dense: str, alibi: bool) -> EncoderRun:
        kernel = dense
        if precision != "reference":
            head_dim, dtype = info.hidden // info.heads, _WEIGHTS[precision]
            kernel = resolve_attention(backend, device=device, dtype=dtype, head_dim=head_dim, alibi=alibi)
        return EncoderRun(info.name, info.sha256, info.dimension, precision, kernel, budget, tokenizer_sha256)

    nucleotide = run(model.nucleotide, backends[0], tokenizer_sha256=model.tokenizer.sha256, dense="dense", alibi=True)
    protein = run(model.protein, backends[-1], tokenizer_sha256="", dense="fair-esm", alibi=False)
    return Setup(model, device, precision, _STORED[embedding_dtype], {"nucleotide": nucleotide, "protein": protein})


@dataclass(frozen=True)
class Loading:
    """Encoders on their way into memory.

    Attributes:
        makers: functions that wait for an encoder and return it: nucleotide, protein.
        seconds: what it took to load each of those that are there.
    """

    makers: list[Callable[[], Encoder]]
    seconds: dict[Kind, float]


@contextmanager
def loading(setup: Setup) -> Iterator[Loading]:
    """Load both encoders in the background, one after the other.

    Raises (where an encoder is waited for):
        DamagedFileError: a file of the model is not the one that `model.toml` describes.
    """
    seconds: dict[Kind, float] = {}

    def load(loader: Callable[[Setup], Encoder]) -> Encoder:
        started = time.perf_counter()
        encoder = loader(setup)
        if setup.device.type == "cuda":
            torch.cuda.synchronize(setup.device)
        seconds[encoder.kind] = time.perf_counter() - started
        return encoder

    with ThreadPoolExecutor(1, thread_name_prefix="weights") as thread:
        yield Loading([thread.submit(load, loader).result for loader in (_load_nucleotide, _load_protein)], seconds)


def _load_nucleotide(setup: Setup) -> Encoder:
    tokenizer = load_dna_tokenizer(setup.model)
    encoder = load_nucleotide_encoder(setup.model, setup.device, **_options(setup, "nucleotide"))
    module: Embeds = ReferenceDnabertS(encoder) if setup.precision == "reference" else encoder
    return Encoder("nucleotide", module, tokenizer.encode)


def _load_protein(setup: Setup) -> Encoder:
    encoder = load_protein_encoder(setup.model, setup.device, **_options(setup, "protein"))
    module: Embeds = ReferenceEsm2(encoder) if setup.precision == "reference" else encoder
    return Encoder("protein", module, tokenize_proteins)


def _options(setup: Setup, kind: Kind) -> dict[str, Any]:
    attention = "auto" if setup.precision == "reference" else setup.runs[kind].kernel
    return {"dtype": _WEIGHTS[setup.precision], "attention": attention}
