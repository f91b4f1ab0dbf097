"""The original's two files, against its own golden ones and against its recipe run by pandas."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.helpers.defaults import rule
from tests.helpers.synthetic_pool import softmax
from virnucpro_kernels.pool.file_names import ORIGINAL_FRAMES, ORIGINAL_WINDOWS
from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.score.original_tables import Flavour, OriginalFiles, printed
from virnucpro_kernels.score.sample_reader import ContigBatch
from virnucpro_kernels.score.scoring import score_windows


def block_of(ids: list[str], scores: np.ndarray) -> ContigBatch:
    """A batch with the frames of `ids`, which are in the original's order."""
    parts = [re.fullmatch(r"(.*)_chunk_(\d+)([FR][123])", name, re.DOTALL) for name in ids]
    frames = pd.DataFrame(
        [(part[1], int(part[2]), 1 << FRAME_NAMES.index(part[3])) for part in parts if part],
        columns=["contig", "window", "bit"],
    )
    assert len(frames) == len(ids)
    windows = frames.groupby(["contig", "window"], sort=False)["bit"].sum().reset_index()
    counts = windows.groupby("contig", sort=False)["window"].max()
    every = pd.DataFrame(
        [(contig, number) for contig, count in counts.items() for number in range(1, count + 1)],
        columns=["contig", "window"],
    )
    masks = every.merge(windows, how="left")["bit"].fillna(0).to_numpy(np.uint8)
    size = np.full(len(masks), 300)
    return ContigBatch(
        contig=pa.array(counts.index.tolist(), pa.string()),
        description=pa.array([""] * len(counts)),
        length=300 * counts.to_numpy(np.int64),
        status=pa.array(["scored"] * len(counts)),
        windows=counts.to_numpy(np.int64),
        note=pa.array([""] * len(counts)),
        start=np.zeros_like(size),
        end=size,
        mask=masks,
        logit=np.log(scores[:, 1] / scores[:, 0]),
        scores=scores,
    )


def write(directory: Path, batches: list[ContigBatch], flavour: Flavour) -> tuple[str, str]:
    with OriginalFiles(directory, flavour) as files:
        for batch in batches:
            files.add(batch, score_windows(batch, rule()))
        files.finish()
    return (directory / ORIGINAL_FRAMES).read_text("utf-8"), (directory / ORIGINAL_WINDOWS).read_text("utf-8")


@pytest.mark.parametrize("name", ["test_fixed_500bp", "test_with_orfs"])
def test_golden_scores_give_the_golden_files(golden: Path, tmp_path: Path, name: str) -> None:
    frames, windows = ((golden / f"{name}_merged" / file).read_text() for file in (ORIGINAL_FRAMES, ORIGINAL_WINDOWS))
    rows = [line.split("\t") for line in frames.splitlines()[1:]]
    scores = np.array([row[2:] for row in rows], np.float32)
    assert write(tmp_path, [block_of([row[0] for row in rows], scores)], "original") == (frames, windows)


def made_up(seed: int, names: list[str]) -> ContigBatch:
    generator = np.random.default_rng(seed)
    ids = [
        f"{name}_chunk_{number}{FRAME_NAMES[frame]}"
        for name in names
        for number in range(1, int(generator.integers(1, 13)) + 1)
        for frame in sorted(generator.choice(6, generator.integers(1, 5), replace=False))
    ]
    logits = np.concatenate([generator.normal(size=len(ids) - 6) * 8, [0, 0, 1e-9, -1e-9, 40, -40]])
    return block_of(ids, softmax(generator.permutation(logits).tolist()))


NAMES = ["b", "a", "A10", "A9", "Ünï", "日本", "'x'", '"q"', 'mid"dle', '"a', "a;b", "q", '"two""quotes"x', "NA", "#c"]


def original_windows(frames: str) -> str:
    """What the original makes of its first file. A quote that is never closed would swallow the lines after it."""
    table = pd.read_csv(io.StringIO(frames), sep="\t")
    table["Modified_ID"] = table["Sequence_ID"].str[:-2]
    best = table.groupby("Modified_ID")[["score1", "score2"]].max()
    result = pd.DataFrame({"Is_Virus": best["score2"] >= best["score1"]}).reset_index()
    return result.to_csv(sep="\t", index=False)


def broad_windows(frames: str) -> str:
    table = pd.read_csv(io.StringIO(frames), sep="\t")
    rows: dict[str, tuple[float, float]] = {}
    for name, score1, score2 in zip(table["Sequence_ID"], table["score1"], table["score2"], strict=True):
        old = rows.get(name[:-2], (0.0, 0.0))
        rows[name[:-2]] = max(old[0], score1), max(old[1], score2)
    result = pd.DataFrame(
        [(name, score2 >= score1, score1, score2) for name, (score1, score2) in rows.items()],
        columns=["Modified_ID", "Is_Virus", "max_score_0", "max_score_1"],
    )
    return result.to_csv(sep="\t", index=False)


@pytest.mark.parametrize("seed", range(3))
def test_files_are_those_of_the_originals_recipe(tmp_path: Path, seed: int) -> None:
    names = [name for name in NAMES if name != '"a']
    batch = made_up(seed, names)
    frames, windows = write(tmp_path, [batch], "original")
    labels, lines = np.array(["others", "virus"])[batch.scores.argmax(axis=1)], frames.splitlines()[1:]
    for line, label, (score1, score2) in zip(lines, labels, batch.scores, strict=True):
        assert line.split("\t")[1:] == [label, str(score1), str(score2)]
    assert windows == original_windows(frames)
    assert windows.count("q_chunk_1\t") == 1, '"q" and q are one to the original'


@pytest.mark.parametrize("seed", range(3))
def test_broads_files_are_those_of_its_recipe(tmp_path: Path, seed: int) -> None:
    batch = made_up(seed, [name for name in NAMES if name != '"a'])
    frames, windows = write(tmp_path, [batch], "broad")
    for line, (score1, score2) in zip(frames.splitlines()[1:], batch.scores, strict=True):
        assert line.split("\t")[2:] == [repr(float(score1)), repr(float(score2))]
    assert windows == broad_windows(frames)


def test_a_quote_that_is_never_closed_spoils_no_other_line(tmp_path: Path) -> None:
    batch = made_up(0, ['"a', "b"])
    _, windows = write(tmp_path, [batch], "original")
    table = pd.read_csv(io.StringIO(windows), sep="\t")
    assert table["Modified_ID"].iloc[0].startswith('"a_chunk_1')
    assert len(table) == (np.array(batch.windows)).sum()


@pytest.mark.parametrize("flavour", ["original", "broad"])
def test_blocks_may_be_cut_anywhere(tmp_path: Path, flavour: Flavour) -> None:
    names = [f"{prefix}{index}" for index in range(40) for prefix in ("a", "B")]
    scores = softmax(np.random.default_rng(0).normal(size=80).tolist())
    ids = [f"{name}_chunk_1F1" for name in names]
    together = write(tmp_path, [block_of(ids, scores)], flavour)
    apart = write(tmp_path, [block_of(ids[i : i + 7], scores[i : i + 7]) for i in range(0, 80, 7)], flavour)
    assert apart == together
    listed = [line.split("\t")[0] for line in together[1].splitlines()[1:]]
    expected = [f"{name}_chunk_1" for name in names]
    assert listed == (sorted(expected) if flavour == "original" else expected)


def test_scores_are_printed_as_python_prints_them() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, np.float32(1).view(np.uint32) + 1, 20_000)  # any float32 from 0 to 1
    borders = [np.float32(at).view(np.uint32) + np.arange(-200, 200) for at in (1e-4, 9.9e-10, 1e-9)]
    edges = np.array([0, 1, 1e-4, 1e-5, np.nextafter(np.float32(1), np.float32(0))], np.float32)
    scores = np.concatenate([edges, *(np.asarray(some, np.uint32).view(np.float32) for some in (bits, *borders))])
    assert printed(scores).to_pylist() == [str(score) for score in scores]
    assert printed(scores.astype(np.float64)).to_pylist() == [str(score) for score in scores.tolist()]
