"""`virnucpro collect`: tables, viral sequences and records."""

import gzip
import json
import re
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.collect_runs import ODD, plain, run, sources
from tests.helpers.defaults import rule, thresholds
from tests.helpers.documented import PAGE, columns_on_the_page
from tests.helpers.stages import run as run_stage
from tests.helpers.synthetic_pool import Contig, Pool, make_model, write_pool
from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.files import sha256
from virnucpro_kernels.pool.file_names import ORIGINAL_FILES, RESULT_TABLES
from virnucpro_kernels.pool.job_record import write_record
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.score.regions import find_regions
from virnucpro_kernels.score.run_record import model_label
from virnucpro_kernels.score.sample_reader import read_contig_batches
from virnucpro_kernels.score.scoring import score_contigs, score_windows
from virnucpro_kernels.score.viral_fasta import ViralFiles
from virnucpro_kernels.weights.registry import find_model

TABLES = ("contigs.tsv", "windows.tsv", "frames.tsv.gz", "regions.tsv")


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t")


def test_every_contig_has_a_row_in_input_order_whatever_its_header(pool: Pool, tmp_path: Path) -> None:
    run(pool, "odd", tmp_path / "out")
    raw = pd.read_csv(tmp_path / "out" / "contigs.tsv", sep="\t", keep_default_na=False)
    assert raw["contig"].tolist() == [contig.name for contig in ODD]
    assert raw["description"].tolist() == [
        *('a "description", quoted', "tab here", "naïve Ω  end", "NA", "", "empty record", "", "stops", ""),
    ]
    assert raw["status"].tolist() == [
        *("scored", "scored", "scored", "scored", "too_short", "empty", "no_codon", "no_open_frame", "no_open_frame"),
    ]
    assert raw["note"].tolist() == [contig.note or "NA" for contig in ODD]
    table = read(tmp_path / "out" / "contigs.tsv")
    assert table["length"].tolist() == [contig.length for contig in ODD]
    assert table["windows"].tolist() == [1, 3, 1, 1, 0, 0, 2, 1, 1]
    assert table["scored_windows"].tolist() == [1, 2, 1, 1, 0, 0, 0, 0, 0]
    assert table["call"].tolist() == ["viral", "viral", "host", "viral"] + ["none"] * 5
    assert table["tier"].tolist()[:2] == ["high", "medium"]
    assert table["tier"].isna().tolist() == [False, False, True, False] + [True] * 5
    assert table["p_virus"].isna().tolist() == [False] * 4 + [True] * 5
    assert table["covered_fraction"].tolist()[:5] == [1, round((300 + 127) / 640, 6), 1, 1, 0]
    assert table["covered_fraction"].isna().tolist() == [False] * 5 + [True] + [False] * 3
    assert table["best_window"].tolist()[:4] == [1, 2, 1, 1]
    assert table[["viral_windows", "ambiguous_windows", "host_windows"]].iloc[1].tolist() == [1, 0, 1]
    assert set(table["model"]) == {"tiny-300(trial)"}


def test_odd_names_survive_to_windows_and_frames(pool: Pool, tmp_path: Path) -> None:
    run(pool, "odd", tmp_path / "out")
    windows = pd.read_csv(tmp_path / "out" / "windows.tsv", sep="\t", keep_default_na=False)
    assert windows["contig"].tolist() == [contig.name for contig in ODD for _ in contig.windows]
    assert windows["window"].tolist() == [n + 1 for contig in ODD for n in range(len(contig.windows))]
    assert windows["start"].tolist() == [start for contig in ODD for start, _, _ in contig.windows]
    assert windows["end"].tolist() == [end for contig in ODD for _, end, _ in contig.windows]
    assert windows["status"].tolist() == [
        *("scored", "no_open_frame", "scored", "scored", "scored", "scored", "no_codon", "no_codon"),
        *("no_open_frame", "no_open_frame"),
    ]
    assert windows["short"].tolist() == [False] * 8 + [True, False]  # 149 and 150 of 300
    assert windows["frames"].tolist() == ["F1,R2", "NA", "F2", "R3", "R1", "F3"] + ["NA"] * 4
    assert windows["best_frame"].tolist() == ["F1", "NA", "F2", "R3", "R1", "F3"] + ["NA"] * 4
    assert windows["strand"].tolist() == ["+", "NA", "+", "-", "-", "+"] + ["NA"] * 4
    assert windows["is_virus"].tolist() == ["TRUE", "NA", "TRUE", "FALSE", "FALSE", "TRUE"] + ["NA"] * 4
    frames = pd.read_csv(tmp_path / "out" / "frames.tsv.gz", sep="\t", keep_default_na=False)
    assert frames["contig"].tolist() == [c.name for c in ODD for *_, found in c.windows for _ in found]
    assert frames["frame"].tolist() == ["F1", "R2", "F2", "R3", "R1", "F3"]
    assert frames["logit"].tolist() == [9, 1, 3, -2, -4, 0.25]
    assert frames["prediction"].tolist() == ["virus", "virus", "virus", "others", "others", "virus"]
    assert frames["p_virus"].tolist() == [round(1 / (1 + np.exp(-x)), 6) for x in frames["logit"]]


def test_the_page_names_the_columns_in_their_order(pool: Pool, tmp_path: Path) -> None:
    run(pool, "odd", tmp_path / "out")
    for name in TABLES:
        columns = list(read(tmp_path / "out" / name))
        assert columns == columns_on_the_page(name)
        assert columns[0] == "sample"
        assert set(read(tmp_path / "out" / name)["sample"]) == {"odd"}
    assert list(read(tmp_path / "out" / "contigs.tsv"))[-1] == "description"


def read_as_the_page_says(path: Path) -> pd.DataFrame:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found: dict[str, Any] = {"path": path}
    exec(textwrap.dedent(program), found)
    table: pd.DataFrame = found["table"]
    return table


def test_the_table_in_parquet_has_the_same_rows_with_types(pool: Pool, tmp_path: Path) -> None:
    for sample in ("first", "odd", "empty"):
        run(pool, sample, tmp_path / sample)
        found = pd.read_parquet(tmp_path / sample / "contigs.parquet", dtype_backend="pyarrow")
        text = pd.read_csv(tmp_path / sample / "contigs.tsv", sep="\t", dtype=str, keep_default_na=False)
        kinds = {name: str(kind) for name, kind in found.dtypes.items()}
        assert {kinds[name] for name in ("length", "windows", "best_window")} == {"int64[pyarrow]"}
        assert {kinds[name] for name in ("p_virus", "covered_fraction")} == {"double[pyarrow]"}
        assert list(found) == list(text)
        for name in text:
            values = ["NA" if pd.isna(value) else value for value in found[name]]
            printed = [f"{value:.6f}" if isinstance(value, float) else str(value) for value in values]
            assert printed == text[name].tolist(), name


def test_tables_are_read_as_the_page_promises(pool: Pool, tmp_path: Path) -> None:
    """Integers and masks where values are missing, and names as they are."""
    run(pool, "odd", tmp_path / "out")
    contigs = read_as_the_page_says(tmp_path / "out" / "contigs.tsv")
    assert contigs["contig"].tolist() == [contig.name for contig in ODD]
    assert contigs["best_window"].dtype == pd.Int64Dtype()
    assert contigs["best_window"].tolist() == [1, 2, 1, 1, *[pd.NA] * 5]
    assert contigs["p_virus"].dtype == float
    windows = read_as_the_page_says(tmp_path / "out" / "windows.tsv")
    assert windows["short"].dtype == bool
    assert windows["is_virus"].dtype == pd.BooleanDtype()
    assert windows[windows["is_virus"]]["best_frame"].tolist() == ["F1", "F2", "F3"]
    assert windows[~windows["is_virus"]]["best_frame"].tolist() == ["R3", "R1"]
    assert len(read_as_the_page_says(tmp_path / "out" / "frames.tsv.gz")) == 6
    # R's `type.convert` takes TRUE and FALSE for logical values, and digits without a dot for integers.
    for name, column, values in (
        ("windows", "is_virus", "TRUE|FALSE"),
        ("windows", "short", "TRUE|FALSE"),
        ("contigs", "best_window", r"\d+"),
    ):
        texts = pd.read_csv(tmp_path / "out" / f"{name}.tsv", sep="\t", dtype=str, keep_default_na=False)[column]
        assert all(re.fullmatch(f"{values}|NA", text) for text in texts)


@pytest.mark.parametrize(
    ("options", "threshold", "windows"),
    [([], 0.5, 1), (["--preset", "strict"], 0.8, 2), (["--viral-threshold", 0.6, "--preset", "strict"], 0.6, 2)],
)
def test_the_command_takes_a_preset_and_what_is_given_wins(
    pool: Pool, tmp_path: Path, options: list[str | float], threshold: float, windows: int
) -> None:
    tables = ("--contigs", pool.contigs, "--windows", pool.windows, "--manifest", pool.manifest)
    scores = ("--scores-dir", pool.scores, "--sample", "odd", "--model", pool.model.directory)
    run_stage("collect", *tables, *scores, "--output-dir", tmp_path / "out", *options)
    used = json.loads((tmp_path / "out" / "run.json").read_text())["parameters"]["thresholds"]
    assert (used["viral_threshold"], used["min_scored_windows"]) == (threshold, windows)


def test_a_contig_without_evidence_is_no_viral_sequence(tmp_path: Path) -> None:
    contigs = [Contig("speck", 23, [(0, 23, {0: 9.0})]), Contig("long", 300, [(0, 300, {0: 9.0})])]
    pool = write_pool(tmp_path / "pool", {"s": contigs})
    record = run(pool, "s", tmp_path / "out")
    table = read(tmp_path / "out" / "contigs.tsv")
    assert table["call"].tolist() == ["none", "viral"]
    assert table["status"].tolist() == ["scored", "scored"]
    assert table["p_virus"].tolist() == [0.999877, 0.999877]
    assert gzip.decompress((tmp_path / "out" / "viral.fna.gz").read_bytes()).startswith(b">long")
    assert record["counts"]["call"] == {"none": 1, "host": 0, "viral": 1}
    assert "speck_chunk_1" in (tmp_path / "out" / "prediction_results_highestscore.csv").read_text()


def test_viral_sequences_have_their_scores_and_stay_as_they_are(pool: Pool, tmp_path: Path) -> None:
    run(pool, "odd", tmp_path / "out")
    viral = gzip.decompress((tmp_path / "out" / "viral.fna.gz").read_bytes()).decode()
    records = [record.split("\n") for record in viral.split(">")[1:]]
    assert [record[0] for record in records] == [
        '"quoted" p_virus=0.993307 tier=high model=tiny-300(trial) a "description", quoted',
        'mid"quote;semicolon p_virus=0.715852 tier=medium model=tiny-300(trial) tab\there',
        "NA p_virus=0.562177 tier=low model=tiny-300(trial) NA",
    ]
    original = dict(record.split("\n", 1) for record in pool.inputs["odd"].read_text().split(">")[1:])
    assert "".join(records[0][1:]) == original['"quoted" a "description", quoted'].strip()
    assert max(len(line) for record in records for line in record[1:]) == 60


def test_each_sample_of_a_pool_gets_its_own_rows(pool: Pool, tmp_path: Path) -> None:
    for sample, number in (("first", 23), ("last", 9)):
        record = run(pool, sample, tmp_path / sample)
        frames = read(tmp_path / sample / "frames.tsv.gz")
        made = [value for c in plain(number) for *_, found in c.windows for _, value in sorted(found.items())]
        assert frames["logit"].tolist() == [round(float(np.float32(value)), 6) for value in made]
        assert record["counts"]["frames"] == len(made)
        assert read(tmp_path / sample / "contigs.tsv")["contig"].tolist() == [f"c{i}" for i in range(number)]


def test_blocks_of_any_size_hold_the_same(pool: Pool) -> None:
    found = []
    for limit in (1, 3, 1000):
        blocks = list(
            read_contig_batches(
                sources(pool, "first"),
                read_manifest(pool.manifest),
                sample="first",
                model_id=pool.model.model_id,
                batch_windows=limit,
            )
        )
        assert all(len(block.mask) <= limit or len(block) == 1 for block in blocks)
        found.append(
            [np.concatenate([getattr(b, name) for b in blocks]).tolist() for name in ("start", "mask", "logit")]
        )
    assert found[0] == found[1] == found[2]


def test_viral_sequences_are_the_same_whatever_the_batches_are(pool: Pool, tmp_path: Path) -> None:
    """The input is read along with them, in blocks of its own; reads of two files follow one another."""
    given, chunks = sources(pool, "first"), read_manifest(pool.manifest)
    text = given.inputs[0].read_text()
    halves = tmp_path / "a.fa", tmp_path / "b.fa"
    for path, part in zip(halves, (text[: text.index(">c9 ")], text[text.index(">c9 ") :]), strict=True):
        path.write_text(part)
    evidence = rule(viral_threshold=0.2, region_threshold=0.3)
    for name, inputs, limit in (("1", given.inputs, 1000), ("2", given.inputs, 3), ("3", halves, 5), ("4", halves, 1)):
        (tmp_path / name).mkdir()
        with ViralFiles(tmp_path / name, replace(given, inputs=inputs), "first", "model") as files:
            for batch in read_contig_batches(
                given, chunks, sample="first", model_id=pool.model.model_id, batch_windows=limit
            ):
                windows = score_windows(batch, evidence)
                contigs = score_contigs(batch, windows, evidence)
                files.add(batch, contigs, find_regions(batch, windows, contigs, evidence))
            files.finish()
        for file in ("viral.fna.gz", "viral_regions.fna.gz"):
            found = gzip.decompress((tmp_path / name / file).read_bytes())
            assert found.count(b">") > 3
            assert found == gzip.decompress((tmp_path / "1" / file).read_bytes())


def test_an_empty_sample_gets_tables_of_one_line(pool: Pool, tmp_path: Path) -> None:
    record = run(pool, "empty", tmp_path / "out")
    for name in (*TABLES, "prediction_results.txt", "prediction_results_highestscore.csv"):
        assert len(read(tmp_path / "out" / name)) == 0
    assert gzip.decompress((tmp_path / "out" / "viral.fna.gz").read_bytes()) == b""
    assert record["counts"]["contigs"] == 0


def test_a_pool_without_frames_needs_no_scores(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", {"s": ODD[4:]})
    run(pool, "s", tmp_path / "out")
    assert read(tmp_path / "out" / "contigs.tsv")["call"].tolist() == ["none"] * 5
    assert len(read(tmp_path / "out" / "windows.tsv")) == 4
    assert len(read(tmp_path / "out" / "prediction_results.txt")) == 0


def test_the_same_work_gives_the_same_bytes(pool: Pool, tmp_path: Path) -> None:
    for name, threads in (("one", 1), ("two", 4)):
        run(pool, "odd", tmp_path / name, threads=threads)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(
        [
            *RESULT_TABLES,
            *ORIGINAL_FILES,
            "collect.json",
        ]
    )
    for name in set(files) - {"run.json", "collect.json"}:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        if name.endswith(".gz"):
            assert (tmp_path / "one" / name).read_bytes()[3:8] == bytes(5), "neither a name nor a time"


def test_the_number_of_chunks_changes_nothing(tmp_path: Path) -> None:
    for chunks in (1, 7):
        pool = write_pool(tmp_path / str(chunks), {"s": plain(40)}, chunks=chunks)
        run(pool, "s", tmp_path / f"out{chunks}")
    for name in TABLES:
        assert (tmp_path / "out1" / name).read_bytes() == (tmp_path / "out7" / name).read_bytes()


def test_the_run_is_on_record(pool: Pool, tmp_path: Path) -> None:
    write_record(pool.directory / "split.json", {"stage": "split", "seconds": 2.0, "host": "h1"})
    for chunk, seconds in (("00000", 30), ("00001", 50)):
        job = {"seconds": seconds, "host": "h2", "device": "a GPU", "attempts": 2, "precision": "fp16", "rows": seconds}
        write_record(pool.scores.parent / f"{chunk}.embed.json", job)
    record = run(pool, "odd", tmp_path / "out", thresholds=thresholds(viral_threshold=0.6))
    assert record["sample"] == "odd"
    assert record["model"]["id"] == pool.model.model_id
    assert "trying out" in record["model"]["notice"]
    assert record["model"]["classifier"]["sha256"] == "0" * 64
    assert record["software"]["version"]
    assert record["software"]["packages"]["numpy"] == np.__version__
    assert record["parameters"]["thresholds"] == {
        "min_window_fraction": 0.5,
        "min_scored_windows": 1,
        "min_covered_fraction": 0,
        "viral_threshold": 0.6,
        "ambiguous_band": [0.3, 0.7],
        "region_threshold": 0.5,
        "tier_medium": 0.7,
        "tier_high": 0.9,
        "fdr": None,
    }
    assert record["parameters"]["geometry"] == "300-original"
    assert record["parameters"]["scores"] == {"model_id": pool.model.model_id}
    assert record["inputs"] == [
        {
            "path": str(pool.inputs["odd"]),
            "bytes": pool.inputs["odd"].stat().st_size,
            "sha256": sha256(pool.inputs["odd"]),
        }
    ]
    assert record["counts"]["status"] == {"scored": 4, "too_short": 1, "empty": 1, "no_codon": 1, "no_open_frame": 2}
    assert record["counts"]["call"] == {"none": 5, "host": 2, "viral": 2}
    assert record["counts"]["tier"] == {"low": 0, "medium": 1, "high": 1}
    embed = record["stages"]["embed"]
    assert (embed["jobs"], embed["attempts"], embed["seconds"], embed["devices"]) == (2, 4, 80.0, {"a GPU": 2})
    assert embed["reported"] == {"device": "a GPU", "precision": "fp16"}
    assert sum(stage["fraction"] for stage in record["stages"].values()) == pytest.approx(1, abs=1e-3)
    assert record["stages"]["collect"]["jobs"] == 1
    for name, file in record["files"].items():
        path = tmp_path / "out" / name
        assert (path.stat().st_size, sha256(path)) == (file["bytes"], file["sha256"])
    assert len(record["files"]) == 12


def test_a_model_for_work_is_not_marked(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", {"s": plain(5)})
    pool = replace(pool, model=make_model(tmp_path / "pool" / "model", purpose="work"))
    record = run(pool, "s", tmp_path / "out")
    assert "notice" not in record["model"]
    assert set(read(tmp_path / "out" / "contigs.tsv")["model"]) == {"tiny-300"}


def test_files_of_an_earlier_run_stay_until_the_new_ones_are_complete(pool: Pool, tmp_path: Path) -> None:
    run(pool, "first", tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.name != "collect.json"}
    (pool.scores / "00001.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(DamagedFileError, match=r"00001\.parquet"):
        run(pool, "first", tmp_path / "out", original_files="none")
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.name != "collect.json"}
    assert after == before
    assert json.loads((tmp_path / "out" / "collect.json").read_text())["state"] == "failed"


def test_no_file_of_an_earlier_run_outlives_the_new_ones(pool: Pool, tmp_path: Path) -> None:
    run(pool, "odd", tmp_path / "out")
    run(pool, "odd", tmp_path / "out", original_files="none")
    assert not (tmp_path / "out" / "prediction_results.txt").exists()
    assert not (tmp_path / "out" / "prediction_results_highestscore.csv").exists()
    assert (tmp_path / "out" / "contigs.tsv").exists()


def test_renamed_duplicates_keep_their_new_names(tmp_path: Path) -> None:
    frames = {0: 5.0}
    pool = write_pool(
        tmp_path / "pool", {"s": [Contig("x", 300, [(0, 300, frames)]), Contig("x_2", 300, [(0, 300, frames)])]}
    )
    pool.inputs["s"].write_text(pool.inputs["s"].read_text().replace(">x_2", ">x"))
    run(pool, "s", tmp_path / "out")
    viral = gzip.decompress((tmp_path / "out" / "viral.fna.gz").read_bytes()).decode()
    assert [line.split()[0] for line in viral.split("\n") if line.startswith(">")] == [">x", ">x_2"]


def test_a_model_that_was_not_trained_on_the_layout_is_marked() -> None:
    model = find_model("builtin-500")
    assert [model_label(model, geometry) for geometry in (None, "500-original", "500-even")] == [
        "builtin-500(trial)"
    ] * 3
    assert model_label(model, "500-segments") == "builtin-500(trial)(not-trained-on-this-layout)"
    segments = replace(model, layout="segments", purpose="work")
    assert model_label(segments, "500-segments") == "builtin-500"
    assert model_label(segments, "500-even") == "builtin-500(not-trained-on-this-layout)"
