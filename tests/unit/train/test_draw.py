"""Windows drawn from genomes: from where, how many of what, and which of their frames."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from Bio import SeqIO

from tests.helpers.genome_files import LINES, write_coding_genomes, write_genomes, write_table
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.sequences.records import read_records
from virnucpro_kernels.split.frames import frame_sequences
from virnucpro_kernels.split.windows import place_windows
from virnucpro_kernels.train.draw import DrawOptions, draw
from virnucpro_kernels.train.drawn import WINDOW_FASTA, DrawnWindow

OPTIONS = DrawOptions(Geometry(300, "original"), "all", 60, 20, 0.0, seed=3)


def sequences(folder: Path) -> dict[str, bytes]:
    """Sequences of the drawn windows by name."""
    return {record.contig: record.sequence for record in read_records(folder / WINDOW_FASTA)}


def test_windows_come_from_where_they_say_without_unknown_bases(tmp_path: Path) -> None:
    table = write_genomes(tmp_path, unknown=slice(1000, 4000, 700))
    drawn = draw(table, tmp_path / "out", OPTIONS)
    found = sequences(tmp_path / "out")
    genomes = {r.contig: r.sequence for name in ("virus", "host") for r in read_records(tmp_path / f"{name}.fna.gz")}
    assert list(found) == [window.window for window in drawn]
    lines = {line[0]: line[1:] for line in LINES}
    for window in drawn:
        assert genomes[window.seq_id][window.start : window.end].upper() == found[window.window]
        assert (window.label, window.category, window.group, window.split) == lines[window.seq_id]
    assert set(b"".join(found.values())) <= set(b"ACGT")
    assert {len(sequence) for sequence in found.values()} == {300}


def test_classes_categories_and_groups_are_balanced_and_the_draw_repeats(tmp_path: Path) -> None:
    table = write_genomes(tmp_path)
    drawn = draw(table, tmp_path / "out", replace(OPTIONS, windows=600))
    assert Counter((window.split, window.label) for window in drawn) == {
        (split, label): 600 if split == "train" else 20
        for split in ("train", "val", "test")
        for label in ("virus", "host")
    }
    viral = Counter(window.group for window in drawn if window.split == "train" and window.label == "virus")
    assert viral["c"] == pytest.approx(300, abs=60)  # the only group of its category
    assert viral["a"] == pytest.approx(150, abs=50)
    assert draw(table, tmp_path / "again", replace(OPTIONS, windows=600)) == drawn
    assert (tmp_path / "out" / WINDOW_FASTA).read_bytes() == (tmp_path / "again" / WINDOW_FASTA).read_bytes()
    assert draw(table, tmp_path / "other", replace(OPTIONS, seed=4)) != draw(table, tmp_path / "other", OPTIONS)


@pytest.mark.parametrize("layout", ["original", "segments"])
def test_all_frames_are_those_of_prediction(tmp_path: Path, layout: str) -> None:
    geometry = Geometry(300, layout)  # type: ignore[arg-type]
    drawn = draw(write_genomes(tmp_path), tmp_path / "out", replace(OPTIONS, geometry=geometry))
    contigs = SequenceArray.from_list(list(sequences(tmp_path / "out").values()))
    frames, _, _ = frame_sequences(contigs, place_windows(contigs.lengths, 300, geometry.layout), geometry.layout)
    assert [window.frames for window in drawn] == frames.masks.tolist()
    assert min(window.frames for window in drawn) > 0


@pytest.mark.parametrize("short_share", [0.0, 0.5])
def test_frames_of_coding_sequences_are_part_of_a_translation(tmp_path: Path, short_share: float) -> None:
    """The original's rule."""
    table = write_coding_genomes(tmp_path)
    drawn = draw(table, tmp_path / "out", replace(OPTIONS, frames="cds", windows=300, short_share=short_share))
    records = {r.id: r for name in ("virus", "host") for r in SeqIO.parse(tmp_path / f"{name}.gbff", "genbank")}
    translations = {
        name: [f.qualifiers["translation"][0] for f in record.features if "translation" in f.qualifiers]
        for name, record in records.items()
    }
    contigs = SequenceArray.from_list(list(sequences(tmp_path / "out").values()))
    frames, _, proteins = frame_sequences(contigs, place_windows(contigs.lengths, 300, "original"), "original")
    kept: Counter[int] = Counter()
    used: set[tuple[str, int]] = set()
    for index, frame, protein in zip(frames.window.tolist(), frames.frame.tolist(), proteins, strict=True):
        window = drawn[index]
        sources = [n for n, text in enumerate(translations[window.seq_id]) if protein.decode() in text]
        # A stop-free frame of another phase is in no translation, but by chance: 100 residues are never.
        assert bool(window.frames >> frame & 1) == bool(sources), (window, frame)
        used |= {(window.seq_id, source) for source in sources}
        kept[frame] += bool(sources)
    assert all(kept[frame] for frame in range(6))
    assert {source for name, source in used if name == "v1"} == {0, 1, 2, 3}
    exons = records["v1"].features[2].location.parts
    own = [window for window in drawn if window.seq_id == "v1"]
    assert all(any(exon.start <= window.start and window.end <= exon.end for window in own) for exon in exons)
    lengths = {len(sequence) for sequence in contigs}
    assert lengths == {300} if not short_share else min(lengths) < 200 < 280 < max(lengths)


def test_coding_sequences_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    write_coding_genomes(tmp_path)
    for name in ("virus", "host"):
        SeqIO.convert(tmp_path / f"{name}.gbff", "genbank", tmp_path / f"{name}.fa", "fasta")
    header = "file seq_id annotation label category group split"
    lines = [(f"{label}.fa", seq_id, f"{label}.gbff", label, *rest) for seq_id, label, *rest in LINES]
    options = replace(OPTIONS, frames="cds")

    def places(drawn: list[DrawnWindow]) -> list[tuple[str, int, int]]:
        return [(window.seq_id, window.start, window.frames) for window in drawn]

    apart = draw(write_table(tmp_path / "apart.tsv", lines, header), tmp_path / "out", options)
    lines = [(f"{label}.gbff", seq_id, label, *rest) for seq_id, label, *rest in LINES]
    together = draw(
        write_table(tmp_path / "one.tsv", lines, "file seq_id label category group split"), tmp_path / "out", options
    )
    assert places(apart) == places(together)


def test_a_line_may_mean_all_records_of_a_file(tmp_path: Path) -> None:
    write_genomes(tmp_path)
    names = [f"{label}-{split}" for label in ("virus", "host") for split in ("train", "val", "test")]
    for name in names:
        (tmp_path / f"{name}.fa").write_text("".join(f">{name}{n}\n{'ACGGCA' * 100}\n" for n in range(2)))
    lines = [(f"{name}.fa", label, "any", name, split) for name in names for label, split in [name.split("-")]]
    drawn = draw(
        write_table(tmp_path / "table.tsv", lines, "file label category group split"), tmp_path / "out", OPTIONS
    )
    assert {window.seq_id for window in drawn} == {f"{name}{n}" for name in names for n in range(2)}


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    table = write_genomes(tmp_path, unknown=slice(0, None, 200))
    with pytest.raises(UsageError, match=r"train, host: only 0 of 60 windows could be drawn"):
        draw(table, tmp_path / "out", OPTIONS)
    with pytest.raises(UsageError, match=r"no record is as long as a window, 7000 bp"):
        draw(table, tmp_path / "out", replace(OPTIONS, geometry=Geometry(7000, "original")))
    with pytest.raises(UsageError, match=r"host\.fna\.gz: .*this file is no GenBank file"):
        draw(table, tmp_path / "out", replace(OPTIONS, frames="cds"))
    missing = [*LINES, ("v9", "virus", "phage", "z", "train")]
    with pytest.raises(
        UsageError, match=r"1 records of the table of genomes are in none of the sequence files, such as v9"
    ):
        draw(write_table(tmp_path / "genomes.tsv", missing), tmp_path / "out", OPTIONS)


def test_real_genes_are_found(genomes: Path, tmp_path: Path) -> None:
    """Of annotated genomes: frames of coding sequences are part of a translation, but for alternative starts."""
    folder = genomes / "annotated"
    files = {
        "phage_T4_NC_000866.gbff.gz": ("virus", "train"),
        "phage_phiX174_NC_001422.gbk.gz": ("virus", "val"),
        "influenzaA_California.gbff.gz": ("virus", "test"),
        "Saccharomyces_cerevisiae_chrI_NC_001133.gbk.gz": ("host", "train"),
        "Arabidopsis_thaliana_chloroplast_NC_000932.gb.gz": ("host", "val"),
        "Streptococcus_pyogenes_M1_GAS.gb.gz": ("host", "test"),
    }
    lines = [(str(folder / name), label, "any", name, split) for name, (label, split) in files.items()]
    table = write_table(tmp_path / "table.tsv", lines, "file label category group split")
    drawn = draw(table, tmp_path / "out", replace(OPTIONS, frames="cds", windows=100, held_out_windows=100))
    assert len(drawn) == 600
    assert np.mean([bin(window.frames).count("1") for window in drawn]) < 1.2
