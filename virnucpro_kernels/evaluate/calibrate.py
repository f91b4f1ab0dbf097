"""Calibration of a model: the values that make probabilities of its logits, fitted on contigs of known origin."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.evaluate.truth import Truth, read_truth
from virnucpro_kernels.files import check_writable
from virnucpro_kernels.pool.file_names import CONTIG_TABLE, RUN_RECORD
from virnucpro_kernels.pool.job_record import checked_result, read_job
from virnucpro_kernels.report.tables import read_table
from virnucpro_kernels.score.logistic import DECIMALS, log_odds_of, logistic
from virnucpro_kernels.score.rule import doublings_and_halvings, intercept_and_slope
from virnucpro_kernels.sequences.arrays import Bools, Float64s
from virnucpro_kernels.tools.result_rows import result_folders
from virnucpro_kernels.weights.registry import BUILTIN_DIRECTORY, Calibration, Model, calibrate_a_copy

#: Least number of scored contigs of each class.
LEAST = 100
#: Doublings or halvings from one window on which a contig says how the log-odds change with length.
_FAR = 0.25
_TYPES = {"contig": pa.string(), "length": pa.int64(), "covered_fraction": pa.float64(), "p_virus": pa.float64()}
_STEPS, _SETTLED = 100, 1e-10


@dataclass(frozen=True, eq=False)
class Scored:
    """n scored contigs of known origin.

    Attributes:
        logit: Mean logit of the scored windows, float64 (n,).
        windows: Number of scored bases in window lengths, float64 (n,).
        is_virus: Whether each is viral, bool (n,).
    """

    logit: Float64s
    windows: Float64s
    is_virus: Bools


def check_prior(prior: float) -> None:
    """Refuse a share of viral sequences, `prior`, at which there are no log-odds.

    Raises:
        UsageError: it is not between 0 and 1.
    """
    if not 0 < prior < 1:
        raise UsageError(f"--prior {prior:g}: give a share between 0 and 1")


def check_may_calibrate(model: Model, named: str) -> None:
    """Make sure that a calibration may be written into the directory of a model.

    Args:
        model: Model to calibrate.
        named: How the user named it: the folder of a built-in model is changed where its path was given.

    Raises:
        UsageError: the name is that of a built-in model, or the directory cannot be written.
    """
    if "/" not in named and model.directory.parent == BUILTIN_DIRECTORY:
        problem = f"{model.name} is part of the installed package, which stays as it is"
    else:
        try:
            check_writable(model.directory)
            return
        except OSError as error:
            problem = f"{model.directory} cannot be written ({error.strerror}), where the calibration is to stand"
    raise UsageError(f"{problem}; copy the model and calibrate the copy: {calibrate_a_copy(model)} …")


def calibrate(model: Model, given: Sequence[Path], truth_path: Path, prior: float, origin: str) -> Calibration:
    """Return the calibration of a model, fitted on its results.

    Scores of an earlier calibration are taken back to logits first. A contig whose `p_virus` is 0 or 1 in the table
    counts with a value half a place of the table away.

    Args:
        model: Model that made the results.
        given: Folders of runs or of the results of samples.
        truth_path: Table of the truth, as `virnucpro evaluate` takes it; controls do not count.
        prior: Share of viral sequences at which the probabilities are to be right.
        origin: Where the contigs come from, in words that follow their number.

    Raises:
        UsageError: the truth or the results cannot be used, are of another model, have a contig twice, or are too few.
        DamagedFileError: a table is damaged.
    """
    truth = read_truth(truth_path)
    seen = np.zeros(len(truth), np.bool_)
    parts = [_read(folder, truth, model, seen) for path in given for folder in result_folders(path).values()]
    scored = Scored(*(np.concatenate([getattr(part, name) for part in parts]) for name in Scored.__dataclass_fields__))
    viral, hosts = int(scored.is_virus.sum()), int((~scored.is_virus).sum())
    if min(viral, hosts) < LEAST:
        raise UsageError(
            f"{viral:,} viral contigs and {hosts:,} of hosts have a score; a calibration needs at least {LEAST} of"
            " each: give results of more contigs, or draw more --pieces"
        )
    values = fit(scored)
    what = f"{viral:,} viral contigs and {hosts:,} of hosts {origin}"
    return replace(values, prior=prior, intercept=values.intercept + log_odds_of(prior), source=what)


def _read(folder: Path, truth: Truth, model: Model, seen: Bools) -> Scored:
    """Return the scored contigs of a sample whose origin is known; mark them in `seen`, contigs of the truth, (n,)."""
    _check_model(folder, model)
    table = pa.concat_tables(read_table(checked_result(folder / CONTIG_TABLE), _TYPES)).to_pandas()
    place = truth.contigs.get_indexer(table["contig"])
    p_virus = table["p_virus"].to_numpy(np.float64)
    known = (place >= 0) & ~np.isnan(p_virus)
    known[known] = (truth.is_virus | truth.is_host)[place[known]]
    if (again := seen[place[known]]).any():
        name = truth.contigs[place[known][again][0]]
        raise UsageError(
            f"{folder}: contig {name!r} is in other results too; a contig counts once, so name the results of one"
            " setting or label"
        )
    seen[place[known]] = True
    least = 0.5 * 10.0**-DECIMALS
    p_virus = np.clip(p_virus[known], least, 1 - least)
    bases = (table["covered_fraction"] * table["length"]).to_numpy(np.float64)[known]
    windows = bases / model.window_length
    logit = np.log(p_virus) - np.log1p(-p_virus)
    is_virus = truth.is_virus[place[known]]
    if before := model.calibration:
        intercept, slope = intercept_and_slope(before, windows)
        usable = slope > 0  # the others are so short that their scores say nothing of their logits
        logit, windows, is_virus, intercept, slope = (
            values[usable] for values in (logit, windows, is_virus, intercept, slope)
        )
        logit = (logit - intercept) / slope
    return Scored(logit, windows, is_virus)


def _check_model(folder: Path, model: Model) -> None:
    """Refuse the results of a sample that `model`, with its present calibration, did not make."""
    found = (read_job(folder / RUN_RECORD) or {}).get("model", {})
    made_by = found.get("id")
    if made_by == model.model_id:
        return
    wanted = {"name": model.name, "window_length": model.window_length}
    files = {name: getattr(model, name).sha256 for name in ("nucleotide", "tokenizer", "protein", "classifier")}
    same = all(found.get(key) == value for key, value in wanted.items())
    if same and all(found.get(name, {}).get("sha256") == sha256 for name, sha256 in files.items()):
        raise UsageError(
            f"{folder}: the results were computed with {model.name} before its present calibration (then {made_by}, now"
            f" {model.model_id}); run `virnucpro predict` with this model again, and then this command"
        )
    raise UsageError(f"{folder}: the results are of model {made_by}, not of {model.model_id}; name that model")


def fit(scored: Scored) -> Calibration:
    """Return the calibration at equal shares of both classes.

    Its values are those of a logistic regression, by Newton's method, in which both classes weigh the same.
    """
    y, sides = scored.is_virus, doublings_and_halvings(scored.windows)
    # Few contigs, or such of nearly one window, say nothing of how the log-odds change on their side.
    known = [min((y[side > _FAR]).sum(), (~y[side > _FAR]).sum()) >= LEAST for side in sides]
    lengths = np.stack([np.ones(len(y)), *(np.where(k, side, 0.0) for k, side in zip(known, sides, strict=True))], 1)
    features = np.concatenate([lengths, lengths * scored.logit[:, None]], axis=1)
    weight = np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    values: Float64s = np.zeros(features.shape[1])
    for _ in range(_STEPS):
        p = logistic(features @ values)
        gradient = features.T @ (weight * (y - p))
        curvature = (features * (weight * p * (1 - p))[:, None]).T @ features
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]  # what is not known stays 0
        values = values + step
        if np.abs(step).max() < _SETTLED:
            a, a_per_doubling, a_per_halving, b, b_per_doubling, b_per_halving = values.tolist()
            return Calibration(0.5, a, a_per_doubling, a_per_halving, b, b_per_doubling, b_per_halving, source="")
    raise UsageError(
        "no calibration was found: the logistic regression does not settle, as where a threshold separates all viral"
        " contigs from those of hosts; give more contigs, and such as are harder to tell apart"
    )
