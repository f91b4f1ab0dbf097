"""`virnucpro weights verify --canaries`: the vectors of the canaries on this machine's CPU, kept with the model."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from virnucpro_kernels.embed.canaries import canary_sequences
from virnucpro_kernels.embed.encoders import loading, set_up
from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.ops.packing import pack
from virnucpro_kernels.pool.embedding_file import Vectors
from virnucpro_kernels.tools.frame_scores import start_device
from virnucpro_kernels.weights.evidence import keep_canaries, remove_damaged_canaries
from virnucpro_kernels.weights.registry import Model


@torch.inference_mode()
def keep_canary_values(model: Model, threads: int) -> None:
    """Compute the canaries of both encoders in fp32 on the CPU, one after the other, and keep their vectors.

    Raises:
        DamagedFileError: a file of the model is damaged.
        GpuMemoryError: the machine has too little memory for the weights in fp32.
        VirnucproError: the directory of the model cannot be written.
    """
    with _writing(model):
        remove_damaged_canaries(model)
    setup = set_up(
        model,
        start_device("cpu", threads),
        precision="fp32",
        attention="auto",
        token_budget=0,
        embedding_dtype="float32",
    )
    vectors: dict[str, Vectors] = {}
    with loading(setup) as weights:
        for alphabet, make in weights.makers.items():
            encoder = make()
            tokens = encoder.tokenize(canary_sequences(alphabet))
            vectors[alphabet] = encoder.module.embed(pack(tokens, slice(0, len(tokens)))).numpy()
            del encoder
    with _writing(model):
        keep_canaries(model, vectors)


@contextmanager
def _writing(model: Model) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VirnucproError(
            f"{model.directory} cannot be written ({error.strerror}); its owner can run this"
        ) from error
