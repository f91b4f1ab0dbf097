"""All tests, and `helpers`, which they share."""
