"""Training of classifiers on frozen encoders: genomes in, a model directory out.

Other rooms use `genomes` (the table of genomes, checked), `pieces` (pieces of a split, drawn evenly), and for commands
`draw` (windows of genomes), `fit` (features to a model directory) and `refseq` (the original's training set). `head`
trains the classifier, and serves the scripts in `training/` too; `drawn`, `exons`, `features` and `card` serve these.
"""
