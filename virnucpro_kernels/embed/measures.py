"""What the engine counts and times, for the record of a job."""

from dataclasses import dataclass


@dataclass
class Measures:
    """Measurements of one encoder on one chunk, for the job's record.

    Attributes:
        sequences: Number of frames of the chunk.
        distinct: Number of distinct sequences among them; each is embedded once.
        resumed: Number of distinct sequences whose vectors an earlier attempt had saved.
        cached: Number of distinct sequences whose vectors came from the embedding cache.
        batches: Number of batches computed in this attempt.
        tokens: Number of tokens in them, without padding.
        padded_tokens: Number of tokens in them, with padding.
        packing: Fraction of the token budget that held tokens, over these batches.
        token_budget: Largest number of tokens of a batch, at the end.
        recomputed: Number of batches computed again with fp32 activations, for vectors that were not finite.
        out_of_memory: Number of times that the budget was halved.
        canaries: Number of canaries, each computed at begin and end, and before vectors are saved.
        computed_twice: Number of batches computed twice, with the same bits.
        seconds: Time from the encoder's turn to its last vector.
        device_seconds: Time of these that the device spent on the encoder.
        write_seconds: Time of writing, which runs beside the computing.
        tokens_per_second: `tokens` over `seconds`.
    """

    sequences: int
    distinct: int
    resumed: int = 0
    cached: int = 0
    batches: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    packing: float = 1.0
    token_budget: int = 0
    recomputed: int = 0
    out_of_memory: int = 0
    canaries: int = 0
    computed_twice: int = 0
    seconds: float = 0.0
    device_seconds: float = 0.0
    write_seconds: float = 0.0
    tokens_per_second: float = 0.0

    def describe(self) -> str:
        """Return one line for the log."""
        return (
            f"{self.sequences:,} sequences, {self.distinct:,} distinct, {self.resumed:,} there already,"
            f" {self.cached:,} in the cache;"
            f" {self.tokens:,} tokens in {self.seconds:.1f} s ({self.tokens_per_second:,.0f} a second),"
            f" {self.batches:,} batches {self.packing:.1%} full"
            f"{f', {self.recomputed:,} batches computed again in fp32' if self.recomputed else ''}"
        )
