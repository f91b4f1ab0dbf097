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
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from training import coding
from training.augment import Augmentation, count_codons
from training.codons import write_codon_tokenizer
from training.genome_types import GENOME_TYPES
from training.genome_types import UNKNOWN as UNKNOWN_TYPE
from training.network import COMPACT, TEACHER, CompactNetwork, Segments, add_up
from training.recipes import RECIPES, Recipe
from training.validation import Validation
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


class Training:
    """A network on its way, with all that decides the next step."""

    def __init__(
        self, genomes: Path, recipe: Recipe, device: torch.device, teacher: CompactNetwork | None = None
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.step = recipe, device, 0
        self._genomes = Genomes(genomes, "train", device, RELATIVES, finds_coding=recipe.help_of_coding > 0)
        #: Helping logits of categories, of genome types and of coding segments.
        self._helping = [
            len(CATEGORIES),
            len(GENOME_TYPES) * (recipe.help_of_genome_types > 0),
            int(recipe.help_of_coding > 0),
        ]
        sizes = COMPACT if teacher else TEACHER
        self.network = CompactNetwork(
            sizes, sum(self._helping), dropout=recipe.dropout, head_dropout=recipe.head_dropout
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
        self._augment = Augmentation(device, self._count_codons() if recipe.codons_of_other_side else None)

    def _compile(self, network: CompactNetwork) -> Callable[[Segments], tuple[torch.Tensor, torch.Tensor]]:
        return torch.compile(network, dynamic=False) if self.device.type == "cuda" else network

    def _draw(self) -> tuple[Runs, torch.Tensor]:
        """Return the segments of the windows of a step, and the records of the windows."""
        rest = (1 - sum(share for _, share in self.recipe.lengths)) / 2
        draws = [*self.recipe.lengths, *((int(length) * 10, rest) for length in self._lengths.integers(15, 50, 2))]
        parts, records = [], []
        for length, share in draws:
            windows = self._genomes.draw(int(self.recipe.windows * share), length, self._chance)
            runs = find_segments(windows.codes)
            if self.recipe.help_of_coding:
                runs = self._genomes.label_coding(runs, windows)
            parts.append((runs, len(windows.codes)))
            records.append(windows.record)
        return join(parts), torch.cat(records)

    def _is_virus(self, records: torch.Tensor) -> torch.Tensor:
        return self._genomes.category[records] < 2  # the first two are viruses

    def _find_sizes(self) -> list[int]:
        """Return sizes of the buckets that nearly always hold all segments of a step."""
        draws = [self._draw()[0].length for _ in range(_DRAWS_TO_SIZE)]
        limits = torch.tensor([0, *EDGES], device=self.device)
        counts = torch.stack([torch.bincount(torch.bucketize(d, limits), minlength=len(limits)) for d in draws])
        counts = counts[:, 1:].float()
        return [math.ceil(most / 16) * 16 for most in (counts.mean(0) + 1.5 * counts.std(0)).tolist()]

    def _count_codons(self) -> torch.Tensor:
        """Return how often segments of hosts and of viruses have each codon, (2, 64)."""
        found = []
        for _ in range(_DRAWS_TO_SIZE):
            runs, records = self._draw()
            segments = fill_buckets(runs, len(records), None, self._chance)
            found.append(count_codons(segments, self._is_virus(records)))
        return torch.stack(found).sum(0)

    def advance(self) -> torch.Tensor:
        """Take a step; return the loss that is told, for which nothing waits."""
        recipe, pretrains = self.recipe, self.step < self.recipe.pretraining
        runs, records = self._draw()
        rate = recipe.hidden_at_first if pretrains else recipe.hidden
        segments = fill_buckets(runs, len(records), self._sizes, self._chance)
        segments = self._augment(segments, self._is_virus(records), rate, self._chance)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            found, missed = self._compiled(segments)
            told = None if pretrains else self._ask_teacher(segments)
        loss, total = (missed, missed) if pretrains else self._losses(found, segments, missed, records)
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
        self, found: torch.Tensor, segments: Segments, missed: torch.Tensor, records: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of the classifier, and the sum of all."""
        recipe, is_virus = self.recipe, self._is_virus(records).float()
        of_windows = add_up(found, segments)
        losses = [functional.binary_cross_entropy_with_logits(of_windows[:, column], is_virus) for column in range(3)]
        categories, types, _ = torch.split(of_windows[:, 3:], self._helping, dim=1)
        of_categories = functional.cross_entropy(categories, self._genomes.category[records])
        helping = recipe.help_of_categories * of_categories
        helping = helping + recipe.help_of_encoders * (losses[1] + losses[2]) + recipe.help_of_hidden * missed
        if recipe.help_of_genome_types:
            truth = self._genomes.genome_type[records]
            of_types = functional.cross_entropy(types, truth, ignore_index=UNKNOWN_TYPE)
            helping = helping + recipe.help_of_genome_types * of_types
        if recipe.help_of_coding:
            is_known, truth = segments.coding != coding.UNKNOWN, (segments.coding == coding.CODING).float()
            of_each = functional.binary_cross_entropy_with_logits(found[:, -1], truth, reduction="none")
            of_coding = (of_each * is_known).sum() / is_known.sum().clamp(min=1)
            helping = helping + recipe.help_of_coding * of_coding
        return losses[0], losses[0] + helping

    def averaged(self) -> CompactNetwork:
        """Return a network with the averaged weights."""
        network = deepcopy(self.network)
        network.load_state_dict(self.average)
        return network.eval()

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
        recipe = asdict(Recipe(steps=0)) | state["recipe"]  # an older state lacks what was not there yet
        if {**recipe, "steps": 0} != {**asdict(self.recipe), "steps": 0}:
            raise SystemExit("the state is of another recipe; choose another --output")
        self.step, self.average = state["step"], {k: v.to(self.device) for k, v in state["average"].items()}
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._chance.set_state(state["chance"])
        self._lengths.bit_generator.state = state["lengths"]
        set_state = torch.cuda.set_rng_state if self.device.type == "cuda" else torch.set_rng_state
        set_state(state["dropout"])


def train(
    genomes: Path,
    output: Path,
    recipe: Recipe,
    device: torch.device,
    teacher: CompactNetwork | None = None,
    *,
    measure_every: int | None = None,
) -> CompactNetwork:
    """Train, or go on from `output`/state.pt; return the network with its averaged weights.

    With `measure_every`, AUROC on val is told after so many steps and at the end, which changes nothing else.
    """
    training, path = Training(genomes, recipe, device, teacher), output / "state.pt"
    output.mkdir(parents=True, exist_ok=True)
    if path.exists():
        training.load_state(torch.load(path, map_location="cpu", weights_only=True))
    validation = Validation(genomes, device) if measure_every else None
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
        tells = measure_every and training.step % measure_every == 0 and recipe.pretraining < training.step
        if validation and tells and training.step < recipe.steps:
            area = validation.measure(training.averaged())
            print(f"{output.name}, step {training.step:,}; {area}", flush=True)  # noqa: T201
    network = training.averaged()
    if validation:
        print(f"{output.name}, end at step {training.step:,}; {validation.measure(network)}", flush=True)  # noqa: T201
    return network


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
    parser.add_argument("--teacher-only", action="store_true", help="train no compact network, write no model")
    parser.add_argument("--measure-every", type=int, metavar="STEPS", help="tell AUROC on val after so many steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)

    def recipe_of(recipe: Recipe, steps: int | None) -> Recipe:
        return replace(recipe, steps=steps or recipe.steps, windows=options.windows, seed=recipe.seed + options.seed)

    of_teacher, of_compact = RECIPES[options.recipe]
    teacher_recipe = recipe_of(of_teacher, options.steps)
    measured = options.measure_every
    teacher = train(options.genomes, options.output / "teacher", teacher_recipe, device, measure_every=measured)
    if options.teacher_only:
        return
    recipe = recipe_of(of_compact, options.compact_steps)
    network = train(options.genomes, options.output / "compact", recipe, device, teacher, measure_every=measured)
    write_model(network, options.output / options.name, recipe)


if __name__ == "__main__":
    main()
