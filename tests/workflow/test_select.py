"""`virnucpro select`: contigs and regions of a finished run, from its results alone."""

import gzip
import io
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.runs import call, virnucpro_command, virnucpro_here

SAMPLES = ("one", "two", "three")


def read(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), sep="\t", keep_default_na=False, na_values={"p_virus": ["NA"]})


def tables(run: Path, name: str) -> pd.DataFrame:
    return pd.concat([read((run / "results" / sample / name).read_text()) for sample in SAMPLES], ignore_index=True)


def select(*options: str | Path) -> str:
    ended = virnucpro_here("select", *options)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_table_has_the_rows_that_fulfil_all_conditions(finished: Path) -> None:
    everything = tables(finished, "contigs.tsv")
    header, *rows = select(finished).splitlines()
    of_samples = [(finished / "results" / sample / "contigs.tsv").read_text().splitlines() for sample in SAMPLES]
    assert {lines[0] for lines in of_samples} == {header}
    assert sorted(rows) == sorted(row for lines in of_samples for row in lines[1:])
    found = read(select(finished, "--min-p", "0.4", "--max-p", "0.7", "--min-length", "900", "--max-length", "2500"))
    expected = everything[everything["p_virus"].between(0.4, 0.7) & everything["length"].between(900, 2500)]
    assert 0 < len(expected) < len(everything)
    assert sorted(found["contig"] + found["sample"]) == sorted(expected["contig"] + expected["sample"])
    found = read(select(finished, "--sample", "two", "--call", "none", "--call", "host"))
    assert set(found["sample"]) == {"two"}
    assert set(found["call"]) == {"none", "host"}


def test_regions_by_tier_as_bed_and_fasta(finished: Path, tmp_path: Path) -> None:
    regions = tables(finished, "regions.tsv")
    medium = regions[regions["tier"] == "medium"]
    assert 0 < len(medium) < len(regions)
    names = (medium["contig"] + ":" + (medium["start"] + 1).astype(str) + "-" + medium["end"].astype(str)).tolist()
    bed = [line.split("\t") for line in select(finished, "--regions", "--tier", "medium", "--bed").splitlines()]
    assert sorted(line[3] for line in bed) == sorted(names)
    output = tmp_path / "medium.fna.gz"
    select(finished, "--regions", "--tier", "medium", "--fasta", "--output", output)
    records = [record.partition("\n") for record in gzip.decompress(output.read_bytes()).decode().split(">")[1:]]
    found = sorted((header.split(" ")[0], len(body.replace("\n", ""))) for header, _, body in records)
    assert found == sorted(zip(names, medium["length"], strict=True))


@pytest.mark.parametrize("options", [("--call", "viral"), ("--max-length", "2000"), ("--min-length", "900")])
def test_sequences_are_those_of_the_input(finished: Path, options: tuple[str, ...]) -> None:
    """Viral contigs come from the results, others from the input."""
    folder = finished / "results" / "one"
    expected = read(select(folder, *options))["contig"].tolist()
    original = (finished / "data" / "one.fa").read_text().split(">")[1:]
    sequences = {header.split()[0]: body.replace("\n", "") for header, _, body in (r.partition("\n") for r in original)}
    found = [record.partition("\n") for record in select(folder, *options, "--fasta").split(">")[1:]]
    assert expected
    assert [header.split()[0] for header, _, _ in found] == expected
    assert all(body.replace("\n", "") == sequences[header.split()[0]] for header, _, body in found)
    assert all(" p_virus=" in header and "model=builtin-500(trial)" in header for header, _, _ in found)


def test_an_input_that_changed_or_went_is_told(copy_of_finished: Path) -> None:
    source = copy_of_finished / "data" / "one.fa"
    folder = copy_of_finished / "results" / "one"
    source.write_text(source.read_text().replace("A\n", "\n", 1))
    ended = virnucpro_here("select", folder, "--fasta")
    assert ended.returncode == 5
    assert "the input has changed since" in ended.stderr
    source.unlink()
    ended = virnucpro_here("select", folder, "--fasta")
    assert ended.returncode == 5
    assert "the input of the run is gone" in ended.stderr
    assert select(folder, "--call", "viral", "--fasta").startswith(">")


def test_a_pipe_is_written_to_and_stays_one(finished: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        select(finished, "--call", "viral", "--output", tmp_path / "pipe")
        assert reader.communicate(timeout=60)[0] == select(finished, "--call", "viral")
    assert (tmp_path / "pipe").is_fifo()


def test_a_hyphen_is_standard_output(finished: Path) -> None:
    assert select(finished, "--call", "viral", "--output", "-") == select(finished, "--call", "viral")
    assert not Path("-").exists()


def test_who_reads_may_stop_at_any_time(finished: Path) -> None:
    command = virnucpro_command("select", finished)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 0


def test_closed_standard_output_is_told(finished: Path) -> None:
    ended = call(["bash", "-c", '"$@" >&-', "bash", *virnucpro_command("select", finished)])
    assert ended.returncode == 5
    assert ended.stderr == "error: standard output is closed: name a file with --output\n"


def test_the_results_themselves_can_be_named(finished: Path) -> None:
    assert select(finished / "results") == select(finished)


def test_a_table_that_lost_rows_is_refused(copy_of_finished: Path) -> None:
    """It is as good a table as the whole one, and every number from it would be wrong."""
    for command, name in (
        (("select",), "contigs.tsv"),
        (("select", "--regions"), "regions.tsv"),
        (("select", "--regions", "--fasta"), "viral_regions.fna.gz"),
        (("export", "--to", "anvio", "--output", copy_of_finished / "x"), "contigs.tsv"),
        (("export", "--to", "xlsx", "--output", copy_of_finished / "x"), "regions.tsv"),
        (("report",), "windows.tsv"),
        (("plot", "c"), "contigs.tsv"),
    ):
        path = copy_of_finished / "results" / "two" / name
        whole = path.read_bytes()
        path.write_bytes(gzip.compress(b"") if name.endswith(".gz") else whole[: whole.rindex(b"\n", 0, -1) + 1])
        ended = virnucpro_here(command[0], copy_of_finished, *command[1:])
        assert ended.returncode == 3, (command, ended.stderr)
        assert f"{path}: damaged (its content is not what was written)" in ended.stderr
        path.write_bytes(whole)


def test_wrong_usage_is_told(finished: Path, tmp_path: Path) -> None:
    for options, message in (
        ((finished, "--fasta", "--bed"), "give one of them"),
        ((finished, "--sample", "four"), "no results of sample four"),
        ((finished, "--min-p", "0.9", "--max-p", "0.1"), "--min-p 0.9 is above --max-p 0.1"),
        ((finished, "--min-length", "9", "--max-length", "5"), "--min-length 9 is above --max-length 5"),
        ((tmp_path,), "no results"),
    ):
        ended = virnucpro_here("select", *options)
        assert ended.returncode == 5
        assert message in ended.stderr
