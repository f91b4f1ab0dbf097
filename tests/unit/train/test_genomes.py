"""The table of genomes: what is refused, and the split where the table has none."""

from collections import defaultdict
from pathlib import Path

import pytest

from tests.helpers.genome_files import LINES, write_genomes, write_table
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.train.genomes import check_all_found, read_genomes


def test_a_group_on_two_sides_of_the_split_is_refused_with_its_name(tmp_path: Path) -> None:
    write_genomes(tmp_path)
    table = write_table(tmp_path / "genomes.tsv", [*LINES, ("v6", "virus", "phage", "b", "test")])
    with pytest.raises(UsageError, match=r"genomes\.tsv: group 'b' is on two sides of the split \(test, train\)"):
        read_genomes(table, 0)


def test_a_side_that_is_not_used_counts_too(tmp_path: Path) -> None:
    write_genomes(tmp_path)
    table = write_table(tmp_path / "genomes.tsv", [*LINES, ("v6", "virus", "phage", "b", "control")])
    with pytest.raises(UsageError, match=r"group 'b' .*control, train"):
        read_genomes(table, 0)


@pytest.mark.parametrize("group", ["b ", " b", "b\N{NO-BREAK SPACE}"])
def test_blanks_around_a_field_do_not_count(tmp_path: Path, group: str) -> None:
    write_genomes(tmp_path)
    table = write_table(tmp_path / "genomes.tsv", [*LINES, ("v6", "virus", "phage", group, "test")])
    with pytest.raises(UsageError, match=r"group 'b' is on two sides of the split"):
        read_genomes(table, 0)
    clean = read_genomes(write_table(table), 0)
    padded = [[f" {field}\N{NO-BREAK SPACE}" for field in line] for line in LINES]
    assert read_genomes(write_table(table, padded), 0) == clean
    table.write_text(table.read_text().replace("group", " group "))
    assert read_genomes(table, 0) == clean


@pytest.mark.parametrize("other", ["../{folder}/virus.fna.gz", "link.fna.gz", ""])
def test_a_record_that_two_lines_find_on_two_paths_is_refused(tmp_path: Path, other: str) -> None:
    write_genomes(tmp_path)
    (tmp_path / "link.fna.gz").symlink_to("virus.fna.gz")
    lines = [(f"{label}.fna.gz", seq_id, label, *more) for seq_id, label, *more in LINES]
    again = (other.format(folder=tmp_path.name), "v1", "virus", "phage", "z", "test")
    table = write_table(tmp_path / "genomes.tsv", [*lines, again], "file seq_id label category group split")
    with pytest.raises(UsageError, match="v1 stands in the table 2 times"):
        read_genomes(table, 0)


def test_a_file_on_two_paths_is_read_once(tmp_path: Path) -> None:
    """A line of its own for a record goes before that of the whole file."""
    write_genomes(tmp_path)
    (tmp_path / "link.fna.gz").symlink_to("virus.fna.gz")
    lines = [(f"{label}.fna.gz", seq_id, label, *more) for seq_id, label, *more in LINES if seq_id != "v1"]
    lines.append(("link.fna.gz", "", "virus", "phage", "z", "train"))
    table = read_genomes(write_table(tmp_path / "genomes.tsv", lines, "file seq_id label category group split"), 0)
    found = [(genome.group, record.contig) for file in table.files for genome, record in table.records(file)]
    assert sorted(found) == sorted([("z", "v1"), *((line[3], line[0]) for line in LINES if line[0] != "v1")])


def test_records_without_a_file_are_found_beside_the_table_only(tmp_path: Path) -> None:
    write_genomes(tmp_path)
    (tmp_path / "more").mkdir()
    hosts = (tmp_path / "host.fna.gz").rename(tmp_path / "more" / "host.fna.gz")
    file_of = {"host": "more/host.fna.gz", "virus": ""}
    lines = [(file_of[label], seq_id, label, *more) for seq_id, label, *more in LINES]
    header = "file seq_id label category group split"
    table = read_genomes(write_table(tmp_path / "genomes.tsv", lines, header), 0)
    assert table.files == (hosts, tmp_path / "virus.fna.gz")
    found = [(genome, record.contig) for file in table.files for genome, record in table.records(file)]
    assert sorted(contig for _, contig in found) == sorted(line[0] for line in LINES)
    check_all_found(table, (genome for genome, _ in found))

    hidden = [("" if line[1] == "h1" else line[0], *line[1:]) for line in lines]
    table = read_genomes(write_table(tmp_path / "genomes.tsv", hidden, header), 0)
    there = [genome for file in table.files for genome, _ in table.records(file)]
    with pytest.raises(UsageError, match=r"are in none of the sequence files, such as h1"):
        check_all_found(table, there)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("v9", "viral", "phage", "z", "train"), "line 10: label 'viral' is neither virus nor host"),
        (("v9", "virus", "phage", "", "train"), "line 10: group and category must not be empty"),
        (("", "virus", "phage", "z", "train"), "line 10: neither a file nor a seq_id"),
        (LINES[0], "v1 stands in the table 2 times"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, change: tuple[str, ...], told: str) -> None:
    write_genomes(tmp_path)
    with pytest.raises(UsageError, match=told):
        read_genomes(write_table(tmp_path / "genomes.tsv", [*LINES, change]), 0)


def test_a_table_of_other_columns_or_without_a_class_is_refused(tmp_path: Path) -> None:
    write_genomes(tmp_path)
    table = tmp_path / "genomes.tsv"
    with pytest.raises(UsageError, match="missing: group"):
        read_genomes(write_table(table, LINES, "seq_id label category family split"), 0)
    with pytest.raises(UsageError, match="there is no host in test, no virus in test"):
        read_genomes(write_table(table, [line for line in LINES if line[-1] != "test"]), 0)
    lines = [("nowhere.fa", *line) for line in LINES]
    with pytest.raises(UsageError, match=r"files that are not there: .*nowhere\.fa"):
        read_genomes(write_table(table, lines, "file seq_id label category group split"), 0)
    with pytest.raises(UsageError, match="cannot be read: "):
        read_genomes(tmp_path / "none.tsv", 0)


def test_without_a_split_groups_are_assigned_whole_and_alike_again(tmp_path: Path) -> None:
    write_genomes(tmp_path)
    lines = [
        (f"{category}-{number}", label, category, f"{category}{number % 20}")
        for label, category in (("virus", "phage"), ("host", "bacteria"), ("host", "fungi"))
        for number in range(60)
    ]
    table = write_table(tmp_path / "genomes.tsv", lines, "seq_id label category group")
    genomes = read_genomes(table, 7).genomes
    assert genomes == read_genomes(table, 7).genomes
    assert genomes != read_genomes(table, 8).genomes
    splits = defaultdict(set)
    for genome in genomes:
        splits[genome.group].add(genome.split)
    assert all(len(sides) == 1 for sides in splits.values())
    for category in ("phage", "bacteria", "fungi"):
        sides = [side for group, [side] in splits.items() if group.startswith(category)]
        assert [sides.count(side) for side in ("train", "val", "test")] == [16, 2, 2]
