"""Results of several samples, with odd names among them, for reports."""

from pathlib import Path

from tests.helpers.collect_runs import ODD, plain, run
from tests.helpers.synthetic_pool import Contig, write_pool

#: A name and a description that would do something if a page took them for HTML.
HOSTILE = Contig(
    "<img/src=x/onerror=hacked=1>", 600, [(0, 300, {0: 3.0}), (300, 600, {1: 4.0, 4: 1.0})], "</script><b>bold</b>"
)
#: A host's contig with a virus from base 1,501 to 3,000.
PROPHAGE = Contig(
    "prophage", 4800, [(300 * k, 300 * k + 300, {k % 6: 6.0 if 5 <= k < 10 else -6.0}) for k in range(16)]
)
SAMPLES = {"first": [*plain(23), HOSTILE], "odd": ODD, "empty": [], "last": [*plain(9), PROPHAGE]}


def write_results(directory: Path) -> Path:
    """Write the results of four samples; return their folder."""
    pool = write_pool(directory / "pool", SAMPLES)
    for sample in SAMPLES:
        run(pool, sample, directory / "results" / sample)
    return directory / "results"
