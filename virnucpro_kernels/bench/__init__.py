"""Measuring: how fast the encoders run here, and how far that is from what the hardware could do."""
