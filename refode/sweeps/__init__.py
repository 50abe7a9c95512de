"""Kernels of the sweeps: what a step is, over any dynamics; no host code."""
