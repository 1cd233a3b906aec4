"""`quality`: how far a map can be trusted, as a whole and point by point."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.quality import PANEL, rank_rows, recall_rows, student_mass
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors.graph import NeighborGraph
from hiddenstate_core.neighbors.states import States
from hiddenstate_core.projection.affinities import Affinities
from hiddenstate_core.projection.estimates import Estimate, pearson, sample_mean, spearman, systematic_mean
from hiddenstate_core.projection.gradients import divergence
from hiddenstate_core.projection.map_neighbors import MapTree, in_plane, read_positions

__all__ = ["Quality", "quality", "sampled_kl_divergence"]

Float = NDArray[np.float32]

#: Rows that a thread takes at a time: cheap ones, and those that look at every point.
_GRAIN, _FEW = 512, 16
#: Points turned into panels at a time; pairs of points whose distances are correlated; pairs summed for Z.
_POINTS, _PAIRS, _MASS_PAIRS = 1 << 16, 100_000, 20_000_000_000


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Quality:
    """How far a map of n points can be trusted.

    Parameters
    ----------
    n, n_neighbors, sampled : int
        Points; neighbours k of each that were compared; points whose ranks among all others were taken.
    recall : Estimate
        Share of the k nearest in the map that are no further away in the original space than the k-th nearest there:
        without ties, the share of the original neighbours that the map keeps.
    trustworthiness, continuity : Estimate
        1 where no point enters, or leaves, a neighbourhood in the map (Venna & Kaski 2006,
        "Local multidimensional scaling"), about 0.5 for a random map.
    pearson, spearman : Estimate
        Correlation of the distances of pairs in both spaces.
    kl_divergence : Estimate or None
        KL(P || Q) in nats, where affinities were given.
    neighborhood_hit : Estimate or None
        Share of the k nearest in the map that are of the point's own class (Paulovich, Nonato, Minghim & Levkowitz
        2008), over the points that have a class; where classes were given.
    class_hits : mapping
        The same for each class.
    point_recall, point_trustworthiness, point_continuity, point_hit : (n,) float32
        The same for each point, NaN where it was not sampled or has no class. Means of these are the figures above.

    Notes
    -----
    Errors are standard errors of sampling, 0 where every point was looked at.
    """

    n: int
    n_neighbors: int
    sampled: int
    recall: Estimate
    trustworthiness: Estimate
    continuity: Estimate
    pearson: Estimate
    spearman: Estimate
    kl_divergence: Estimate | None
    neighborhood_hit: Estimate | None
    class_hits: Mapping[int | str, float]
    point_recall: Float
    point_trustworthiness: Float
    point_continuity: Float
    point_hit: Float

    def figures(self) -> dict[str, Estimate]:
        """The figures of the whole map that there are, by name."""
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Estimate)}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready summary, without the figures of single points."""
        counts = {"n": self.n, "n_neighbors": self.n_neighbors, "sampled": self.sampled}
        figures = {name: figure.to_dict() for name, figure in self.figures().items()}
        hits = {"class_hits": {str(name): hit for name, hit in self.class_hits.items()}} if self.class_hits else {}
        return {**counts, **figures, **hits}

    def __repr__(self) -> str:
        ranks = "every point" if self.sampled == self.n else f"{self.sampled:,} points drawn at random"
        lines = [f"Quality of a map of {self.n:,} points ({self.n_neighbors} neighbours, ranks of {ranks})"]
        lines += [f"  {name:<18}{figure}" for name, figure in self.figures().items()]
        lines += [f"    {name!s:<16}{hit:.4f}" for name, hit in self.class_hits.items()]
        return "\n".join(lines)


def quality(
    X: Any,
    positions: Any,
    *,
    affinities: Affinities | None = None,
    graph: NeighborGraph | None = None,
    classes: Any = None,
    n_neighbors: int = 10,
    sample: int = 2000,
    seed: int = 0,
    n_jobs: int | None = None,
) -> Quality:
    """Measure how well a map keeps neighbourhoods, distances and classes.

    Parameters
    ----------
    X : (n, d) array-like or States
        Original points; see `States.read`.
    positions : (n, 1 to 3) array-like or Embedding
        The map, by whatever tool it was made; compared in float32.
    affinities : Affinities or None
        P, to measure KL(P || Q) against.
    graph : NeighborGraph or None
        Neighbours in X, at least `n_neighbors` of each, where they are known: then every point gets its recall, not
        only the sampled ones. Where the graph is approximate, recall comes out a little too high.
    classes : (n,) int, bool or str array-like, or None
        Class of each point; numbers below 0 are points without one.
    n_neighbors : int
        Size k of the neighbourhoods compared, below n / 2.
    sample : int
        Points whose ranks among all others are taken, drawn at random; all, and exactly, where there are no more.
    seed : int
        Of everything drawn at random.
    n_jobs : int or None
        Threads; see `Workers`. The result does not depend on it.

    Returns
    -------
    Quality
        Figures of the whole map with their standard errors, and those of each point.

    Raises
    ------
    InputError
        Fewer than three points, positions, affinities, graph or classes of another number of points or kind, values
        that are not finite, or a number of neighbours or a sample out of range.

    Notes
    -----
    O(sample n d) for ranks, O(n log n) for the neighbours in the map, O(n k d) for recall from a graph, O(nnz) and at
    most 2e10 pairs for the divergence: beyond 141,421 points its Z is estimated from evenly spread points. Memory:
    4 n d bytes for X, 12 n k for the map's neighbours, and some 60 n; never n^2.

    Distances are those of float32 points, decided in float64. Where equal ones share a rank, every order is taken to
    be as likely, and the figures are means over these.
    """
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
    for name, other, kind in (("affinities are", affinities, Affinities), ("graph is", graph, NeighborGraph)):
        if other is not None and not isinstance(other, kind):
            raise InputError(f"{name.split()[0]} must be {kind.__name__} or None, not {type(other).__name__}.")
        if other is not None and other.n != n:
            raise InputError(f"The {name} of {other.n} points, the map has {n}.")
    if graph is not None and graph.k < k:
        raise InputError(f"The graph has {graph.k} neighbours of each point, fewer than n_neighbors={k}.")
    states = X if isinstance(X, States) else States.read(X)
    if len(states) != n:
        raise InputError(f"X has {len(states)} points, the map has {n}.")
    rows = np.sort(np.random.default_rng([seed, 0]).choice(n, size, replace=False)).astype(np.int64)
    with Workers(n_jobs) as workers:
        tree = MapTree.build(places, workers)
        near = tree.nearest(k, workers).indices
        divergence = None if affinities is None else _divergence(affinities, places, tree, seed, workers)
        del tree
        recall, trust, continuity = _from_ranks(states.data, places, rows, near, workers)
        if graph is not None and size < n:
            limits = (graph.distances[:, k - 1].astype(np.float64) / states.scale * (1 + 1e-6)) ** 2
            workers.run(recall_rows, n, _GRAIN, states.data, near, limits, recall)
    hit, overall, hits = _hits(near, codes, names)
    return Quality(
        n, k, size, _mean(recall), _mean(trust), _mean(continuity), *_correlations(states.data, places, seed),
        divergence, overall, hits, recall, trust, continuity, hit,
    )  # fmt: skip


def sampled_kl_divergence(
    affinities: Affinities, positions: Any, *, seed: int = 0, n_jobs: int | None = None
) -> Estimate:
    """KL(P || Q) of a map of any size, with its standard error, in nats.

    Parameters
    ----------
    affinities : Affinities
        P.
    positions : (n, 1 to 3) array-like or Embedding
        The map.
    seed : int
        Of the sample.
    n_jobs : int or None
        Threads; see `Workers`. The result does not depend on it.

    Returns
    -------
    Estimate
        Exact, with an error of 0, up to 141,421 points. Beyond, Z is that of every s-th point in the order of a k-d
        tree, against all others: O(nnz + 2e10) however large the map.

    Raises
    ------
    InputError
        Not as many places as the affinities have points, or places that are not finite.
    """
    places = read_positions(positions)
    if len(places) != affinities.n:
        raise InputError(f"The affinities are of {affinities.n} points, the map has {len(places)}.")
    seed = _whole(seed, "seed", 0)
    with Workers(n_jobs) as workers:
        return _divergence(affinities, places, MapTree.build(places, workers), seed, workers)


def _whole(value: Any, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


def _mean(points: Float) -> Estimate:
    """Mean over the points that were looked at."""
    return sample_mean(points[~np.isnan(points)].astype(np.float64), len(points))


def _classes(classes: Any, n: int) -> tuple[NDArray[np.int64] | None, list[int | str]]:
    """Number of each point's class, -1 for none, and the names of the classes."""
    if classes is None:
        return None, []
    try:
        given = np.asarray(classes)
    except ValueError as error:
        raise InputError(f"The classes must be one for each of {n} points: {error}.") from error
    if given.shape != (n,):
        raise InputError(f"The classes must be one for each of {n} points, not of shape {given.shape}.")
    if given.dtype.kind == "O" and all(isinstance(name, str) for name in given):
        given = given.astype(str)
    if given.dtype.kind not in "iubUT":
        raise InputError(f"The classes must be whole numbers or text, not {given.dtype}.")
    names, codes = np.unique(given, return_inverse=True)
    codes = codes.astype(np.int64)
    if given.dtype.kind == "i":
        without = int((names < 0).sum())
        names, codes = names[without:], np.maximum(codes - without, -1)
    if not len(names):
        raise InputError("None of the points has a class; give classes of at least 0, or none at all.")
    return codes, [name if isinstance(name, str) else int(name) for name in names.tolist()]


def _hits(
    near: NDArray[np.int64], codes: NDArray[np.int64] | None, names: list[int | str]
) -> tuple[Float, Estimate | None, dict[int | str, float]]:
    """Share of each point's neighbours in the map that are of its class, and its means."""
    points = np.full(len(near), np.nan, np.float32)
    if codes is None:
        return points, None, {}
    for start in range(0, len(near), _POINTS):
        part = slice(start, start + _POINTS)
        points[part] = (codes[near[part]] == codes[part, None]).mean(axis=1)
    known = codes >= 0
    points[~known] = np.nan
    sums = np.bincount(codes[known], weights=points[known], minlength=len(names))
    means = sums / np.bincount(codes[known], minlength=len(names))
    overall = Estimate(float(points[known].mean(dtype=np.float64)))
    return points, overall, dict(zip(names, means.tolist(), strict=True))


def _divergence(affinities: Affinities, places: Float, tree: MapTree, seed: int, workers: Workers) -> Estimate:
    """KL(P || Q): exact but for Z, which is estimated where there are too many pairs."""
    n = len(places)
    size = min(n, max(1000, _MASS_PAIRS // n))
    offset = np.random.default_rng([seed, 1]).random() if size < n else 0.0
    picks = np.minimum(((np.arange(size) + offset) * (n / size)).astype(np.int64), n - 1)
    mass = np.empty(size)
    workers.run(student_mass, size, _FEW, picks, tree.axes, mass)
    mean = systematic_mean(mass, n)
    if not mean.value > 0:
        raise InputError("The points of the map are too far apart for the divergence to be measured in float32.")
    return Estimate(divergence(affinities, in_plane(places), mean.value * n, workers), mean.error / mean.value)


def _from_ranks(
    data: Float, places: Float, rows: NDArray[np.int64], near: NDArray[np.int64], workers: Workers
) -> tuple[Float, Float, Float]:
    """Recall, trustworthiness and continuity of the points `rows`, NaN for the others, (n,) each."""
    n, k = near.shape
    near = near[rows]
    nearer, equal, found = _ranks(data, rows, near, workers)
    recall, trust, continuity = np.full((3, n), np.nan, np.float32)
    recall[rows] = (nearer < k).mean(axis=1)
    scale = 2 / (k * (2 * n - 3 * k - 1))
    trust[rows] = 1 - scale * _excess(nearer, equal, k).sum(axis=1)
    width = float(np.abs(places).max())
    near_one = places / np.float32(2.0 ** math.floor(math.log2(width))) if width > 0 else places
    nearer, equal, _ = _ranks(near_one, rows, found, workers)  # squares neither overflow nor vanish
    continuity[rows] = 1 - scale * _excess(nearer, equal, k).sum(axis=1)
    return recall, trust, continuity


def _excess(nearer: NDArray[np.int64], equal: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Mean of ``max(0, rank - k)`` over the orders of equal distances: ranks `nearer` + 1 to `nearer` + `equal`."""
    beyond = np.maximum(nearer + equal - k, 0).astype(np.float64)
    inside = np.maximum(nearer - k, 0).astype(np.float64)
    return (beyond * (beyond + 1) - inside * (inside + 1)) / (2 * equal)


def _ranks(
    data: Float, rows: NDArray[np.int64], others: NDArray[np.int64], workers: Workers
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For points `rows` (m,): how many points are nearer than, and as near as, each of `others` (m, k); the k nearest.

    The columns of the first two are those of `others` in ascending order of distance.
    """
    n, d = data.shape
    m, k = others.shape
    wide = -(-d // 4) * 4

    def padded(points: Float) -> Float:
        return points if wide == d else np.pad(points, ((0, 0), (0, wide - d)))

    queries = padded(data[rows])
    limits = np.empty((m, k))
    for start in range(0, m, 256):
        part = slice(start, start + 256)
        limits[part] = _limits(queries[part], padded(data[others[part].ravel()]).reshape(-1, k, wide))
    limits.sort(axis=1)
    nearer, equal = np.zeros((m, k), np.int64), np.zeros((m, k), np.int64)
    best, found = np.full((m, k), np.inf), np.zeros((m, k), np.int64)
    for first in range(0, n, _POINTS):
        block = padded(data[first : first + _POINTS])
        count = -(-len(block) // PANEL)
        panels = np.full((count * PANEL, wide), np.inf, np.float32)
        panels[: len(block)] = block
        panels = np.ascontiguousarray(panels.reshape(count, PANEL, wide).transpose(0, 2, 1))
        workers.run(rank_rows, m, _FEW, first, rows, queries, panels, limits, nearer, equal, best, found)
    return nearer, equal, found


def _limits(queries: Float, others: Float) -> NDArray[np.float64]:
    """Squared distances of (m, d) from (m, k, d), summed in the order in which the kernel sums them."""
    total = np.zeros(others.shape[:2])
    for f in range(queries.shape[1]):
        total += (queries[:, None, f].astype(np.float64) - others[:, :, f]) ** 2
    return total


def _correlations(data: Float, places: Float, seed: int) -> tuple[Estimate, Estimate]:
    """Pearson's and Spearman's correlation of distances: of all pairs, or of some where they are many."""
    n = len(data)
    exact = n * (n - 1) // 2 <= _PAIRS
    if exact:
        one, other = np.triu_indices(n, 1)
    else:
        rng = np.random.default_rng([seed, 2])
        one, other = rng.integers(n, size=_PAIRS), rng.integers(n - 1, size=_PAIRS)
        other += other >= one
    x, y = (_pair_distances(points, one, other) for points in (data, places))
    return pearson(x, y, exact=exact), spearman(x, y, exact=exact)


def _pair_distances(points: Float, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """Euclidean distances of pairs, in float64, a few pairs at a time."""
    step = max(1, (1 << 21) // points.shape[1])
    squared = np.empty(len(one))
    for start in range(0, len(one), step):
        part = slice(start, start + step)
        squared[part] = ((points[one[part]].astype(np.float64) - points[other[part]]) ** 2).sum(axis=1)
    return np.sqrt(squared)
