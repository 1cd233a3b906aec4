"""Nearest neighbours of the states, exact or approximate with its recall."""

from hiddenstate_core.neighbors.graph import NeighborGraph
from hiddenstate_core.neighbors.search import nearest_neighbors
from hiddenstate_core.neighbors.states import States

__all__ = ["NeighborGraph", "States", "nearest_neighbors"]
