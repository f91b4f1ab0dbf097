"""Sequence files of any format, read in batches and checked."""
