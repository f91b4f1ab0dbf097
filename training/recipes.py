"""Recipes of the compact model: how the teacher and the compact network are trained, by name."""

from dataclasses import dataclass, replace


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
        help_of_genome_types: Weight of the loss of a window's genome type; see genome_types.py.
        help_of_coding: Weight of the loss of whether a segment is coding; see coding.py.
        codons_of_other_side: Whether synonymous codons have the frequencies of hosts in a virus and of viruses in a
            host, instead of being equally likely.
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
    help_of_genome_types: float = 0.0
    help_of_coding: float = 0.0
    codons_of_other_side: bool = False


TEACHER_RECIPE = Recipe(steps=6000, seed=1, pretraining=2000)
#: The compact network hardly learns by heart what it is told of segments, so it needs less to hinder it.
COMPACT_RECIPE = Recipe(steps=9446, seed=100, pretraining=2000, dropout=0.05, head_dropout=0.1)
#: Recipes of both networks by name: that of the shipped model; a longer one, which came to the same; and three whose
#: teacher learns one thing more.
RECIPES = {
    "shipped": (TEACHER_RECIPE, COMPACT_RECIPE),
    "longer": (
        replace(TEACHER_RECIPE, steps=9309, pretraining=4000, help_of_hidden=0.2, hidden=0.12),
        replace(COMPACT_RECIPE, steps=12_000, pretraining=3000),
    ),
    "genome-types": (replace(TEACHER_RECIPE, help_of_genome_types=0.3), COMPACT_RECIPE),
    "coding-frames": (replace(TEACHER_RECIPE, help_of_coding=0.3), COMPACT_RECIPE),
    "other-codons": (replace(TEACHER_RECIPE, codons_of_other_side=True), COMPACT_RECIPE),
}
