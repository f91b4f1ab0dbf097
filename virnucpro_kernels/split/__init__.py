"""Stage `split`: the contigs of a pool become windows, frames and chunks.

Other rooms use `split` (the stage), `windows` (where they lie) and, for commands, `job` and `frame_files`.
`first_pass`, `second_pass`, `frames`, `chunk_plan`, `chunk_files`, `pool_tables` and `workers` serve these.
"""
