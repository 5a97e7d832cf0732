"""Checkpoint formats, one file each: stored bytes to upstream names and weights. Ignores what the model computes."""
