"""Benchmarks beside every peer: ``python -m benchmarks --help``."""
