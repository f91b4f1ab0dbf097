"""Operations on packed activations: Triton kernel, launcher, and a plain PyTorch reference of the same signature."""
