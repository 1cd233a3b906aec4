"""Quality of a map on a cluster: what looks at every pair of points is shared out by rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.cluster.client import Held, checked, run_tasks
from hiddenstate_core.cluster.states import SentStates, once
from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.quality import recall_rows, student_mass
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors.graph import NeighborGraph
from hiddenstate_core.neighbors.states import States
from hiddenstate_core.projection.affinities import Affinities
from hiddenstate_core.projection.estimates import Estimate, systematic_mean
from hiddenstate_core.projection.gradients import divergence
from hiddenstate_core.projection.map_neighbors import MapTree, read_positions
from hiddenstate_core.projection.quality import (
    _FEW,
    _GRAIN,
    _MASS_PAIRS,
    Quality,
    _classes,
    _correlations,
    _excess,
    _hits,
    _mean,
    _ranks,
    _whole,
)

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["quality"]

Float = NDArray[np.float32]
#: Points whose ranks, or whose sums, are one task: so many that laying out all points is small beside them.
_RANKED, _SUMMED = 64, 512


def quality(
    client: Client,
    X: Any,
    positions: Any,
    *,
    affinities: Affinities | None = None,
    graph: NeighborGraph | None = None,
    classes: Any = None,
    n_neighbors: int = 10,
    sample: int = 2000,
    seed: int = 0,
) -> Quality:
    """Measure how well a map keeps neighbourhoods, distances and classes, on the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        A synchronous one.
    X, positions, affinities, graph, classes, n_neighbors, sample, seed
        As for `hiddenstate_core.quality`. A `Trace` array is read by every worker from its store; anything else is
        sent to every worker once.

    Returns
    -------
    Quality
        Equal to that of `hiddenstate_core.quality`, on the same kind of processor.

    Raises
    ------
    InputError
        As `hiddenstate_core.quality` does, or no client.
    StoreError
        A worker does not see the store.
    ClusterError
        No workers, workers that die again and again, or a scheduler that is lost.

    Notes
    -----
    The workers take the ranks of the sampled points among all others, O(sample n d), and the sums over all pairs of
    the map that the divergence needs. The neighbours in the map, recall from a graph and the correlations are left to
    the client, which therefore reads the states too.
    """
    reached = checked(client)
    places = read_positions(positions)
    n = len(places)
    if n < 3:
        raise InputError(f"The quality of a map can be measured from 3 points on, not of {n}.")
    k = _whole(n_neighbors, "n_neighbors", 1)
    if not k < n / 2:
        raise InputError(f"n_neighbors must be below half the number of points, {n / 2:g}, not {k}; choose fewer.")
    size = min(n, _whole(sample, "sample", 2))
    seed = _whole(seed, "seed", 0)
    codes, names = _classes(classes, n)
    for name, other in (("affinities are", affinities), ("graph is", graph)):
        if other is not None and other.n != n:
            raise InputError(f"The {name} of {other.n} points, the map has {n}.")
    if graph is not None and graph.k < k:
        raise InputError(f"The graph has {graph.k} neighbours of each point, fewer than n_neighbors={k}.")
    states = X if isinstance(X, States) else States.read(X)
    if len(states) != n:
        raise InputError(f"X has {len(states)} points, the map has {n}.")
    rows = np.sort(np.random.default_rng([seed, 0]).choice(n, size, replace=False)).astype(np.int64)
    sent = SentStates(X)
    measured = _Map(sent if sent.in_store else None, None if sent.in_store else states, places)
    recall, trust, continuity = figures = np.full((3, n), np.nan, np.float32)
    with Workers() as workers:
        tree = MapTree.build(places, workers)
        near = tree.nearest(k, workers).indices
        kl = None if affinities is None else _divergence(reached, affinities, places, tree, seed, workers)
        parts = [rows[at : at + _RANKED] for at in range(0, size, _RANKED)]

        def arrived(number: int, found: Float) -> None:
            figures[:, parts[number]] = found

        run_tasks(reached, _rank_points, measured, [(part, near[part]) for part in parts], arrived)
        if graph is not None and size < n:
            limits = (graph.distances[:, k - 1].astype(np.float64) / states.scale * (1 + 1e-6)) ** 2
            workers.run(recall_rows, n, _GRAIN, states.data, near, limits, recall)
    hit, overall, hits = _hits(near, codes, names)
    return Quality(
        n, k, size, _mean(recall), _mean(trust), _mean(continuity), *_correlations(states.data, places, seed),
        kl, overall, hits, recall, trust, continuity, hit,
    )  # fmt: skip


class _Map(Held):
    def __init__(self, sent: SentStates | None, states: States | None, places: Float) -> None:
        self.sent, self.states, self.places = sent, states, places

    def points(self) -> Float:
        """The original points."""
        if self.states is not None:
            return self.states.data
        assert self.sent is not None
        array = self.sent.array()
        found: Float = once(self, "points", lambda: States.read(array).data)
        return found

    def near_one(self) -> Float:
        """The map, scaled so that squares neither overflow nor vanish."""
        width = float(np.abs(self.places).max())
        return self.places / np.float32(2.0 ** math.floor(math.log2(width))) if width > 0 else self.places


def _rank_points(job: _Map, task: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Float:
    """On a worker: recall, trustworthiness and continuity of some points, (3, m), by one thread.

    As the projection's quality has them, for these points alone.
    """
    (rows, near), n = task, len(job.places)
    k = near.shape[1]
    scale = 2 / (k * (2 * n - 3 * k - 1))
    with Workers(1) as workers:
        nearer, equal, found = _ranks(job.points(), rows, near, workers)
        recall = (nearer < k).mean(axis=1)
        trust = 1 - scale * _excess(nearer, equal, k).sum(axis=1)
        nearer, equal, _ = _ranks(once(job, "near_one", job.near_one), rows, found, workers)
    return np.array([recall, trust, 1 - scale * _excess(nearer, equal, k).sum(axis=1)], np.float32)


def _divergence(
    client: Client, affinities: Affinities, places: Float, tree: MapTree, seed: int, workers: Workers
) -> Estimate:
    """KL(P || Q), its Z summed by the workers."""
    n = len(places)
    size = min(n, max(1000, _MASS_PAIRS // n))
    offset = np.random.default_rng([seed, 1]).random() if size < n else 0.0
    picks = np.minimum(((np.arange(size) + offset) * (n / size)).astype(np.int64), n - 1)
    mass = np.empty(size)

    def arrived(number: int, found: NDArray[np.float64]) -> None:
        mass[number * _SUMMED : number * _SUMMED + len(found)] = found

    parts = [picks[at : at + _SUMMED] for at in range(0, size, _SUMMED)]
    run_tasks(client, _sum_points, _Axes(tree.axes), parts, arrived)
    mean = systematic_mean(mass, n)
    if not mean.value > 0:
        raise InputError("The points of the map are too far apart for the divergence to be measured in float32.")
    plane = places if places.shape[1] > 1 else np.hstack([places, np.zeros_like(places)])
    return Estimate(divergence(affinities, plane, mean.value * n, workers), mean.error / mean.value)


class _Axes(Held):
    def __init__(self, axes: Float) -> None:
        self.axes = axes


def _sum_points(job: _Axes, picks: NDArray[np.int64]) -> NDArray[np.float64]:
    """On a worker: ``sum_j w_ij`` of some points."""
    mass = np.empty(len(picks))
    with Workers(1) as workers:
        workers.run(student_mass, len(picks), _FEW, picks, job.axes, mass)
    return mass
