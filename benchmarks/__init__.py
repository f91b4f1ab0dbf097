"""Measurements for the people who develop VirNucPro; README.md lists them. Users have `virnucpro bench`."""
