"""`virnucpro calibrate`: the values that make probabilities, from the results of contigs of known origin."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from tests.helpers.collect_runs import run
from tests.helpers.defaults import thresholds
from tests.helpers.runs import virnucpro
from tests.helpers.synthetic_pool import Contig, Pool, write_pool
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.run.summary_table import Row
from virnucpro_kernels.weights.registry import Calibration, read_model, write_model

_CONTIGS = 4000


@pytest.fixture(scope="module")
def contigs() -> tuple[list[Contig], list[bool]]:
    """Contigs of 150 to 2,400 bp, whose windows have logits of 2 or 0 on average, with much noise and a drift.

    Those shorter than a window of 300 bp have one with more noise.
    """
    generator = np.random.default_rng(5)
    made, viral = [], []
    for number in range(_CONTIGS):
        viral.append(bool(generator.random() < 0.4))
        doublings = int(generator.integers(-1, 4))
        count, length = 2 ** max(doublings, 0), 300 if doublings >= 0 else 300 // 2**-doublings
        noise = generator.normal(size=count) * (1 - min(doublings, 0))
        logits = generator.normal(2.0 if viral[-1] else 0.0, 1.5) + noise
        windows = [(length * place, length * (place + 1), {0: float(logit)}) for place, logit in enumerate(logits)]
        made.append(Contig(f"c{number}", length * count, windows))
    return made, viral


@pytest.fixture(scope="module")
def pool(contigs: tuple[list[Contig], list[bool]], tmp_path_factory: pytest.TempPathFactory) -> Pool:
    folder = tmp_path_factory.mktemp("calibrate")
    labels = ["virus" if viral else "host" for viral in contigs[1]]
    truth = pd.DataFrame({"contig": [contig.name for contig in contigs[0]], "label": labels})
    truth.to_csv(folder / "truth.tsv", sep="\t", index=False)
    pool = write_pool(folder / "pool", {"s": contigs[0]})
    run(pool, "s", folder / "results")
    return pool


def test_scores_become_probabilities(contigs: tuple[list[Contig], list[bool]], pool: Pool, tmp_path: Path) -> None:
    folder, names = pool.directory.parent, ["calibrate", str(pool.model.directory)]
    done = virnucpro(*names, str(folder / "results"), "--truth", str(folder / "truth.tsv"), "--prior", "0.1")
    assert done.returncode == 0, done.stderr
    assert "for a share of 0.1" in done.stdout
    found = read_model(pool.model.directory).calibrated()
    write_model(pool.model)

    # The same by scikit-learn.
    viral = np.array(contigs[1])
    logit = np.array([np.mean([frames[0] for *_, frames in contig.windows]) for contig in contigs[0]])
    x = np.log2([contig.length / 300 for contig in contigs[0]])
    lengths = np.stack([np.ones_like(x), np.maximum(x, 0), np.maximum(-x, 0)], axis=1)
    features = np.concatenate([lengths[:, 1:], lengths * logit[:, None]], axis=1)
    expected = LogisticRegression(C=1e9, tol=1e-9, max_iter=1000, class_weight="balanced").fit(features, viral)
    values = (
        *(found.intercept_per_doubling, found.intercept_per_halving),
        *(found.slope, found.slope_per_doubling, found.slope_per_halving),
    )
    np.testing.assert_allclose(values, expected.coef_[0], rtol=1e-3, atol=1e-3)
    assert found.intercept == pytest.approx(expected.intercept_[0] + math.log(0.1 / 0.9), abs=1e-3)

    # Where a tenth of the contigs is viral, they are probabilities.
    calibrated = write_pool(tmp_path / "pool", {"s": contigs[0]}, calibration=found)
    record = run(calibrated, "s", tmp_path / "results", thresholds=thresholds(fdr=0.1))
    assert record["model"]["calibration"]["prior"] == 0.1
    assert Row.of(record, "").viral_threshold == "NA", "it decided nothing"
    table = pd.read_csv(tmp_path / "results" / "contigs.tsv", sep="\t")
    weight = np.where(viral, 0.1 / viral.mean(), 0.9 / (1 - viral.mean()))
    for low, high in ((0, 0.05), (0.05, 0.3), (0.3, 1)):
        inside = table["p_virus"].between(low, high).to_numpy()
        share = np.average(viral[inside], weights=weight[inside])
        assert share == pytest.approx(np.average(table["p_virus"][inside], weights=weight[inside]), abs=0.05)

    # The rate asked for comes true, and the share of viruses is found.
    assert record["parameters"]["viral_share"] == pytest.approx(viral.mean(), abs=0.02)
    called = (table["call"] == "viral").to_numpy()
    assert (called == (table["q_value"] <= 0.1)).all()
    assert 1 - viral[called].mean() == pytest.approx(0.1, abs=0.03)

    # Scores of a calibrated model are taken back first.
    again = ["calibrate", str(calibrated.model.directory), str(tmp_path / "results"), "--prior", "0.1"]
    assert virnucpro(*again, "--truth", str(folder / "truth.tsv")).returncode == 0
    repeated = read_model(calibrated.model.directory).calibrated()
    assert repeated.slope == pytest.approx(found.slope, abs=1e-3)
    assert repeated.intercept == pytest.approx(found.intercept, abs=1e-3)


def test_what_few_short_contigs_say_is_not_believed(contigs: tuple[list[Contig], list[bool]], tmp_path: Path) -> None:
    """Lengths below a window that nearly are one, as rounding makes them, and a few really short ones."""
    made = [replace(contig, length=contig.length + 199) for contig in contigs[0] if contig.length >= 300]
    made += [contig for contig in contigs[0] if contig.length < 300][:150]
    pool = write_pool(tmp_path / "pool", {"s": made})
    run(pool, "s", tmp_path / "results")
    viral = dict(zip((contig.name for contig in contigs[0]), contigs[1], strict=True))
    truth = pd.DataFrame([(each.name, "virus" if viral[each.name] else "host") for each in made])
    truth.to_csv(tmp_path / "truth.tsv", sep="\t", index=False, header=["contig", "label"])
    arguments = [str(pool.model.directory), str(tmp_path / "results"), "--truth", str(tmp_path / "truth.tsv")]
    done = virnucpro("calibrate", *arguments)
    assert done.returncode == 0, done.stderr
    found = read_model(pool.model.directory).calibrated()
    assert found.slope > 0
    assert (found.intercept_per_halving, found.slope_per_halving) == pytest.approx((0, 0), abs=1e-9)


def test_what_cannot_be_used_is_refused(pool: Pool, tmp_path: Path) -> None:
    folder = pool.directory.parent
    few, other = tmp_path / "few.tsv", replace(pool.model, directory=tmp_path / "other", window_length=299)
    few.write_text("contig\tlabel\nc0\tvirus\nc1\thost\n")
    results, truth = str(folder / "results"), str(folder / "truth.tsv")
    arguments = ["calibrate", str(pool.model.directory), results, "--truth"]
    done = virnucpro(*arguments, str(few))
    assert done.returncode == UsageError.exit_code
    assert "at least 100 of each" in done.stderr
    done = virnucpro(*arguments, truth, results)
    assert done.returncode == UsageError.exit_code
    assert "contig 'c0' is in other results too" in done.stderr
    other.directory.mkdir()
    for info in other.files:
        (other.directory / info.file).write_bytes(b"x")
    write_model(other)
    done = virnucpro("calibrate", str(other.directory), results, "--truth", truth)
    assert done.returncode == UsageError.exit_code
    assert "name that model" in done.stderr


def test_results_from_before_the_calibration_are_told_from_those_of_another_model(pool: Pool, tmp_path: Path) -> None:
    folder, model = pool.directory.parent, tmp_path / "model"
    shutil.copytree(pool.model.directory, model)
    command = ("calibrate", str(model), str(folder / "results"), "--truth", str(folder / "truth.tsv"))
    first = virnucpro(*command)
    assert first.returncode == 0, first.stderr
    calibrated = read_model(model)
    again = virnucpro(*command)
    assert again.returncode == UsageError.exit_code
    assert f"computed with {calibrated.name} before its present calibration (then {pool.model.model_id}" in again.stderr
    assert "run `virnucpro predict` with this model again" in again.stderr
    assert read_model(model) == calibrated
    # Encoders of the same name with other weights make another model.
    write_model(replace(calibrated, protein=replace(calibrated.protein, sha256="1" * 64)))
    other = virnucpro(*command)
    assert other.returncode == UsageError.exit_code
    assert "name that model" in other.stderr


def test_calibration_is_measured_at_the_share_that_it_is_for(
    contigs: tuple[list[Contig], list[bool]], pool: Pool, tmp_path: Path
) -> None:
    folder = pool.directory.parent
    errors = {}
    for share in (0.1, 0.4):
        made = Calibration(share, -0.62 + math.log(share / (1 - share)), 0.0, 0.0, 0.62, 0.0, 0.0, "made up")
        calibrated = write_pool(tmp_path / f"{share}" / "pool", {"s": contigs[0]}, calibration=made)
        run(calibrated, "s", tmp_path / f"{share}" / "results")
        for asked in ("", "0.4"):
            options = ["--share", asked] if asked else []
            words = ["evaluate", str(tmp_path / f"{share}" / "results"), "--truth", str(folder / "truth.tsv")]
            output = tmp_path / f"{share}-{asked}"
            done = virnucpro(*words, "--bootstraps", "0", "-o", str(output), *options)
            assert done.returncode == 0, done.stderr
            table = pd.read_csv(output / "evaluation.tsv", sep="\t")
            rows = table[(table["measure"] == "expected_calibration_error") & (table["level"] == "contigs")]
            errors[share, asked] = float(rows["value"].iloc[0])
    assert errors[0.1, ""] < 0.05 > errors[0.4, ""]
    assert errors[0.4, ""] == errors[0.4, "0.4"]
    assert errors[0.1, "0.4"] > 0.15
