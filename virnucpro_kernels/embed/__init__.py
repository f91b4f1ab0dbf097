"""Stages `embed` and `merge`: the frames of a chunk become vectors.

The commands call `embed` and `merge`. Other rooms may use `gpu` (GPUs of this machine), `gpu_monitor` and `stopping`,
and, to measure and examine the engine, `encoders`, `engine`, `device`, `loader`, `resume` and `canaries`.
`deduplicate`, `encoder_pass` and `output` are the engine's own.
"""
