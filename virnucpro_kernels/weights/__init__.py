"""Models on disk: found by name, made of the published files, checked, and loaded."""
