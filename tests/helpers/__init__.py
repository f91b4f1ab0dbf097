"""What tests of several rooms share: real inputs, runs of stages, checks of vectors."""
