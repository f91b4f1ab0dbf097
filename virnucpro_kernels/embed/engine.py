"""The engine: a chunk in, its embeddings out.

For each encoder, the distinct sequences of the chunk whose vectors are not known are tokenised and packed ahead of the
device (`loader.py`) and computed batch by batch (`encoder_pass.py`, `device.py`). With those that are known
(`known.py`) their vectors are fanned out to all rows and written in row order (`output.py`) while the device goes on,
also to the next encoder, and to the next job: files are completed at the end. Which sequences share a batch follows
from their order and the token budget alone.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from virnucpro_kernels.embed.deduplicate import Distinct, FanOut, find_distinct
from virnucpro_kernels.embed.device import Embeds
from virnucpro_kernels.embed.encoder_pass import EncoderPass
from virnucpro_kernels.embed.known import Known
from virnucpro_kernels.embed.loader import Tokenize
from virnucpro_kernels.embed.measures import Measures
from virnucpro_kernels.embed.output import Destination, OutputThread
from virnucpro_kernels.embed.resume import PartialEmbeddings
from virnucpro_kernels.errors import FaultyDeviceError
from virnucpro_kernels.ops.packing import PADDING_MULTIPLE
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.embedding_file import Vectors
from virnucpro_kernels.pool.provenance import Alphabet, Provenance
from virnucpro_kernels.sequences.arrays import SequenceArray


@dataclass(frozen=True)
class Encoder:
    """One encoder, ready to run.

    Attributes:
        alphabet: Alphabet of the one of a frame's two sequences that it takes.
        module: Network, on the device.
        tokenize: Function that makes its tokens.
        canaries: Vectors that a CPU gave in fp32 for the canaries, float32 (n, d), or None.
    """

    alphabet: Alphabet
    module: Embeds
    tokenize: Tokenize
    canaries: Vectors | None = None


@dataclass(frozen=True)
class Engine:
    """Device and settings with which chunks are embedded.

    Attributes:
        device: Device that has the encoders.
        dtype: Type of the stored vectors, float16 or float32.
        save_seconds: Time after which finished vectors are saved in partial files; many are saved sooner. Canaries are
            compared before.
        progress: Function that is given an alphabet, its number of finished distinct sequences, and its number of all.
        stopped: Function called before each batch; once it returns true, batches under way are finished and saved.
        name: Name of the device for messages, of a GPU its UUID.
        twice: Number of batches of each encoder, chosen at random, that are computed twice and compared.
        find_known: Function that returns the vectors of distinct sequences that need not be computed.
        begin: Function called before the first batch is submitted, which may wait for the device; called again, it
            returns at once. Canaries are computed and batches prepared before that.
        end: Function called when the device has done its work and holds no encoder, before the files are complete.
    """

    device: torch.device
    dtype: torch.dtype
    save_seconds: float = 60.0
    progress: Callable[[Alphabet, int, int], None] = lambda *_: None
    stopped: Callable[[], bool] = lambda: False
    name: str = "the CPU"
    twice: int = 0
    find_known: Callable[[Alphabet, Distinct], Known] = lambda *_: Known()
    begin: Callable[[], object] = lambda: None
    end: Callable[[], object] = lambda: None

    def embed_chunk(
        self,
        frames: Frames,
        encoders: Mapping[Alphabet, Callable[[], Encoder]],
        provenance: Mapping[Alphabet, Provenance],
        outputs: Mapping[Alphabet, Path],
        partial: PartialEmbeddings,
    ) -> dict[Alphabet, Measures]:
        """Write the embedding files of a chunk.

        Args:
            frames: Frames of the chunk.
            encoders: Functions that return the encoders, which run one after the other. Each is called when its turn
                comes, and the encoder is freed after it. Work that needs no encoder is done first: they may still be on
                their way into memory.
            provenance: Attributes of each alphabet's file, with the token budget to begin with.
            outputs: File to write for each alphabet.
            partial: Partial files, which keep the progress; the caller removes them.

        Raises:
            FaultyDeviceError: the device computes wrong numbers; no file of the chunk is left, nor a partial one.
            GpuMemoryError: a single sequence does not fit.
            NotFiniteError: vectors are not finite, or not in the stored type, and the device is not at fault.
            StoppedError: `stopped` returned true; finished vectors are in the partial files.
        """
        try:
            return self._embed_chunk(frames, encoders, provenance, outputs, partial)
        except FaultyDeviceError:
            for path in outputs.values():
                path.unlink(missing_ok=True)
            partial.clear()
            raise

    def _embed_chunk(
        self,
        frames: Frames,
        encoders: Mapping[Alphabet, Callable[[], Encoder]],
        provenance: Mapping[Alphabet, Provenance],
        outputs: Mapping[Alphabet, Path],
        partial: PartialEmbeddings,
    ) -> dict[Alphabet, Measures]:
        sequences: dict[Alphabet, SequenceArray] = {"nucleotide": frames.nucleotides, "protein": frames.proteins}
        to_do = {alphabet: find_distinct(sequences[alphabet]) for alphabet in encoders}
        known = {alphabet: self.find_known(alphabet, distinct) for alphabet, distinct in to_do.items()}
        numpy_type = torch.empty(0, dtype=self.dtype).numpy().dtype
        measures: dict[Alphabet, Measures] = {}
        threads: dict[Alphabet, OutputThread] = {}
        with ExitStack() as files:
            for alphabet, make in encoders.items():
                encoder = make()
                distinct = to_do.pop(alphabet)
                destination = Destination(alphabet, provenance[alphabet], partial, numpy_type)
                fan_out = FanOut(distinct, destination.provenance.dimension, numpy_type)
                output = files.enter_context(
                    destination.open(outputs[alphabet], frames.rows, fan_out, self.save_seconds)
                )
                run = EncoderPass(self, encoder, distinct, known.pop(alphabet), destination, tuple(threads.values()))
                # A file that is not complete is lost where the job fails later on, but not its partial files.
                measures[alphabet] = run.compute(output, save_all=bool(to_do))
                threads[alphabet] = output
                del encoder, run, distinct
                if self.device.type == "cuda":
                    # The next encoder's activations have other sizes: PyTorch could not use this memory again for them.
                    torch.cuda.empty_cache()
            self.end()
        for alphabet, thread in threads.items():
            measures[alphabet].write_seconds = thread.busy_seconds
        return measures

    def padded(self, tokens: int, budget: int) -> int:
        """Return the number of tokens to which a batch of `tokens` is padded.

        On a GPU all batches have the same shape, because cuBLAS chooses its kernel by the shape, and the kernel decides
        the last digits of a result. On a CPU padding costs time, and a multiple of `PADDING_MULTIPLE` is enough.
        """
        multiple = budget if self.device.type == "cuda" and tokens <= budget else PADDING_MULTIPLE
        return -(-tokens // multiple) * multiple
