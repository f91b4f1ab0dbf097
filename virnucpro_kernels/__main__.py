"""`python -m virnucpro_kernels` is the `virnucpro` command."""

from virnucpro_kernels.cli.main import main

main()
