"""In-chunk progress belongs to one process at a time, and is gone when the chunk is complete."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from virnucpro_kernels.parts import open_parts


def hold(directory: Path, pipe: Connection) -> None:
    with open_parts(directory):
        pipe.send("have it")
        pipe.recv()
    pipe.send("done")


def test_two_processes_take_turns(tmp_path: Path) -> None:
    directory = tmp_path / "00000.parts"
    pipes = []
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        ours, theirs = multiprocessing.Pipe()
        context.Process(target=hold, args=(directory, theirs), daemon=True).start()
        pipes.append(ours)
    (first,) = multiprocessing.connection.wait(pipes)
    assert first.recv() == "have it"
    (second,) = (pipe for pipe in pipes if pipe is not first)
    assert not second.poll(0.3)
    first.send("go on")
    assert first.recv() == "done"
    assert second.recv() == "have it"
    assert (directory / "lock").exists()
    second.send("go on")
    assert second.recv() == "done"
    assert not directory.exists()


def test_progress_survives_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_parts(tmp_path / "parts"):
        raise ZeroDivisionError
    with open_parts(tmp_path / "parts") as parts:
        assert parts.directory.is_dir()
