"""The command line: one module a subcommand, which turns its options into one call. Nobody imports it."""
