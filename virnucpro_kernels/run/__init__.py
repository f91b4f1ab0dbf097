"""A run as a whole: its configuration, samples and pools, the requirements of its jobs, and `virnucpro predict`.

For the workflow: `run`, `pools`, `requirements`, `failures`, `installation`. For the commands: `predict`, `options`,
`folder`, `config`, `samples`. The other modules are this room's own. Snakemake reads this room each time it parses the
workflow, on every node of a cluster; so nothing here imports torch or pandas.
"""
