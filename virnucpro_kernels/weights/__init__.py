"""Models on disk: found by name, imported from published files, fetched, checked, loaded.

Other rooms use `registry` (models by name, without torch), `load` (networks in memory), `directory` (new models), and
for commands `import_model`, `fetch` and `published`. `checkpoints` reads the formats of published files; of it, other
rooms use `safe_pickle` only.
"""
