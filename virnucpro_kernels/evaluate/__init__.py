"""How well results agree with the truth: measures with intervals, calibration, and a look for training data in it.

The commands use `evaluate`, `calibrate` (values from results and their truth) and `calibrate_genomes` (pieces of
genomes drawn and predicted before). The others serve them: `truth` (the table of what is right), `results` (tables of
ours and of other tools), `bootstrap` (how groups are drawn anew), `measures`, `calibration`, `subsets` (categories,
families, lengths), `relatives` and `kmers` (what the training genomes share with the truth), `output` (table, JSON,
Markdown), `figures` and `page` (the HTML file).
"""
