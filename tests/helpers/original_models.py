"""Original files of a small model, and what tests do to files."""

from dataclasses import dataclass
from pathlib import Path

from tests.helpers.published_files import classifier, fair_esm, write_dnabert, write_fair_esm, write_pickled_classifier
from virnucpro_kernels.models.classifier import ClassifierConfig
from virnucpro_kernels.models.dnabert_s import DnabertConfig
from virnucpro_kernels.weights.import_model import import_model
from virnucpro_kernels.weights.registry import Model

DNABERT = DnabertConfig(layers=2, hidden=48, heads=12, feed_forward=64, vocabulary=100)
CLASSIFIER = ClassifierConfig(dimension=48 + 64, hidden=16)


@dataclass
class Originals:
    """Original files of a small model."""

    protein: Path
    nucleotide: Path
    classifier: Path

    def imported(self, models_dir: Path, name: str = "virnucpro-500", window_length: int = 500) -> Model:
        return import_model(
            name,
            window_length,
            protein=self.protein,
            nucleotide=self.nucleotide,
            classifier=self.classifier,
            models_dir=models_dir,
        )

    def arguments(self, models_dir: Path, name: str = "virnucpro-500", window_length: int = 500) -> list[str]:
        options = {
            "--name": name,
            "--window-length": window_length,
            "--protein": self.protein,
            "--nucleotide": self.nucleotide,
            "--classifier": self.classifier,
            "--models-dir": models_dir,
        }
        return ["weights", "import", *(str(word) for option in options.items() for word in option)]


def write_originals(folder: Path) -> Originals:
    nucleotide = write_dnabert(folder / "DNABERT-S", DNABERT)
    protein = write_fair_esm(folder / "esm2_t2_tiny.pt", fair_esm(2, 64, 4))
    head = write_pickled_classifier(folder / "500_model.pth", classifier(CLASSIFIER))
    return Originals(protein, nucleotide, head)


def files_of(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
