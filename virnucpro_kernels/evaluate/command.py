"""From files to files: results and truth are read, and the evaluation is written and told."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.evaluate.evaluate import Evaluation, evaluate
from virnucpro_kernels.evaluate.output import JSON, PAGE, TABLE, markdown, write_json, write_measures
from virnucpro_kernels.evaluate.page import write_page
from virnucpro_kernels.evaluate.relatives import find_relatives
from virnucpro_kernels.evaluate.results import Columns, read_results
from virnucpro_kernels.evaluate.tables import notes_on_relatives
from virnucpro_kernels.evaluate.truth import read_truth

_log = logging.getLogger(__name__)


def evaluate_files(
    given: Sequence[str],
    truth_path: Path,
    output_dir: Path,
    columns: Columns,
    *,
    draws: int,
    seed: int,
    genomes: Sequence[Path] = (),
    sequences: Sequence[Path] = (),
    say: Callable[[str], object],
) -> Evaluation:
    """Evaluate results, write `evaluation.tsv`, `.json` and `.html`, and tell the figures.

    Args:
        given: Results, as `read_results` takes them.
        truth_path: Table of the truth.
        output_dir: Folder for the files.
        columns: Columns of other tools' tables.
        draws, seed: How often groups are drawn for the intervals, and what decides the draws.
        genomes: Genomes that the model was trained on, if what the truth shares with them is to be found.
        sequences: Sequences of the contigs, which `genomes` needs.
        say: Function that prints text.

    Raises:
        UsageError: the truth or the results cannot be used, or two results have one name.
        DamagedFileError: a table of results is damaged.
        InputError: a file of sequences is damaged.
    """
    if columns.share is not None and not 0 < columns.share < 1:
        raise UsageError(f"--share {columns.share:g}: give a share between 0 and 1")
    if bool(genomes) != bool(sequences):
        raise UsageError("--training-genomes and --sequences: both are needed to find what the contigs share")
    truth = read_truth(truth_path)
    results = [one for path in given for one in read_results(path, truth, columns)]
    names = [one.name for one in results]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two results are called {repeated}; put another name before one, as in other={given[-1]}")
    relatives = find_relatives(truth, sequences, genomes) if genomes else None
    if relatives is not None and relatives.related.any():
        for note in notes_on_relatives(relatives, truth):
            _log.warning(note)
    evaluation = evaluate(truth, results, relatives, draws=draws, seed=seed)
    write_measures(evaluation, output_dir / TABLE)
    write_json(evaluation, output_dir / JSON)
    write_page(evaluation, output_dir / PAGE)
    say(markdown(evaluation))
    say(f"all figures: {output_dir / TABLE}, {output_dir / JSON}\npage: {output_dir / PAGE}")
    return evaluation
