"""In-chunk progress belongs to one process at a time, and is gone when the chunk is complete."""

import errno
import fcntl
import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from virnucpro_kernels.embed.resume import open_partial
from virnucpro_kernels.errors import VirnucproError


def hold(directory: Path, pipe: Connection) -> None:
    with open_partial(directory):
        pipe.send("have it")
        pipe.recv()
    pipe.send("done")


def test_two_processes_take_turns(tmp_path: Path) -> None:
    directory = tmp_path / "00000.partial"
    pipes = []
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        ours, theirs = multiprocessing.Pipe()
        context.Process(target=hold, args=(directory, theirs), daemon=True).start()
        pipes.append(ours)
    ready = multiprocessing.connection.wait(pipes)
    (first,) = (pipe for pipe in pipes if pipe in ready)
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


def test_who_takes_the_folder_over_while_it_is_removed_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, remove = tmp_path / "00000.partial", Path.rmdir
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("spawn").Process(target=hold, args=(directory, theirs), daemon=True)

    def remove_late(path: Path) -> None:
        other.start()
        assert ours.recv() == "have it"
        remove(path)

    monkeypatch.setattr(Path, "rmdir", remove_late)
    with open_partial(directory) as partial:
        (partial.directory / "protein-000000000.h5").touch()
    assert [path.name for path in directory.iterdir()] == ["lock"]
    ours.send("go on")
    assert ours.recv() == "done"
    assert not directory.exists()


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "partial").touch()
    with pytest.raises(FileExistsError), open_partial(tmp_path / "partial"):
        pass


def test_a_file_system_without_locks_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")  # Lustre, mounted without them

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(VirnucproError, match=r"cannot be locked .* option flock"), open_partial(tmp_path / "partial"):
        pass


def test_progress_survives_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_partial(tmp_path / "partial"):
        raise ZeroDivisionError
    with open_partial(tmp_path / "partial") as partial:
        assert partial.directory.is_dir()
