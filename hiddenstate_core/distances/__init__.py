"""Distances between states."""

from hiddenstate_core.distances.steps import StepDistances, step_distances

__all__ = ["StepDistances", "step_distances"]
