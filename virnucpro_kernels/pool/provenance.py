"""From what and by what the vectors of an embedding file were made; kept as attributes of the file."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

from virnucpro_kernels import __version__
from virnucpro_kernels.pool.geometry import Geometry

#: Word in place of the checksum of weights that are not on record: those of embeddings that the original tool made.
UNRECORDED = "unrecorded"


@dataclass(frozen=True)
class EncoderRecord:
    """Record of how the vectors of one encoder were made.

    Attributes:
        encoder: Name of the encoder in the model registry.
        sha256: Checksum of its weights.
        dimension: Number of values of a vector.
        precision: `fp32`, `fp16`, `bf16`, `fp8-ff`, `fp8` (perhaps with layers that stayed fp16, `fp8+0,35`),
            `reference`, or `original` for vectors that the original tool made.
        attention: Attention backend that ran.
        token_budget: Number of tokens of a batch; where memory ran out on the way, the last and smallest number. 0 if
            unknown.
        tokenizer_sha256: Checksum of the tokenizer file; empty for an encoder whose tokens are single letters.
        bias_correction: How the biases of products in fp8 were corrected; None where none is fp8, and in files of
            versions that did not do so.
    """

    encoder: str
    sha256: str
    dimension: int
    precision: str
    attention: str
    token_budget: int
    tokenizer_sha256: str = ""
    bias_correction: str | None = None

    def attributes(self) -> dict[str, str | int]:
        """Return the fields; without `bias_correction` where there is none."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}


@dataclass(frozen=True)
class Provenance:
    """Origin of the vectors of a file: from what and by what they were made.

    Attributes:
        pool: Name of the pool.
        chunk: Name of the chunk.
        geometry: Window length and layout, as in `500-original`.
        encoders: Name of both encoders and the precision, as it stands in the path of a run (`Model.encoders_id`).
        nucleotide_fasta_sha256: Checksum of the chunk's nucleotide FASTA.
        protein_fasta_sha256: Checksum of the chunk's protein FASTA.
        nucleotide: Record of the nucleotide encoder, which made the first values of each vector, if it made any.
        protein: Record of the protein encoder, which made the values after these, if it made any.
        package_version: Version of this package.
    """

    pool: str
    chunk: str
    geometry: str
    encoders: str
    nucleotide_fasta_sha256: str
    protein_fasta_sha256: str
    nucleotide: EncoderRecord | None = None
    protein: EncoderRecord | None = None
    package_version: str = __version__

    @property
    def window_length(self) -> int:
        """Length of the windows that the frames come from, in bases."""
        return Geometry.parse(self.geometry).window_length

    @property
    def dimension(self) -> int:
        """Number of values of a vector, those of both encoders together."""
        return sum(record.dimension for record in (self.nucleotide, self.protein) if record is not None)

    def attributes(self) -> dict[str, str | int]:
        """Return all fields in one dictionary; those of an encoder are prefixed with `nucleotide_` or `protein_`."""
        flat: dict[str, str | int] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, EncoderRecord):
                flat |= {f"{field.name}_{name}": part for name, part in value.attributes().items()}
            elif value is not None:
                flat[field.name] = value
        return flat

    @classmethod
    def from_attributes(cls, flat: dict[str, str | int]) -> Self:
        """Return the provenance that `attributes` put into a dictionary.

        Raises:
            KeyError: an attribute is missing.
        """
        values: dict[str, Any] = {}
        for field in fields(cls):
            if field.name not in ("nucleotide", "protein"):
                values[field.name] = flat[field.name]
            elif f"{field.name}_encoder" in flat:
                record: dict[str, Any] = {
                    part.name: flat[name]
                    for part in fields(EncoderRecord)
                    if (name := f"{field.name}_{part.name}") in flat or part.default is not None
                }
                values[field.name] = EncoderRecord(**record)
        return cls(**values)


#: Alphabet of the sequences that an encoder reads.
Alphabet = Literal["nucleotide", "protein"]


def encoder_record(provenance: Provenance, alphabet: Alphabet) -> EncoderRecord:
    """Return how the vectors of one alphabet were made.

    Raises:
        ValueError: `provenance` does not say it.
    """
    record: EncoderRecord | None = getattr(provenance, alphabet)
    if record is None:
        raise ValueError(f"provenance without {alphabet} encoder")
    return record


def with_budget(provenance: Provenance, alphabet: Alphabet, token_budget: int) -> Provenance:
    """Return `provenance` with another token budget of the encoder of `alphabet`."""
    changed: dict[str, Any] = {alphabet: replace(encoder_record(provenance, alphabet), token_budget=token_budget)}
    return replace(provenance, **changed)
