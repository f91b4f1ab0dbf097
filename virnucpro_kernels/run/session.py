"""One start of the workflow, as the user sees it: announced, watched, summed up."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virnucpro_kernels import __version__
from virnucpro_kernels.errors import EXIT_PARTIAL, InterruptedRunError, VirnucproError
from virnucpro_kernels.pool.job_record import TimeLeft
from virnucpro_kernels.run.failures import Failure, find_failures
from virnucpro_kernels.run.launch import watch
from virnucpro_kernels.run.progress import Bar, Display, Lines, State, Watcher
from virnucpro_kernels.run.run import FAILED, Run
from virnucpro_kernels.run.summary import describe_failures, describe_results


@dataclass(frozen=True)
class Request:
    """What the user asked `predict` for.

    Attributes:
        inputs: sequence files; `-` is standard input.
        sheet: a sample sheet instead.
        directory: where everything is written.
        config: a configuration file to start from.
        settings: configuration keys given as options; they win over `config`.
        gpus: `auto`, a number of GPUs, or a list of GPUs as CUDA_VISIBLE_DEVICES takes it.
        threads: CPU cores; all that this process may use unless given.
        profile: of Snakemake: a folder, or the name of one that comes with the workflow.
        force: make everything anew.
        dry_run: only say what would be done.
        quiet: say nothing but errors.
        verbose: show Snakemake's own output instead of progress.
        bar: show a progress bar where standard error is a terminal.
        log: where Snakemake's output and ours go; `logs/snakemake.log` unless given.
    """

    inputs: tuple[Path, ...]
    sheet: Path | None
    directory: Path
    config: Path | None
    settings: Mapping[str, Any]
    gpus: str
    threads: int | None
    profile: str | None
    force: bool
    dry_run: bool
    quiet: bool
    verbose: bool
    bar: bool
    log: Path | None


class Session:
    """One start of the workflow, as the user sees it."""

    def __init__(self, request: Request, run: Run, log: Path, lock: int) -> None:
        self._request, self._run, self._log, self._lock = request, run, log, lock
        self._directory = request.directory
        self._shown = log.stat().st_size if log.exists() else 0

    def execute(self, command: Sequence[str], environment: Mapping[str, str], gpus: int) -> int:
        """Start, watch, sum up; return the exit code."""
        watcher = Watcher(self._run, self._directory)
        before = watcher.look()
        self._announce(before, gpus)
        if self._request.dry_run:
            return self._watch(command, environment, self._tail)
        time_left = TimeLeft()
        with self._display() as display:

            def tick() -> None:
                if self._request.verbose:
                    self._tail()
                state = watcher.look()
                display.show(state, time_left.seconds(state.tokens_done, state.tokens))

            try:
                code = self._watch(command, environment, tick)
            except KeyboardInterrupt:
                raise InterruptedRunError(self._how_to_go_on()) from None
        failures = find_failures(self._run, self._directory) if code else []
        if not self._request.quiet:
            went_on = before.pools_split > 0 and not self._request.force
            for line in describe_results(self._run, self._directory, failures, went_on=went_on):
                print(line)  # noqa: T201 the command's result
        return self._exit_code(code, failures)

    def _watch(self, command: Sequence[str], environment: Mapping[str, str], tick: Callable[[], None]) -> int:
        return watch(command, environment=environment, log=self._log, lock=self._lock, tick=tick)

    def _how_to_go_on(self) -> str:
        anew = ", without --force," if self._request.force else ""
        return (
            "what was finished is kept, and most of what was embedded of a chunk under way; the same"
            f" command{anew} goes on from there"
        )

    def _announce(self, state: State, gpus: int) -> None:
        run = self._run
        where = f"{gpus} GPU{'s' * (gpus != 1)}" if gpus else run.device
        self._say(f"virnucpro {__version__}, model {run.model.name}, {where}, {run.precision}")
        if run.model.notes:
            self._say(f"  model    {run.model.notes}")
        self._say(f"  writes   {self._directory}/results/SAMPLE/: {', '.join(run.result_names)}")
        self._say(f"  log      {self._log}")
        todo = state.samples - state.samples_done
        self._say(
            f"  done     {state.samples_done} samples, {state.chunks_done} chunks scored"
            if not self._request.force
            else "  done     whatever there is, is made anew (--force)"
        )
        chunks = f", {state.chunks - state.chunks_done} chunks of the pools split so far" if state.pools_split else ""
        if state.pools_split and not self._request.force:
            chunks += "; and whatever was made from other input or parameters"
        self._say(f"  to do    {todo if not self._request.force else state.samples} samples{chunks}")
        if not self._request.quiet:
            self._shown = self._log.stat().st_size

    def _display(self) -> Display:
        if self._request.bar and sys.stderr.isatty() and not self._request.quiet and not self._request.verbose:
            return Bar()
        return Lines(self._say if not self._request.verbose else self._note)

    def _say(self, line: str) -> None:
        """Write a line to the log, and to standard error unless the user wants quiet."""
        self._note(line)
        if not self._request.quiet:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 the command's progress

    def _note(self, line: str) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def _tail(self) -> None:
        """Show what was added to the log since the last time."""
        with self._log.open("rb") as log:
            log.seek(self._shown)
            added = log.read()
        self._shown += len(added)
        sys.stderr.write(added.decode(errors="replace"))

    def _exit_code(self, code: int, failures: Sequence[Failure]) -> int:
        if code == 0:
            return 0
        if not failures:
            raise VirnucproError(f"the workflow did not start; the end of {self._log}:\n{_last_lines(self._log)}")
        for line in describe_failures(failures, self._directory):
            print(line, file=sys.stderr)  # noqa: T201 the command's result
        print(f"all of it: {self._directory / FAILED}", file=sys.stderr)  # noqa: T201
        failed = {failure.sample for failure in failures}
        if any(sample.name not in failed for sample in self._run.samples):
            return EXIT_PARTIAL
        codes = [int(failure.exit_code) for failure in failures if failure.exit_code.isdigit()]
        return codes[0] if codes else 1


def _last_lines(log: Path, count: int = 12) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return "\n".join(f"  {line}" for line in lines[-count:])
