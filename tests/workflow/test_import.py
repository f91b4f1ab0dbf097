"""A run of the original, taken over, goes on to the tables without its embeddings being computed again."""

import csv
import re
import shlex
import sys
from pathlib import Path

from tests.helpers import tiny
from tests.helpers.original_run import write_original
from tests.helpers.runs import call


def test_a_run_of_the_original_goes_on_to_the_tables(tmp_path: Path) -> None:
    folder, vectors = write_original(tmp_path / "original", tiny.random_dna(30, (30, 90), 1))
    model = tiny.write_model(tmp_path / "tiny-300", window_length=300, names=("dnabert-s", "esm2-3b"))
    output = tmp_path / "my run"
    virnucpro = [sys.executable, "-m", "virnucpro_kernels"]
    imported = call([*virnucpro, "import", folder, "--output-dir", output, "--model", model.directory])
    assert imported.returncode == 0, imported.stderr
    [command] = re.findall("^go on with: virnucpro (.*)$", imported.stdout, re.MULTILINE)
    ended = call([*virnucpro, *shlex.split(command), "--threads", "2"])
    assert ended.returncode == 0, ended.stderr
    with (output / "results" / "reads" / "prediction_results.txt").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {row["Sequence_ID"] for row in rows} == set(vectors)
    assert "rule embed" not in (output / "logs" / "snakemake.log").read_text()
