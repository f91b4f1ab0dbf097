"""Trains the compact model, encoders and classifier together, on segments of windows of the train split.

    python -m training.compact GENOMES --output DIR

First a teacher learns: to name hidden codons and residues, and then to tell viral windows from windows of hosts. Beside
the classifier each encoder alone tells them, the category is learned too, and codons stay hidden. Then the compact
network, a fraction of its size, learns from the same windows and from what the teacher says of each segment. The
weights of both are the running average over the steps. The learning rate stays as it is: on val, the loss rose again
where the rate fell, because the network then learned the genomes by heart.

The state.pt of each network is written now and then; the same command goes on from it and ends with the same weights.
The model directory appears at the end.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from training.augment import Augmentation
from training.codons import write_codon_tokenizer
from training.network import COMPACT, TEACHER, CompactNetwork, Segments, add_up
from training.windows import CATEGORIES, EDGES, Genomes, Runs, fill_buckets, find_segments, join
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.weights.directory import NewClassifier, NewEncoder, Origin, tensors_of, write_model_directory
from virnucpro_kernels.weights.registry import Description

WINDOW_LENGTH = 500
_SAVED_EVERY, _TOLD_EVERY = 500, 100
_DRAWS_TO_SIZE = 12
#: Groups of the genomes that are left out as relatives of the demonstration: parvo- and orthomyxoviruses, and one
#: chloroplast of Arabidopsis. Another one, of the group `plant:Arabidopsis`, stays in.
RELATIVES = ("V:C:vc0123", "V:C:vc0577", "organelle:plastid Arabidopsis")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        steps, seed: Number of steps; seed of weights, windows and changes.
        pretraining: Number of the first steps, in which naming what is hidden is all that is learned.
        windows: Windows of a step.
        lengths: Share of the windows of each length in bp; what is left has two lengths from 150 to 490, drawn anew.
        learning_rate, warm_up, weight_decay: Values of AdamW; steps in which the rate rises.
        average: Weight of the past in the running average of the weights.
        dropout, head_dropout: Rates within the encoders, and before and behind the classifier's hidden layer.
        hidden, hidden_at_first: Rates of hidden codons; the second is that of the pretraining.
        help_of_categories, help_of_encoders, help_of_hidden: Weights of the losses beside that of the classifier.
        help_of_teacher: Weight of the loss of a segment's logit against the teacher's, where there is one.
    """

    steps: int
    seed: int = 0
    pretraining: int = 0
    windows: int = 512
    lengths: tuple[tuple[int, float], ...] = ((500, 0.45), (300, 0.25))
    learning_rate: float = 1e-3
    warm_up: int = 200
    weight_decay: float = 0.1
    average: float = 0.999
    help_of_categories: float = 0.3
    help_of_encoders: float = 0.3
    help_of_hidden: float = 0.0
    hidden: float = 0.05
    hidden_at_first: float = 0.2
    dropout: float = 0.15
    head_dropout: float = 0.5
    help_of_teacher: float = 1.0


TEACHER_RECIPE = Recipe(steps=6000, seed=1, pretraining=2000)
#: The compact network hardly learns by heart what it is told of segments, so it needs less to hinder it.
COMPACT_RECIPE = Recipe(steps=9446, seed=100, pretraining=2000, dropout=0.05, head_dropout=0.1)
#: Recipes of both networks by name: that of the shipped model, and a longer one, which came to the same.
RECIPES = {
    "shipped": (TEACHER_RECIPE, COMPACT_RECIPE),
    "longer": (
        replace(TEACHER_RECIPE, steps=9309, pretraining=4000, help_of_hidden=0.2, hidden=0.12),
        replace(COMPACT_RECIPE, steps=12_000, pretraining=3000),
    ),
}


class Training:
    """A network on its way, with all that decides the next step."""

    def __init__(
        self, genomes: Path, recipe: Recipe, device: torch.device, teacher: CompactNetwork | None = None
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.step = recipe, device, 0
        self._genomes = Genomes(genomes, "train", device, RELATIVES)
        self._augment = Augmentation(device)
        sizes = COMPACT if teacher else TEACHER
        self.network = CompactNetwork(
            sizes, len(CATEGORIES), dropout=recipe.dropout, head_dropout=recipe.head_dropout
        ).to(device)
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        matrices = [parameter for parameter in self.network.parameters() if parameter.ndim > 1]
        vectors = [parameter for parameter in self.network.parameters() if parameter.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))
        self._compiled = self._compile(self.network)
        self._teacher = self._compile(teacher.to(device).eval()) if teacher else None
        self._chance = torch.Generator(device).manual_seed(recipe.seed)
        self._lengths = np.random.default_rng(recipe.seed)
        self._sizes = self._find_sizes()

    def _compile(self, network: CompactNetwork) -> Callable[[Segments], tuple[torch.Tensor, torch.Tensor]]:
        return torch.compile(network, dynamic=False) if self.device.type == "cuda" else network

    def _draw(self) -> tuple[Runs, torch.Tensor]:
        """Return the segments of the windows of a step, and the categories of the windows."""
        rest = (1 - sum(share for _, share in self.recipe.lengths)) / 2
        draws = [*self.recipe.lengths, *((int(length) * 10, rest) for length in self._lengths.integers(15, 50, 2))]
        parts, categories = [], []
        for length, share in draws:
            codes, category = self._genomes.draw(int(self.recipe.windows * share), length, self._chance)
            parts.append((find_segments(codes), len(codes)))
            categories.append(category)
        return join(parts), torch.cat(categories)

    def _find_sizes(self) -> list[int]:
        """Return sizes of the buckets that nearly always hold all segments of a step."""
        draws = [self._draw()[0].length for _ in range(_DRAWS_TO_SIZE)]
        limits = torch.tensor([0, *EDGES], device=self.device)
        counts = torch.stack([torch.bincount(torch.bucketize(d, limits), minlength=len(limits)) for d in draws])
        counts = counts[:, 1:].float()
        return [math.ceil(most / 16) * 16 for most in (counts.mean(0) + 1.5 * counts.std(0)).tolist()]

    def advance(self) -> torch.Tensor:
        """Take a step; return the loss that is told, for which nothing waits."""
        recipe, pretrains = self.recipe, self.step < self.recipe.pretraining
        runs, categories = self._draw()
        rate = recipe.hidden_at_first if pretrains else recipe.hidden
        segments = self._augment(fill_buckets(runs, len(categories), self._sizes, self._chance), rate, self._chance)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            found, missed = self._compiled(segments)
            told = None if pretrains else self._ask_teacher(segments)
        loss, total = (missed, missed) if pretrains else self._losses(add_up(found, segments), missed, categories)
        if told is not None:
            real = segments.window < segments.windows
            follows = functional.binary_cross_entropy_with_logits(found[real, 0], told[real])
            total = total + recipe.help_of_teacher * follows
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate * min(1.0, (self.step + 1) / recipe.warm_up)
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        weight = 1 - min(recipe.average, 1 - 1 / (self.step + 1))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, weight)
        return loss.detach()

    @torch.no_grad()
    def _ask_teacher(self, segments: Segments) -> torch.Tensor | None:
        """Return the sigmoid of the teacher's logit of each segment, (s,); it sees every codon."""
        if self._teacher is None:
            return None
        logits, _ = self._teacher(replace(segments, masked=torch.zeros_like(segments.masked)))
        return logits[:, 0].sigmoid()

    def _losses(
        self, found: torch.Tensor, missed: torch.Tensor, categories: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of the classifier, and the sum of all."""
        is_virus = (categories < 2).float()  # the first two are viruses
        losses = [functional.binary_cross_entropy_with_logits(found[:, column], is_virus) for column in range(3)]
        of_categories = functional.cross_entropy(found[:, 3:], categories)
        helping = self.recipe.help_of_categories * of_categories
        helping = helping + self.recipe.help_of_encoders * (losses[1] + losses[2]) + self.recipe.help_of_hidden * missed
        return losses[0], losses[0] + helping

    def state(self) -> dict[str, Any]:
        """Return all that decides what follows."""
        return {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self._optimizer.state_dict(),
            "chance": self._chance.get_state(),
            "lengths": self._lengths.bit_generator.state,
            "dropout": torch.cuda.get_rng_state() if self.device.type == "cuda" else torch.get_rng_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`, whose recipe must be the same but for the number of steps."""
        if {**state["recipe"], "steps": 0} != {**asdict(self.recipe), "steps": 0}:
            raise SystemExit("the state is of another recipe; choose another --output")
        self.step, self.average = state["step"], {k: v.to(self.device) for k, v in state["average"].items()}
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._chance.set_state(state["chance"])
        self._lengths.bit_generator.state = state["lengths"]
        set_state = torch.cuda.set_rng_state if self.device.type == "cuda" else torch.set_rng_state
        set_state(state["dropout"])


def train(
    genomes: Path, output: Path, recipe: Recipe, device: torch.device, teacher: CompactNetwork | None = None
) -> CompactNetwork:
    """Train, or go on from `output`/state.pt; return the network with its averaged weights."""
    training, path = Training(genomes, recipe, device, teacher), output / "state.pt"
    output.mkdir(parents=True, exist_ok=True)
    if path.exists():
        training.load_state(torch.load(path, map_location="cpu", weights_only=True))
    started, first, losses = time.monotonic(), training.step, []
    while training.step < recipe.steps:
        losses.append(training.advance())
        if training.step % _SAVED_EVERY == 0 or training.step == recipe.steps:
            with atomic_path(path) as temporary:
                torch.save(training.state(), temporary)
        if training.step % _TOLD_EVERY == 0:
            rate = (training.step - first) / (time.monotonic() - started)
            left = (recipe.steps - training.step) / rate / 60
            loss = float(torch.stack(losses[-_TOLD_EVERY:]).mean())
            done = f"{output.name}, step {training.step:,} of {recipe.steps:,}"
            print(f"{done}, loss {loss:.4f}, {left:.0f} min left", flush=True)  # noqa: T201
    training.network.load_state_dict(training.average)
    return training.network.eval()


def write_model(network: CompactNetwork, directory: Path, recipe: Recipe) -> None:
    """Write the model directory of a trained network, in fp16."""
    modules, sizes = network.modules_of_the_package(), network.sizes
    origin = Origin(f"training/compact.py, {recipe.steps:,} steps, seed {recipe.seed}")
    with TemporaryDirectory() as scratch:
        tokenizer = Path(scratch) / "tokenizer.json"
        write_codon_tokenizer(tokenizer)
        nucleotide, protein, classifier = (tensors_of(module, torch.float16) for module in modules)
        write_model_directory(
            directory,
            Description(
                name=directory.name,
                window_length=WINDOW_LENGTH,
                layout="segments",
                purpose="work",
                source="made by training/compact.py of this project",
                licence="MIT",
                notes="A small model for machines without a GPU; see docs/models.md.",
            ),
            nucleotide=NewEncoder("compact-nucleotide", sizes.nucleotide, nucleotide, origin),
            tokenizer=tokenizer,
            tokenizer_origin=Origin("one token a codon"),
            protein=NewEncoder("compact-protein", sizes.protein, protein, origin),
            classifier=NewClassifier(sizes.classifier, classifier, origin),
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", type=Path, help="folder with genomes.tsv and <category>.fna.gz")
    parser.add_argument("--output", type=Path, required=True, help="folder for the states and the model directory")
    parser.add_argument("--name", default="compact-500", help="name of the model")
    parser.add_argument("--recipe", choices=RECIPES, default="shipped", help="how both are trained")
    parser.add_argument("--steps", type=int, help="of the teacher, instead of the recipe's")
    parser.add_argument("--compact-steps", type=int, help="of the compact network, instead of the recipe's")
    parser.add_argument("--windows", type=int, default=Recipe.windows, help="of a step")
    parser.add_argument("--seed", type=int, default=0, help="added to the seeds of both")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)

    def recipe_of(recipe: Recipe, steps: int | None) -> Recipe:
        return replace(recipe, steps=steps or recipe.steps, windows=options.windows, seed=recipe.seed + options.seed)

    of_teacher, of_compact = RECIPES[options.recipe]
    teacher_recipe = recipe_of(of_teacher, options.steps)
    teacher = train(options.genomes, options.output / "teacher", teacher_recipe, device)
    recipe = recipe_of(of_compact, options.compact_steps)
    network = train(options.genomes, options.output / "compact", recipe, device, teacher)
    write_model(network, options.output / options.name, recipe)


if __name__ == "__main__":
    main()
