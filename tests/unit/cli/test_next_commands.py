"""What a command prints as the next one works as printed, in folders whose names have blanks."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.file_server import FileServer, serve
from tests.helpers.original_models import Originals
from tests.helpers.runs import MODEL, call, contigs, snakemake_command, virnucpro_command, write_run
from virnucpro_kernels.cli.main import app
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.job_record import write_record
from virnucpro_kernels.run.summary import describe_results
from virnucpro_kernels.weights import published
from virnucpro_kernels.weights.published import digests
from virnucpro_kernels.weights.registry import find_model


def run(command: str) -> None:
    """Run a printed command as a shell would, in this process."""
    program, *arguments = shlex.split(command)
    assert program == "virnucpro"
    assert not app(arguments, standalone_mode=False)


@pytest.fixture
def server(originals: Originals, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Serves a small model as the published one."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    [recipe] = [recipe for recipe in published.RECIPES if recipe.name == "virnucpro-500"]
    with serve(originals.protein.parent) as facts:

        def local(file: published.PublishedFile, path: Path) -> published.PublishedFile:
            digest = f"sha256:{digests(path)[0]}"
            address = f"{facts.url}/{path.relative_to(originals.protein.parent)}"
            return replace(file, url=address, digest=digest, megabytes=0.1)

        small = replace(
            recipe,
            protein=local(recipe.protein, originals.protein),
            nucleotide=tuple(local(file, originals.nucleotide / file.name) for file in recipe.nucleotide),
            classifier=local(recipe.classifier, originals.classifier),
        )
        monkeypatch.setattr(published, "RECIPES", (small,))
        yield facts


def printed_by_list(models: Path, capsys: pytest.CaptureFixture[str]) -> str:
    app(["weights", "list", "--models-dir", str(models)], standalone_mode=False)
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("virnucpro-500")]
    return "virnucpro " + line.partition("  virnucpro ")[2]


def printed_by_doctor(models: Path, capsys: pytest.CaptureFixture[str]) -> str:
    app(["doctor", "--models-dir", str(models)], standalone_mode=False)
    [command] = re.findall("`(virnucpro weights fetch .*)`", capsys.readouterr().out)
    return str(command)


def printed_for_no_model(models: Path, _: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(UsageError) as caught:
        find_model(None, models)
    [command] = re.findall("`(.*)`", str(caught.value))
    return str(command)


@pytest.mark.parametrize("printed", [printed_by_list, printed_by_doctor, printed_for_no_model])
def test_the_model_is_fetched_where_it_was_looked_for(
    printed: object, tmp_path: Path, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "our models"
    assert callable(printed)
    run(printed(models, capsys))
    assert find_model("virnucpro-500", models).directory == models / "virnucpro-500"


def test_all_warnings_are_listed_by_the_command_that_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my run"
    write_run(folder, {"a": contigs(0, 1)})
    write_record(folder / "split.json", {"warnings": ["odd"] * 11})
    ended: Any = SimpleNamespace(pools=["a"], record_path=lambda *_: "split.json", samples=(), settings=())
    [command] = re.findall("and 1 more warnings: `(.*)` lists them", "\n".join(describe_results(ended, folder, [])))
    run(command)
    assert "a.fa" in capsys.readouterr().out


@pytest.mark.slow
def test_a_new_model_is_used_by_the_command_that_its_import_prints(
    tmp_path: Path, originals: Originals, capsys: pytest.CaptureFixture[str]
) -> None:
    app(originals.arguments(tmp_path / "our models"), standalone_mode=False)
    [command] = re.findall("^use it: virnucpro (.*)$", capsys.readouterr().out, re.MULTILINE)
    (tmp_path / "contigs.fa.gz").write_text(contigs(0, 1))
    ended = call([*virnucpro_command(*shlex.split(command)), "--dry-run"], tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not (tmp_path / "our").exists()


@pytest.mark.slow
def test_a_new_run_is_started_by_the_commands_that_init_prints(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(contigs(0, 1))
    ended = call(virnucpro_command("init", "my run", "a.fa", "--model", MODEL), tmp_path)
    predict, snakemake = re.findall(r"^(?:  virnucpro|or snakemake) (.*)$", ended.stdout, re.MULTILINE)
    for command in (
        virnucpro_command(*shlex.split(predict), "--dry-run"),
        [*snakemake_command()[:3], *shlex.split(snakemake), "--dry-run"],
    ):
        ended = call(command, tmp_path)
        assert ended.returncode == 0, ended.stdout + ended.stderr
