"""The classifier: two linear layers with batch normalisation between, from the features of a frame to one logit."""

import torch
from torch import nn
from torch.nn import functional


class Classifier(nn.Module):
    """Other (0) or virus (1), from the nucleotide and the protein embedding side by side."""

    def __init__(self, dimension: int, hidden: int = 512) -> None:
        super().__init__()
        self.hidden = nn.Linear(dimension, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.output = nn.Linear(hidden, 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Both logits (n, 2) of features (n, dimension): other, virus."""
        logits: torch.Tensor = self.output(functional.relu(self.norm(self.hidden(features))))
        return logits

    def logit(self, features: torch.Tensor) -> torch.Tensor:
        """Virus logit minus other logit, (n,); its sigmoid is the probability of virus."""
        other, virus = self.forward(features).unbind(dim=1)
        return virus - other
