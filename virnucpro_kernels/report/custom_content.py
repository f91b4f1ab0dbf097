"""Tables that any MultiQC shows as sections of its own, for those who have the files of a run and not this package.

[Format](https://docs.seqera.io/multiqc/custom_content): comments of YAML, then a table. The module for MultiQC of this
package leaves them out, because it shows the same.
"""

from collections.abc import Sequence
from pathlib import Path

from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.file_names import MULTIQC_TABLES
from virnucpro_kernels.report.tables import GROUPS, P_BINS, ContigSummary

_HEAD = """# id: {id}
# section_name: "VirNucPro: {name}"
# description: "{description}"
# plot_type: {plot}
# pconfig:
#   id: {id}_plot
#   title: "VirNucPro: {name}"
"""


def write_custom_content(folder: Path, names: Sequence[str], summaries: Sequence[ContigSummary]) -> None:
    """Write the tables of calls and of scores of the samples into a folder."""
    calls_table, scores_table = (folder / name for name in MULTIQC_TABLES)
    calls = [[name, *summary.contigs.tolist()] for name, summary in zip(names, summaries, strict=True)]
    head = {"name": "calls", "description": "Contigs by call and tier, or by the reason why they have no call."}
    _write(calls_table, ["Sample", *(group.replace("_", " ") for group in GROUPS)], calls, "bargraph", head)
    scores = []
    for name, summary in zip(names, summaries, strict=True):
        counts = summary.scores.sum(axis=0)
        scores.append([name, *(f"{100 * count / max(counts.sum(), 1):.3f}" for count in counts)])
    bins = [f"{(place + 0.5) / P_BINS:g}" for place in range(P_BINS)]
    head = {"name": "p_virus of contigs", "description": "Percent of the scored contigs of each sample by p_virus."}
    _write(scores_table, ["Sample", *bins], scores, "linegraph", head)


def _write(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], plot: str, head: dict[str, str]
) -> None:
    text = _HEAD.format(id=path.name.partition("_mqc")[0], plot=plot, **head)
    lines = ["\t".join(map(str, row)) for row in (header, *rows)]
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n".join(lines) + "\n", encoding="utf-8")
