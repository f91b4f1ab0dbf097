"""Numbers of tokens of sequences: exact for proteins, estimated for nucleotides."""

#: Tokens of a sequence beside those of its letters: the start and the end that both encoders add.
SPECIAL_TOKENS = 2

#: Bases that make one token of DNABERT-S; 4.7 to 5.0 were measured on frames of viruses, bacteria, archaea, plants and
#: vertebrates.
BASES_PER_NUCLEOTIDE_TOKEN = 4.9

#: Bases of input that make one token of ESM-2, roughly: stop-free frames of windows of 150 to 500 bp of real sequence.
BASES_PER_PROTEIN_TOKEN = 3
