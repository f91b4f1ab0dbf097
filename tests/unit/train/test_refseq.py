"""The original's training set, from a server on this machine that has a RefSeq release of a few small files."""

import csv
import gzip
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from Bio import SeqIO

from tests.helpers.file_server import FileServer, serve
from tests.helpers.genome_files import coding_record
from tests.helpers.runs import virnucpro
from virnucpro_kernels.errors import DamagedFileError, UsageError, VirnucproError
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.train.draw import DrawOptions, draw
from virnucpro_kernels.train.refseq import fetch_refseq
from virnucpro_kernels.weights import download as module

HOSTS = (
    "bacteria",
    "archaea",
    "fungi",
    "protozoa",
    "plant",
    "invertebrate",
    "vertebrate_mammalian",
    "vertebrate_other",
)
FILES_OF = dict.fromkeys(HOSTS, 3) | {"viral": 2, "plant": 11}
TAXA = (["Viruses", "Orthornavirae", "Potyviridae", "Potyvirus"], ["Viruses", "unclassified viruses"])
CATALOG = "release-catalog/release231.files.installed"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Folder of a release: each pair of files has two records, of two genera or with two taxonomies."""
    folder = tmp_path / "release"
    (folder / "release-catalog").mkdir(parents=True)
    (folder / "RELEASE_NUMBER").write_text("231\n")
    listing = []
    for kind, files in FILES_OF.items():
        (folder / kind).mkdir()
        for number in range(1, files + 1):
            records = [coding_record(f"{kind[:6]}{number}.{n}", 10 * number + n) for n in (1, 2)]
            for record, taxa, genus in zip(records, TAXA, (f"Genus{number}", "Candidatus Other"), strict=True):
                record.annotations |= {"taxonomy": taxa, "organism": "any"}
                record.description = f"{genus} species chromosome"
            if (kind, number) == ("viral", 1):  # long enough to be cut
                records[1].seq += "ACGTTGCA" * 40_000
            names = {"fasta": f"{kind}.{number}.1.genomic.fna.gz", "genbank": f"{kind}.{number}.genomic.gbff.gz"}
            for form, name in names.items():
                text = io.StringIO()
                SeqIO.write(records, text, form)
                (folder / kind / name).write_bytes(gzip.compress(text.getvalue().encode(), compresslevel=0, mtime=0))
                listing.append(f"{hashlib.md5((folder / kind / name).read_bytes()).hexdigest()}\t{name}\n")
    listing.append("0123456789abcdef0123456789abcdef\tbacteria.1.protein.faa.gz\n")
    (folder / CATALOG).write_text("".join(listing))
    return folder


@pytest.fixture
def server(release: Path) -> Iterator[FileServer]:
    with serve(release) as facts:
        yield facts


def lines(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_files_are_chosen_as_the_original_does_and_a_table_is_written(tmp_path: Path, server: FileServer) -> None:
    ended = virnucpro("refseq", tmp_path / "out", "--source", server.url, "--seed", "1")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = tmp_path / "out" / "genomes.tsv"
    assert f"table of genomes: {table}" in ended.stdout
    found = lines(table)
    files = {kind: {line["file"] for line in found if line["file"].startswith(f"{kind}/")} for kind in FILES_OF}
    assert {kind: len(names) for kind, names in files.items()} == {
        **dict.fromkeys(("viral", "bacteria", "archaea", "fungi", "protozoa"), 1),
        "plant": 10,
        **dict.fromkeys(("invertebrate", "vertebrate_mammalian", "vertebrate_other"), 3),
    }
    assert files["viral"] == {"viral/viral.1.1.genomic.fna.gz"}
    assert all((tmp_path / "out" / line[column]).is_file() for line in found for column in ("file", "annotation"))
    assert {line["group"] for line in found if line["label"] == "virus"} == {
        "viral:Potyviridae",
        "viral:unclassified viruses",
    }
    assert "bacteria:Candidatus Other" in {line["group"] for line in found}
    assert {line["category"] for line in found} == {"viral", *HOSTS[:-2], "vertebrate"}
    other = {line["file"] for line in lines(fetch_refseq(tmp_path / "other", server.url, 2))}
    assert other != {line["file"] for line in found}


def test_the_table_is_one_to_train_with(tmp_path: Path, server: FileServer) -> None:
    table = fetch_refseq(tmp_path / "out", server.url, 1)
    header, *rows = table.read_text().splitlines()
    viral = [row for row in rows if "\tvirus\t" in row]
    hosts = {row.split("\t")[5]: row for row in rows if "\thost\t" in row and "Genus" in row}
    # There are too few groups of viruses for three sides.
    sides = ("train", "val", "test", "train", "val", "test")
    taken = [viral[0], viral[1], *list(hosts.values())[:4]]
    taken[2] = taken[2].replace("host", "virus")
    table.write_text("\n".join([f"{header}\tsplit", *map("\t".join, zip(taken, sides, strict=True))]) + "\n")
    drawn = draw(table, tmp_path / "drawn", DrawOptions(Geometry(300, "original"), "cds", 20, 10, 0.0, 1))
    assert len(drawn) == 80


def test_a_broken_download_goes_on_and_a_finished_one_is_not_repeated(tmp_path: Path, server: FileServer) -> None:
    name = "viral.1.1.genomic.fna.gz"
    server.faults[name] = ["cut", *["503"] * 4]
    with pytest.raises(VirnucproError, match=rf"cannot download {server.url}/viral/{name}: .*are kept"):
        fetch_refseq(tmp_path / "out", server.url, 1)
    table = fetch_refseq(tmp_path / "out", server.url, 7)
    [*_, (_, asked)] = [request for request in server.requests if request[0] == name]
    assert asked > "bytes=1"
    first = table.read_bytes()
    server.requests.clear()
    assert fetch_refseq(tmp_path / "out", server.url, 8).read_bytes() == first
    assert server.requested == ["RELEASE_NUMBER"]


def test_another_file_than_the_listed_one_is_refused(tmp_path: Path, release: Path, server: FileServer) -> None:
    (release / "viral" / "viral.1.genomic.gbff.gz").write_bytes(b"<html>")
    with pytest.raises(DamagedFileError, match=r"viral\.1\.genomic\.gbff\.gz .*expected md5:[0-9a-f]{32}, found md5:"):
        fetch_refseq(tmp_path / "out", server.url, 1)


def test_another_release_does_not_mix_with_an_earlier_one(tmp_path: Path, release: Path, server: FileServer) -> None:
    fetch_refseq(tmp_path / "out", server.url, 1)
    (release / "RELEASE_NUMBER").write_text("232\n")
    with pytest.raises(UsageError, match=r"has files of RefSeq release 231, but .* is release 232 now"):
        fetch_refseq(tmp_path / "out", server.url, 1)


def test_a_release_without_a_kind_or_a_list_is_told(tmp_path: Path, release: Path, server: FileServer) -> None:
    listed = (release / CATALOG).read_text()
    (release / CATALOG).write_text("".join(line for line in listed.splitlines(True) if "fungi" not in line))
    with pytest.raises(VirnucproError, match=r"release 231 lists no fungi\.N\.M\.genomic\.fna\.gz"):
        fetch_refseq(tmp_path / "out", server.url, 1)
    (release / CATALOG).unlink()
    with pytest.raises(
        VirnucproError, match=r"cannot download .*release231\.files\.installed: the server answered 404"
    ):
        fetch_refseq(tmp_path / "out", server.url, 1)
