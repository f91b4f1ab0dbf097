"""The original tool's embedding files: `..._DNABERT_S.pt`, `..._ESM.pt` and `..._merged.pt`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.weights.checkpoints.safe_pickle import read_checkpoint

VectorType = Literal["nucleotide", "protein", "features"]

# The key of the IDs says which of the three files it is.
_TYPES: dict[str, VectorType] = {"nucleotide": "nucleotide", "proteins": "protein", "ids": "features"}


@dataclass(frozen=True, eq=False)
class OriginalEmbeddings:
    """The content of one file.

    Attributes:
        vector_type: Type of the vectors.
        ids: IDs of the frames (n), as in `contig_chunk_1F1`.
        vectors: Vectors in the order of `ids`, float32 (n, d).
    """

    vector_type: VectorType
    ids: list[str]
    vectors: npt.NDArray[np.float32]


def read_original_embeddings(path: Path) -> OriginalEmbeddings:
    """Read one of the original's files.

    Raises:
        UsageError: there is no such file.
        DamagedFileError: it is none of these files, damaged, or unsafe; or IDs and vectors do not match in number, as
            in a merged file with a frame that only one of the two encoders had.
    """
    content = read_checkpoint(path)
    keys = [key for key in _TYPES if isinstance(content, dict) and key in content and "data" in content]
    if len(keys) != 1:
        raise DamagedFileError(f"{path} is not an embedding file of the original tool; get the file again")
    vector_type, ids = _TYPES[keys[0]], content[keys[0]]
    try:
        vectors = _vectors(vector_type, ids, content["data"])
    except (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise DamagedFileError(
            f"{path} is damaged, or not an embedding file of the original tool ({error}); get the file again"
        ) from error
    if not np.isfinite(vectors).all():
        raise DamagedFileError(
            f"{path}: the vector of {ids[int(np.argmin(np.isfinite(vectors).all(axis=1)))]} is not finite; get the"
            " file again"
        )
    return OriginalEmbeddings(vector_type, list(ids), vectors)


def _vectors(vector_type: VectorType, ids: Any, data: Any) -> npt.NDArray[np.float32]:
    if not all(isinstance(name, str) for name in ids):
        raise TypeError("an ID is no text")
    if vector_type == "nucleotide":
        if [item["label"] for item in data] != list(ids):
            raise ValueError("IDs and vectors differ in order")
        vectors = np.array([item["mean_representation"] for item in data], np.float32)
    elif vector_type == "protein":
        vectors = torch.stack(list(data)).to(torch.float32).numpy() if len(data) else np.empty((0, 0), np.float32)
    else:
        vectors = torch.as_tensor(data).to(torch.float32).numpy()
    if vectors.ndim != 2 or len(vectors) != len(ids):
        raise ValueError(f"{len(ids)} IDs for vectors of shape {vectors.shape}")
    return vectors
