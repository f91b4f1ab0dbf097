"""Nothing around `virnucpro predict` changes its run: environment, working directory, names of files."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers.runs import (
    MODEL,
    call,
    checksums,
    contigs,
    snakemake_command,
    virnucpro,
    virnucpro_command,
    write_run,
)


def predict(
    *inputs: Path, output: Path, profile: Path | None = None, directory: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `virnucpro predict` with the built-in model."""
    options: list[str | Path] = ["--output-dir", output, "--model", MODEL, "--device", "cpu", "--no-report"]
    options += ["--threads", "2"]
    options += ["--profile", profile] if profile else []
    return virnucpro("predict", *inputs, *options, directory=directory, **environment)


def test_odd_names_and_surroundings_give_the_same_results(tmp_path: Path) -> None:
    plain, odd = tmp_path / "plain", tmp_path / "odd"
    names = {"braces_x_": "braces{x}.fa", "blank.fa_": "blank.fa ", "line_break": "line\nbreak.fa"}
    for folder in (plain, odd):
        folder.mkdir()
    for number, (sample, name) in enumerate(names.items()):
        text = contigs(2 * number, 2 * number + 2)
        (plain / f"{sample}.fa").write_text(text)
        (odd / name).write_text(text)
    # The working directory holds another workflow's profile, and a module that looks like one of the standard library.
    (odd / "profiles" / "default").mkdir(parents=True)
    (odd / "profiles" / "default" / "config.yaml").write_text("software-deployment-method: conda\n")
    (odd / "json.py").write_text("raise SystemExit('not the one of the standard library')\n")
    (tmp_path / "file").write_text("")

    expected = predict(*(plain / f"{sample}.fa" for sample in names), output=tmp_path / "expected")
    found = predict(
        *(odd / name for name in names.values()),
        output=tmp_path / "found",
        directory=odd,
        SNAKEMAKE_PROFILE="no_such_profile",
        CDPATH=str(tmp_path / "expected"),
        XDG_CACHE_HOME=str(tmp_path / "file"),
    )
    assert expected.returncode == 0, expected.stderr
    assert found.returncode == 0, found.stderr
    assert checksums(tmp_path / "found") == checksums(tmp_path / "expected")
    for listing in (tmp_path / "found").glob("work/*/*/*/*/gathered.sha256"):
        checked = call(["sha256sum", "--check", listing.name], listing.parent)
        assert checked.returncode == 0, checked.stderr


def test_inputs_dated_in_the_future_are_used_by_their_content(tmp_path: Path) -> None:
    ahead, linked, other = (tmp_path / name for name in ("ahead.fa", "linked.fa", "other.fa"))
    for path in (ahead, tmp_path / "target.fa", other):
        path.write_text(contigs(0, 1))
    linked.symlink_to("target.fa")
    tomorrow = time.time() + 86_400
    os.utime(ahead, (tomorrow, tomorrow))
    os.utime(linked, (tomorrow, tomorrow), follow_symlinks=False)
    ended = predict(ahead, linked, other, output=tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    tables = [(tmp_path / "out" / "results" / name / "contigs.tsv").stat().st_mtime_ns for name in ("ahead", "linked")]
    again = predict(ahead, linked, other, output=tmp_path / "out")
    assert again.returncode == 0, again.stderr
    assert tables == [
        (tmp_path / "out" / "results" / name / "contigs.tsv").stat().st_mtime_ns for name in ("ahead", "linked")
    ]

    os.utime(other, (tomorrow, tomorrow))
    later = predict(output=tmp_path / "out")
    assert later.returncode == 0, later.stderr


def test_an_error_of_snakemake_itself_reaches_the_user(tmp_path: Path) -> None:
    profile, good, bad = tmp_path / "profile", tmp_path / "good.fa", tmp_path / "bad.fa"
    profile.mkdir()
    (profile / "config.yaml").write_text("no-such-option: 1\n")
    good.write_text(contigs(0, 1))
    bad.write_text(">a\nACGTJACGT\n")
    output = tmp_path / "out"
    earlier = predict(good, bad, output=output)
    assert earlier.returncode == 2, earlier.stderr
    assert "sample bad: split" in earlier.stderr

    failed = predict(good, bad, output=output, profile=profile)
    assert failed.returncode == 1
    assert "no-such-option" in failed.stderr
    assert str(output / "logs" / "snakemake.log") in failed.stderr
    assert "sample bad" not in failed.stderr, "that failure is of the earlier start"


def test_closed_standard_error_stops_no_run(copy_of_finished: Path) -> None:
    """As that of some services is."""
    table = copy_of_finished / "results" / "one" / "windows.tsv"
    table.unlink()
    predict = virnucpro_command("predict", "--output-dir", copy_of_finished, "--device", "cpu")
    ended = call(["bash", "-c", '"$@" 2>&-', "bash", *predict])
    assert ended.returncode == 0
    assert table.exists()


def test_a_snakemake_at_work_keeps_its_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_run(run, {"one": contigs(0, 2)})
    with subprocess.Popen(snakemake_command(), cwd=run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        while not (run / "work" / "500-original").is_dir():
            assert other.poll() is None
            time.sleep(0.05)
        other.send_signal(signal.SIGSTOP)
        leftover = run / "work" / "500-original" / "one" / ".1.x.parquet"
        leftover.parent.mkdir(exist_ok=True)
        leftover.write_text("of a killed process")
        try:
            refused = virnucpro("predict", "--output-dir", run, "--device", "cpu")
            verified = virnucpro("verify", run)
            removed = virnucpro("verify", run, "--remove")
        finally:
            other.send_signal(signal.SIGCONT)
        assert other.wait() == 0
    assert refused.returncode == 1
    assert f"another `snakemake` works in {run} (process {other.pid}); wait for it or stop it" in refused.stderr
    assert verified.returncode == 0, verified.stdout
    assert f"a `snakemake` works in {run} (process {other.pid})" in verified.stdout
    assert removed.returncode == 1
    assert f"a `snakemake` works in {run}" in removed.stderr
    assert virnucpro("verify", run).returncode == 0
    assert virnucpro("predict", "--output-dir", run, "--device", "cpu").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount a small disk")
@pytest.mark.parametrize("size", ["24k", "48k", "160k"])
def test_a_full_disk_is_told(tmp_path: Path, size: str) -> None:
    (tmp_path / "a.fa").write_text(contigs(0, 1))
    (tmp_path / "disk").mkdir()
    script = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
    command = virnucpro_command(
        *("predict", tmp_path / "a.fa", "--output-dir", tmp_path / "disk" / "out", "--model", MODEL, "--device", "cpu")
    )
    ended = call(["unshare", "--mount", "bash", "-c", script, "_", size, tmp_path / "disk", *command])
    if "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip("this machine mounts no disk: " + ended.stderr)
    assert ended.returncode == 1, ended.stderr
    assert re.search(
        r"error: the disk of .* is full \(\d+ kB free\): free some space, then start again\n$", ended.stderr
    )
    assert not re.search("Traceback|HDF5|without a word", ended.stderr)


def test_a_run_goes_on_where_nobody_can_read_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(contigs(0, 1))
    command = virnucpro_command("predict", tmp_path / "a.fa", "--output-dir", tmp_path / "out", "--model", MODEL)
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=full, stderr=full, check=False)
    assert ended.returncode == 0
    assert (tmp_path / "out" / "results" / "a" / "run.json").exists()
    log = (tmp_path / "out" / "logs" / "snakemake.log").read_text()
    assert "<stderr> cannot be written (No space left on device): the run goes on" in log
