"""`virnucpro export`: what other tools read, against their published formats."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from biom import load_table
from openpyxl import load_workbook

from tests.helpers.collect_runs import run
from tests.helpers.runs import virnucpro_here
from tests.helpers.synthetic_pool import Contig, write_pool

SAMPLES = ("one", "three", "two")


def export(run: Path, form: str, output: Path) -> list[Path]:
    ended = virnucpro_here("export", run, "--to", form, "--output", output)
    assert ended.returncode == 0, ended.stderr
    return [Path(line) for line in ended.stdout.splitlines()]


def contigs(run: Path, sample: str) -> pd.DataFrame:
    return pd.read_csv(run / "results" / sample / "contigs.tsv", sep="\t", keep_default_na=False)


def test_viral_contigs_under_clean_names(finished: Path, tmp_path: Path) -> None:
    fasta, names = export(finished, "fasta", tmp_path / "x")
    table = pd.read_csv(names, sep="\t", dtype=str)
    viral = pd.concat([contigs(finished, sample) for sample in SAMPLES])
    viral = viral[viral["call"] == "viral"]
    assert table["contig"].tolist() == viral["contig"].tolist()
    assert table["sample"].tolist() == viral["sample"].tolist()
    records = [record.partition("\n") for record in fasta.read_text().split(">")[1:]]
    assert [name for name, _, _ in records] == table["name"].tolist()
    assert all(name.replace("_", "").isalnum() for name in table["name"])
    assert [len(body.replace("\n", "")) for _, _, body in records] == table["length"].astype(int).tolist()


def test_contig_classification_txt_of_anvio(finished: Path, tmp_path: Path) -> None:
    paths = export(finished, "anvio", tmp_path)
    assert [path.name for path in paths] == [f"{sample}.anvio.txt" for sample in SAMPLES]
    for sample, path in zip(SAMPLES, paths, strict=True):
        table = pd.read_csv(path, sep="\t", keep_default_na=False)
        assert list(table) == ["contig", "class", "source", "tool_classification", "confidence"]
        expected = contigs(finished, sample)
        assert table["contig"].tolist() == expected["contig"].tolist()
        assert (table["class"] == 2).tolist() == (expected["call"] == "viral").tolist()
        assert set(table["class"]) <= {2, 5}
        assert table["confidence"].tolist() == expected["p_virus"].tolist()


def test_a_report_in_the_style_of_kraken(finished: Path, tmp_path: Path) -> None:
    for sample, path in zip(SAMPLES, export(finished, "kraken", tmp_path), strict=True):
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        calls = contigs(finished, sample)["call"].value_counts()
        total = int(calls.sum())
        assert [row[3:] for row in rows] == [
            *(["U", "0", "unclassified"], ["R", "1", "root"], ["D", "10239", "  Viruses"]),
            ["R1", "131567", "  cellular organisms"],
        ]
        below = [calls.get("none", 0), total - calls.get("none", 0), calls.get("viral", 0), calls.get("host", 0)]
        assert [int(row[1]) for row in rows] == below
        assert sum(int(row[2]) for row in rows) == total
        assert [float(row[0]) for row in rows] == pytest.approx([100 * n / total for n in below], abs=0.005)


def test_a_table_of_all_samples_that_biom_reads(finished: Path, tmp_path: Path) -> None:
    (path,) = export(finished, "biom", tmp_path)
    table = load_table(str(path))
    assert list(table.ids()) == list(SAMPLES)
    for sample in SAMPLES:
        expected = contigs(finished, sample)
        assert table.get_value_by_ids("host", sample) == (expected["call"] == "host").sum()
        assert table.get_value_by_ids("virus_medium", sample) == (expected["tier"] == "medium").sum()
        assert table.data(sample, dense=True).sum() == len(expected)
    assert json.loads(path.read_text())["columns"][0]["metadata"] == {"model": "builtin-500(trial)"}


def test_a_workbook_has_typed_cells(finished: Path, tmp_path: Path) -> None:
    (path,) = export(finished, "xlsx", tmp_path)
    for sheet, name in (("contigs", "contigs.tsv"), ("regions", "regions.tsv")):
        found = pd.read_excel(path, sheet_name=sheet, dtype_backend="pyarrow")
        tables = [finished / "results" / sample / name for sample in SAMPLES]
        expected = pd.concat([pd.read_csv(table, sep="\t", keep_default_na=False, dtype=str) for table in tables])
        assert list(found) == list(expected)
        assert found["contig"].tolist() == expected["contig"].tolist()
        for column in ("length", "p_virus"):
            numbers = pd.to_numeric(expected[column], errors="coerce")
            assert np.allclose(found[column].astype(float), numbers, equal_nan=True)


def test_a_workbook_keeps_names_as_text(tmp_path: Path) -> None:
    names = ["=1+1", "1E5", "3-1", "NA", "TRUE", "+x", "'q"]
    pool = write_pool(tmp_path / "pool", {"s": [Contig(name, 300, [(0, 300, {0: 1.0})]) for name in names]})
    run(pool, "s", tmp_path / "results" / "s")
    (path,) = export(tmp_path, "xlsx", tmp_path / "sheets")
    cells = [cell for (cell,) in load_workbook(path)["contigs"].iter_rows(2, min_col=2, max_col=2)]
    assert [(cell.value, cell.data_type) for cell in cells] == [(name, "s") for name in names]


def test_a_folder_without_results_is_told(tmp_path: Path) -> None:
    ended = virnucpro_here("export", tmp_path, "--to", "biom", "--output", tmp_path / "x")
    assert ended.returncode == 5
    assert "no results" in ended.stderr
