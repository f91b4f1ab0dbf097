"""Small encoders on a CPU beside their matrix products alone, in CPU seconds of one thread: what all else costs.

    python -m benchmarks.small CHUNKS_TSV MODEL [--chunk 00000] [--precision fp32]

For instance a chunk that `virnucpro predict` leaves in OUT/work. Encoder and products run in turn, over sequences from
the middle of the chunk; the best of several passes counts, since other work on the machine only slows them.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from benchmarks.results import markdown_table
from virnucpro_kernels.embed.encoders import default_budget, loading, set_up
from virnucpro_kernels.embed.engine import Encoder
from virnucpro_kernels.ops.packing import PADDING_MULTIPLE, PackedBatch, pack, plan_batches
from virnucpro_kernels.pool.chunk_fasta import check_fasta, read_frames
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.pool.provenance import Alphabet
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.weights.registry import find_model

_CPU = torch.device("cpu")
_SEQUENCES, _PASSES = 1200, 9


def products_alone(module: nn.Module, batches: list[PackedBatch]) -> None:
    """Compute the products of an encoder's linear layers, each with values of its own, for the tokens of batches."""
    weights = [layer.weight for layer in module.modules() if isinstance(layer, nn.Linear)]
    longest = max(len(batch.tokens) for batch in batches)
    values = {weight.shape[1]: torch.ones(longest, weight.shape[1], dtype=weight.dtype) for weight in weights}
    for batch in batches:
        for weight in weights:
            torch.mm(values[weight.shape[1]][: len(batch.tokens)], weight.t())


def in_turn(*computations: Callable[[], object]) -> list[float]:
    """Return the least CPU seconds of this thread that each computation took in several passes, one after the other."""
    best = [float("inf")] * len(computations)
    for _ in range(_PASSES):
        for place, compute in enumerate(computations):
            started = time.thread_time()
            compute()
            best[place] = min(best[place], time.thread_time() - started)
    return best


@torch.inference_mode()
def measure(encoder: Encoder, sequences: SequenceArray, budget: int) -> tuple[float, float]:
    """Return CPU seconds a token, of an encoder and of its products alone.

    Args:
        encoder: Encoder on the CPU.
        sequences: Sequences for it.
        budget: Tokens of a batch.
    """
    module, tokens = encoder.module, encoder.tokenize(sequences)
    if not isinstance(module, nn.Module):
        raise TypeError(f"{type(module).__name__} has no layers of its own")
    batches = []
    for part in plan_batches(tokens.lengths, budget):
        padded = -(-int(tokens.lengths[part].sum()) // PADDING_MULTIPLE) * PADDING_MULTIPLE
        batches.append(pack(tokens, part, total_tokens=padded))

    def embed() -> None:
        for batch in batches:
            encoder.module.embed(batch)

    seconds, alone = in_turn(embed, lambda: products_alone(module, batches))
    return seconds / len(tokens.tokens), alone / len(tokens.tokens)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, metavar="CHUNKS_TSV")
    parser.add_argument("model", help="name or directory")
    parser.add_argument("--chunk", default="00000")
    parser.add_argument("--precision", default="fp32", help="fp32 or bf16")
    options = parser.parse_args()
    torch.set_num_threads(1)
    (chunk,) = (chunk for chunk in read_manifest(options.manifest) if chunk.chunk == options.chunk)
    frames, model, device = read_frames(*check_fasta(options.manifest, chunk)), find_model(options.model), _CPU
    setup = set_up(model, device, precision=options.precision, attention="auto", token_budget=0, embedding_dtype="auto")
    budget = default_budget(setup.precision, device)
    middle = slice(max(0, (chunk.rows - _SEQUENCES) // 2), min((chunk.rows + _SEQUENCES) // 2, chunk.rows))
    of_alphabet: dict[Alphabet, SequenceArray] = {"nucleotide": frames.nucleotides, "protein": frames.proteins}
    found: dict[str, tuple[float, float]] = {}
    with loading(setup) as weights:
        for alphabet, sequences in of_alphabet.items():
            found[alphabet] = measure(weights.makers[alphabet](), sequences.slice(middle.start, middle.stop), budget)
    total, alone = (sum(values) for values in zip(*found.values(), strict=True))
    rows: list[tuple[str, ...]] = [
        (name, f"{seconds * 1e6:.2f}", f"{products * 1e6:.2f}", f"{products / seconds:.3f}")
        for name, (seconds, products) in {**found, "both": (total, alone)}.items()
    ]
    print("\n".join(markdown_table(("encoder",), ("µs a token", "products alone", "of the ceiling"), rows)))


if __name__ == "__main__":
    main()
