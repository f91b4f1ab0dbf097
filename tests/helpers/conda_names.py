"""Names of packages on conda-forge and Bioconda that differ from those on PyPI."""

PYPI_NAMES = {
    "matplotlib-base": "matplotlib",
    "python-isal": "isal",
    "python-zstandard": "zstandard",
    "pytorch": "torch",
    "snakemake-minimal": "snakemake",
}
