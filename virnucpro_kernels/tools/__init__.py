"""Commands beside the workflow: check of input, verification, comparison and use of results, import, diagnosis.

Each command has a module: `check`, `verify`, `compare`, `select`, `export`, `import_original`, `doctor`,
`against_original`, `precisions` and `canary_values` (of `virnucpro weights`, on `frame_scores`).
`result_files`, `result_rows`, `vector_files` and `original_embeddings` read the files that they compare, select from or
import.
"""
