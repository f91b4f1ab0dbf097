"""The commands: one module for each, which has its options and calls one function.

Nothing in the package imports this room. `main` has the app; `main.run_app` and the options in `bench` also serve the
scripts in `benchmarks/`. `options` has what several commands share. Heavy imports stand inside the commands, so that
`virnucpro --help` starts quickly.
"""
