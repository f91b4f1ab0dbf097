"""Published checkpoints, read safely and turned into the tensors of our models."""
