"""The commands of single stages, run in this process."""

from pathlib import Path

from virnucpro_kernels.cli.main import app


def run(*words: object) -> None:
    app([str(word) for word in words], standalone_mode=False)


def score_chunk(manifest: Path, chunk: str, model: object, *options: object, vectors: Path, scores: Path) -> None:
    """Embed (with `options`), merge and classify a chunk: embeddings and features to `vectors`, then `scores`."""
    nucleotide, protein, features = (vectors / f"{chunk}.{kind}.h5" for kind in ("nucleotide", "protein", "features"))
    run(
        *("embed", manifest, "--chunk", chunk, "--model", model, *options),
        *("--nucleotide", nucleotide, "--protein", protein),
    )
    run("merge", nucleotide, protein, "--output", features)
    run("classify", features, "--model", model, "--output", scores)
