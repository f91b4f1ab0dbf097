"""Words for a paper: what was done to the samples of a run, with versions, figures and citations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.pool.job_record import counted, length_in_words
from virnucpro_kernels.report.samples import SampleResults
from virnucpro_kernels.report.words import joined, percent
from virnucpro_kernels.score.thresholds import ASSUMED_BY_FDR

#: Works to cite, by the number that the text gives them.
CITATIONS = (
    ("Li J. et al. VirNucPro. Briefings in Bioinformatics 26 (2025), bbaf224.", "https://doi.org/10.1093/bib/bbaf224"),
    ("Zhou Z. et al. DNABERT-S: species-aware DNA embeddings. arXiv 2402.08777.", "https://arxiv.org/abs/2402.08777"),
    (
        "Lin Z. et al. Evolutionary-scale prediction of atomic-level protein structure with a language model."
        " Science 379 (2023), 1123-1130.",
        "https://doi.org/10.1126/science.ade2574",
    ),
    (
        "Mölder F. et al. Sustainable data analysis with Snakemake. F1000Research 10 (2021), 33.",
        "https://doi.org/10.12688/f1000research.29032.2",
    ),
)

_ARCHITECTURES = {"dnabert": "DNABERT-S [2]", "esm2": "ESM-2 [3]"}
_LAYOUTS = {
    "original": "overlapping as in the original tool",
    "even": "at equal distances",
    "segments": "at equal distances",
}
_WINDOW_LOGITS = {
    "original": "the mean of the highest and the lowest logit of its frames",
    "segments": "the sum of the logits of its frames",
}


@dataclass(frozen=True)
class Method:
    """Samples that were treated alike, and the words about it.

    Attributes:
        samples: Names of the samples.
        paragraphs: Text for a paper.
    """

    samples: tuple[str, ...]
    paragraphs: tuple[str, ...]


def describe_methods(samples: Sequence[SampleResults]) -> list[Method]:
    """Return the words about a run: once, or for each group of samples that were treated alike."""
    alike: dict[str, list[SampleResults]] = {}
    for sample in samples:
        record = sample.record
        parameters = {key: value for key, value in record["parameters"].items() if key != "scores"}
        key = repr((record["model"]["id"], _precision(record), parameters, record["software"]["version"]))
        alike.setdefault(key, []).append(sample)
    return [Method(tuple(sample.name for sample in group), _paragraphs(group)) for group in alike.values()]


def _paragraphs(samples: Sequence[SampleResults]) -> tuple[str, ...]:
    record = samples[0].record
    model, software, parameters = record["model"], record["software"], record["parameters"]
    length = model["window_length"]
    geometry = Geometry.parse(parameters["geometry"]) if parameters["geometry"] else None
    placed = f", {_LAYOUTS[geometry.layout]}" if geometry else ""
    thresholds = parameters["thresholds"]
    counts = [sample.counts for sample in samples]
    contigs, total = (sum(count[what] for count in counts) for what in ("contigs", "bases"))
    viral, host = (sum(count["call"][call] for count in counts) for call in ("viral", "host"))
    uncalled = contigs - viral - host
    commit = f", commit {software['commit'][:12]}" if software["commit"] else ""
    precision = _precision(record)
    snakemake = software["packages"].get("snakemake")
    return (
        f"Viral sequences were identified by the method of VirNucPro [1] with the implementation virnucpro"
        f" {software['version']}{commit} and the model {model['name']}. {counted(contigs, 'contig')}"
        f" ({length_in_words(total)}) of {counted(len(samples), 'sample')} were cut into windows of"
        f" {length} bp{placed}, and each window was translated in six"
        f" reading frames. {_frames(geometry)} were represented by the mean over the"
        f" tokens of {_encoder(model['nucleotide'])} for their nucleotides and of {_encoder(model['protein'])} for"
        f" their residues{', computed in ' + precision if precision else ''}; a multilayer perceptron gave each frame a"
        f" logit, virus against other.",
        f"The logit of a window is {_WINDOW_LOGITS.get(model['layout'], _WINDOW_LOGITS['original'])}. The logit of a"
        f" contig is the mean over its scored windows, weighted with their lengths, and p_virus is"
        f" {_probability(model.get('calibration'))}. {_evidence(record)} were called viral {_cut_off(thresholds)}."
        f" So {counted(viral, 'contig')} ({percent(viral, contigs)}) were called viral, {host:,}"
        f" ({percent(host, contigs)}) host, and {uncalled:,} ({percent(uncalled, contigs)}) had no call, for want of a"
        f" reading frame without a stop codon or of evidence.",
        f"Viral regions inside contigs are on the most likely path of a hidden Markov model with two states, virus and"
        f" host (Viterbi), in which the log-odds of a window, counted from those of a p_virus of"
        f" {thresholds['region_threshold']:g} at equal shares of both, are the log-likelihood ratio of the states.",
        *([f"The workflow ran under Snakemake {snakemake} [4]."] if snakemake else []),
        *([f"{model['notice']} (model {model['name']})"] if model.get("notice") else []),
    )


def _frames(geometry: Geometry | None) -> str:
    """Return what became vectors, at the begin of a sentence."""
    if geometry is None or geometry.layout != "segments":
        return "Frames without a stop codon"
    return (
        f"The longest part without a stop codon of each frame, of at least {geometry.min_segment} residues, the three"
        f" longest of a window at most,"
    )


def _probability(calibration: Mapping[str, Any] | None) -> str:
    """Return what p_virus is, after the words "p_virus is"."""
    if calibration is None:
        return "its sigmoid, a score that ranks contigs and is no calibrated probability"
    return (
        f"the probability of virus that follows from it and the number of scored bases by logistic regression on"
        f" {calibration['source']}, for samples of which {percent(calibration['prior'], 1)} are viral"
    )


def _cut_off(thresholds: Mapping[str, Any]) -> str:
    """Return which contigs were called viral, after the words "were called viral"."""
    if thresholds.get("fdr") is None:
        return f"from p_virus {thresholds['viral_threshold']:g} on"
    return (
        f"as long as the expected false discovery rate stayed at or below {thresholds['fdr']:g}, with the share of"
        f" viral contigs estimated from each sample's scores by expectation maximisation, which assumes that"
        f" {ASSUMED_BY_FDR}"
    )


def _evidence(record: Mapping[str, Any]) -> str:
    """Return which contigs could have a call."""
    thresholds = record["parameters"]["thresholds"]
    needed = [f"at least {thresholds['min_window_fraction'] * record['model']['window_length']:g} scored bases"]
    if thresholds["min_scored_windows"] > 1:
        needed.append(f"{thresholds['min_scored_windows']} scored windows (or all, where there are fewer)")
    if thresholds["min_covered_fraction"]:
        needed.append(f"{100 * thresholds['min_covered_fraction']:g} % of their bases in scored windows")
    return f"Contigs with {joined(needed)}"


def _encoder(encoder: Mapping[str, Any]) -> str:
    architecture = _ARCHITECTURES.get(encoder["architecture"], encoder["architecture"])
    return f"{encoder['name']} ({architecture}, {encoder['layers']} layers of {encoder['hidden']} units)"


def _precision(record: Mapping[str, Any]) -> str:
    precision: str = record["parameters"]["scores"].get("protein_precision", "")
    return precision
