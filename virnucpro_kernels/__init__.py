"""VirNucPro: viral sequences among short contigs and reads, by packed ESM-2 and DNABERT-S embeddings."""

__version__ = "0.1.0"
