"""Nearest neighbours of the states, exact or approximate with its recall."""

from hiddenstate_core.neighbors.graph import NeighborGraph
from hiddenstate_core.neighbors.index import NeighborIndex
from hiddenstate_core.neighbors.search import indexed_neighbors, nearest_neighbors
from hiddenstate_core.neighbors.states import States

__all__ = ["NeighborGraph", "NeighborIndex", "States", "indexed_neighbors", "nearest_neighbors"]
