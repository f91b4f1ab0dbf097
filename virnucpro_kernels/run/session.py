"""One start of the workflow as the user sees it: heading, progress, summary, failures."""

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from virnucpro_kernels import __version__
from virnucpro_kernels.errors import EXIT_PARTIAL, InterruptedRunError, VirnucproError
from virnucpro_kernels.pool.file_names import FAILED
from virnucpro_kernels.pool.job_record import TimeLeft, counted, length_in_words
from virnucpro_kernels.run.failed_table import Failure
from virnucpro_kernels.run.failures import SILENT, find_failures
from virnucpro_kernels.run.forecast import describe_work, planned_jobs
from virnucpro_kernels.run.launch import watch
from virnucpro_kernels.run.progress import Bar, Lines, ProgressReader, State
from virnucpro_kernels.run.slurm_queue import SlurmQueue, describe_waiting
from virnucpro_kernels.run.snakemake_log import failed_job_log, last_error
from virnucpro_kernels.run.start import Start
from virnucpro_kernels.run.summary import describe_failures, describe_results
from virnucpro_kernels.score.thresholds import ASSUMED_BY_FDR
from virnucpro_kernels.weights.registry import calibrate_command

#: Free space on a disk below which no job can be expected to work.
_FULL_BYTES = 1_000_000


class Session:
    """Output of one start of the workflow to terminal and log."""

    def __init__(self, start: Start, lock: int) -> None:
        """Prepare a session. `lock` is the descriptor of the run's lock, which Snakemake is to hold as well."""
        self._start, self._options, self._run, self._log, self._lock = start, start.options, start.run, start.log, lock
        self._directory = start.options.directory
        self._shown = self._log_begin = self._log.stat().st_size if self._log.exists() else 0
        self._since = time.time()
        self._queue, self._reasons = SlurmQueue(self._directory), set[str]()

    def execute(self) -> int:
        """Start Snakemake, show its progress, sum up the results; return the exit code."""
        progress = ProgressReader(self._run, self._directory)
        before = progress.read()
        self._announce(before)
        if self._options.dry_run:
            return self._forecast()
        time_left = TimeLeft()
        with ExitStack() as exits:
            displays = self._displays()
            for display in displays:
                exits.enter_context(display)

            def tick() -> None:
                if self._options.verbose:
                    self._tail()
                state = progress.read()
                left = time_left.words(state.tokens_done, state.tokens)
                for display in displays:
                    display.show(state, left)
                self._tell_waiting()

            try:
                code = self._watch(tick)
            except KeyboardInterrupt:
                raise InterruptedRunError(self._how_to_go_on()) from None
        failures = find_failures(self._run, self._directory, self._since) if code else []
        if not self._options.quiet:
            went_on = before.pools_split > 0 and not self._options.force
            for line in describe_results(self._run, self._directory, failures, went_on=went_on):
                self._print(line, sys.stdout)
        return self._exit_code(code, failures)

    def _watch(self, tick: Callable[[], None]) -> int:
        start = self._start
        return watch(start.command, environment=start.environment, log=self._log, lock=self._lock, tick=tick)

    def _tell_waiting(self) -> None:
        """Say that jobs wait in Slurm's queue, whenever it has a reason that it did not have before."""
        waiting = self._queue.waiting()
        if not waiting.keys() <= self._reasons:
            self._reasons |= waiting.keys()
            self._say(describe_waiting(waiting))

    def _how_to_go_on(self) -> str:
        anew = ", without --force," if self._options.force else ""
        return (
            "finished work is kept, including most embeddings of the current chunks; run the same"
            f" command{anew} to resume"
        )

    def _announce(self, state: State) -> None:
        run, gpus = self._run, self._start.gpus
        where = counted(gpus, "GPU") if gpus else run.device
        if run.sweep:
            self._say(f"virnucpro {__version__}, sweep of {counted(len(run.sweep), 'setting')}, {where}")
            for setting in run.sweep:
                self._say(
                    f"  setting  {setting.setting}: {setting.model.name}, {setting.geometry}, {setting.precision}"
                )
        else:
            self._say(f"virnucpro {__version__}, model {run.model.name}, {where}, {run.precision}")
        for notes in dict.fromkeys(one.model.notes for one in run.settings if one.model.notes):
            self._say(f"  model    {notes}")
        for notice in dict.fromkeys(one.model.layout_notice(one.layout) for one in run.settings):
            if notice:
                self._say(f"  layout   {notice}")
        known = [one.model for one in run.settings if one.model.knows_layout(one.layout)]
        for calibration in dict.fromkeys(model.calibration for model in known):
            if calibration and calibration.accuracy:
                self._say(f"  errors   {calibration.accuracy}")
        for raw in {one.model.model_id: one.model for one in run.settings if one.model.calibration is None}.values():
            if not self._options.calibrates:
                self._say(
                    f"  scores   of {raw.name} rank contigs, but are no probabilities: no calibration"
                    f" ({calibrate_command(raw)})"
                )
        for fdr in dict.fromkeys(one.config["fdr"] for one in run.settings):
            if fdr is not None:
                self._say(
                    f"  calls    up to a false discovery rate of {fdr:g}, in the place of viral_threshold (back to it:"
                    f" --set fdr=null); assumes that {ASSUMED_BY_FDR}"
                )
        if not self._options.dry_run:
            folder = self._directory / run.results_root / ("SETTING/SAMPLE" if run.sweep else "SAMPLE")
            self._say(f"  writes   {', '.join(run.result_names)} into {folder}")
            self._say(f"  log      {self._log}")
        todo = state.samples if self._options.force else state.samples - state.samples_done
        samples = counted(state.samples, "sample") + " (each counts once a setting)" * bool(run.sweep)
        self._say(f"  to do    {todo:,} of {samples}, {length_in_words(state.bases)} in all")
        if self._options.force:
            self._say("           all outputs are made again (--force)")
        elif state.pools_split:
            scored = f"{state.chunks_done:,} of {counted(state.chunks, 'chunk')} scored so far"
            self._say(f"           {scored}; outputs whose input or parameters changed are made again")
        if not self._options.quiet:
            self._shown = self._log.stat().st_size

    def _forecast(self) -> int:
        """Say what a start would do; return the exit code of Snakemake's dry run."""
        begin = self._log.stat().st_size if self._log.exists() else 0
        code = self._watch(self._tail if self._options.verbose else lambda: None)
        with self._log.open(encoding="utf-8", errors="replace") as log:
            log.seek(begin)
            output = log.read()
        if code:
            reason = textwrap.indent(last_error(output), "  ")
            raise VirnucproError(f"Snakemake cannot plan this run; the end of its log {self._log}:\n{reason}")
        jobs = planned_jobs(output)
        if "split" in jobs or "embed" in jobs:
            start = self._start
            for one in self._run.embeddings:
                if self._run.sweep:
                    self._say(f"  work     for {one.model.name}, {one.geometry}, {one.precision}:")
                part = ProgressReader(replace(one, sweep=()), self._directory).read()
                for line in describe_work(one, part, self._directory, jobs=start.gpus or 1, cores=start.cores):
                    self._say(f"           {line}")
        named = ", ".join(f"{rule} {number:,}" for rule, number in jobs.items())
        more = "; those of the chunks are known after the split" if "split" in jobs else ""
        self._say(f"  jobs     {named}{more}" if jobs else "  jobs     none, because all results are there")
        if self._options.quiet:
            self._print(f"jobs: {named}{more}" if jobs else "nothing to do", sys.stdout)
        return code

    def _displays(self) -> list[Bar | Lines]:
        """Return what shows progress: lines in the log, and on the terminal a bar, lines or nothing."""
        if self._options.bar and sys.stderr.isatty() and not self._options.quiet and not self._options.verbose:
            return [Bar(), Lines(self._note)]
        return [Lines(self._note if self._options.verbose else self._say)]

    def _say(self, line: str) -> None:
        """Write a line to the log, and to standard error unless the user chose --quiet; there it is at most 80 wide."""
        self._note(line)
        if not self._options.quiet:
            indent = " " * 11 if line.startswith("  ") else ""
            wrapped = textwrap.wrap(line, 80, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
            self._print("\n".join(wrapped), sys.stderr)

    def _print(self, text: str, stream: TextIO) -> None:
        """Print a text. Where nobody can read it, as in a closed pipe or on a full disk, the run goes on without."""
        try:
            print(text, file=stream, flush=True)
        except OSError as error:
            self._note(
                f"{stream.name} cannot be written ({error.strerror}): the run goes on, and this log has the rest"
            )
            # Else what is left in the stream would be written, and fail, once more when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

    def _note(self, line: str) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def _tail(self) -> None:
        """Print what was added to the log since the last call."""
        with self._log.open("rb") as log:
            log.seek(self._shown)
            added = log.read()
        self._shown += len(added)
        sys.stderr.write(added.decode(errors="replace"))

    def _output(self) -> str:
        """Return what Snakemake logged in this start."""
        with self._log.open(encoding="utf-8", errors="replace") as log:
            log.seek(self._log_begin)
            return log.read()

    def _reason(self) -> str:
        """Return the last error that Snakemake logged in this start."""
        return textwrap.indent(last_error(self._output()), "  ")

    def _without_sample(self) -> str:
        """Return why a start failed in which no job of a sample did: that of the report, or Snakemake itself."""
        name = failed_job_log(self._output())
        job_log = self._directory / name
        if name and job_log.is_file():
            lines = job_log.read_text(encoding="utf-8", errors="replace").splitlines()
            last = next((line for line in reversed(lines) if line.strip()), "it is empty")
            return f"a job that belongs to no sample failed; the end of its log {job_log}:\n  {last}"
        return f"Snakemake itself failed, although no job did; the end of its log {self._log}:\n{self._reason()}"

    def _exit_code(self, code: int, failures: Sequence[Failure]) -> int:
        if code == 0:
            return 0
        if shutil.disk_usage(self._directory).free < _FULL_BYTES:  # whatever the jobs say follows from it
            raise VirnucproError(full_disk(self._directory))
        if not any(failure.attempts for failure in failures):
            raise VirnucproError(self._without_sample())
        for line in describe_failures(self._run, failures, self._directory):
            self._print(line, sys.stderr)
        if any(failure.error == SILENT for failure in failures):
            self._print(f"the last error in {self._log}:\n{self._reason()}", sys.stderr)
        if (self._directory / FAILED).exists():
            self._print(f"all failures: {self._directory / FAILED}", sys.stderr)
        failed = {failure.sample for failure in failures}
        names = {run.result_name(sample.name) for run in self._run.settings for sample in run.samples}
        if names - failed:
            return EXIT_PARTIAL
        codes = [int(failure.exit_code) for failure in failures if failure.exit_code.isdigit()]
        return codes[0] if codes else 1


def full_disk(directory: Path) -> str:
    """Return what to say where the disk of a run's folder is full."""
    free = shutil.disk_usage(directory).free
    return f"the disk of {directory} is full ({free / 1e3:,.0f} kB free): free some space, then start again"
