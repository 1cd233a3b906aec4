"""`Partition`: the states in cells around centroids, and the search through them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.nearest import PANEL, UNIT, Cells, Queries, search_cells
from hiddenstate_core.kernels.partition import hash_rows
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors.reduction import Reduction
from hiddenstate_core.neighbors.states import States, room
from hiddenstate_core.progress import Advance

__all__ = ["Partition"]

#: Cells are this times the square root of the number of points, or hold so many points on average; fewer points than
#: the third have one cell.
_CELLS, _FILL, _SINGLE = 4, 128, 2000
#: Points that train a centroid, rounds of training, and cells linked to each.
_TRAINING, _ROUNDS, _LINKS = 20, 5, 256
#: Queries between two moves of the progress bar, and units that a thread takes at a time.
_BATCH, _GRAIN = 1 << 15, 8
#: Bytes that are gathered at a time.
_GATHERED = 1 << 28


@dataclasses.dataclass(frozen=True, eq=False)
class Partition:
    """Points in Voronoi cells.

    Parameters
    ----------
    states : States
        The points of `cells`, with their shift and scale.
    reduction : Reduction
        Shortens them for screening.
    cells : Cells
        Of each set of equal points, the `copies` first.
    rest, heads : (r,) int64, (r, copies) int64
        Points left out because of that, and for each of them the ids of the `copies` first equal to it.
    copies : int
        No neighbourhood of so many points or fewer, itself not counted, needs more of them.
    """

    states: States
    reduction: Reduction
    cells: Cells
    rest: NDArray[np.int64]
    heads: NDArray[np.int64]
    copies: int

    @classmethod
    def build(cls, states: States, copies: int, *, seed: int, workers: Workers) -> Partition:
        """Cells by k-means (Lloyd 1982) on a sample of the reduced points; O(n^1.5 m)."""
        kept, rest, heads = _first_copies(states.data, copies, workers)
        reduction = Reduction.fit(states.data, seed)
        reduced = reduction(states.data, workers)
        if len(rest):
            reduced = reduced[kept]
        n = len(kept)
        norm = float(np.sqrt(np.einsum("ij,ij->i", reduced, reduced, dtype=np.float64).max()))
        count = 1 if n < _SINGLE else max(1, min(n // _FILL, int(_CELLS * np.sqrt(n))))
        centroids, labels = _clustered(reduced, count, norm, seed, workers)
        order = np.argsort(labels, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=len(centroids)))]).astype(np.int64)
        panels, first = _panels(reduced, order, starts)
        del reduced, labels
        links = _links(centroids, norm, workers)
        ids = kept[order]
        points = _gathered(states.data, ids, room((n, states.data.shape[1]), mapped=states.mapped))
        cells = Cells(points, ids, starts, panels, first, centroids, links, norm, reduction.drift)
        return cls(dataclasses.replace(states, data=points), reduction, cells, rest, heads, copies)

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.cells.ids) + len(self.rest)

    def widened(self, copies: int, *, seed: int, workers: Workers) -> Partition:
        """A partition of the same points with more copies of equal ones; itself where none are missing."""
        if len(self.rest) == 0 or copies <= self.copies:
            return self
        data = np.empty((self.n, self.states.data.shape[1]), np.float32)
        data[self.cells.ids] = self.cells.points
        data[self.rest] = data[self.heads[:, 0]]
        return Partition.build(dataclasses.replace(self.states, data=data), copies, seed=seed, workers=workers)

    def search(
        self,
        positions: NDArray[np.int64],
        rows: NDArray[np.int64],
        reach: float,
        distances: NDArray[np.float32],
        indices: NDArray[np.int64],
        *,
        workers: Workers,
        advance: Advance | None = None,
    ) -> None:
        """Neighbours of the points at `positions` (ascending) of `cells`, into the given rows of the result."""
        cells = self.cells
        for low in range(0, len(positions), _BATCH):
            part = positions[low : low + _BATCH]
            cell = np.searchsorted(cells.starts, part, side="right") - 1
            at = part - cells.starts[cell]
            reduced = np.ascontiguousarray(cells.panels[cells.first[cell] + at // PANEL, 1:, at % PANEL])
            own = cells.ids[part]
            points = cells.points[part[0] : part[-1] + 1] if part[-1] - part[0] == len(part) - 1 else cells.points[part]
            queries = Queries(_units(cell), points, reduced, own, rows[low : low + _BATCH])
            workers.run(
                search_cells, len(queries.units), _GRAIN, cells, queries, reach, self.states.scale, distances, indices
            )
            if advance is not None:
                advance(len(part))

    def whole(
        self, k: int, reach: float, *, workers: Workers, advance: Advance | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Neighbours of all points: indices and distances, (n, k)."""
        n = self.n
        indices, distances = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
        positions = np.arange(len(self.cells.ids))
        self.search(positions, self.cells.ids, reach, distances, indices, workers=workers, advance=advance)
        if len(self.rest):  # equal to more points than they have neighbours
            indices[self.rest] = self.heads[:, :k]
            distances[self.rest] = 0
        return indices, distances

    def some(
        self, rows: NDArray[np.int64], k: int, reach: float, *, workers: Workers
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Neighbours of the points `rows` alone: indices and distances, (len(rows), k)."""
        indices, distances = np.empty((len(rows), k), np.int64), np.empty((len(rows), k), np.float32)
        place = np.full(self.n, -1, np.int64)  # in the cells, or behind them in `rest`
        place[self.cells.ids] = np.arange(len(self.cells.ids))
        found = place[rows]
        inside = np.flatnonzero(found >= 0)
        inside = inside[np.argsort(found[inside], kind="stable")]
        self.search(found[inside], inside, reach, distances, indices, workers=workers)
        if len(self.rest):
            place[self.rest] = np.arange(len(self.rest))
            outside = np.flatnonzero(found < 0)
            indices[outside] = self.heads[place[rows[outside]], :k]
            distances[outside] = 0
        return indices, distances

    def query(
        self, points: NDArray[np.float32], k: int, reach: float, *, workers: Workers
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Neighbours of other points, (q, d): indices and distances, (q, k)."""
        count, cells = len(points), self.cells
        indices, distances = np.empty((count, k), np.int64), np.empty((count, k), np.float32)
        none = np.full(min(count, _BATCH), -1, np.int64)
        for low in range(0, count, _BATCH):
            part = points[low : low + _BATCH]
            reduced = self.reduction(part, workers)
            cell = nearest_of(reduced, _single(cells.centroids, cells.norm), 1, none[: len(part)], workers)[:, 0]
            order = np.argsort(cell, kind="stable")
            queries = Queries(_units(cell[order]), part[order], reduced[order], none[: len(part)], low + order)
            workers.run(
                search_cells, len(queries.units), 1, cells, queries, reach, self.states.scale,
                distances, indices,
            )  # fmt: skip
        return indices, distances


def _gathered(data: NDArray[np.float32], ids: NDArray[np.int64], out: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows `ids` of `data` in `out`; read in ascending order, because `data` may lie in a file."""
    rows = max(1, _GATHERED // (4 * data.shape[1]))
    for low in range(0, len(ids), rows):
        part = ids[low : low + rows]
        order = np.argsort(part)
        for at in range(0, len(part), 1 << 12):
            some = order[at : at + (1 << 12)]
            out[low + some] = data[part[some]]
    return out


def _units(cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """(cell, first, last + 1) of runs of at most `UNIT` equal values."""
    edges = np.flatnonzero(np.diff(cell)) + 1
    starts, stops = np.concatenate([[0], edges]), np.concatenate([edges, [len(cell)]])
    pieces = -(-(stops - starts) // UNIT)
    run = np.repeat(np.arange(len(starts)), pieces)
    low = starts[run] + UNIT * (np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces))
    return np.stack([cell[low], low, np.minimum(low + UNIT, stops[run])], axis=1).astype(np.int64)


def _single(points: NDArray[np.float32], norm: float) -> Cells:
    """A set of reduced points as one cell, so that the search compares all of them, without further reduction."""
    n, m = points.shape
    starts = np.array([0, n])
    panels, first = _panels(points, np.arange(n), starts)
    return Cells(
        points, np.arange(n), starts, panels, first, np.zeros((1, m), np.float32), np.zeros((1, 1), np.int64), norm, 0.0
    )


def nearest_of(
    reduced: NDArray[np.float32], among: Cells, k: int, own: NDArray[np.int64], workers: Workers
) -> NDArray[np.int64]:
    """The k nearest of `among`, of one cell, to each of some reduced points, (n, k)."""
    n = len(reduced)
    indices, distances = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    queries = Queries(_units(np.zeros(n, np.int64)), reduced, reduced, own, np.arange(n))
    workers.run(search_cells, len(queries.units), _GRAIN, among, queries, 1.0, 1.0, distances, indices)
    return indices


def _clustered(
    reduced: NDArray[np.float32], count: int, norm: float, seed: int, workers: Workers
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Centroids of `count` cells, and the cell of each point."""
    n, m = reduced.shape
    if count == 1:
        return np.zeros((1, m), np.float32), np.zeros(n, np.int64)
    rng = np.random.default_rng(seed)
    sample = reduced[np.sort(rng.choice(n, min(n, _TRAINING * count), replace=False))]
    none = np.full(n, -1, np.int64)
    centroids = sample[np.sort(rng.choice(len(sample), count, replace=False))]
    for _ in range(_ROUNDS):
        labels = nearest_of(sample, _single(centroids, norm), 1, none[: len(sample)], workers)[:, 0]
        sizes = np.bincount(labels, minlength=count)
        filled = sizes > 0
        for f in range(m):
            sums = np.bincount(labels, sample[:, f], minlength=count)
            centroids[filled, f] = sums[filled] / sizes[filled]
    return centroids, nearest_of(reduced, _single(centroids, norm), 1, none, workers)[:, 0]


def _links(centroids: NDArray[np.float32], norm: float, workers: Workers) -> NDArray[np.int64]:
    """For each cell itself and its nearest others."""
    count = len(centroids)
    own = np.arange(count)
    if count == 1:
        return own[:, None]
    others = nearest_of(centroids, _single(centroids, norm), min(_LINKS, count - 1), own, workers)
    return np.ascontiguousarray(np.concatenate([own[:, None], others], axis=1))


def _panels(
    reduced: NDArray[np.float32], order: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The points in the kernel's panels, cell by cell, and each cell's first panel."""
    n, m = reduced.shape
    sizes = np.diff(starts)
    first = np.concatenate([[0], np.cumsum(-(-sizes // PANEL))]).astype(np.int64)
    panels = np.zeros((int(first[-1]), 1 + m, PANEL), np.float32)
    panels[:, 0] = np.inf
    cell = np.repeat(np.arange(len(sizes)), sizes)
    at = np.arange(n) - starts[cell]
    place, lane = first[cell] + at // PANEL, at % PANEL
    for low in range(0, n, 1 << 18):
        part = slice(low, low + (1 << 18))
        block = reduced[order[part]]
        panels[place[part], 0, lane[part]] = np.einsum("ij,ij->i", block, block, dtype=np.float64)
        for f in range(m):
            panels[place[part], 1 + f, lane[part]] = block[:, f]
    return panels, first


def _first_copies(data: NDArray[np.float32], copies: int, workers: Workers) -> tuple[Any, Any, Any]:
    """Ids of the `copies` first of each set of equal rows; of the rest; and for each of the rest the former's ids."""
    n = len(data)
    none = np.empty(0, np.int64)
    if n <= copies:
        return np.arange(n), none, np.empty((0, copies), np.int64)
    hashes = np.empty(n, np.uint64)
    workers.run(hash_rows, n, 4096, data.view(np.uint32), hashes)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    edges = np.flatnonzero(hashes[1:] != hashes[:-1]) + 1
    starts, stops = np.concatenate([[0], edges]), np.concatenate([edges, [n]])
    large = stops - starts > copies
    rest, heads = [none], [np.empty((0, copies), np.int64)]
    for start, stop in zip(starts[large], stops[large], strict=True):
        members = order[start:stop]  # ascending: the sort is stable
        same = members[(data[members] == data[members[0]]).all(axis=1)]
        if len(same) > copies:
            rest.append(same[copies:])
            heads.append(np.broadcast_to(same[:copies], (len(same) - copies, copies)))
    left = np.concatenate(rest)
    kept = np.ones(n, bool)
    kept[left] = False
    return np.flatnonzero(kept), left, np.concatenate(heads)
