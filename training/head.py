"""Trains the classifier on features of frames."""

import copy
import math

import torch
from torch.nn import functional

from virnucpro_kernels.models.classifier import Classifier, ClassifierConfig

_BATCH = 256
_DROPOUT = 0.5


def train_classifier(
    features: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    held_out: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    *,
    seed: int,
    learning_rate: float = 2e-3,
    weight_decay: float = 1.0,
    epochs: int = 20,
) -> Classifier:
    """Return the classifier of the epoch with the lowest loss on held-out frames.

    Features are standardised for training; the result takes them as they are.

    Args:
        features, labels, weights: fp32 (f, d), int64 (f,), fp32 (f,): embeddings, class and share in the loss.
        held_out: the same three of other genomes.
        seed: decides the first weights, the order and the dropout.
        learning_rate, weight_decay, epochs: of AdamW, with a cosine schedule.
    """
    torch.manual_seed(seed)
    mean, deviation = features.mean(0), features.std(0)
    inputs = (features - mean) / deviation
    held_out_inputs = (held_out[0] - mean) / deviation
    classifier = Classifier(ClassifierConfig(features.shape[1]))
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=learning_rate, weight_decay=weight_decay)
    steps = len(inputs) // _BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    best, best_loss = copy.deepcopy(classifier.state_dict()), math.inf
    for epoch in range(epochs):
        classifier.train()
        order = torch.randperm(len(inputs))[: steps * _BATCH]
        for batch in order.view(-1, _BATCH):
            loss = _loss(_training_logits(classifier, inputs[batch]), labels[batch], weights[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        classifier.eval()
        with torch.inference_mode():
            held_out_loss = float(_loss(classifier(held_out_inputs), held_out[1], held_out[2]))
        print(f"  epoch {epoch + 1}: loss {float(loss.detach()):.4f}, held out {held_out_loss:.4f}", flush=True)  # noqa: T201
        if held_out_loss < best_loss:
            best, best_loss = copy.deepcopy(classifier.state_dict()), held_out_loss
    classifier.load_state_dict(best)
    return _take_raw_features(classifier, mean, deviation)


def _training_logits(classifier: Classifier, features: torch.Tensor) -> torch.Tensor:
    hidden = functional.relu(classifier.norm(classifier.hidden(features)))
    logits: torch.Tensor = classifier.output(functional.dropout(hidden, _DROPOUT))
    return logits


def _loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    losses = functional.cross_entropy(logits, labels, reduction="none")
    return (losses * weights).sum() / weights.sum()


@torch.no_grad()
def _take_raw_features(classifier: Classifier, mean: torch.Tensor, deviation: torch.Tensor) -> Classifier:
    """Move the standardisation of the features into the first layer."""
    classifier.hidden.weight.div_(deviation)
    classifier.hidden.bias.sub_(classifier.hidden.weight @ mean)
    return classifier.requires_grad_(False).eval()
