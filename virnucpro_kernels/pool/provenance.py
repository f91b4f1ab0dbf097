"""What an embedding file was made from, and by what. Kept as the file's attributes."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

from virnucpro_kernels import __version__

#: Stands for the checksum of weights that are not on record: those with which the original tool made its embeddings.
UNRECORDED = "unrecorded"


@dataclass(frozen=True)
class EncoderRun:
    """How the vectors of one encoder were made.

    Attributes:
        encoder: its name, as the model registry has it.
        sha256: checksum of its weights.
        dimension: values of a vector.
        precision: `fp32`, `fp16`, `bf16`, `fp8`, `reference`, or `original` for vectors that the original tool made.
        kernel: the attention backend that ran.
        token_budget: tokens of a batch; where memory ran out on the way, the last and smallest budget. 0 if unknown.
        tokenizer_sha256: checksum of the file that made its tokens; empty for an encoder of single letters.
    """

    encoder: str
    sha256: str
    dimension: int
    precision: str
    kernel: str
    token_budget: int
    tokenizer_sha256: str = ""


@dataclass(frozen=True)
class Provenance:
    """What a file was made from, and by what; kept as attributes of the file.

    Attributes:
        pool: name of the pool.
        chunk: name of the chunk.
        geometry: window length and layout, as in `500-original`.
        nucleotide_fasta_sha256: checksum of the chunk's nucleotide FASTA.
        protein_fasta_sha256: checksum of the chunk's protein FASTA.
        nucleotide: the nucleotide encoder's part of the vectors, if any.
        protein: the protein encoder's part of the vectors, if any; it follows the nucleotide encoder's.
        package_version: version of this package.
    """

    pool: str
    chunk: str
    geometry: str
    nucleotide_fasta_sha256: str
    protein_fasta_sha256: str
    nucleotide: EncoderRun | None = None
    protein: EncoderRun | None = None
    package_version: str = __version__

    @property
    def window_length(self) -> int:
        """Length of the windows that the frames come from, in bases."""
        return int(self.geometry.partition("-")[0])

    @property
    def dimension(self) -> int:
        """Values of a vector, over both encoders."""
        return sum(run.dimension for run in (self.nucleotide, self.protein) if run is not None)

    def attributes(self) -> dict[str, str | int]:
        """Return all of it flat; an encoder's fields are prefixed with `nucleotide_` or `protein_`."""
        flat: dict[str, str | int] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, EncoderRun):
                flat |= {f"{field.name}_{part.name}": getattr(value, part.name) for part in fields(value)}
            elif value is not None:
                flat[field.name] = value
        return flat

    @classmethod
    def from_attributes(cls, flat: dict[str, str | int]) -> Self:
        """Inverse of `attributes`.

        Raises:
            KeyError: an attribute is missing.
        """
        values: dict[str, Any] = {}
        for field in fields(cls):
            if field.name not in ("nucleotide", "protein"):
                values[field.name] = flat[field.name]
            elif f"{field.name}_encoder" in flat:
                values[field.name] = EncoderRun(
                    **{part.name: flat[f"{field.name}_{part.name}"] for part in fields(EncoderRun)}  # type: ignore[arg-type]
                )
        return cls(**values)


Alphabet = Literal["nucleotide", "protein"]


def encoder_run(provenance: Provenance, alphabet: Alphabet) -> EncoderRun:
    """Return how the vectors of one alphabet were made, which `provenance` must say."""
    run = provenance.nucleotide if alphabet == "nucleotide" else provenance.protein
    if run is None:
        raise ValueError(f"provenance without {alphabet} encoder")
    return run


def with_budget(provenance: Provenance, alphabet: Alphabet, token_budget: int) -> Provenance:
    """Return `provenance` with another token budget of the encoder `alphabet`."""
    run = replace(encoder_run(provenance, alphabet), token_budget=token_budget)
    return replace(provenance, nucleotide=run) if alphabet == "nucleotide" else replace(provenance, protein=run)
