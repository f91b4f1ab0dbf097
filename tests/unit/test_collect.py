"""`virnucpro collect`: tables, viral sequences, records, and what it refuses."""

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic_pool import Contig, Pool, make_model, write_pool, write_scores

from virnucpro_kernels.blocks import read_blocks
from virnucpro_kernels.calls import Thresholds
from virnucpro_kernels.collect import Sources, collect
from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.files import sha256
from virnucpro_kernels.manifest import read_manifest, write_manifest

TABLES = ("contigs.tsv", "windows.tsv", "frames.tsv.gz")
ODD = [
    Contig('"quoted"', 300, [(0, 300, {0: 9.0, 4: 1.0})], 'a "description", quoted'),
    Contig('mid"quote;semicolon', 640, [(0, 300, {}), (213, 513, {1: 3.0}), (427, 640, {5: -2.0})], "tab\there"),
    Contig("Übergröße_日本|x", 300, [(0, 300, {3: -4.0})], "naïve Ω\x0b end"),
    Contig("NA", 299, [(0, 299, {2: 0.25})], "NA"),
    Contig("'single", 2, [], "", "too_short"),
    Contig("nothing", 0, [], "empty record", "empty"),
    Contig("masked", 320, [(0, 300, {}), (160, 320, {})], "", "no_codon"),
    Contig("#hash=1", 149, [(0, 149, {})], "stops"),
    Contig("half", 150, [(0, 150, {})]),
]


def plain(number: int) -> list[Contig]:
    generator = np.random.default_rng(number)
    contigs = []
    for index in range(number):
        windows = [
            (
                start,
                start + 300,
                {int(f): float(generator.normal() * 3) for f in generator.choice(6, generator.integers(4))},
            )
            for start in range(0, 300 * int(generator.integers(1, 5)), 300)
        ]
        contigs.append(Contig(f"c{index}", windows[-1][1], windows, f"number {index}"))
    return contigs


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return write_pool(tmp_path / "pool", {"first": plain(23), "odd": ODD, "empty": [], "last": plain(9)})


def sources(pool: Pool, sample: str) -> Sources:
    names = ("contigs.parquet", "windows.parquet", "chunks.tsv")
    return Sources(*(pool.directory / name for name in names), pool.scores, (pool.inputs[sample],))


def run(pool: Pool, sample: str, output: Path, **options: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {"thresholds": Thresholds(), "original_files": "original"}
    collect(sources(pool, sample), sample=sample, model=pool.model, output_dir=output, **defaults | options)
    record: dict[str, Any] = json.loads((output / "run.json").read_text())
    return record


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
    assert windows["is_virus"].tolist() == ["True", "NA", "True", "False", "False", "True"] + ["NA"] * 4
    frames = pd.read_csv(tmp_path / "out" / "frames.tsv.gz", sep="\t", keep_default_na=False)
    assert frames["contig"].tolist() == [c.name for c in ODD for *_, found in c.windows for _ in found]
    assert frames["frame"].tolist() == ["F1", "R2", "F2", "R3", "R1", "F3"]
    assert frames["logit"].tolist() == [9, 1, 3, -2, -4, 0.25]
    assert frames["prediction"].tolist() == ["virus", "virus", "virus", "others", "others", "virus"]
    assert frames["p_virus"].tolist() == [round(1 / (1 + np.exp(-x)), 6) for x in frames["logit"]]


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
            read_blocks(
                *(pool.directory / name for name in ("contigs.parquet", "windows.parquet")),
                pool.scores,
                read_manifest(pool.directory / "chunks.tsv"),
                sample="first",
                model_id=pool.model.model_id,
                block_windows=limit,
            )
        )
        assert all(len(block.mask) <= limit or len(block) == 1 for block in blocks)
        found.append(
            [np.concatenate([getattr(b, name) for b in blocks]).tolist() for name in ("start", "mask", "logit")]
        )
    assert found[0] == found[1] == found[2]


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
    for name in ("one", "two"):
        run(pool, "odd", tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(
        [
            *TABLES,
            "viral.fna.gz",
            "run.json",
            "collect.json",
            "prediction_results.txt",
            "prediction_results_highestscore.csv",
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
    pool.directory.joinpath("split.json").write_text(json.dumps({"stage": "split", "seconds": 2.0, "host": "h1"}))
    for chunk, seconds in (("00000", 30), ("00001", 50)):
        job = {"seconds": seconds, "host": "h2", "device": "a GPU", "attempts": 2, "precision": "fp16", "rows": seconds}
        (pool.scores.parent / f"{chunk}.embed.json").write_text(json.dumps(job))
    record = run(pool, "odd", tmp_path / "out", thresholds=Thresholds(viral=0.6))
    assert record["sample"] == "odd"
    assert record["model"]["id"] == pool.model.model_id
    assert "trying out" in record["model"]["notice"]
    assert record["model"]["classifier"]["sha256"] == "0" * 64
    assert record["software"]["version"]
    assert record["software"]["packages"]["numpy"] == np.__version__
    assert record["parameters"]["thresholds"] == {"viral": 0.6, "ambiguous": [0.3, 0.7], "medium": 0.7, "high": 0.9}
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
    assert sum(stage["share"] for stage in record["stages"].values()) == pytest.approx(1, abs=1e-3)
    assert record["stages"]["collect"]["jobs"] == 1
    for name, file in record["files"].items():
        path = tmp_path / "out" / name
        assert (path.stat().st_size, sha256(path)) == (file["bytes"], file["sha256"])
    assert len(record["files"]) == 6


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
        run(pool, "first", tmp_path / "out", original_files=None)
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.name != "collect.json"}
    assert after == before
    assert json.loads((tmp_path / "out" / "collect.json").read_text())["state"] == "failed"


def test_no_file_of_an_earlier_run_outlives_the_new_ones(pool: Pool, tmp_path: Path) -> None:
    run(pool, "odd", tmp_path / "out")
    run(pool, "odd", tmp_path / "out", original_files=None)
    assert not (tmp_path / "out" / "prediction_results.txt").exists()
    assert not (tmp_path / "out" / "prediction_results_highestscore.csv").exists()
    assert (tmp_path / "out" / "contigs.tsv").exists()


def change_scores(pool: Pool, chunk: str, change: Any) -> None:
    path = pool.scores / f"{chunk}.parquet"
    table = pq.read_table(path)
    pq.write_table(change(table), path, row_group_size=7)


def set_value(table: pa.Table, column: str, place: int, value: float) -> pa.Table:
    values = table[column].to_numpy().copy()
    values[place] = value
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.slice(1), "rows where the manifest says"),
        (lambda t: t.take(np.r_[1, 0, 2 : t.num_rows]), "ascending"),
        (lambda t: set_value(t, "row", 3, t["row"][2].as_py()), "ascending"),
        (lambda t: set_value(t, "logit", 2, np.nan), "not a finite number"),
        (lambda t: set_value(t, "p_virus", 2, np.inf), "not a finite number"),
        (lambda t: t.drop_columns(["p_other"]), "not a readable score file"),
        (lambda t: t.replace_schema_metadata({"model_id": "other-300-12345678"}), "made by model other-300-12345678"),
        (lambda t: t.replace_schema_metadata({}), "made by model unknown"),
    ],
)
def test_damaged_scores_are_refused(pool: Pool, tmp_path: Path, change: Any, message: str) -> None:
    change_scores(pool, "00001", change)
    with pytest.raises(DamagedFileError, match=rf"00001\.parquet: .*{message}"):
        run(pool, "first", tmp_path / "out")


def test_a_row_in_two_chunks_is_refused(pool: Pool, tmp_path: Path) -> None:
    path = pool.scores / "00000.parquet"
    rows, other = (pq.read_table(pool.scores / f"0000{n}.parquet")["row"].to_pylist() for n in (0, 1))
    rows = sorted([*rows[1:], other[0]])
    write_scores(path, rows, [0.0] * len(rows), pool.model.model_id)
    with pytest.raises(DamagedFileError, match=f"row {other[0]} is in another chunk too"):
        run(pool, "first", tmp_path / "out")


def test_a_missing_row_is_refused(pool: Pool, tmp_path: Path) -> None:
    manifest = pool.directory / "chunks.tsv"
    chunks = read_manifest(manifest)
    gone = pq.read_table(pool.scores / "00000.parquet")["row"].to_pylist()
    write_manifest(manifest, chunks[1:])
    with pytest.raises(DamagedFileError, match=rf"no score for row {gone[0]} |more frames than"):
        run(pool, "first", tmp_path / "out")
    write_manifest(manifest, chunks)
    (pool.scores / "00000.parquet").unlink()
    with pytest.raises(DamagedFileError, match=r"00000\.parquet: no scores for chunk 00000"):
        run(pool, "first", tmp_path / "out")


@pytest.mark.parametrize("table", ["contigs.parquet", "windows.parquet"])
def test_tables_that_do_not_fit_together_are_refused(pool: Pool, tmp_path: Path, table: str) -> None:
    other = write_pool(tmp_path / "other", {"first": plain(22), "odd": ODD})
    shutil.copy(other.directory / table, pool.directory / table)
    with pytest.raises(DamagedFileError, match=r"windows\.parquet: .* split"):
        run(pool, "odd", tmp_path / "out")


def shift_rows(table: pa.Table) -> pa.Table:
    rows = pa.array((table["contig"].to_numpy() >= 25) + table["first_row"].to_numpy())
    return table.set_column(table.schema.get_field_index("first_row"), "first_row", rows)


def call_it_unscored(table: pa.Table) -> pa.Table:
    status = [
        "no_open_frame" if name == "NA" else value
        for name, value in zip(table["contig"].to_pylist(), table["status"].to_pylist(), strict=True)
    ]
    column = pa.array(status).dictionary_encode()
    return table.set_column(table.schema.get_field_index("status"), "status", column)


def move_a_contig(table: pa.Table) -> pa.Table:
    return table.take(np.r_[0:31, 35, 31:35, 36 : table.num_rows])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("windows.parquet", shift_rows, "the rows of the windows have gaps or overlap"),
        ("windows.parquet", lambda table: table.slice(0, 45), "rows too few"),
        ("windows.parquet", lambda table: table.drop_columns(["frames"]), "no column frames"),
        ("contigs.parquet", call_it_unscored, "the status of a contig does not fit the frames"),
        ("contigs.parquet", move_a_contig, "do not lie together"),
    ],
)
def test_contradictory_tables_are_refused(pool: Pool, tmp_path: Path, name: str, change: Any, message: str) -> None:
    path = pool.directory / name
    pq.write_table(change(pq.read_table(path)), path, row_group_size=5)
    with pytest.raises(DamagedFileError, match=message):
        run(pool, "odd", tmp_path / "out")


def test_a_truncated_table_is_refused(pool: Pool, tmp_path: Path) -> None:
    path = pool.directory / "windows.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DamagedFileError, match=r"windows\.parquet: not a readable Parquet file"):
        run(pool, "odd", tmp_path / "out")


def test_windows_of_another_length_than_the_models_are_refused(pool: Pool, tmp_path: Path) -> None:
    pool = replace(pool, model=make_model(tmp_path / "five", name="tiny-500", window_length=500))
    with pytest.raises(DamagedFileError, match=r"windows of 300 bp, but model tiny-500 is for 500 bp"):
        run(pool, "odd", tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(">c3 ", ">d3 "), "has 'd3' instead of the 'c3'"),
        (lambda text: text.replace(">c4 number 4\n", ">c4 number 4\nA"), "other lengths"),
        (lambda text: text + ">more\nACGT\n", "has more than the 23 records"),
        (lambda text: text[: text.index(">c22")], "has 22 instead of the 23 records"),
    ],
)
def test_an_input_that_changed_since_the_split_is_refused(
    pool: Pool, tmp_path: Path, change: Any, message: str
) -> None:
    path = pool.inputs["first"]
    path.write_text(change(path.read_text()))
    with pytest.raises(UsageError, match=message):
        run(pool, "first", tmp_path / "out", thresholds=Thresholds(viral=0.0))


def test_renamed_duplicates_keep_their_new_names(tmp_path: Path) -> None:
    frames = {0: 5.0}
    pool = write_pool(
        tmp_path / "pool", {"s": [Contig("x", 300, [(0, 300, frames)]), Contig("x_2", 300, [(0, 300, frames)])]}
    )
    pool.inputs["s"].write_text(pool.inputs["s"].read_text().replace(">x_2", ">x"))
    run(pool, "s", tmp_path / "out")
    viral = gzip.decompress((tmp_path / "out" / "viral.fna.gz").read_bytes()).decode()
    assert [line.split()[0] for line in viral.split("\n") if line.startswith(">")] == [">x", ">x_2"]
