"""Tables of settings: what they mean, and refusals that name line and column."""

import re
from pathlib import Path

import pytest

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.run.config import complete_config
from virnucpro_kernels.run.sweep import KEYS, read_sweep
from virnucpro_kernels.weights.registry import find_model


def write(folder: Path, text: str) -> Path:
    path = folder / "sweep.tsv"
    path.write_text(text)
    return path


def test_a_row_changes_keys_and_an_empty_cell_none(tmp_path: Path) -> None:
    text = '# as planned\nsetting,viral_threshold,ambiguous_band,preset\na,,,\nb,0.75,"[0.1, 0.9]",\nc,1e-3,,strict\n'
    config = {"model": "builtin-500", "tier_high": 0.95}
    first, second, third = read_sweep(write(tmp_path, text), config)
    assert [first.name, second.name, third.name] == ["a", "b", "c"]
    assert first.config == complete_config(config)
    assert second.config == complete_config({**config, "viral_threshold": 0.75, "ambiguous_band": [0.1, 0.9]})
    assert third.config == complete_config({**config, "viral_threshold": 0.001, "preset": "strict"})
    assert third.config["min_scored_windows"] == 2


def test_the_folder_of_a_model_is_relative_to_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.symlink_to(find_model("builtin-500").directory)
    settings = read_sweep(write(tmp_path, "setting\tmodel\na\tmine\nb\tbuiltin-300\n"), {})
    assert [setting.config["model"] for setting in settings] == [str(folder), "builtin-300"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no settings; it needs a header"),
        ("setting\tpreset\n", "no settings; it needs a header"),
        ("name\tpreset\na\tstrict\n", "line 1: no column 'setting'"),
        ("setting\tpreste\na\tstrict\n", "line 1: unknown column 'preste'; did you mean 'preset'?"),
        ("setting\twindow_length\na\t300\n", "line 1: column 'window_length': the window length belongs to the model"),
        ("setting\tchunk_tokens\na\t3000\n", "line 1: column 'chunk_tokens': this key is the same for all settings"),
        ("setting\tpreset\tpreset\na\tstrict\t\n", "line 1: column 'preset' occurs twice"),
        ("setting\tpreset\na\tstrict\na\tdefault\n", "line 3: setting: 'a' occurs twice"),
        ("setting\tpreset\na b\tstrict\n", "line 2: setting: 'a b' is not a name of letters"),
        ("setting\tpreset\n\tstrict\n", "line 2: setting: '' is not a name of letters"),
        ("setting\tpreset\nsweep.tsv\tstrict\n", "line 2: setting: 'sweep.tsv' is the name of a file"),
        ("setting\tpreset\na\tstrict\t1\n", "line 2: 3 values for 2 columns"),
        ("setting\tviral_threshold\na\t1.5\n", "line 2: viral_threshold: 1.5 is greater than the maximum of 1"),
        ("setting\tviral_threshold\na\thigh\n", "line 2: viral_threshold: 'high' is not of type 'number'"),
        ("setting\tambiguous_band\na\t[0.1\n", "line 2: ambiguous_band: '[0.1' cannot be read as YAML"),
        ("setting\ttier_high\na\t0.2\n", "line 2: tier_medium (0.7) is above tier_high (0.2)"),
        ("setting\tlayout\na\tevne\n", "line 2: layout: 'evne' is not one of"),
        ("setting\tprecision\na\tfp23\n", "line 2: precision: 'fp23' is not allowed"),
    ],
)
def test_refusals_name_file_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=f"^{re.escape(str(path))}.*{re.escape(message)}"):
        read_sweep(path, {})


def test_all_problems_are_listed_and_the_advice_once(tmp_path: Path) -> None:
    path = write(tmp_path, "setting\tviral_threshold\na\t1.5\nb\t-1\na\t0.5\n")
    with pytest.raises(UsageError) as refused:
        read_sweep(path, {})
    lines = str(refused.value).splitlines()
    assert [line.partition(":")[0].rpartition(" ")[2] for line in lines[:-1]] == ["2", "3", "4"]
    assert lines[-1].startswith("see ")


def test_no_setting_changes_what_is_in_no_path() -> None:
    """Keys of the split, for instance: two settings would overwrite each other's chunks."""
    shared = {"chunk_tokens", "min_chunks", "min_length", "duplicate_ids", "embedding_dtype", "samples", "sweep"}
    assert shared.isdisjoint(KEYS)
