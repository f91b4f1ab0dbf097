"""The three networks and their inputs: ESM-2, DNABERT-S, the classifier; tokenizers, precisions.

Other rooms use `esm2`, `dnabert_s`, `classifier`, `layers`, `reference` (both encoders without packing), `upcast` (a
16-bit encoder in fp32), `tokenizers` and `precisions` (without torch).
"""
