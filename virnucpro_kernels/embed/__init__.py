"""Stages `embed` and `merge`: the frames of a chunk become vectors.

The commands call `embed` and `merge`. Other rooms may use `gpu` (GPUs of this machine), `gpu_monitor` and `stopping`,
and, to measure the engine, `encoders`, `engine`, `device` and `loader`. `deduplicate`, `output` and `resume` are the
engine's own.
"""
