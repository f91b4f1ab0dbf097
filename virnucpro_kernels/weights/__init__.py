"""Models on disk: found by name, imported from published files, fetched, checked, loaded.

Other rooms use `registry` (models by name, without torch), `site` (the folder of the models), `load` (networks in
memory), `directory` (new models), and for commands `listing`, `import_model`, `fetch` and `published`. `checkpoints`
reads the formats of published files; of it, other rooms use `safe_pickle` only.
"""
