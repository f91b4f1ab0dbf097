"""VirNucPro under its own name; the package `virnucpro_kernels` holds the code."""

from virnucpro_kernels import __version__ as __version__
