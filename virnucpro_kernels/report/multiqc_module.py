"""Module for MultiQC: the samples of any number of runs in its report.

MultiQC finds it by the entry points of this package, wherever both are installed: `virnucpro` among its modules, and
`add_search_pattern`, which tells it what to look for.
"""

import json
import logging
from html import escape
from pathlib import Path
from typing import Any

from multiqc import config
from multiqc.base_module import BaseMultiqcModule, ModuleNoSamplesFound
from multiqc.plots import bargraph, linegraph, table

from virnucpro_kernels.pool.file_names import CONTIG_TABLE, MULTIQC_TABLES, REGION_TABLE, RUN_RECORD
from virnucpro_kernels.report.palette import LIGHT
from virnucpro_kernels.report.regions import RegionSummary, summarise_regions
from virnucpro_kernels.report.tables import GROUPS, P_BINS, ContigSummary, summarise_contigs

log = logging.getLogger(__name__)

_NAME = "virnucpro"
#: Viral contigs of each sample in the table.
_TOP = 10
#: Name and colour of each group of contigs in the bar plot.
_CATEGORIES = {
    "high": ("viral, tier high", LIGHT["high"]),
    "medium": ("viral, tier medium", LIGHT["medium"]),
    "low": ("viral, tier low", LIGHT["low"]),
    "host": ("host", LIGHT["host"]),
    "too_little_evidence": ("too little evidence", LIGHT["none"]),
    "no_open_frame": ("no open frame", LIGHT["without"]),
    "too_short": ("too short", "#EDEFF2"),
    "no_codon": ("no codon", "#EDEFF2"),
    "empty": ("empty", "#EDEFF2"),
}


def add_search_pattern() -> None:
    """Have MultiQC look for the records of our samples, and leave out the tables that show the same without us."""
    config.sp[_NAME] = {"fn": RUN_RECORD, "contents": '"window_length"', "num_lines": 20}
    config.sp["custom_content"]["exclude_fn"] = list(MULTIQC_TABLES)


class MultiqcModule(BaseMultiqcModule):
    """Calls, scores and the contigs with most evidence of each sample."""

    def __init__(self) -> None:
        """Read all samples that MultiQC found, and add their figures to its report."""
        super().__init__(
            name="VirNucPro",
            anchor=_NAME,
            href="https://doi.org/10.1093/bib/bbaf224",
            info="Finds viral sequences among contigs and reads.",
            doi=["10.1093/bib/bbaf224"],
        )
        self._contigs: dict[str, ContigSummary] = {}
        self._regions: dict[str, RegionSummary] = {}
        for file in self.find_log_files(_NAME):
            self._read(file)
        kept = self.ignore_samples(self._contigs)
        self._contigs = {name: summary for name, summary in self._contigs.items() if name in kept}
        if not self._contigs:
            raise ModuleNoSamplesFound
        log.info(f"Found {len(self._contigs)} samples")
        self._add_general_statistics()
        self._add_calls()
        self._add_scores()
        self._add_top_contigs()

    def _read(self, file: Any) -> None:
        """Read the tables beside a record."""
        folder = Path(file["root"])
        record = json.loads(file["f"])
        name = self.clean_s_name(record["sample"], file)
        if name in self._contigs:  # of another run, or another setting of a sweep
            name = f"{folder.parent.name} | {name}"
        regions = summarise_regions(folder / REGION_TABLE)
        self._contigs[name] = summarise_contigs(folder / CONTIG_TABLE, _TOP, regions.host_contigs)
        self._regions[name] = regions
        self.add_data_source(file, name)
        self.add_software_version(record["software"]["version"], name)

    def _add_general_statistics(self) -> None:
        rows = {}
        for name, summary in self._contigs.items():
            groups = dict(zip(GROUPS, summary.contigs.tolist(), strict=True))
            contigs, viral = sum(groups.values()), sum(groups[tier] for tier in ("high", "medium", "low"))
            rows[name] = {
                "contigs": contigs,
                "viral": viral,
                "viral_share": 100 * viral / contigs if contigs else 0.0,
                "no_call_share": 100 * (contigs - viral - groups["host"]) / contigs if contigs else 0.0,
                "regions": self._regions[name].regions,
            }
        whole = {"format": "{:,.0f}", "min": 0}
        share = {"format": "{:,.1f}", "min": 0, "max": 100, "suffix": "%"}
        headers: dict[Any, Any] = {
            "contigs": {"title": "Contigs", "description": "Contigs or reads", "hidden": True, **whole},
            "viral": {"title": "Viral", "description": "Contigs called viral", "scale": "Oranges", **whole},
            "viral_share": {
                "title": "% viral",
                "description": "Share of the contigs called viral",
                "scale": "Oranges",
                **share,
            },
            "no_call_share": {
                "title": "% no call",
                "description": "Share of the contigs without a score or with too little evidence",
                "scale": "Greys",
                **share,
            },
            "regions": {"title": "Regions", "description": "Viral regions", "scale": "Oranges", **whole},
        }
        self.general_stats_addcols(rows, headers)
        self.write_data_file(rows, f"multiqc_{_NAME}")

    def _add_calls(self) -> None:
        rows = {
            name: dict(zip(GROUPS, summary.contigs.tolist(), strict=True)) for name, summary in self._contigs.items()
        }
        categories = {group: {"name": name, "color": colour} for group, (name, colour) in _CATEGORIES.items()}
        self.add_section(
            name="Calls",
            anchor=f"{_NAME}-calls",
            description="Contigs by call and tier, or by the reason why they have no call.",
            plot=bargraph.plot(
                rows, categories, {"id": f"{_NAME}_calls", "title": "VirNucPro: calls", "ylab": "contigs"}
            ),
        )

    def _add_scores(self) -> None:
        lines = {}
        for name, summary in self._contigs.items():
            counts = summary.scores.sum(axis=0)
            shares = (100 * counts / max(counts.sum(), 1)).tolist()
            lines[name] = {(place + 0.5) / P_BINS: share for place, share in enumerate(shares)}
        axes = {"xlab": "p_virus", "ylab": "% of the contigs with a score", "xmin": 0, "xmax": 1, "ymin": 0}
        self.add_section(
            name="Scores",
            anchor=f"{_NAME}-scores",
            description="Distribution of the probability that a contig is viral.",
            plot=linegraph.plot(lines, {"id": f"{_NAME}_scores", "title": "VirNucPro: p_virus of contigs", **axes}),
        )

    def _add_top_contigs(self) -> None:
        rows = {
            # MultiQC shows names as HTML.
            escape(f"{name}: {row['contig']}"): {
                "length": row["length"],
                "p_virus": row["p_virus"],
                "call": row["call"],
                "tier": row["tier"] if row["tier"] != "NA" else "",
                "viral_windows": row["viral_windows"],
            }
            for name, summary in self._contigs.items()
            for row in summary.top.to_pylist()
            if row["candidate"]
        }
        if not rows:
            return
        whole = {"format": "{:,.0f}", "min": 0}
        headers: dict[Any, Any] = {
            "length": {"title": "Length", "suffix": " bp", "scale": "Greys", **whole},
            "p_virus": {"title": "p_virus", "min": 0, "max": 1, "format": "{:,.4f}", "scale": "Oranges"},
            "call": {"title": "Call"},
            "tier": {"title": "Tier"},
            "viral_windows": {"title": "Viral windows", "scale": "Oranges", **whole},
        }
        options = {"id": f"{_NAME}_contigs", "title": "VirNucPro: contigs", "col1_header": "Sample: contig"}
        self.add_section(
            name="Contigs with most evidence",
            anchor=f"{_NAME}-contigs",
            description=f"The first {_TOP} contigs of each sample that are called viral or hold a viral region.",
            plot=table.plot(rows, headers, options),
        )
