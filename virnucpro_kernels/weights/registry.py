"""Models on this machine: the content of each `model.toml`, and finding one by name or path. No torch.

A model directory is self-contained: `model.toml`, written last, and the files it names beside it. `load.py` reads those
files.
"""

import hashlib
import json
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.files import DATA, atomic_path
from virnucpro_kernels.models.precisions import correction_of
from virnucpro_kernels.weights.site import command_line, find_models_dir

SCHEMA = 1
PURPOSES = ("work", "trial")
SEGMENTS = "segments"
RELEASED = ("virnucpro-500", "virnucpro-300")
#: Model for work that comes with the package.
BUNDLED = "compact-500"
BUILTIN_DIRECTORY = DATA / "models"


@dataclass(frozen=True)
class FileInfo:
    """A file of a model directory: its name there, hexadecimal SHA-256, size, and the origin of its content."""

    file: str
    sha256: str
    bytes: int
    source: str
    source_sha256: str


@dataclass(frozen=True)
class EncoderInfo(FileInfo):
    """An encoder: its name (`esm2-3b`), architecture (`esm2` or `dnabert`) and sizes."""

    name: str
    architecture: str
    layers: int
    hidden: int
    heads: int
    feed_forward: int
    vocabulary: int

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return self.hidden


@dataclass(frozen=True)
class ClassifierInfo(FileInfo):
    """A classifier: the length of its features and of its hidden layer."""

    dimension: int
    hidden: int


@dataclass(frozen=True)
class Calibration:
    """What makes log-odds of the mean logit of a sequence: log-odds = a + b · logit, where a and b change with length.

    With x = log2(scored bases / window length), a = intercept + intercept_per_doubling · x and
    b = slope + slope_per_doubling · x from one window on; below, where there is a shorter window instead of more of
    them, a = intercept - intercept_per_halving · x and b = slope - slope_per_halving · x.

    Attributes:
        prior: Share of viral sequences at which the log-odds are right, between 0 and 1.
        intercept, intercept_per_doubling, intercept_per_halving: Values that make a.
        slope, slope_per_doubling, slope_per_halving: Values that make b.
        source: Sequences that the values were fitted on, for people.
        accuracy: Error rates of the calls on other sequences, for people; empty where nobody measured them.
    """

    prior: float
    intercept: float
    intercept_per_doubling: float
    intercept_per_halving: float
    slope: float
    slope_per_doubling: float
    slope_per_halving: float
    source: str
    accuracy: str = ""


@dataclass(frozen=True)
class Description:
    """A model as a whole.

    Attributes:
        name: Name by which the user chooses it.
        window_length: Length in bp of the windows that the classifier was trained on.
        layout: Layout of these windows: `original`, or `segments`, in which the logits of a window's frames add up.
        purpose: `work`, or `trial` for a model that is for trying out; every output says so.
        source: Origin of the weights, for people.
        licence: Licence of the weights.
        notes: Remarks for people.
    """

    name: str
    window_length: int
    layout: str
    purpose: str
    source: str
    licence: str
    notes: str


@dataclass(frozen=True)
class Model(Description):
    """Everything that decides a score: window length, encoders, tokenizer, classifier and calibration.

    Attributes:
        directory: Directory of its files.
        calibration: What makes its probabilities true, or None where that was never measured.
    """

    directory: Path
    nucleotide: EncoderInfo
    tokenizer: FileInfo
    protein: EncoderInfo
    classifier: ClassifierInfo
    calibration: Calibration | None = None

    @property
    def adds_frames(self) -> bool:
        """Whether the logit of a window is the sum of those of its frames; else it follows the original's rule."""
        return self.layout == SEGMENTS

    def knows_layout(self, layout: str) -> bool:
        """Whether the classifier was trained on frames as `layout` makes them: stop-free parts, or whole ones."""
        return (layout == SEGMENTS) == self.adds_frames

    def layout_notice(self, layout: str) -> str:
        """Return what must be said with scores of frames as `layout` makes them; nothing where they are known."""
        if self.knows_layout(layout):
            return ""
        measured = ", and neither its calibration nor its error rates are for them" if self.calibration else ""
        return f"{self.name} was not trained on frames of the layout {layout}: its scores there are untried{measured}."

    @property
    def files(self) -> tuple[FileInfo, ...]:
        """All files but `model.toml`."""
        return self.nucleotide, self.tokenizer, self.protein, self.classifier

    def path(self, info: FileInfo) -> Path:
        """Path of a file of the model."""
        return self.directory / info.file

    def encoders_id(self, precision: str) -> str:
        """Name of all that decides the embeddings, for a path: encoders, precision, and eight digits.

        The digits are of the checksums of the files and, with products in fp8, of the way biases are corrected.
        """
        parts = [self.nucleotide.sha256, self.tokenizer.sha256, self.protein.sha256]
        if correction := correction_of(precision):
            parts.append(correction)
        return f"{self.nucleotide.name}+{self.protein.name}-{precision}-{_short_hash(*parts)}"

    @property
    def model_id(self) -> str:
        """Name of all that decides the scores of given embeddings, for a path."""
        parts = [self.classifier.sha256, str(self.window_length)]
        if self.calibration:
            parts.append(str({**asdict(self.calibration), "source": "", "accuracy": ""}))
        return f"{self.name}-{_short_hash(*parts)}"

    def calibrated(self) -> Calibration:
        """Return the calibration.

        Raises:
            UsageError: the model has none.
        """
        if self.calibration is None:
            raise UsageError(
                f"fdr: model {self.name} has no calibration, so its scores are no probabilities. Choose a"
                " viral_threshold instead, or calibrate the model on genomes that it was not trained on:"
                f" {calibrate_command(self)}"
            )
        return self.calibration

    def damage(self) -> list[str]:
        """Files that are missing or of a wrong size, in words; empty for a complete model."""
        found = []
        for info in self.files:
            path = self.path(info)
            if not path.is_file():
                found.append(f"{path} is missing")
            elif path.stat().st_size != info.bytes:
                found.append(f"{path} has {path.stat().st_size:,} bytes instead of {info.bytes:,}")
        return found

    def check_window_length(self, window_length: int, where: str) -> None:
        """Refuse windows of a length that the classifier does not know.

        Raises:
            DamagedFileError: `window_length` is not the model's; the message begins with `where`.
        """
        if window_length != self.window_length:
            raise DamagedFileError(
                f"{where}: windows of {window_length} bp, but model {self.name} is for {self.window_length} bp;"
                f" choose a model for {window_length} bp or split with --window-length {self.window_length}"
            )


#: The content of `model.toml`: values, sections with one file each, and the calibration, if there is one.
_SCALARS = get_type_hints(Description)
_SECTIONS = {
    name: kind for name, kind in get_type_hints(Model).items() if isinstance(kind, type) and issubclass(kind, FileInfo)
}


def _short_hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def find_model(name_or_path: str | None = None, models_dir: Path | None = None) -> Model:
    """Return a complete model by its name or directory, or the imported released one where none is named.

    Args:
        name_or_path: `virnucpro-500`, `compact-500`, any name below `models_dir`, or a directory with a `model.toml`.
        models_dir: Folder of imported models; None for the site's or the user's own (`site.find_models_dir`).

    Raises:
        UsageError: there is no such model, or none is named and none is imported.
        DamagedFileError: the model is incomplete.
    """
    model = read_model(find_directory(name_or_path, models_dir))
    if damage := model.damage():
        raise DamagedFileError(f"model {model.name}: {damage[0]}; import or fetch it again (virnucpro weights --help)")
    return model


def find_directory(name_or_path: str | None = None, models_dir: Path | None = None) -> Path:
    """Return the directory of a model, complete or not; arguments and UsageError as for `find_model`."""
    folder = find_models_dir(models_dir).path
    names = RELEASED if name_or_path is None else (name_or_path,)
    directory = next(filter(_is_model, (place for name in names for place in _places(name, folder))), None)
    if directory is None:
        raise UsageError(_how_to_get(name_or_path, models_dir))
    return directory


def _places(name: str, models_dir: Path) -> Iterator[Path]:
    if "/" not in name and name not in {".", ".."}:
        yield models_dir / name
        yield BUILTIN_DIRECTORY / name
    yield Path(name)


def _is_model(directory: Path) -> bool:
    return (directory / "model.toml").is_file()


def _how_to_get(name: str | None, models_dir: Path | None) -> str:
    have = ", ".join(directory.name for directory in model_directories(models_dir)) or "none"
    what = "no released model is imported" if name is None else f"no model {name!r}"
    wanted = name if name in RELEASED else RELEASED[0]
    return (
        f"{what} in {find_models_dir(models_dir)} (there: {have}). Get the published weights with"
        f" `{command_line('weights', 'fetch', wanted, models_dir=models_dir)}`,"
        f" or use the small model that comes with the package: --model {BUNDLED}"
    )


def calibrate_command(model: Model) -> str:
    """Return a command that calibrates a model on a table of genomes, which the user has to name.

    What comes with the package stays as it is: there the command copies the model first.
    """
    more = ("--genomes", "GENOMES_TSV", "--output-dir", "calibration")
    if model.directory.parent == BUILTIN_DIRECTORY:
        return calibrate_a_copy(model, *more)
    places = _places(model.name, find_models_dir().path)
    named = model.name if next(filter(_is_model, places), None) == model.directory else str(model.directory)
    return command_line("calibrate", named, *more, models_dir=None)


def calibrate_a_copy(model: Model, *more: str) -> str:
    """Return commands that copy a model, which itself stays as it is, and calibrate the copy with the words `more`."""
    copy = f"{model.name}-calibrated"
    made = command_line("calibrate", f"./{copy}", *more, models_dir=None)
    return f"{shlex.join(['cp', '-r', str(model.directory), copy])} && {made}"


def model_directories(models_dir: Path | None = None) -> list[Path]:
    """Directories of all models, complete or not: the built-in ones, then those below `models_dir`, each by name."""
    places = (BUILTIN_DIRECTORY, find_models_dir(models_dir).path)
    found = (path for place in places if place.is_dir() for path in sorted(place.iterdir()))
    # A hidden directory is what an import that was killed left; the next one of the same name removes it.
    return [path for path in found if _is_model(path) and not path.name.startswith(".")]


def complete_models(models_dir: Path | None = None) -> Iterator[Model]:
    """All complete models, in the order of `model_directories`; damaged ones are left out."""
    for directory in model_directories(models_dir):
        try:
            model = read_model(directory)
        except DamagedFileError:
            continue
        if not model.damage():
            yield model


def read_model(directory: Path) -> Model:
    """Read `model.toml` of a directory, without the files that it names.

    Raises:
        DamagedFileError: the file is damaged, incomplete or of another version.
    """
    path = directory / "model.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DamagedFileError(f"{directory}: no model.toml; not a model directory, or an interrupted import") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DamagedFileError(f"{path}: {error}; import the model again") from error
    if table.get("schema") != SCHEMA:
        raise DamagedFileError(f"{path}: schema {table.get('schema')!r}, this version reads {SCHEMA}; import it again")
    try:
        # Directories of versions that knew no other layout do not name theirs.
        scalars = _read_fields(_SCALARS, {"layout": "original"} | table)
        if scalars["purpose"] not in PURPOSES:
            raise ValueError(f"purpose {scalars['purpose']!r} is none of {', '.join(PURPOSES)}")
        parts = {name: _read_section(kind, table[name]) for name, kind in _SECTIONS.items()}
        calibration = _read_calibration(table["calibration"]) if "calibration" in table else None
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{path}: {error}; import the model again") from error
    return Model(directory=directory, **scalars, **parts, calibration=calibration)


def _read_fields(wanted: Mapping[str, type], table: Mapping[str, Any]) -> dict[str, Any]:
    for name, kind in wanted.items():
        if not isinstance(table.get(name), kind):
            raise ValueError(f"{name!r} is missing or no {kind.__name__}")
    return {name: table[name] for name in wanted}


def _read_section(kind: type[FileInfo], table: Mapping[str, Any]) -> Any:
    values = _read_fields(get_type_hints(kind), table)
    if Path(values["file"]).name != values["file"]:
        raise ValueError(f"{values['file']!r} is not a plain file name")
    return kind(**values)


def _read_calibration(table: Mapping[str, Any]) -> Calibration:
    # Earlier ones changed in one way with all lengths.
    other_side = {f"{value}_per_halving": -table.get(f"{value}_per_doubling", 0.0) for value in ("intercept", "slope")}
    calibration = Calibration(**_read_fields(get_type_hints(Calibration), {"accuracy": "", **other_side, **table}))
    if not 0 < calibration.prior < 1:
        raise ValueError(f"the calibration's prior {calibration.prior} is not between 0 and 1")
    return calibration


def write_model(model: Model) -> None:
    """Write `model.toml`: the last step of making a model directory, which makes it complete."""
    lines = [f"schema = {SCHEMA}"]
    lines += [f"{name} = {_toml_value(getattr(model, name))}" for name in _SCALARS]
    for name in (*_SECTIONS, *(["calibration"] if model.calibration else [])):
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {_toml_value(value)}" for key, value in asdict(getattr(model, name)).items()]
    with atomic_path(model.directory / "model.toml") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml_value(value: str | float) -> str:
    # JSON's escapes are TOML's, but TOML wants one for DEL too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
