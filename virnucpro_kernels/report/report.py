"""The report of a run: one HTML file, and its figures as files."""

from collections.abc import Sequence
from pathlib import Path

from virnucpro_kernels.pool.file_names import FAILED, REPORT
from virnucpro_kernels.report import palette
from virnucpro_kernels.report.custom_content import write_custom_content
from virnucpro_kernels.report.figures import run_figures
from virnucpro_kernels.report.page import write_page
from virnucpro_kernels.report.render import write_figure
from virnucpro_kernels.report.samples import find_samples, results_folder
from virnucpro_kernels.report.shown import choose_shown
from virnucpro_kernels.run.failed_table import read_failed


def write_report(
    directory: Path,
    names: Sequence[str] = (),
    output: Path | None = None,
    figures: Path | None = None,
    multiqc: Path | None = None,
) -> Path:
    """Write the report of a run; return its path.

    Args:
        directory: Folder of the run, or of its results.
        names: Samples to report, in a sweep after their settings; without any, all that are complete.
        output: HTML file to write; None for `report.html` in the folder of the results.
        figures: Folder for the figures as SVG; None for no such files.
        multiqc: Folder for tables that any MultiQC shows; None for no such files.

    Raises:
        DamagedFileError: a table or a record is damaged.
        FileNotFoundError: a table is missing.
        UsageError: there are no results, or a sample is not complete.
    """
    results = results_folder(directory)
    shown = choose_shown(find_samples(results, names))
    reported = {sample.name for sample in shown.samples}
    failures = [failure for failure in read_failed(results / FAILED.name) if failure.sample not in reported]
    path = output or results / REPORT
    write_page(path, results.resolve().parent.name, shown, failures)
    if figures:
        for name, chart in run_figures(shown, palette.LIGHT).items():
            write_figure(chart, figures / f"{name}.svg")
    if multiqc:
        write_custom_content(multiqc, [sample.name for sample in shown.samples], shown.summaries)
    return path
