"""Operations on packed activations. One module an operation: Triton kernel, launcher, and a plain PyTorch reference.

Other rooms use `packing` (batches), `attention`, `layernorm`, `linear`, `linear_gelu`, `gelu`, `token_mean` and
`quantize` (operations), `dispatch` (implementations: which one runs, and why not another) and `prepare` (start-up
checks). `attention_tiles`, `attention_resident`, `attention_streamed`, `rows` and `jit` are for this room alone;
`configs` is for tuning too.
"""
