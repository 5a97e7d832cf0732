"""Kernels in native code for the core's busiest loops. All are optional: torch computes the same."""
