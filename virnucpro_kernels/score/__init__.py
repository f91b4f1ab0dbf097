"""Stages `classify` and `collect`: vectors become scores, and scores the tables of a sample."""
