"""Farthing: usage x rates -> charges."""

__version__ = "0.1.0"
