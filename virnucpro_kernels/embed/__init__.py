"""Stages `embed` and `merge`: the frames of a chunk become vectors."""
