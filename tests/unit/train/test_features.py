"""The features of the frames to train on, from a pool that the split made of drawn windows: the right ones, with their
classes and weights."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.genome_files import write_coding_genomes, write_genomes
from tests.helpers.split_runs import split
from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.embedding_file import EmbeddingWriter
from virnucpro_kernels.pool.file_names import MANIFEST, WINDOWS, vector_name
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.pool.provenance import EncoderRecord, Provenance
from virnucpro_kernels.train.draw import DrawOptions, draw
from virnucpro_kernels.train.drawn import FILE_LIST, WINDOW_FASTA, WINDOW_LIST, DrawnWindow
from virnucpro_kernels.train.features import read_training_frames
from virnucpro_kernels.train.fit import FitOptions, fit
from virnucpro_kernels.weights.registry import find_model

GEOMETRY = Geometry(150, "original")  # short windows have many stop-free frames beside the coding one


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[DrawnWindow], dict[int, str]]:
    """A pool of several chunks whose vectors hold nothing but their row; its windows; window and frame by row."""
    folder = tmp_path_factory.mktemp("pool")
    options = DrawOptions(GEOMETRY, "cds", 60, 20, 0.3, seed=1)
    drawn = draw(write_coding_genomes(folder), folder / "drawn", options)
    split(folder / "windows", folder / "drawn" / WINDOW_FASTA, geometry=GEOMETRY)
    names: dict[int, str] = {}
    chunks = read_manifest(folder / "windows" / MANIFEST)
    assert len(chunks) > 2
    (folder / "windows" / "encoders").mkdir()
    for chunk in chunks:
        text = (folder / "windows" / "chunks" / f"{chunk.chunk}.fna").read_text()
        found = {int(row): f"{window} {frame}" for row, window, frame in re.findall(r">(\d+) (\w+)_chunk_1(..)", text)}
        names |= found
        record = EncoderRecord("any", "0", 1, "fp32", "sdpa", 0)
        provenance = Provenance("windows", chunk.chunk, str(GEOMETRY), "encoders", "", "", record, None)
        path = folder / "windows" / "encoders" / vector_name(chunk.chunk, "features")
        with EmbeddingWriter(path, len(found), np.float32, provenance) as writer:
            rows = np.array(sorted(found), np.int64)
            writer.write(rows, rows[:, None].astype(np.float32))
    return folder / "windows", drawn, names


def test_frames_are_those_that_were_drawn_and_no_others(pool: tuple[Path, list[DrawnWindow], dict[int, str]]) -> None:
    folder, drawn, names = pool
    used = 0
    for side in ("train", "val", "test"):
        frames = read_training_frames(drawn, side, folder, "encoders")
        own = [window for window in drawn if window.split == side]
        assert frames.windows == own
        expected = [
            (window.window, name) for window in own for bit, name in enumerate(FRAME_NAMES) if window.frames >> bit & 1
        ]
        found = [tuple(names[int(row)].split()) for row in frames.examples.features[:, 0]]
        assert found == expected
        used += len(found)
        assert [own[index].window for index in frames.window] == [window for window, _ in expected]
        labels = [own[index].label == "virus" for index in frames.window]
        assert frames.examples.labels.tolist() == labels
        of_window = torch.zeros(len(own)).index_add(0, torch.from_numpy(frames.window), frames.examples.weights)
        torch.testing.assert_close(of_window, torch.ones(len(own)))
    assert used < len(names), "some frames are of no coding sequence"


def test_a_pool_of_other_windows_is_refused(pool: tuple[Path, list[DrawnWindow], dict[int, str]]) -> None:
    folder, drawn, _ = pool
    with pytest.raises(DamagedFileError, match="not of the windows that were drawn"):
        read_training_frames(drawn[1:], "train", folder, "encoders")
    assert (folder / WINDOWS).exists()


def test_missing_features_are_told(pool: tuple[Path, list[DrawnWindow], dict[int, str]]) -> None:
    folder, drawn, _ = pool
    with pytest.raises(DamagedFileError, match=r"00000\.features\.h5: there is no such file"):
        read_training_frames(drawn, "train", folder, "others")


@pytest.mark.parametrize("name", [WINDOW_LIST, FILE_LIST])
def test_a_list_that_lost_a_line_is_refused_before_anything_is_trained(tmp_path: Path, name: str) -> None:
    options = DrawOptions(Geometry(300, "original"), "all", 20, 10, 0.0, seed=3)
    draw(write_genomes(tmp_path), tmp_path / "drawn", options)
    path = tmp_path / "drawn" / name
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    fit_options = FitOptions(
        drawn=path.parent,
        pool=tmp_path,
        encoders="encoders",
        base=find_model("builtin-500"),
        frames="all",
        recipe="default",
        seed=1,
        output=tmp_path / "model",
        checkpoint=tmp_path / "checkpoint",
        device="cpu",
        threads=torch.get_num_threads(),
    )
    with pytest.raises(DamagedFileError, match=f"{name}: damaged .*; remove it, and the next start of the training"):
        fit(fit_options)
