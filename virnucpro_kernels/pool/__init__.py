"""Files that one stage leaves to the next: their names, their forms, their checks.

All modules may be used by every room above: `file_names` (names of files), `geometry`, `manifest`, `chunk_fasta`,
`schemas` (of the tables of a pool), `labels`, `unusable` (samples left out), `embedding_file` with `provenance`,
`scores`, `job_record`, `tokens` (what a token is worth), `tsv` (small tables), `columns` (the dictionary of the result
tables).
"""
