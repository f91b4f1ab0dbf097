"""The estimate of the time that a job has left, and durations in words."""

import time
from pathlib import Path

import pytest

from tests.helpers.clock import Clock
from virnucpro_kernels.errors import DamagedFileError, VirnucproError
from virnucpro_kernels.pool.job_record import (
    Job,
    TimeLeft,
    check_output,
    counted,
    duration,
    length_in_words,
    read_job,
    read_record,
)


def test_the_time_left_follows_from_the_rate_since_the_start() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    assert left.seconds(200, 1000) is None
    clock.now = 30.0
    assert left.seconds(200, 1000) is None, "what was done before says nothing"
    clock.now = 400.0
    assert left.words(210, 1000) == "time left unknown yet", "nor how long the first progress took to come"
    clock.now = 410.0
    assert left.words(250, 1000) == "roughly 3 min left"
    assert left.seconds(310, 1000) == pytest.approx(69.0)
    assert left.words(310, 1000) == "about 69 s left"
    assert left.seconds(1000, 1000) == 0
    assert TimeLeft(clock).seconds(5, 5) == 0, "also where all is done at the first call"


@pytest.mark.parametrize(
    ("seconds", "words"), [(8, "8 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")]
)
def test_durations_are_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("bases", "words"),
    [(0, "0 kbp"), (2_900, "3 kbp"), (350_000, "0.3 Mbp"), (13_240_000, "13.2 Mbp"), (1_300_000_000, "1,300 Mbp")],
)
def test_lengths_are_in_words(bases: int, words: str) -> None:
    assert length_in_words(bases) == words


def test_one_of_a_thing_is_singular() -> None:
    assert [counted(number, "sample") for number in (0, 1, 2000)] == ["0 samples", "1 sample", "2,000 samples"]


def test_a_record_that_is_damaged_is_none(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    with Job(path, "split", {"wörter": [1, 2.5, None]}) as job:
        job.progress(1, 2)
    assert read_job(path)["wörter"] == [1, 2.5, None]
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        if b'"checksum"' in path.read_bytes():  # else it is a record of an older version, whose entries are right
            assert read_job(path) == {}, place
    for damaged in (b"", b"\xff", content[:-9], b"[]"):
        path.write_bytes(damaged)
        assert read_job(path) == {}
        with pytest.raises(DamagedFileError, match=r"split\.json: damaged"):
            read_record(path)


def test_a_record_of_an_older_version_has_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"stage": "split"}')
    assert read_record(path) == {"stage": "split"}


def test_a_file_is_compared_with_what_its_job_wrote(tmp_path: Path) -> None:
    output, record = tmp_path / "table.tsv", tmp_path / "split.json"
    output.write_text("right")
    check_output(output, record)
    with Job(record, "split") as job:
        job.wrote(output)
    check_output(output, record)
    output.write_text("wrong")
    with pytest.raises(DamagedFileError, match=r"table\.tsv: damaged"):
        check_output(output, record)
    record.unlink()
    check_output(output, record)


def test_a_job_that_waited_counts_its_time_from_then_on(tmp_path: Path) -> None:
    with Job(tmp_path / "job.json", "embed") as job:
        began = read_job(tmp_path / "job.json")["started"]
        time.sleep(0.05)
        job.restart_clock()
        assert read_job(tmp_path / "job.json")["state"] == "running"
    record = read_job(tmp_path / "job.json")
    assert record["started"] > began
    assert record["waited_seconds"] >= 0.05


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """/dev/full is a disk on which there is never any space; the error of a write to it names no file."""
    with (
        pytest.raises(VirnucproError, match=f"no space is left on the disk of {tmp_path} or"),
        Job(tmp_path / "00000.merge.json", "merge"),
        Path("/dev/full").open("w") as file,
    ):
        file.write("x")
    assert "no space is left" in str(read_job(tmp_path / "00000.merge.json")["error"])
