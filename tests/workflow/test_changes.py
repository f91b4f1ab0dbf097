"""What a change makes anew, and what it leaves alone."""

import json
import os
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.runs import (
    MODEL,
    ROOT,
    call,
    checksums,
    contigs,
    planned,
    snakemake,
    snakemake_command,
    virnucpro_here,
)
from virnucpro_kernels.files import sha256
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.run.config import schema
from virnucpro_kernels.weights.registry import find_model, write_model


def configure(directory: Path, **keys: str) -> None:
    """Add or replace keys of a run's configuration."""
    path = directory / "config" / "config.yaml"
    lines = [line for line in path.read_text().splitlines() if line.partition(":")[0] not in keys]
    path.write_text("\n".join([*lines, *(f"{key}: {value}" for key, value in keys.items())]) + "\n")


def test_a_finished_run_is_finished(finished: Path) -> None:
    assert planned(finished) == {}


def test_what_changes_no_number_reruns_nothing(finished: Path) -> None:
    resources = ("embed:token_budget=2048", "embed:attention=sdpa", "classify:mem_mb=9000", "embed:runtime=7")
    threads = ("--set-threads", "embed=1", "split=1")
    assert planned(finished, "--set-resources", *resources, *threads, "--resources", "gpu=4", "--cores", "1") == {}


def test_another_profile_reruns_nothing(copy_of_finished: Path) -> None:
    """Where the configuration says what computes: else the nodes of a cluster are expected to have GPUs."""
    configure(copy_of_finished, device="cpu")
    assert planned(copy_of_finished) == {}
    assert planned(copy_of_finished, "--profile", ROOT / "profiles" / "slurm") == {}


def test_touched_inputs_rerun_nothing(copy_of_finished: Path) -> None:
    for path in (copy_of_finished / "data").iterdir():
        later = path.stat().st_mtime + 60
        os.utime(path, (later, later))
    assert planned(copy_of_finished) == {}


def test_a_moved_run_and_a_moved_model_rerun_nothing(copy_of_finished: Path, tmp_path: Path) -> None:
    shutil.copytree(find_model(MODEL).directory, tmp_path / "models" / MODEL)
    configure(copy_of_finished, models_dir=str(tmp_path / "models"))
    assert planned(copy_of_finished) == {}


def test_a_version_with_other_commands_reruns_nothing(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "version"
    for name in ("workflow", "profiles"):
        shutil.copytree(ROOT / name, other / name)
    shutil.copy(ROOT / "Snakefile", other)
    for name in ("virnucpro_kernels", "envs"):
        (other / name).symlink_to(ROOT / name)
    for rules in (other / "workflow" / "rules").glob("*.smk"):
        rules.write_text(rules.read_text().replace('"{params.virnucpro} ', '"{params.virnucpro}  '))
    assert planned(finished, snakefile=other / "Snakefile") == {}


@pytest.mark.parametrize(
    ("keys", "jobs"),
    [
        ({"embedding_cache": "/a/cache", "embedding_cache_gb": "7"}, {}),
        ({"viral_threshold": "0.9"}, {"collect": 3}),
        ({"preset": "default"}, {}),
        ({"preset": "strict"}, {"collect": 3}),
        ({"min_window_fraction": "1"}, {"collect": 3}),
        ({"min_scored_windows": "2"}, {"collect": 3}),
        ({"min_covered_fraction": "0.5"}, {"collect": 3}),
        ({"ambiguous_band": "[0.1, 0.9]"}, {"collect": 3}),
        ({"original_files": "broad"}, {"collect": 3}),
        ({"chunk_tokens": "1000000"}, {"split": 2, "gather": 2, "collect": 3}),
        ({"layout": "even"}, {"split": 2, "gather": 2, "collect": 3}),
        ({"layout": "segments", "min_segment": "40"}, {"split": 2, "gather": 2, "collect": 3}),
        ({"precision": "fp16"}, {"embed": 4, "merge": 4, "classify": 4, "gather": 2, "collect": 3}),
    ],
)
def test_a_key_reruns_the_stages_that_it_touches(
    copy_of_finished: Path, keys: dict[str, str], jobs: dict[str, int]
) -> None:
    configure(copy_of_finished, **keys)
    assert planned(copy_of_finished) == jobs


def test_a_label_keeps_a_second_set_of_tables(copy_of_finished: Path) -> None:
    before = checksums(copy_of_finished)
    configure(copy_of_finished, label="strict", preset="strict")
    assert planned(copy_of_finished) == {"collect": 3}
    ended = snakemake(copy_of_finished)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert checksums(copy_of_finished) == before
    for sample in (copy_of_finished / "results").glob("*/"):
        again = copy_of_finished / "results-strict" / sample.name
        assert {path.name for path in again.iterdir()} == {path.name for path in sample.iterdir()}
    assert virnucpro_here("verify", copy_of_finished).returncode == 0
    table = next((copy_of_finished / "results-strict").glob("*/contigs.tsv"))
    table.write_bytes(table.read_bytes()[:-3])
    assert virnucpro_here("verify", copy_of_finished).returncode == 3


def test_a_preset_changes_calls_and_no_score(copy_of_finished: Path) -> None:
    """Explicit keys win over it, and the original tool's files stay as they are."""

    def read() -> tuple[pd.DataFrame, dict[str, str]]:
        sums = checksums(copy_of_finished)
        files = {path: made for path, made in sums.items() if "prediction_results" in path or path.endswith("s.tsv.gz")}
        return pd.read_csv(copy_of_finished / "results" / "one" / "contigs.tsv", sep="\t"), files

    contigs, others = read()
    configure(copy_of_finished, preset="strict", viral_threshold="0.95")
    ended = snakemake(copy_of_finished)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    stricter, same = read()
    assert same == others
    unchanged = [name for name in contigs if name not in {"call", "tier"}]
    pd.testing.assert_frame_equal(stricter[unchanged], contigs[unchanged])
    record = json.loads((copy_of_finished / "results" / "one" / "run.json").read_text())
    used = record["parameters"]["thresholds"]
    assert used["viral_threshold"] == 0.95
    assert used["min_scored_windows"] == schema("config")["presets"]["strict"]["min_scored_windows"] == 2
    enough = (stricter["scored_windows"] >= stricter["windows"].clip(upper=2)) & (stricter["covered_fraction"] >= 0.5)
    enough &= stricter["status"] == "scored"
    assert ((stricter["call"] != "none") == enough).all()
    assert (stricter["call"] != contigs["call"]).any()


def test_another_classifier_needs_no_new_embedding(copy_of_finished: Path, tmp_path: Path) -> None:
    """With features kept: exactly classify and collect, and really other scores."""
    from safetensors.numpy import load_file, save_file

    model = find_model(MODEL)
    shutil.copytree(model.directory, tmp_path / "models" / "other")
    weights = tmp_path / "models" / "other" / model.classifier.file
    tensors = load_file(weights)
    save_file({name: -tensor if tensor.shape[:1] == (2,) else tensor for name, tensor in tensors.items()}, weights)
    changed = replace(model.classifier, sha256=sha256(weights), bytes=weights.stat().st_size)
    write_model(replace(model, name="other", directory=tmp_path / "models" / "other", classifier=changed))
    configure(copy_of_finished, model=str(tmp_path / "models" / "other"))
    assert planned(copy_of_finished) == {"classify": 4, "gather": 2, "collect": 3}
    before = checksums(copy_of_finished)
    ended = snakemake(copy_of_finished)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    after = checksums(copy_of_finished)
    assert all(before[name] != after[name] for name in before if name.endswith("contigs.tsv"))
    configure(copy_of_finished, model=MODEL)
    assert planned(copy_of_finished) == {"collect": 3}, "the scores of the first model are still there"


def test_a_changed_input_makes_its_pool_anew_and_no_other(copy_of_finished: Path) -> None:
    with (copy_of_finished / "data" / "three.fa").open("a") as file:
        file.write(contigs(16, 17))
    assert planned(copy_of_finished) == {"split": 1, "gather": 1, "collect": 1}
    ended = snakemake(copy_of_finished)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    text = ended.stdout + ended.stderr
    assert "work/500-original/second/chunks.tsv" in text
    assert "work/500-original/first" not in text.replace("work/500-original/first/contigs.parquet,", "")
    assert len((copy_of_finished / "results" / "three" / "contigs.tsv").read_text().splitlines()) == 1 + 6
    assert planned(copy_of_finished) == {}


def test_a_pool_split_again_to_the_same_chunks_embeds_nothing_anew(copy_of_finished: Path) -> None:
    """As after a damaged chunk file: the manifest comes back with the same content."""
    (copy_of_finished / "work" / "500-original" / "first" / "chunks.tsv").unlink()
    ended = snakemake(copy_of_finished)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "rule embed" not in ended.stdout + ended.stderr
    assert planned(copy_of_finished) == {}


def test_small_samples_share_a_pool_and_a_new_one_joins_the_last(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "data").mkdir(parents=True)
    for name in ("a", "b", "c"):
        (run / "data" / f"{name}.fa").write_text(contigs(0, 1))
    (run / "sheet.tsv").write_text("sample\tinput\na\tdata/a.fa\nb\tdata/b.fa\n")
    (run / "work").mkdir()
    (run / "work" / "pools.tsv").write_text("sample\tpool\tbases\nx\told\t10\n")
    options = ["--until", "split", "--config", "samples=sheet.tsv", f"model={MODEL}"]
    ended = snakemake(run, *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [path.parent.name for path in run.glob("work/*/*/chunks.tsv")] == ["old"]
    kept = (run / "work" / "pools.tsv").read_text()
    assert [line.split("\t")[:2] for line in kept.splitlines()[1:]] == [["x", "old"], ["a", "old"], ["b", "old"]]
    (run / "sheet.tsv").write_text("sample\tinput\tpool\na\tdata/a.fa\tmine\nb\tdata/b.fa\t\nc\tdata/c.fa\t\n")
    ended = snakemake(run, *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (run / "work" / "pools.tsv").read_text().startswith(kept), "assignments are only ever appended to"
    assert sorted(path.parent.name for path in run.glob("work/*/*/chunks.tsv")) == ["mine", "old"]


def test_longest_chunks_come_first_and_requirements_follow_the_manifest(finished: Path) -> None:
    manifest = {
        chunk.chunk: chunk for chunk in read_manifest(finished / "work" / "500-original" / "first" / "chunks.tsv")
    }
    ended = snakemake(finished, "--dry-run", "--forcerun", "embed", "--quiet", "progress")
    text = ended.stdout + ended.stderr
    for block in text.split("rule embed:")[1:]:
        wildcards = dict(pair.split("=") for pair in block.partition("wildcards: ")[2].partition("\n")[0].split(", "))
        if wildcards["pool"] == "first":
            assert f"priority: {manifest[wildcards['chunk']].protein_tokens}\n" in block
            assert "mem_mb=" in block
            assert "runtime=" in block
            assert "disk_mb=" in block


def test_vectors_of_few_chunks_lie_on_the_disk_at_once(finished: Path) -> None:
    """At most those of two chunks beside one for each embedding job, of which two cores work at one at a time."""
    began, ended = [], []
    for path in finished.glob("work/*/*/*/*/*.classify.json"):
        embed, classify = read_job(path.parents[1] / path.name.replace("classify", "embed")), read_job(path)
        began.append(datetime.fromisoformat(embed["started"]))
        ended.append(datetime.fromisoformat(classify["started"]) + timedelta(seconds=classify["seconds"]))
    assert len(began) == 4
    at_once = [sum(first <= moment < last for first, last in zip(began, ended, strict=True)) for moment in began]
    assert max(at_once) <= 3


def test_the_temporary_directory_is_honoured(copy_of_finished: Path, tmp_path: Path) -> None:
    ended = call([*snakemake_command(), "--dry-run", "--forceall"], copy_of_finished, TMPDIR=str(tmp_path))
    assert f"tmpdir={tmp_path}" in ended.stdout + ended.stderr
    assert os.environ.get("TMPDIR") != str(tmp_path)
