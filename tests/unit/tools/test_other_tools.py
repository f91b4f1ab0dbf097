"""Results in the tools that read them next, by the commands of docs/next-steps.md.

Tools that cannot be installed for a test stand in for themselves by their published formats: geNomad (its network and
databases), CheckV (its databases) and anvi'o (no package that builds); see also `test_export.py`.
"""

import gzip
import re
import shutil
from collections import Counter
from pathlib import Path

import multiqc
import pandas as pd
import pytest
from Bio import SeqIO
from typer.testing import CliRunner

from tests.helpers.reports import write_results
from tests.helpers.runs import call
from virnucpro_kernels.cli.main import app

READ = 100


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name}")
    return path


def output_of(*command: str | Path) -> str:
    ended = call(command)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of four samples; contigs of the last are viral as a whole, in part, or not at all."""
    return write_results(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def last(results: Path) -> Path:
    return results / "last"


@pytest.fixture(scope="module")
def regions(last: Path) -> pd.DataFrame:
    table = pd.read_csv(last / "regions.tsv", sep="\t", keep_default_na=False)
    assert set(table["position"]) == {"whole", "inside"}
    return table


@pytest.fixture
def mapped(last: Path, tmp_path: Path) -> Path:
    """A BAM file with a read at every hundredth base of every contig of a sample, with an index."""
    contigs = pd.read_csv(last / "contigs.tsv", sep="\t", keep_default_na=False)
    lengths = dict(zip(contigs["contig"], contigs["length"], strict=True))
    lines = [f"@SQ\tSN:{contig}\tLN:{length}" for contig, length in lengths.items()]
    for contig, length in lengths.items():
        places = range(1, length - READ + 2, READ)
        lines += [f"r{place}\t0\t{contig}\t{place}\t60\t{READ}M\t*\t0\t0\t{'A' * READ}\t*" for place in places]
    (tmp_path / "mapped.sam").write_text("\n".join(lines) + "\n")
    output_of(tool("samtools"), "sort", "-o", tmp_path / "mapped.bam", tmp_path / "mapped.sam")
    output_of(tool("samtools"), "index", tmp_path / "mapped.bam")
    return tmp_path / "mapped.bam"


def reads_on(regions: pd.DataFrame) -> list[int]:
    """Number of the reads of `mapped` on each region; borders are at whole hundreds."""
    return (regions["length"] // READ).tolist()


def test_samtools_takes_the_reads_on_viral_regions(last: Path, regions: pd.DataFrame, mapped: Path) -> None:
    text = output_of(tool("samtools"), "view", "-L", last / "regions.bed", mapped)
    found = Counter(row[2] for row in rows(text))
    expected = regions.assign(reads=reads_on(regions)).groupby("contig")["reads"].sum()
    assert found == expected.to_dict()


def test_bedtools_counts_the_reads_on_viral_regions(last: Path, regions: pd.DataFrame, mapped: Path) -> None:
    counted = rows(output_of(tool("bedtools"), "coverage", "-a", last / "regions.bed", "-b", mapped))
    assert [int(row[6]) for row in counted] == reads_on(regions)
    assert [int(row[8]) for row in counted] == regions["length"].tolist()


def test_bedtools_cuts_the_same_sequences(results: Path, last: Path, tmp_path: Path) -> None:
    """From places in BED and in GFF3 alike."""
    shutil.copy(results.parent / "pool" / "last.fa", tmp_path / "contigs.fa")
    with gzip.open(last / "viral_regions.fna.gz", "rt") as file:
        expected = [(record.id, str(record.seq)) for record in SeqIO.parse(file, "fasta")]
    options = ("getfasta", "-tab", "-fi", tmp_path / "contigs.fa", "-bed")
    by_bed = rows(output_of(tool("bedtools"), *options, last / "regions.bed", "-nameOnly"))
    assert [(name, sequence) for name, sequence in by_bed] == expected
    by_gff = rows(output_of(tool("bedtools"), *options, last / "regions.gff3"))
    assert [sequence for _, sequence in by_gff] == [sequence for _, sequence in expected]


def test_bedtools_reads_the_track_of_scores(last: Path, regions: pd.DataFrame) -> None:
    windows = pd.read_csv(last / "windows.tsv", sep="\t", keep_default_na=False, na_values={"p_virus": ["NA"]})
    track = last / "p_virus.bedgraph.gz"
    best = rows(output_of(tool("bedtools"), "map", "-a", last / "regions.bed", "-b", track, "-c", "4", "-o", "max"))
    for row, region in zip(best, regions.itertuples(), strict=True):
        inside = windows[(windows["contig"] == region.contig) & (windows["start"] < region.end)]
        assert float(row[6]) == inside[inside["end"] > region.start]["p_virus"].max()
    overlaps = output_of(tool("bedtools"), "merge", "-d", "-1", "-c", "4", "-o", "count", "-i", track)
    assert {row[3] for row in rows(overlaps)} == {"1"}


def test_regions_are_valid_gff3(results: Path) -> None:
    validator = tool("gt")
    for path in sorted(results.glob("*/regions.gff3")):
        assert output_of(validator, "gff3validator", path) == "input is valid GFF3\n"


def export(results: Path, form: str, output: Path) -> None:
    ended = CliRunner().invoke(app, ["export", str(results.parent), "--to", form, "--output", str(output)])
    assert ended.exit_code == 0, ended.output


def test_checkv_and_genomad_have_names_that_they_read(results: Path, tmp_path: Path) -> None:
    """CheckV (1.1.1, `utility.py`) reads FASTA by Biopython and refuses repeated IDs; so does geNomad (1.13.0,
    `sequence.py`). Both append a number to an ID for its genes, so that it is best a plain word."""
    export(results, "fasta", tmp_path)
    records = list(SeqIO.parse(tmp_path / "viral.fna", "fasta"))
    names = pd.read_csv(tmp_path / "names.tsv", sep="\t")
    assert [record.id for record in records] == names["name"].tolist()
    assert [record.description for record in records] == names["name"].tolist()
    assert [len(record) for record in records] == names["length"].tolist()
    assert names["name"].is_unique
    assert all(re.fullmatch(r"virus_\d{7}", name) for name in names["name"])


def test_anvio_takes_the_calls(results: Path, tmp_path: Path) -> None:
    """https://anvio.org/help/main/artifacts/contig-classification-txt: columns, and classes as numbers from 0 to 5."""
    export(results, "anvio", tmp_path)
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths] == [f"{sample}.anvio.txt" for sample in ("empty", "first", "last", "odd")]
    for path in paths:
        header, *lines = rows(path.read_text())
        assert header == ["contig", "class", "source", "tool_classification", "confidence"]
        assert {line[1] for line in lines} <= set("012345")
        assert all(line[4] == "NA" or 0 <= float(line[4]) <= 1 for line in lines)


def test_multiqc_reads_the_reports_in_the_style_of_kraken(results: Path, tmp_path: Path) -> None:
    export(results, "kraken", tmp_path)
    multiqc.parse_logs(tmp_path, run_modules=["kraken"], quiet=True)
    found = multiqc.get_module_data(module="kraken")
    multiqc.reset()
    assert set(found) >= {f"{sample}.kreport" for sample in ("first", "odd", "last")}
    calls = pd.read_csv(results / "first" / "contigs.tsv", sep="\t", keep_default_na=False)["call"]
    assert found["first.kreport"]["D"]["Viruses"] == (calls == "viral").sum()
    assert found["first.kreport"]["U"]["unclassified"] == (calls == "none").sum()
