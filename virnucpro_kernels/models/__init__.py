"""The three networks: ESM-2, DNABERT-S and the classifier."""
