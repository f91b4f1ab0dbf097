"""A run as a whole: configuration, samples, pools, requirements of jobs, and `virnucpro predict`."""
