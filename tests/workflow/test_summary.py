"""`results/summary.tsv`: the samples of a run side by side."""

import json
from pathlib import Path

import pandas as pd

from tests.helpers.documented import columns_on_the_page


def test_the_summary_says_what_the_tables_of_each_sample_say(finished: Path) -> None:
    summary = pd.read_csv(finished / "results" / "summary.tsv", sep="\t", keep_default_na=False)
    assert list(summary) == columns_on_the_page("summary.tsv")
    assert summary["sample"].tolist() == ["one", "two", "three"]
    assert set(summary["setting"]) == {"NA"}
    assert set(summary["model"]) == {"builtin-500(trial)"}
    assert set(summary["viral_threshold"]) == {0.5}
    for _, row in summary.iterrows():
        folder = finished / "results" / str(row["sample"])
        contigs = pd.read_csv(folder / "contigs.tsv", sep="\t", keep_default_na=False)
        regions = pd.read_csv(folder / "regions.tsv", sep="\t", keep_default_na=False)
        assert (row["contigs"], row["bases"]) == (len(contigs), contigs["length"].sum())
        for column in ("status", "call", "tier"):
            counts = contigs[column].value_counts().drop("NA", errors="ignore")
            assert row[counts.index].tolist() == counts.tolist()
        assert row["viral_bases"] == contigs["length"][contigs["call"] == "viral"].sum()
        assert (row["regions"], row["region_bases"]) == (len(regions), regions["length"].sum())
        assert abs(row["none_fraction"] - (contigs["call"] == "none").mean()) < 1e-6


def test_the_dictionary_describes_every_column_of_every_table(finished: Path) -> None:
    dictionary = json.loads((finished / "results" / "columns.json").read_text())
    paths = {name: finished / "results" / ("" if name == "summary.tsv" else "one") / name for name in dictionary}
    tables = {path.name for folder in ("", "one") for path in (finished / "results" / folder).glob("*.tsv*")}
    assert set(dictionary) == tables
    checks = {"integer": r"-?\d+", "number": r"-?\d+(\.\d+)?(e-?\d+)?", "boolean": "TRUE|FALSE", "string": r"[^\t]*"}
    for name, schema in dictionary.items():
        table = pd.read_csv(paths[name], sep="\t", dtype=str, keep_default_na=False)
        assert [field["name"] for field in schema["fields"]] == list(table) == columns_on_the_page(name)
        for field in schema["fields"]:
            values = table[field["name"]]
            missing = values.isin(schema["missingValues"])
            assert values[~missing].str.fullmatch(checks[field["type"]]).all(), (name, field)
            assert field["description"].endswith(".")
