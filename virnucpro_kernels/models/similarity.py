"""How near the vectors of one precision are to those of another: plain and centred cosines. Imports no torch."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Cosines(NamedTuple):
    """Cosines of pairs of vectors of the same sequences.

    Attributes:
        worst, mean: Smallest and mean cosine.
        centred_worst, centred_mean: The same after the mean of all exact vectors is taken from both. Most of a vector
            is common to all sequences, so the plain cosine says little about what tells them apart.
    """

    worst: float
    mean: float
    centred_worst: float
    centred_mean: float


def cosines(found: npt.NDArray[Any], exact: npt.NDArray[Any]) -> Cosines:
    """Return the cosines of `found` with `exact`, both (n, d), in fp64: in fp32 they are uncertain by 1e-7."""
    found, exact = found.astype(np.float64), exact.astype(np.float64)
    common = exact.mean(axis=0)
    plain, centred = _each(found, exact), _each(found - common, exact - common)
    return Cosines(float(plain.min()), float(plain.mean()), float(centred.min()), float(centred.mean()))


def _each(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = (left * right).sum(axis=1)
    alike = (left == right).all(axis=1)  # for vectors that are zero
    each: npt.NDArray[np.float64] = np.where(norms > 0, products / np.where(norms > 0, norms, 1), alike)
    return each
