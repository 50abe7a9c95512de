"""Sweeps over any field and scheme, the threads they run on, and ``NeuralODE``."""
