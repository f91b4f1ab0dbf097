"""Options of the original tool and of the Broad's version 2.0, and what replaces them here."""

from collections.abc import Sequence
from pathlib import Path

from virnucpro_kernels.errors import UsageError

_TOKENS = (
    "gone: batches are packed by tokens and halve themselves when memory runs out; "
    "--set-resources embed:token_budget=N of Snakemake, or a profile, sets their size"
)
_SAFE_RESUME = "gone: every file is checked when it is read; `virnucpro verify DIR` opens all of a run"
_ENGINE = "gone: the engine does what helps by itself"

#: What replaces each old option, in words that follow "is".
REPLACEMENTS = {
    "--model-type": "now --model: --model virnucpro-300 or --model virnucpro-500",
    "-m": "now --model: --model virnucpro-300 or --model virnucpro-500",
    "--model-path": "now two steps: `virnucpro weights import` once, then --model NAME",
    "-p": "now two steps: `virnucpro weights import` once, then --model NAME",
    "--expected-length": "gone: the window length is part of the model, see `virnucpro weights list`",
    "-e": "gone: the window length is part of the model, see `virnucpro weights list`",
    "-d": "now --device auto, cpu or cuda; --gpus chooses among GPUs",
    "-f": "now --force",
    "--batch-size": "gone: classification takes a small, constant amount of memory",
    "-b": "gone: classification takes a small, constant amount of memory",
    "--dnabert-batch-size": _TOKENS,
    "--esm-batch-size": _TOKENS,
    "--num-workers": "now --threads",
    "-w": "now --threads",
    "--dataloader-workers": "now --threads",
    "--merge-threads": "now --threads",
    "-t": "now --threads",
    "-v": "now --verbose",
    "-q": "now --quiet",
    "--keep-intermediate": "now --keep embeddings (and --keep features)",
    "-k": "now --keep embeddings (and --keep features)",
    "--resume": "the default: a run goes on where it stopped; --force starts anew",
    "--force-resume": _SAFE_RESUME,
    "--skip-checkpoint-validation": _SAFE_RESUME,
    "--parallel": "the default: all visible GPUs are used; --gpus says otherwise",
    "--v1-fallback": "gone: there is one engine",
    "--v1-attention": "now --precision reference",
    "--pin-memory": _ENGINE,
    "--expandable-segments": _ENGINE,
    "--cache-clear-interval": _ENGINE,
    "--cuda-streams": _ENGINE,
    "--no-cuda-streams": _ENGINE,
    "--persistent-models": _ENGINE,
    "--no-persistent-models": _ENGINE,
}


def refuse_old_flags(arguments: Sequence[str]) -> None:
    """Refuse options of the older tools.

    Raises:
        UsageError: there is such an option; the message names the first and what replaces it.
    """
    for argument in arguments:
        if argument == "--":
            return
        name = argument.partition("=")[0]
        if name in REPLACEMENTS:
            raise UsageError(f"{name} of the older tools is {REPLACEMENTS[name]}")


def refuse_old_arguments(inputs: list[Path] | None) -> list[Path] | None:
    """Return the inputs, unless they are the original's `FILE LENGTH MODEL.pth`.

    Raises:
        UsageError: an input is a bare number or a pickled model.
    """
    for path in inputs or ():
        if path.suffix in {".pth", ".pt"}:
            raise UsageError(
                f"{path} is a model of the original tool, not a sequence file; "
                "`virnucpro weights import` takes it in once, then --model NAME uses it"
            )
        if path.name.isdigit() and not path.exists():
            raise UsageError(
                f"{path} is no file; the window length is part of the model: --model virnucpro-300 or virnucpro-500"
            )
    return inputs
