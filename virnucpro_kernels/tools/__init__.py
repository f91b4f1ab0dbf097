"""Commands beside the workflow: verify, compare and import of the original's runs. Only `cli` imports it."""
