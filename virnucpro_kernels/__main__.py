"""`python -m virnucpro_kernels` is the `virnucpro` command."""

from virnucpro_kernels.cli import main

main()
