"""One module a subcommand: options in, one function of the package called, nothing else. Heavy imports stay inside."""
