"""`virnucpro evaluate`, through the command line: figures that are known, what is refused, what is said."""

import csv
import gzip
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from tests.helpers.collect_runs import run as collect_sample
from tests.helpers.synthetic_pool import Contig, write_pool
from virnucpro_kernels.cli.main import main
from virnucpro_kernels.files import sha256
from virnucpro_kernels.pool.job_record import read_record, write_record


@dataclass
class Ended:
    code: int
    text: str
    folder: Path

    @property
    def table(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "evaluation.tsv", sep="\t", keep_default_na=False, na_values=["NA"])

    def row(self, measure: str, subset: str = "all", **wanted: str) -> Any:
        """The one row of a measure; of contigs with those without a call as host, unless `wanted` says otherwise."""
        table, wanted = self.table, {"level": "contigs", "without_call": "host"} | wanted
        rows = table[(table["measure"] == measure) & (table["subset"] == subset)]
        for column, value in wanted.items():
            rows = rows[rows[column] == value]
        assert len(rows) == 1, (measure, subset, wanted, rows)
        return rows.iloc[0]


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    def evaluate(*arguments: object, folder: str = "evaluation") -> Ended:
        words = ["virnucpro", "evaluate", *map(str, arguments), "--output-dir", str(tmp_path / folder)]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as exit_of_main:
            main()
        captured = capsys.readouterr()
        return Ended(int(exit_of_main.value.code or 0), captured.out + captured.err, tmp_path / folder)

    return evaluate


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


@pytest.fixture
def small_truth(tmp_path: Path) -> Path:
    rows = [*((f"v{number}", "virus") for number in range(1, 5)), *((f"h{number}", "host") for number in range(1, 5))]
    return write(tmp_path / "small.tsv", ["contig", "label"], rows)


SMALL = {"v1": 0.9, "v2": 0.8, "v3": 0.3, "h1": 0.85, "h2": 0.5, "h3": 0.2, "h4": 0.1}


def test_figures_of_a_small_table_are_those_computed_by_hand(tmp_path: Path, small_truth: Path, run: Run) -> None:
    ended = run(write(tmp_path / "scores.tsv", ["contig", "score"], SMALL.items()), "--truth", small_truth)
    assert ended.code == 0, ended.text
    as_host = {
        "auroc": 9 / 16,
        "average_precision": (1 + 2 / 3 + 3 / 5 + 4 / 8) / 4,
        "recall_at_1_percent_fpr": 1 / 4,
        "recall_at_5_percent_fpr": 1 / 4,
        "recall": 2 / 4,
        "false_positive_rate": 2 / 4,
        "precision": 2 / 4,
        "f1": 2 / 4,
        "mcc": 0.0,
    }
    for measure, value in as_host.items():
        assert ended.row(measure).value == pytest.approx(value, abs=1e-6), measure
    assert ended.row("auroc").n == 8
    left_out = {"auroc": 9 / 12, "recall": 2 / 3, "precision": 1 / 2}
    for measure, value in left_out.items():
        assert ended.row(measure, without_call="left_out").value == pytest.approx(value, abs=1e-6), measure
    assert ended.row("auroc", without_call="left_out").n == 7
    error = (0.1 + 0.65 + 0.5 + 0.7 + 0.2 + 0.1) / 7  # |sum of p - viral| of the bins from 0.9, 0.8, 0.5, 0.3, ...
    assert ended.row("expected_calibration_error", without_call="left_out").value == pytest.approx(error, abs=1e-6)
    realised = {0.1: (0, 1), 0.2: (1 / 3, 3), 0.05: (np.nan, 0)}
    for nominal, (value, chosen) in realised.items():
        row = ended.row("realised_fdr", f"fdr:{nominal:g}", without_call="left_out")
        assert row.value == pytest.approx(value, abs=1e-6, nan_ok=True), nominal
        assert row.n == chosen
    assert "scores: not in the results, so without a call: 1 contig of the truth" in ended.text
    assert "no column group" in ended.text


def test_measures_are_those_of_scikit_learn_in_every_draw(tmp_path: Path, run: Run) -> None:
    chance, n = np.random.default_rng(1), 400
    viral = chance.random(n) < 0.4
    score = np.round(chance.normal(size=n) + viral, 1)  # with ties
    truth = [(f"c{i}", "virus" if v else "host") for i, v in enumerate(viral)]
    scores = [(f"c{i}", value) for i, value in enumerate(score)]
    ended = run(
        *(write(tmp_path / "other.tsv", ["name", "logit"], scores), "--contig-column", "name"),
        *("--score-column", "logit", "--threshold", 0.7, "--bootstraps", 300),
        *("--truth", write(tmp_path / "truth.tsv", ["contig", "label"], truth)),
    )
    assert ended.code == 0, ended.text
    called = score >= 0.7
    false, true, _ = metrics.roc_curve(viral, score, drop_intermediate=False)
    expected = {
        "auroc": metrics.roc_auc_score(viral, score),
        "average_precision": metrics.average_precision_score(viral, score),
        "recall_at_1_percent_fpr": true[false <= 0.01].max(),
        "recall_at_5_percent_fpr": true[false <= 0.05].max(),
        "recall": metrics.recall_score(viral, called),
        "false_positive_rate": 1 - metrics.recall_score(~viral, ~called),
        "precision": metrics.precision_score(viral, called),
        "f1": metrics.f1_score(viral, called),
        "mcc": metrics.matthews_corrcoef(viral, called),
    }
    for measure, value in expected.items():
        row = ended.row(measure)
        assert row.value == pytest.approx(value, abs=2e-6), measure
        assert row.low < row.value < row.high, measure
    # The interval is that of a plain bootstrap within each class, within what chance leaves of both.
    places = [np.flatnonzero(viral), np.flatnonzero(~viral)]
    drawn = [np.concatenate([chance.choice(of, len(of)) for of in places]) for _ in range(300)]
    areas = [metrics.roc_auc_score(viral[i], score[i]) for i in drawn]
    low, high = np.quantile(areas, [0.025, 0.975])
    assert (ended.row("auroc").low, ended.row("auroc").high) == pytest.approx((low, high), abs=0.015)
    assert "the scores are no probabilities" in ended.text


def grouped(copies: int, groups: bool) -> tuple[list[tuple[object, ...]], list[tuple[str, float]]]:
    """A truth of 30 groups, and scores; all contigs of a group have the same score."""
    chance = np.random.default_rng(2)
    truth: list[tuple[object, ...]] = []
    scores = []
    for group in range(30):
        label, score = ("virus", "host")[group % 2], float(chance.normal() + group % 2)
        for copy in range(copies):
            truth.append((f"{group}_{copy}", label, f"G{group}" if groups else ""))
            scores.append((f"{group}_{copy}", score))
    return truth, scores


def width(run: Run, folder: Path, copies: int, groups: bool, *options: object) -> tuple[float, Ended]:
    truth, scores = grouped(copies, groups)
    truth_path = write(folder / "truth.tsv", ["contig", "label", "group"], truth)
    arguments = ("--truth", truth_path, "--bootstraps", 200, *options)
    ended = run(write(folder / "s.tsv", ["contig", "score"], scores), *arguments)
    assert ended.code == 0, ended.text
    row = ended.row("auroc")
    return row.high - row.low, ended


def test_relatives_make_no_interval_narrower(tmp_path: Path, run: Run) -> None:
    alone, _ = width(run, tmp_path, 1, True)
    copied, _ = width(run, tmp_path, 25, True)
    independent, _ = width(run, tmp_path, 25, False)
    assert copied == pytest.approx(alone, abs=1e-6)
    assert independent < copied / 3


def test_the_seed_decides_the_intervals_and_none_are_made_without_draws(tmp_path: Path, run: Run) -> None:
    _, first = width(run, tmp_path, 2, True)
    content = (first.folder / "evaluation.tsv").read_bytes()
    low, high = first.row("auroc").low, first.row("auroc").high
    width(run, tmp_path, 2, True)
    assert (first.folder / "evaluation.tsv").read_bytes() == content
    _, other = width(run, tmp_path, 2, True, "--seed", 1)
    assert (other.row("auroc").low, other.row("auroc").high) != (low, high)
    _, none = width(run, tmp_path, 2, True, "--bootstraps", 0)
    assert none.table[["low", "high"]].isna().all(axis=None)
    assert none.table["value"].notna().any()


KINDS = [
    ("p1", "virus", "phage", "A", "Fam", "prokaryotes", 400),
    ("p2", "virus", "phage", "B", "Fam", "prokaryotes", 6000),
    ("e1", "virus", "plant virus", "C", "Other", "eukaryotes", 400),
    ("b1", "host", "bacteria", "D", "", "prokaryotes", 400),
    ("b2", "host", "bacteria", "E", "", "prokaryotes", 6000),
    ("f1", "host", "fungi", "F", "", "eukaryotes", 400),
    ("s1", "control", "shuffled", "A", "", "", 400),
    ("s2", "control", "shuffled", "B", "", "", 400),
]
KIND_SCORES = {"p1": 0.9, "p2": 0.6, "e1": 0.2, "b1": 0.7, "b2": 0.1, "f1": 0.3, "s1": 0.8, "s2": 0.0, "unknown": 0.5}


def test_categories_families_domains_and_lengths_are_measured_by_themselves(tmp_path: Path, run: Run) -> None:
    columns = ["contig", "label", "category", "group", "family", "domain", "length"]
    truth = write(tmp_path / "truth.tsv", columns, KINDS)
    ended = run(write(tmp_path / "s.tsv", ["contig", "score"], KIND_SCORES.items()), "--truth", truth)
    assert ended.code == 0, ended.text
    expected = {
        ("auroc", "all"): (3 + 2 + 1) / 9,
        ("auroc", "category:phage"): 5 / 6,
        ("auroc", "category:plant virus"): 1 / 3,
        ("auroc", "category:bacteria"): (2 + 1 + 1) / 6,
        ("auroc", "family:Fam"): 5 / 6,
        ("recall", "family:Other"): 0.0,
        ("auroc", "domain:prokaryotes"): 3 / 4,
        ("auroc", "length:5000-9999"): 1.0,
        ("recall", "length:300-499"): 1 / 2,
        ("false_positive_rate", "all"): 1 / 3,
        ("false_positive_rate", "category:bacteria"): 1 / 2,
        ("false_positive_rate", "category:shuffled"): 1 / 2,
    }
    for (measure, subset), value in expected.items():
        assert ended.row(measure, subset).value == pytest.approx(value, abs=1e-6), (measure, subset)
    assert ended.row("auroc").n == 6, "controls count in their own category only"
    assert np.isnan(ended.row("recall", "family:Other").low), "one group gives no interval"
    assert "not in the truth, so left out: 1 contig of the results" in ended.text


def test_a_truth_of_hosts_alone_gives_false_positive_rates(tmp_path: Path, run: Run) -> None:
    rows = [("a", "host", "plasmid"), ("b", "host", "plasmid"), ("c", "host", "organelle")]
    truth = write(tmp_path / "truth.tsv", ["contig", "label", "category"], rows)
    scores = write(tmp_path / "s.tsv", ["contig", "score"], [("a", 0.6), ("b", 0.2), ("c", 0.1)])
    ended = run(scores, "--truth", truth)
    assert ended.code == 0, ended.text
    assert "The truth has no viruses: measures that need both are left out" in ended.text
    assert ended.row("false_positive_rate", "category:plasmid").value == 0.5
    assert set(ended.table["measure"]) == {"false_positive_rate"}
    assert 'data-figure="false_positives"' in (ended.folder / "evaluation.html").read_text()


def test_our_results_are_measured_by_contig_window_and_frame(tmp_path: Path, run: Run) -> None:
    contigs = [
        Contig("v1", 600, [(0, 300, {0: 3.0, 1: 1.0}), (300, 600, {2: -1.0})]),
        Contig("v2", 300, [(0, 300, {})]),
        Contig("v3", 100, [(0, 100, {0: 5.0})]),  # too short for a call
        Contig("h1", 600, [(0, 300, {0: -2.0}), (300, 600, {})]),
        Contig("h2", 300, [(0, 300, {3: 0.5})]),
        Contig("not in the truth".replace(" ", "_"), 300, [(0, 300, {3: 9.0})]),
    ]
    collect_sample(write_pool(tmp_path / "pool", {"s": contigs}), "s", tmp_path / "out" / "results" / "s")
    labels = [("v1", "virus"), ("v2", "virus"), ("v3", "virus"), ("h1", "host"), ("h2", "host")]
    truth = write(tmp_path / "truth.tsv", ["contig", "label"], labels)
    ended = run(tmp_path / "out", "--truth", truth, "--bootstraps", 20)
    assert ended.code == 0, ended.text
    # Contigs: v1 has the mean logit 0.5 of its windows (2 and -1), h2 0.5, h1 -2; v2 and v3 have no call.
    assert ended.row("auroc").value == pytest.approx((1 + 0.5) / 6)
    assert ended.row("auroc", without_call="left_out").value == pytest.approx(0.75)
    assert ended.row("recall").value == pytest.approx(1 / 3, abs=1e-6)
    assert ended.row("false_positive_rate").value == 0.5
    # Windows: viral 2, -1, 5 and one without a score; host -2, 0.5 and one without.
    assert ended.row("auroc", level="windows").n == 7
    assert ended.row("auroc", level="windows").value == pytest.approx((3 + 2 + 3 + 0.5) / 12, abs=1e-6)
    assert ended.row("auroc", level="windows", without_call="left_out").value == pytest.approx(5 / 6, abs=1e-6)
    assert ended.row("false_positive_rate", level="windows").value == pytest.approx(1 / 3, abs=1e-6)
    assert ended.row("auroc", "length:300-499", level="windows").n == 6
    # Frames: viral 3, 1, -1, 5; host -2, 0.5. All have a score.
    assert ended.row("auroc", level="frames").value == pytest.approx(7 / 8)
    assert set(ended.table.query("level == 'frames' and measure == 'auroc'")["without_call"]) == {"host"}
    assert "s: not in the truth, so left out: 1 contig of the results" in ended.text
    assert "s: without a call: 2 of 5 contigs" in ended.text


@pytest.mark.parametrize("name", ["contigs.tsv", "windows.tsv"])
def test_results_that_lost_rows_are_refused(tmp_path: Path, small_truth: Path, run: Run, name: str) -> None:
    contigs = [Contig(name, 300, [(0, 300, {0: 10 * score - 5})]) for name, score in SMALL.items()]
    folder = tmp_path / "out" / "results" / "s"
    collect_sample(write_pool(tmp_path / "pool", {"s": contigs}), "s", folder)
    lines = (folder / name).read_text().splitlines(keepends=True)
    (folder / name).write_text("".join(lines[:-1]))
    ended = run(folder, "--truth", small_truth)
    assert ended.code == 3
    assert f"{folder / name}: damaged" in ended.text


def test_equal_probabilities_are_chosen_together(tmp_path: Path, small_truth: Path, run: Run) -> None:
    scores = {"v1": 0.9, "v2": 0.9, "h1": 0.9, "v3": 0.6, "h2": 0.1}
    ended = run(write(tmp_path / "s.tsv", ["contig", "score"], scores.items()), "--truth", small_truth)
    chosen = {0.05: 0, 0.1: 3, 0.2: 4}
    for nominal, number in chosen.items():
        assert ended.row("realised_fdr", f"fdr:{nominal:g}", without_call="left_out").n == number, nominal


def replace_contigs(folder: Path, table: pd.DataFrame) -> None:
    """Give a sample another table of contigs, as its run would have written it."""
    path = folder / "contigs.tsv"
    table.to_csv(path, sep="\t", index=False)
    record = read_record(folder / "run.json")
    record["files"][path.name]["sha256"] = sha256(path)
    write_record(folder / "run.json", record)


def test_q_values_of_the_results_decide_where_they_are(tmp_path: Path, small_truth: Path, run: Run) -> None:
    contigs = [Contig(name, 300, [(0, 300, {0: 10 * score - 5})]) for name, score in SMALL.items()]
    folder = tmp_path / "out" / "results" / "s"
    collect_sample(write_pool(tmp_path / "pool", {"s": contigs}), "s", folder)
    table = pd.read_csv(folder / "contigs.tsv", sep="\t", keep_default_na=False)
    table["q_value"] = table["contig"].map({"v1": 0.01, "h1": 0.04, "v2": 0.04}).fillna(0.9)
    replace_contigs(folder, table)
    ended = run(folder, "--truth", small_truth)
    assert ended.code == 0, ended.text
    row = ended.row("realised_fdr", "fdr:0.05", without_call="left_out")
    assert (row.value, row.n) == (pytest.approx(1 / 3, abs=1e-6), 3)
    assert ended.row("realised_fdr", "fdr:0.01", without_call="left_out").n == 1
    table["q_value"] = "NA"  # a run that was not asked for them: then p_virus decides, at most 0.982
    replace_contigs(folder, table)
    without = run(folder, "--truth", small_truth)
    assert without.row("realised_fdr", "fdr:0.01", without_call="left_out").n == 0
    assert without.row("realised_fdr", "fdr:0.05", without_call="left_out").n == 3


def test_results_side_by_side_are_drawn_together(tmp_path: Path, small_truth: Path, run: Run) -> None:
    first = write(tmp_path / "first.tsv", ["contig", "score"], SMALL.items())
    same = write(tmp_path / "same.tsv", ["contig", "score"], SMALL.items())
    (tmp_path / "date=1").mkdir()
    best = write(
        tmp_path / "date=1" / "best.tsv", ["contig", "score"], [(name, int(name[0] == "v")) for name in [*SMALL, "v4"]]
    )
    ended = run(first, same, f"perfect={best}", "--truth", small_truth)
    assert ended.code == 0, ended.text
    row = ended.row("auroc_minus_first", results="same")
    assert (row.value, row.low, row.high) == (0, 0, 0)
    assert ended.row("auroc_minus_first", results="perfect").value == pytest.approx(7 / 16)
    twice = run(first, first, "--truth", small_truth)
    assert twice.code == 5
    assert "two results are called first; put another name before one" in twice.text


def write_fasta(path: Path, sequences: dict[str, str]) -> Path:
    with gzip.open(path, "wt") as file:
        file.writelines(f">{name} some words\n{sequence}\n" for name, sequence in sequences.items())
    return path


def reverse_complement(sequence: str) -> str:
    return sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def kmers(sequence: str) -> set[str]:
    """The 21-mers of both strands."""
    strands = (sequence, reverse_complement(sequence))
    return {strand[i : i + 21] for strand in strands for i in range(len(strand) - 20)}


def test_relatives_of_the_training_genomes_are_named_and_left_out_of_figures(tmp_path: Path, run: Run) -> None:
    chance = np.random.default_rng(3)
    names = [*(f"v{i}" for i in range(1, 5)), *(f"h{i}" for i in range(1, 5))]
    sequences = {name: "".join(chance.choice(list("ACGT"), 500)) for name in names}
    backwards = reverse_complement(sequences["v1"][150:260])  # 90 of 480 21-mers: 19 %
    training = {
        "copy": "".join(chance.choice(list("ACGT"), 3000)) + reverse_complement(sequences["v2"][:200]).lower(),
        "little": "N" + backwards + "N" + sequences["h1"][:20] + "N",
    }
    truth = write(
        tmp_path / "truth.tsv", ["contig", "label"], [(name, {"v": "virus", "h": "host"}[name[0]]) for name in names]
    )
    scores = write(tmp_path / "s.tsv", ["contig", "score"], SMALL.items())
    fasta = write_fasta(tmp_path / "contigs.fna.gz", {name: s for name, s in sequences.items() if name != "h4"})
    genomes = write_fasta(tmp_path / "training.fna.gz", training)
    ended = run(scores, "--truth", truth, "--training-genomes", genomes, "--sequences", fasta)
    assert ended.code == 0, ended.text
    assert "of 1 contig, at least 20 % of the 21-mers are in them" in ended.text
    assert "`unrelated` is without v2." in ended.text
    assert "no sequence to compare with them: 1 contig" in ended.text
    known = {kmer for genome in training.values() for kmer in kmers(genome.upper())}
    shared = np.mean([not known.isdisjoint(kmers(sequences["v2"][i : i + 21])) for i in range(480)])
    found = json.loads((ended.folder / "evaluation.json").read_text())["related_to_training"]
    assert found == {"v2": pytest.approx(shared, abs=1e-4)}
    assert (ended.row("auroc").n, ended.row("auroc", "unrelated").n) == (8, 7)
    assert ended.row("auroc", "unrelated").value == pytest.approx(6 / 12)

    folder = tmp_path / "genomes"
    folder.mkdir()
    write_fasta(folder / "viral.fna.gz", {"copy": sequences["v1"], "other": sequences["v3"]})
    columns = ["seq_id", "category", "split"]
    write(folder / "genomes.tsv", columns, [("copy", "viral", "train"), ("other", "viral", "val")])
    ended = run(scores, "--truth", truth, "--training-genomes", folder, "--sequences", fasta)
    assert "`unrelated` is without v1." in ended.text, "of a folder, the split train counts"

    (folder / "sequences").mkdir()
    (folder / "viral.fna.gz").rename(folder / "sequences" / "1.fna.gz")
    for seq_ids in (["copy", "other"], [""]):
        write(folder / "genomes.tsv", ["file", "seq_id"], [("sequences/1.fna.gz", seq_id) for seq_id in seq_ids])
        ended = run(scores, "--truth", truth, "--training-genomes", folder, "--sequences", fasta)
        assert "`unrelated` is without v1, v3." in ended.text, "a table to train with, which leaves the split to us"
    write(folder / "genomes.tsv", ["seq_id"], [("copy",)])
    ended = run(scores, "--truth", truth, "--training-genomes", folder, "--sequences", fasta)
    assert ended.code == 5, ended.text
    assert "genomes.tsv: a table of genomes has the column file, or the columns seq_id and category" in ended.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name\tlabel\nv1\tvirus\n", "there is no column contig; the columns are name, label"),
        ("a\tb\nv1\tvirus\n", "there is no column contig and no column label"),
        ("contig\tlabel\n", "the table has no contigs"),
        (
            "contig\tlabel\nv1\tvirus\nh1\tbacterium\n",
            "the label of 'h1' is 'bacterium' (1 such rows); a label is virus",
        ),
        ("contig\tlabel\nv1\tvirus\nv1\tvirus\n", "contig 'v1' has several rows"),
        ("contig\tlabel\tlength\nv1\tvirus\tlong\n", "the length of 'v1' is 'long', no number"),
        ("contig\tlabel\nx\tvirus\ny\thost\n", "have no contig in common: the one has v1, v2, v3, h1, h2 and 2 more"),
        ("contig\tlabel\nx\tvirus\ty\n", "the first row has more fields than there are columns"),
        ("contig\tlabel\nx\tvirus\ny\n", "the label of 'y' is ''"),
        ("", "cannot be read as a tab-separated table"),
    ],
)
def test_a_truth_that_cannot_be_used_is_refused(tmp_path: Path, run: Run, content: str, message: str) -> None:
    truth = tmp_path / "truth.tsv"
    truth.write_text(content)
    ended = run(write(tmp_path / "s.tsv", ["contig", "score"], SMALL.items()), "--truth", truth)
    assert ended.code == 5, ended.text
    assert message in ended.text
    assert not ended.folder.exists()


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("v1", "high")], (), "the score of 'v1' is 'high', which is no number"),
        ([("v1", 1), ("v1", 2)], (), "contig 'v1' has several rows"),
        ([("v1", 1)], ("--score-column", "p"), "there is no column p; the columns are contig, score"),
        ([("v1", 1)], ("--share", "0"), "--share 0: give a share between 0 and 1"),
        ([("v1", 1)], ("--training-genomes", "x.fna"), "--training-genomes and --sequences: both are needed"),
    ],
)
def test_results_that_cannot_be_used_are_refused(
    tmp_path: Path, small_truth: Path, run: Run, rows: list[Any], options: tuple[str, ...], message: str
) -> None:
    ended = run(write(tmp_path / "s.tsv", ["contig", "score"], rows), "--truth", small_truth, *options)
    assert ended.code == 5, ended.text
    assert message in ended.text


def test_files_that_are_not_there_are_named(tmp_path: Path, small_truth: Path, run: Run) -> None:
    for arguments in ((tmp_path / "none.tsv", "--truth", small_truth), (small_truth, "--truth", tmp_path / "none.tsv")):
        ended = run(*arguments)
        assert ended.code == 5
        assert str(tmp_path / "none.tsv") in ended.text


def test_json_and_page_hold_what_was_found(tmp_path: Path, small_truth: Path, run: Run) -> None:
    ended = run(write(tmp_path / "<b>.tsv", ["contig", "score"], SMALL.items()), "--truth", small_truth)
    assert ended.code == 0, ended.text
    content = json.loads((ended.folder / "evaluation.json").read_text())
    assert content["truth"]["virus"] == 4
    assert len(content["measures"]) == len(ended.table)
    assert content["results"][0]["contigs_not_in_results"] == 1
    page = (ended.folder / "evaluation.html").read_text()
    data = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0])
    drawn = re.findall(r'<figure data-figure="(\w+)">', page)
    assert set(drawn) == set(data["figures"]) == {"roc", "precision", "reliability", "fdr"}
    assert "<h1>&lt;b&gt;: AUROC 0.562 of 8 contigs</h1>" in page
