"""The configuration: refusals that help, defaults, and a page that documents every key."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from virnucpro_kernels.cli import collect, options, split
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool import geometry
from virnucpro_kernels.run.config import complete_config, read_config, schema, write_config
from virnucpro_kernels.run.folder import read_settings
from virnucpro_kernels.run.installation import workflow_root
from virnucpro_kernels.score import original_tables, viral_reads
from virnucpro_kernels.sequences import sample_input


def test_missing_keys_take_their_defaults() -> None:
    config = complete_config({"model": "builtin-300"})
    assert config["model"] == "builtin-300"
    assert config["chunk_tokens"] == 32_000_000
    assert config["keep"] == []
    assert set(config) == set(schema("config")["properties"])


@pytest.mark.parametrize("name", ["default", "strict", "sensitive"])
def test_a_preset_sets_what_the_configuration_does_not(name: str) -> None:
    preset = schema("config")["presets"][name]
    assert set(schema("config")["presets"]) == set(schema("config")["properties"]["preset"]["enum"])
    complete_config(preset)
    assert complete_config({"preset": name}) == complete_config({}) | preset | {"preset": name}
    assert complete_config({"preset": name, "viral_threshold": 0.55})["viral_threshold"] == 0.55


def test_a_strict_call_has_a_viral_window() -> None:
    """Its threshold is that of a viral window or more, and a mean is not above the highest."""
    strict = complete_config({"preset": "strict"})
    assert strict["viral_threshold"] >= strict["ambiguous_band"][1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"min_scored_windows": 0}, "min_scored_windows: 0 is less than the minimum"),
        ({"preset": "srtict"}, "preset: 'srtict' is not one of"),
        ({"modle": "builtin-500"}, "unknown key 'modle'; did you mean 'model'"),
        ({"zzzz": 1}, "unknown key 'zzzz'; known are samples"),
        ({"min_length": "3"}, "min_length: '3' is not of type 'integer'"),
        ({"min_length": True}, "min_length: True is not of type 'integer'"),
        ({"layout": "evne"}, "layout: 'evne' is not one of"),
        ({"keep": "embeddings"}, "keep: 'embeddings' is not of type 'array'"),
        ({"precision": "fp7"}, "precision: 'fp7' is not allowed; choose auto, fp32, fp16, bf16, fp8-ff, fp8,"),
        ({"chunk_tokens": 0}, "chunk_tokens: 0 is less than the minimum"),
        ({"viral_threshold": 1.5}, "viral_threshold: 1.5 is greater than the maximum"),
    ],
)
def test_refuses_what_the_schema_does_not_know(config: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        complete_config(config)


@pytest.mark.parametrize(
    ("key", "types"),
    [
        ("layout", [geometry.Layout, get_args(options.Layout)[0]]),
        ("duplicate_ids", [sample_input.DuplicateIds, get_args(split.DuplicateIds)[0]]),
        ("preset", [get_args(collect.Preset)[0]]),
        ("original_files", [original_tables.OriginalFormat, get_args(collect.OriginalFiles)[0]]),
        ("reads", [viral_reads.ReadFiles, get_args(collect.Reads)[0]]),
    ],
)
def test_types_in_the_code_name_the_values_of_the_schema(key: str, types: list[object]) -> None:
    values = tuple(value for value in schema("config")["properties"][key]["enum"] if value is not None)
    assert [get_args(one) for one in types] == [values] * len(types)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("1e-3", "viral_threshold", 0.001),
        ("1E-3", "viral_threshold", 0.001),
        (".5e0", "viral_threshold", 0.5),
        ("1.e-1", "viral_threshold", 0.1),
        ("[1e-1, 9e-1]", "ambiguous_band", [0.1, 0.9]),
        ("01000", "min_length", 1000),
        ("+0010", "min_length", 10),
        ("09", "min_length", 9),
        ("1e3", "min_length", 1000),
        ("1.0e+3", "min_length", 1000),
    ],
)
def test_numbers_as_people_write_them(tmp_path: Path, text: str, key: str, value: object) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{key}: {text}\n")
    found = complete_config(read_config(path))[key]
    assert found == value
    assert type(found) is type(value)
    settings = read_settings([f"{key}={text}"])
    assert complete_config(settings)[key] == value
    write_config(path, settings)
    assert complete_config(read_config(path))[key] == value


@pytest.mark.parametrize("text", ["0,9", "1e", "0x10", "1_000x", "nan", ".nan", "1e400", "12:30"])
def test_what_is_no_number_is_refused(text: str) -> None:
    for key in ("viral_threshold", "min_length"):
        with pytest.raises(UsageError):
            complete_config(read_settings([f"{key}={text}"]))


def test_names_all_problems_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        complete_config({"modle": "x", "layout": "y"}, "my.yaml")
    assert "my.yaml: unknown key 'modle'" in str(caught.value)
    assert "my.yaml: layout" in str(caught.value)


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(UsageError, match="must hold `key: value` lines"):
        read_config(path)
    path.write_text("a: [\n")
    with pytest.raises(UsageError, match="cannot be read as YAML"):
        read_config(path)
    with pytest.raises(UsageError, match="the configuration cannot be read: Is a directory"):
        read_config(tmp_path)
    with pytest.raises(UsageError, match="no such configuration file"):
        read_config(tmp_path / "none.yaml")


def test_every_key_is_documented_with_its_default() -> None:
    page = (workflow_root() / "config" / "README.md").read_text()
    table = page.partition("### Keys")[2].partition("\n### ")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", table, flags=re.MULTILINE))
    defaults = {key: rule["default"] for key, rule in schema("config")["properties"].items()}
    assert {key: yaml.safe_load(value) for key, value in documented.items()} == defaults


def test_every_key_of_a_training_is_documented_with_its_default() -> None:
    table = (workflow_root() / "config" / "README.md").read_text().partition("### Training")[2]
    documented = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", table, flags=re.MULTILINE))
    defaults = {key: rule["default"] for key, rule in schema("training")["properties"].items() if "default" in rule}
    assert {key: yaml.safe_load(value) for key, value in documented.items()} == defaults


def test_the_presets_are_documented() -> None:
    page = (workflow_root() / "docs" / "output.md").read_text()
    table = page.partition("## Which cut-off for what purpose")[2].partition("\n## ")[0]
    header, *rows = re.findall(r"^\| .*? \|$", table, flags=re.MULTILINE)
    names = re.findall(r"`(\w+)`", header)
    assert names == list(schema("config")["presets"])
    found = [re.findall(r"\| `([a-z_]+)`|\| `([\d.]+)`", row) for row in rows]
    documented = {cells[0][0]: [value for _, value in cells[1:]] for cells in found if cells and cells[0][0]}
    expected = {
        key: [str(complete_config({"preset": name})[key]) for name in names]
        for key in dict.fromkeys(key for preset in schema("config")["presets"].values() for key in preset)
    }
    assert documented == expected


def test_every_key_is_described_and_its_default_valid() -> None:
    assert complete_config({}) == complete_config(complete_config({}))
    for rule in schema("config")["properties"].values():
        assert rule["description"].endswith(".")


@pytest.mark.parametrize("name", ["config", "samples"])
def test_every_pattern_is_said_in_words_too(name: str) -> None:
    for rule in schema(name)["properties"].values():
        assert ("pattern" in rule) == ("allowed" in rule)


def test_the_sheet_columns_are_documented() -> None:
    page = (workflow_root() / "config" / "README.md").read_text()
    table = page.partition("### Sample sheet")[2].partition("\n### ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == list(schema("samples")["properties"])


def test_the_configuration_that_comes_with_the_workflow_is_valid() -> None:
    for folder in (workflow_root() / "config", workflow_root() / ".test" / "config"):
        complete_config(read_config(folder / "config.yaml"))
