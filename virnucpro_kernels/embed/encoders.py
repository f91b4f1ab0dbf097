"""The encoders of a model, ready to run as requested: device, precision, attention backend, token budget.

Settings that cannot run here are refused before anything is loaded.
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
from virnucpro_kernels.models import precisions
from virnucpro_kernels.models.reference import ReferenceDnabertS, ReferenceEsm2
from virnucpro_kernels.models.rounding import round_to_fp8
from virnucpro_kernels.models.tokenizers import tokenize_proteins
from virnucpro_kernels.ops.dispatch import check_bf16, check_fp8, resolve_attention
from virnucpro_kernels.pool.provenance import Alphabet, EncoderRecord
from virnucpro_kernels.weights.evidence import kept_canaries
from virnucpro_kernels.weights.load import load_dna_tokenizer, load_nucleotide_encoder, load_protein_encoder
from virnucpro_kernels.weights.registry import EncoderInfo, Model

_WEIGHTS = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    **dict.fromkeys(precisions.FP8_ATTENTION, torch.float16),  # of the weights that are not fp8
    "reference": torch.float32,
}
_STORED = {"float32": torch.float32, "float16": torch.float16}

#: Tokens of a batch on a GPU: a multiple of 128 rows times the 132 SMs of an H200 or H100, so that the last wave of a
#: matrix product is a full one there.
_GPU_BUDGET = dict.fromkeys(precisions.PRECISIONS, 33_792) | {"fp32": 16_896, "reference": 2_048}
#: On a CPU, where each thread has a batch of its own, a larger one is no faster, and results do not depend on it.
_CPU_BUDGET = 1_024


@dataclass(frozen=True)
class Setup:
    """Settings with which the encoders of a model will run.

    Attributes:
        model: Model that has the encoders.
        device: Device that computes.
        precision: Precision, never `auto`; `fp8-ff` and `fp8` without the layers that stay fp16.
        fp16_layers: Layers of the protein encoder that stay fp16 in these.
        dtype: Type of the stored vectors.
        records: Record of each encoder, as the embedding files have it.
    """

    model: Model
    device: torch.device
    precision: str
    fp16_layers: tuple[int, ...]
    dtype: torch.dtype
    records: dict[Alphabet, EncoderRecord]


def set_up(
    model: Model, device: torch.device, *, precision: str, attention: str, token_budget: int, embedding_dtype: str
) -> Setup:
    """Decide how to run the encoders of `model`.

    Args:
        model: Model, as `registry.find_model` returns it.
        device: CPU or GPU.
        precision: Precision or `auto`, see `models.precisions`. With `fp8-ff` and `fp8` the nucleotide encoder is
            fp16, and `fp8+0,35` leaves layers 0 and 35 of the protein encoder fp16 too.
        attention: Backend, see `ops.dispatch`, or two with a comma between: nucleotide encoder's, protein encoder's.
        token_budget: Tokens of a batch; 0 is the default, a constant of precision and type of device.
        embedding_dtype: Type of stored embeddings or `auto`, see `models.precisions`.

    Raises:
        UsageError: a setting is unknown or cannot run here.
    """
    if precision == "original":
        raise precisions.no_original("for this chunk")
    requested = precisions.choose_precision(precision, device.type)
    precisions.check_precision(requested, device.type, model.protein.layers)
    precision, fp16_layers = precisions.parse_precision(requested)
    if precision in precisions.FP8_ATTENTION:
        check_fp8(device)
    if precision == "bf16":
        check_bf16(device)
    dtype = _STORED[precisions.choose_embedding_dtype(embedding_dtype, precision)]
    budget = token_budget or default_budget(precision, device)
    backends = attention.split(",")
    if len(backends) > 2:
        raise UsageError(f"attention {attention!r}: give one backend, or two: nucleotide encoder's, protein encoder's")

    nucleotide, protein = model.nucleotide, model.protein
    records: dict[Alphabet, EncoderRecord] = {
        "nucleotide": EncoderRecord(
            nucleotide.name, nucleotide.sha256, nucleotide.dimension,
            precision="fp16" if precision in precisions.FP8_ATTENTION else requested,
            attention=_attention_of(nucleotide, precision, device, backends[0], alibi=True),
            token_budget=budget, tokenizer_sha256=model.tokenizer.sha256,
        ),
        "protein": EncoderRecord(
            protein.name, protein.sha256, protein.dimension, precision=requested,
            attention=_attention_of(protein, precision, device, backends[-1], alibi=False),
            token_budget=budget, bias_correction=precisions.correction_of(requested),
        ),
    }  # fmt: skip
    return Setup(model, device, precision, fp16_layers, dtype, records)


def _attention_of(info: EncoderInfo, precision: str, device: torch.device, backend: str, *, alibi: bool) -> str:
    """Return the name of the attention that an encoder runs with, for its file."""
    if precision != "reference":
        head_dim, dtype = info.hidden // info.heads, _WEIGHTS[precision]
        return resolve_attention(backend, device=device, dtype=dtype, head_dim=head_dim, alibi=alibi)
    if backend != "auto":
        raise UsageError(f"attention {backend!r}: precision reference has attention of its own; choose auto")
    return "dense" if alibi else "fair-esm"


def default_budget(precision: str, device: torch.device) -> int:
    """Return the tokens of a batch unless the user sets another number; `precision` as `Setup` has it."""
    return _GPU_BUDGET[precision] if device.type == "cuda" else _CPU_BUDGET


@dataclass(frozen=True)
class Loading:
    """Encoders on their way into memory.

    Attributes:
        makers: Functions in the order of loading, each of which waits for an encoder and returns it, once.
        seconds: Time that loading took, of each encoder that is in memory.
    """

    makers: dict[Alphabet, Callable[[], Encoder]]
    seconds: dict[Alphabet, float]


@contextmanager
def loading(
    setup: Setup, begin: Callable[[], bool] = lambda: False, loaded: Callable[[], None] = lambda: None
) -> Iterator[Loading]:
    """Load both encoders in the background, one after the other.

    Args:
        setup: Settings.
        begin: Function called where an encoder does not fit: it waits for the turn of this process on the device, and
            returns whether another one had it until then. If so, the encoder is loaded again.
        loaded: Function called when the last encoder is on the device.

    The functions in `Loading.makers` raise DamagedFileError where a file of the model is not the one that `model.toml`
    describes, and GpuMemoryError where the weights do not fit.
    """
    seconds: dict[Alphabet, float] = {}
    lack = ""

    def load(loader: Callable[[Setup], Encoder]) -> Encoder | None:
        """Return the encoder, or None where it does not fit: an error would hold the weights that did fit."""
        nonlocal lack
        started = time.perf_counter()
        try:
            encoder = loader(setup)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            lack = str(error)
            return None
        if setup.device.type == "cuda":
            torch.cuda.synchronize(setup.device)
        seconds[encoder.alphabet] = time.perf_counter() - started
        return encoder

    with ThreadPoolExecutor(1, thread_name_prefix="weights") as thread:
        waiting = {alphabet: thread.submit(load, loader) for alphabet, loader in _LOADERS.items()}

        def take(alphabet: Alphabet) -> Encoder:
            encoder = waiting.pop(alphabet).result()
            if encoder is None:
                if setup.device.type == "cuda":
                    torch.cuda.empty_cache()  # for the job that computes
                encoder = load(_LOADERS[alphabet]) if begin() else None
            if encoder is None:
                machine = "a GPU" if setup.device.type == "cuda" else "a machine"
                raise GpuMemoryError(
                    f"the weights of model {setup.model.name} do not fit ({lack}); use {machine} with more memory, or"
                    " one that nobody else uses"
                )
            if not waiting:
                loaded()
            return encoder

        yield Loading({alphabet: partial(take, alphabet) for alphabet in _LOADERS}, seconds)


def _load_nucleotide(setup: Setup) -> Encoder:
    tokenizer = load_dna_tokenizer(setup.model)
    encoder = load_nucleotide_encoder(setup.model, setup.device, **_options(setup, "nucleotide"))
    module: Embeds = ReferenceDnabertS(encoder) if setup.precision == "reference" else encoder
    return Encoder("nucleotide", module, tokenizer.encode, kept_canaries(setup.model, "nucleotide"))


def _load_protein(setup: Setup) -> Encoder:
    encoder = load_protein_encoder(setup.model, setup.device, **_options(setup, "protein"))
    if setup.precision in precisions.FP8_ATTENTION:
        attention = precisions.FP8_ATTENTION[setup.precision]
        round_to_fp8(encoder, attention=attention, keep=setup.fp16_layers)
    module: Embeds = ReferenceEsm2(encoder) if setup.precision == "reference" else encoder
    return Encoder("protein", module, tokenize_proteins, kept_canaries(setup.model, "protein"))


_LOADERS: dict[Alphabet, Callable[[Setup], Encoder]] = {"nucleotide": _load_nucleotide, "protein": _load_protein}


def _options(setup: Setup, alphabet: Alphabet) -> dict[str, Any]:
    attention = "auto" if setup.precision == "reference" else setup.records[alphabet].attention
    if setup.precision == "bf16" and setup.device.type == "cpu":
        # The residual stream, norms and attention in fp32 cost little there.
        return {"dtype": torch.float32, "products": torch.bfloat16, "attention": attention}
    return {"dtype": _WEIGHTS[setup.precision], "attention": attention}
