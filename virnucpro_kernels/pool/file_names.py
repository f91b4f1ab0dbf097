"""Names of the files that one stage leaves to the next, and of a sample's results. Light: the workflow reads it."""

from pathlib import Path

#: Folders of a run: intermediate files, and results.
WORK = Path("work")
RESULTS = Path("results")
#: Table of all that failed in a run, beside the folders of its samples.
FAILED = RESULTS / "failed.tsv"
#: A row for each sample of a run, beside the folders of its samples.
SUMMARY_TABLE = "summary.tsv"
#: Beside it, the dictionary of all tables.
COLUMNS = "columns.json"
#: In a sweep, beside the folders of its settings: their comparison.
SWEEP_TABLE = "sweep.tsv"
SWEEP_FIGURE = "sweep.svg"

#: Beside the folders of the samples: the report of a run, and the folder of its figures with their names.
REPORT = "report.html"
FIGURES = "figures"
FIGURE_NAMES = ("calls", "scores", "cutoffs", "strips")
#: Beside the report: tables of calls and of scores that any MultiQC shows.
MULTIQC_TABLES = ("virnucpro_calls_mqc.tsv", "virnucpro_scores_mqc.tsv")
#: Of all of these, the names: no sample and no setting can have one.
TAKEN = frozenset((FAILED.name, SUMMARY_TABLE, COLUMNS, SWEEP_TABLE, SWEEP_FIGURE, REPORT, FIGURES, *MULTIQC_TABLES))

# In the folder of a pool, work/{geometry}/{pool}/.
MANIFEST = "chunks.tsv"
CONTIGS = "contigs.parquet"
WINDOWS = "windows.parquet"
UNUSABLE = "unusable.tsv"
#: Folder of the chunks' FASTA files, {chunk}{suffix}: nucleotides, then proteins.
CHUNKS = "chunks"
FASTA_SUFFIXES = (".fna", ".faa")

#: Beside the scores of a pool: checksums of all files that the pool's tables are made from, written once all are there.
GATHERED = "gathered.sha256"
#: Files of the scores, {chunk}{suffix}.
SCORE_SUFFIX = ".parquet"

# In the folder of a sample, results/{sample}/.
CONTIG_TABLE = "contigs.tsv"
CONTIG_PARQUET = "contigs.parquet"
WINDOW_TABLE = "windows.tsv"
FRAME_TABLE = "frames.tsv.gz"
REGION_TABLE = "regions.tsv"
REGION_BED = "regions.bed"
REGION_GFF = "regions.gff3"
SCORE_TRACK = "p_virus.bedgraph.gz"
VIRAL_FASTA = "viral.fna.gz"
REGION_FASTA = "viral_regions.fna.gz"
RUN_RECORD = "run.json"
ORIGINAL_FRAMES = "prediction_results.txt"
ORIGINAL_WINDOWS = "prediction_results_highestscore.csv"

#: Reads of a sample in FASTQ or BAM, if the setting `reads` names the kind: of a single file, and of each of two.
READ_FILES = {kind: (f"{kind}.fastq.gz", f"{kind}_R1.fastq.gz", f"{kind}_R2.fastq.gz") for kind in ("viral", "host")}

#: What `collect` always writes of a sample; the setting `original_files` adds the other two.
RESULT_TABLES = (
    *(CONTIG_TABLE, CONTIG_PARQUET, WINDOW_TABLE, FRAME_TABLE, REGION_TABLE, REGION_BED, REGION_GFF, SCORE_TRACK),
    *(VIRAL_FASTA, REGION_FASTA, RUN_RECORD),
)
ORIGINAL_FILES = (ORIGINAL_FRAMES, ORIGINAL_WINDOWS)


def record_name(stage: str, chunk: str = "") -> str:
    """Return the name of the record of a job, `{chunk}.{stage}.json`, or `{stage}.json` where its unit is no chunk."""
    return f"{chunk}.{stage}.json" if chunk else f"{stage}.json"


def vector_name(chunk: str, content: str) -> str:
    """Return the name of a chunk's file of vectors; its content is `nucleotide`, `protein` or `features` (both)."""
    return f"{chunk}.{content}.h5"


def in_results(directory: Path, name: str) -> list[Path]:
    """Return the file of this name of every sample in the folder of a run, in a sweep for each setting.

    Files in a hidden folder are not yet results.
    """
    return sorted(path for results in directory.glob(f"{RESULTS}*") for path in of_samples(results, name))


def of_samples(results: Path, name: str) -> list[Path]:
    """Return the file of this name of every sample in a folder of results, as `in_results` does for those of a run."""
    return sorted(path for depth in ("*", "*/[!.]*") for path in results.glob(f"{depth}/{name}"))
