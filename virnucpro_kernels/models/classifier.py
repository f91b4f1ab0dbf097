"""The classifier: two linear layers with batch normalisation between, from the features of a frame to one logit."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

BATCH_NORM_EPS = 1e-5


@dataclass(frozen=True)
class ClassifierConfig:
    """Sizes of a classifier: the length of its features and of its hidden layer."""

    dimension: int
    hidden: int = 512


class Classifier(nn.Module):
    """Other (0) or virus (1), from the nucleotide and the protein embedding side by side."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Linear(config.dimension, config.hidden)
        self.norm = nn.BatchNorm1d(config.hidden, BATCH_NORM_EPS)
        self.output = nn.Linear(config.hidden, 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Both logits (n, 2) of features (n, dimension): other, virus."""
        logits: torch.Tensor = self.output(functional.relu(self.norm(self.hidden(features))))
        return logits

    def logit(self, features: torch.Tensor) -> torch.Tensor:
        """Return virus logit minus other logit, (n,); its sigmoid is the probability of virus."""
        other, virus = self.forward(features).unbind(dim=1)
        return virus - other
