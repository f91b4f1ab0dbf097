"""The encoders of a model, ready to run as asked: device, precision, attention backend, token budget.

What cannot run here is refused before anything is loaded.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from virnucpro_kernels.embed.device import Embeds, is_out_of_memory
from virnucpro_kernels.embed.engine import Encoder
from virnucpro_kernels.errors import GpuMemoryError, UsageError
from virnucpro_kernels.models.precisions import check_precision, no_original, parse_precision
from virnucpro_kernels.models.reference import ReferenceDnabertS, ReferenceEsm2
from virnucpro_kernels.models.tokenizers import tokenize_proteins
from virnucpro_kernels.ops.dispatch import check_fp8, resolve_attention
from virnucpro_kernels.pool.provenance import Alphabet, EncoderRun
from virnucpro_kernels.weights.load import load_dna_tokenizer, load_nucleotide_encoder, load_protein_encoder
from virnucpro_kernels.weights.registry import EncoderInfo, Model

_WEIGHTS = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8": torch.float16,  # of what is not fp8
    "reference": torch.float32,
}
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
        precision: never `auto`; `fp8` without the layers that stay as they are.
        fp16_layers: layers of the protein encoder that stay fp16 where the precision is fp8.
        dtype: of the stored vectors.
        runs: what the files will say of each encoder.
    """

    model: Model
    device: torch.device
    precision: str
    fp16_layers: tuple[int, ...]
    dtype: torch.dtype
    runs: dict[Alphabet, EncoderRun]


def set_up(
    model: Model, device: torch.device, *, precision: str, attention: str, token_budget: int, embedding_dtype: str
) -> Setup:
    """Decide how to run the encoders of `model`.

    Args:
        model: as `registry.find_model` returns it.
        device: `cpu` or a GPU.
        precision: `auto` is fp16 on a GPU and fp32 on a CPU. With fp8 the nucleotide encoder is fp16, and `fp8+0,35`
            leaves layers 0 and 35 of the protein encoder fp16 too.
        attention: a backend, see `ops.dispatch`, or two with a comma between: nucleotide encoder's, protein encoder's.
        token_budget: 0 for the default, a constant of precision and type of device.
        embedding_dtype: `float32`, `float16`, or `auto`: float32 where the precision is fp32 or reference.

    Raises:
        UsageError: something of it cannot run here.
    """
    on_gpu = device.type == "cuda"
    if precision == "auto":
        precision = "fp16" if on_gpu else "fp32"
    if precision == "original":
        raise no_original("this chunk has none")
    asked = precision
    check_precision(asked, device.type, model.protein.layers)
    precision, fp16_layers = parse_precision(asked)
    if precision == "fp8":
        check_fp8(device)
    if embedding_dtype == "auto":
        embedding_dtype = "float32" if precision in ("fp32", "reference") else "float16"
    if embedding_dtype not in _STORED:
        raise UsageError(f"type of embeddings {embedding_dtype!r}: choose from auto, {', '.join(_STORED)}")
    budget = token_budget or default_budget(precision, device)
    backends = attention.split(",")
    if len(backends) > 2:
        raise UsageError(f"attention {attention!r}: give one backend, or two: nucleotide encoder's, protein encoder's")

    def run(info: EncoderInfo, backend: str, *, tokenizer_sha256: str, dense: str, alibi: bool) -> EncoderRun:
        kernel = dense
        if precision == "reference":
            if backend != "auto":
                raise UsageError(f"attention {backend!r}: precision reference has attention of its own; choose auto")
        else:
            head_dim, dtype = info.hidden // info.heads, _WEIGHTS[precision]
            kernel = resolve_attention(backend, device=device, dtype=dtype, head_dim=head_dim, alibi=alibi)
        made_in = "fp16" if alibi and precision == "fp8" else asked
        return EncoderRun(info.name, info.sha256, info.dimension, made_in, kernel, budget, tokenizer_sha256)

    nucleotide = run(model.nucleotide, backends[0], tokenizer_sha256=model.tokenizer.sha256, dense="dense", alibi=True)
    protein = run(model.protein, backends[-1], tokenizer_sha256="", dense="fair-esm", alibi=False)
    runs: dict[Alphabet, EncoderRun] = {"nucleotide": nucleotide, "protein": protein}
    return Setup(model, device, precision, fp16_layers, _STORED[embedding_dtype], runs)


def default_budget(precision: str, device: torch.device) -> int:
    """Tokens of a batch where nobody asks for another number; `precision` as `Setup` has it."""
    return _GPU_BUDGET[precision] if device.type == "cuda" else _CPU_BUDGET


@dataclass(frozen=True)
class Loading:
    """Encoders on their way into memory.

    Attributes:
        makers: functions that wait for an encoder and return it, once, and keep nothing of it, in their order.
        seconds: what it took to load each of those that are there.
    """

    makers: dict[Alphabet, Callable[[], Encoder]]
    seconds: dict[Alphabet, float]


@contextmanager
def loading(setup: Setup) -> Iterator[Loading]:
    """Load both encoders in the background, one after the other.

    Raises (where an encoder is waited for):
        DamagedFileError: a file of the model is not the one that `model.toml` describes.
        GpuMemoryError: its weights do not fit.
    """
    seconds: dict[Alphabet, float] = {}

    def load(loader: Callable[[Setup], Encoder]) -> Encoder:
        started = time.perf_counter()
        try:
            encoder = loader(setup)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            machine = "a GPU" if setup.device.type == "cuda" else "a machine"
            raise GpuMemoryError(
                f"the weights of model {setup.model.name} do not fit ({error}); use {machine} with more memory, or one"
                " that nobody else uses"
            ) from None
        if setup.device.type == "cuda":
            torch.cuda.synchronize(setup.device)
        seconds[encoder.kind] = time.perf_counter() - started
        return encoder

    with ThreadPoolExecutor(1, thread_name_prefix="weights") as thread:
        waiting = {kind: thread.submit(load, loader) for kind, loader in _LOADERS.items()}

        def take(kind: Alphabet) -> Encoder:
            return waiting.pop(kind).result()

        yield Loading({kind: partial(take, kind) for kind in _LOADERS}, seconds)


def _load_nucleotide(setup: Setup) -> Encoder:
    tokenizer = load_dna_tokenizer(setup.model)
    encoder = load_nucleotide_encoder(setup.model, setup.device, **_options(setup, "nucleotide"))
    module: Embeds = ReferenceDnabertS(encoder) if setup.precision == "reference" else encoder
    return Encoder("nucleotide", module, tokenizer.encode)


def _load_protein(setup: Setup) -> Encoder:
    encoder = load_protein_encoder(setup.model, setup.device, **_options(setup, "protein"))
    if setup.precision == "fp8":
        encoder.to_fp8(keep=setup.fp16_layers)
    module: Embeds = ReferenceEsm2(encoder) if setup.precision == "reference" else encoder
    return Encoder("protein", module, tokenize_proteins)


_LOADERS: dict[Alphabet, Callable[[Setup], Encoder]] = {"nucleotide": _load_nucleotide, "protein": _load_protein}


def _options(setup: Setup, kind: Alphabet) -> dict[str, Any]:
    attention = "auto" if setup.precision == "reference" else setup.runs[kind].kernel
    return {"dtype": _WEIGHTS[setup.precision], "attention": attention}
