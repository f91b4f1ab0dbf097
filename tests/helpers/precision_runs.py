"""From a chunk's frames to scores, in any precision by any attention backend."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tests.helpers.stages import run, score_chunk
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, Vectors, verify

log = logging.getLogger(__name__)

DEMO = Path(__file__).parents[2] / ".test" / "data" / "demo.fna.gz"
#: Largest and mean difference of p_virus from that of the reference. In the 128 channels of the built-in model
#: errors average out less than in the 2,560 of ESM-2 3B, which shows in fp8.
BOUNDS = {"fp32": (1e-5, 2e-6), "fp16": (5e-3, 1e-3), "bf16": (0.05, 0.02), "fp8-ff": (0.1, 0.02), "fp8": (0.2, 0.05)}
#: Smallest share of the frames that have the reference's label.
AGREEMENT = {"fp32": 1, "fp16": 0.99, "bf16": 0.97, "fp8-ff": 0.97, "fp8": 0.95}

Scores = npt.NDArray[np.float32]


class PrecisionRuns:
    """Runs of the bundled sequences with the built-in model."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder, self._device = folder, device
        run("split", f"demo={DEMO}", "--window-length", 500, "--output-dir", folder)

    def scores(self, precision: str, attention: str) -> tuple[Scores, str]:
        """Return p_virus of each frame, and the attention backends on record (nucleotide,protein)."""
        of_run = self._folder / f"{precision}-{attention}"
        score_chunk(
            *(self._folder / "chunks.tsv", "00000", "builtin-500"),
            *("--device", self._device, "--precision", precision, "--attention", attention),
            vectors=of_run,
            scores=of_run / "scores.parquet",
        )
        made_by = verify(of_run / "00000.features.h5")
        assert made_by.nucleotide is not None
        assert made_by.protein is not None
        found = pq.read_table(of_run / "scores.parquet")["p_virus"].to_numpy()
        return found, f"{made_by.nucleotide.attention},{made_by.protein.attention}"

    def vectors(self, precision: str, attention: str) -> dict[str, Vectors]:
        """Return the vectors of both encoders, which `scores` has made."""
        found = {}
        for alphabet in ("nucleotide", "protein"):
            with EmbeddingReader(self._folder / f"{precision}-{attention}" / f"00000.{alphabet}.h5") as reader:
                found[alphabet] = reader.read(0, len(reader))
        return found


def check_scores(precision: str, found: Scores, exact: Scores) -> None:
    """Check that scores are near the reference's, and labels the same unless the reference itself is undecided."""
    assert len(found) > 300
    difference = np.abs(found - exact)
    log.info("%s: p_virus differs by %.2e at most, %.2e in the mean", precision, difference.max(), difference.mean())
    most, mean = BOUNDS[precision]
    assert difference.max() < most
    assert difference.mean() < mean
    same = (found > 0.5) == (exact > 0.5)
    log.info("%s: %d of %d frames have another label", precision, np.sum(~same), len(same))
    assert same[np.abs(exact - 0.5) > most].all()
    assert same.mean() >= AGREEMENT[precision]
