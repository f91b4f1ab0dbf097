"""Fixtures of the tests of `virnucpro evaluate`."""

from pathlib import Path

import pytest

from tests.helpers.evaluations import Ended, Run, write
from virnucpro_kernels.cli.main import main


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    def evaluate(*arguments: object, folder: str = "evaluation") -> Ended:
        words = ["virnucpro", "evaluate", *map(str, arguments), "--output-dir", str(tmp_path / folder)]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as exit_of_main:
            main()
        captured = capsys.readouterr()
        return Ended(int(exit_of_main.value.code or 0), captured.out + captured.err, tmp_path / folder)

    return evaluate


@pytest.fixture
def small_truth(tmp_path: Path) -> Path:
    rows = [*((f"v{number}", "virus") for number in range(1, 5)), *((f"h{number}", "host") for number in range(1, 5))]
    return write(tmp_path / "small.tsv", ["contig", "label"], rows)
