"""Makes and measures models on real genomes; run from the top of a clone, `python -m training.make_builtin --help`."""
