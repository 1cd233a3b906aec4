"""Distances between states: all pairs as numbers or as a histogram, one state's, and along sequences."""

from hiddenstate_core.distances.counts import DistanceHistogram, PairCounts
from hiddenstate_core.distances.histogram import distance_histogram, plan_histogram
from hiddenstate_core.distances.pairwise import distance_blocks, distances_to, pairwise_distances
from hiddenstate_core.distances.plan import HistogramPlan
from hiddenstate_core.distances.steps import StepDistances, sequence_distances, step_distances

__all__ = [
    "DistanceHistogram",
    "HistogramPlan",
    "PairCounts",
    "StepDistances",
    "distance_blocks",
    "distance_histogram",
    "distances_to",
    "pairwise_distances",
    "plan_histogram",
    "sequence_distances",
    "step_distances",
]
