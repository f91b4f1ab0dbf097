"""Measuring: how fast the encoders run here, and how far that is from what the hardware could do.

Commands use `bench`. Scripts in `benchmarks/` may use every module: `encoders` (random weights and batches),
`baselines`, `timing`, `run` (engine and ceiling in turn), `options` and `results`.
"""
