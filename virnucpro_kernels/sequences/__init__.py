"""Sequence files of any supported format, read in batches and checked, with every problem named.

Other rooms use `arrays` (types of arrays, many sequences in one array), `records` (all records of a file),
`sample_input` (a sample's file in two passes), `checks` (reports of all problems), `problems` (their classes) and
`streams` (copies of what can be read only once, names of files in messages), and `reads` (reads with their qualities).
`formats`, `sniff` and `duplicates` serve these.
"""
