"""From the vectors of a chunk to its scores, and from the scores of a sample to its tables.

Commands use `classify`, `collect` and `thresholds`; `run` uses `thresholds`, which imports neither torch nor pandas.
`tools` reads results with the names that `tables`, `region_files` and `original_tables` define. The others serve
`collect` alone: `sample_reader` (tables of the pool and scores, batch by batch), `scoring` (frames to windows to
contigs), `regions` (windows to viral regions), `external_sort`, `parquet_table`, `viral_fasta`, `viral_reads` and
`run_record`.
"""
