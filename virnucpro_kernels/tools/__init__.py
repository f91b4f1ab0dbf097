"""Commands beside the workflow: check of input, verification and comparison of results, import, diagnosis.

Each command has a module: `check`, `verify`, `compare`, `import_original`, `doctor`. `result_files`, `vector_files` and
`original_embeddings` read the files that they compare or import.
"""
