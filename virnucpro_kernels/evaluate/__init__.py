"""How well results agree with the truth: measures with intervals, calibration, and a look for training data in it.

The command uses `evaluate`. The others serve it: `truth` (the table of what is right), `results` (tables of ours and of
other tools), `bootstrap` (how groups are drawn anew), `measures`, `calibration`, `subsets` (categories, families,
lengths), `relatives` and `kmers` (what the training genomes share with the truth), `output` (table, JSON, Markdown),
`figures` and `page` (the HTML file).
"""
