"""`virnucpro predict`: the whole workflow for people who do not know Snakemake."""

from contextlib import ExitStack

from virnucpro_kernels.pool.file_names import MANIFEST
from virnucpro_kernels.pool.unusable import forget_split_of_repaired
from virnucpro_kernels.run.launch import run_lock, unlock
from virnucpro_kernels.run.options import PredictOptions
from virnucpro_kernels.run.session import Session
from virnucpro_kernels.run.start import SNAKEFILE, Start, plan_start


def predict(options: PredictOptions) -> int:
    """Run the workflow; return the exit code.

    Raises:
        VirnucproError: nothing was started: wrong usage, a damaged model, another run in the same folder.
        InterruptedRunError: Ctrl-C or a signal came; no job runs any more.
    """
    with run_lock(options.directory) as lock, ExitStack() as exits:
        start = plan_start(options)
        start.log.parent.mkdir(parents=True, exist_ok=True)
        unlock(options.directory, SNAKEFILE, start.log)
        session = Session(start, lock)
        if options.dry_run:  # leaves the folder as it was
            exits.enter_context(start.folder.written_for_now())
        else:
            start.folder.write()
            _split_repaired_again(start)
        return session.execute()


def _split_repaired_again(start: Start) -> None:
    """Have those pools split again in which a file could not be used and has changed since."""
    run = start.run
    for pool, samples in run.pools.items():
        manifest = start.options.directory / run.split_dir(pool) / MANIFEST
        forget_split_of_repaired(manifest, {sample.name: sample.input for sample in samples})
