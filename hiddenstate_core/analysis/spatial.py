"""`SpatialOrder`: the points of a map in an order in which a window of it is a few runs of memory."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.errors import InputError, OutputError, StoreError
from hiddenstate_core.kernels import spatial, tree
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.traces.mapped import read_mapped, write_mapped
from hiddenstate_core.traces.trace import Trace

__all__ = ["SpatialOrder", "open_spatial_order", "spatial_order", "store_spatial_order"]

#: Name of the group beside a projection's coordinates.
_PART, _SCHEMA = "spatial", 1
#: Bits of a Morton code for each axis: a grid of 65,536 by 65,536 cells.
_BITS = 16
#: Points that a cell of the quadtree holds on average, about; levels of the quadtree at most.
_CELL, _LEVELS = 16, 11
#: A cell of so few points that a window's edge cuts is taken whole.
_FEW = 1024
#: Points in a block of work; slabs in which a polygon's edges are looked up.
_GRAIN, _SLABS = 1 << 16, 1024
#: Corners of a polygon at most.
_CORNERS = 100_000


@dataclasses.dataclass(frozen=True, eq=False)
class SpatialOrder:
    """The points of a map along a Morton curve, with the quadtree that lies over them.

    Points that are near in the map are near in memory, so a zoomed view touches only what it shows.

    Parameters
    ----------
    steps : (N,) int64
        Which step's state each place of the order holds.
    points : (2, N) float32
        Coordinates in that order, one axis a row.
    offsets : (4^levels + 1,) int64
        Where the points of each smallest cell begin, in the order of the curve.
    low : (float, float)
        Lower corner of the root cell.
    width : float
        Side of the root cell, a square.

    Notes
    -----
    Morton (1966): the bits of a point's column and row, interleaved, are its place on the curve, so each cell of the
    quadtree is one run. Within one of the 65,536 x 65,536 cells by which points are sorted they lie by step.
    """

    steps: NDArray[np.int64]
    points: NDArray[np.float32]
    offsets: NDArray[np.int64]
    low: tuple[float, float]
    width: float

    def __post_init__(self) -> None:
        for array in (self.steps, self.points, self.offsets):
            array.flags.writeable = False  # as of a memory map, so that kernels are compiled once for both

    @classmethod
    def build(cls, coordinates: ArrayLike, *, n_jobs: int | None = None) -> SpatialOrder:
        """Sort the points of a map; O(N), some 30 bytes a point while it runs, the same for any number of threads.

        Parameters
        ----------
        coordinates : (N, D) float32
            Where each step's state lies; the first two axes count.
        n_jobs : int, optional
            Threads; see `Workers`.

        Raises
        ------
        InputError
            Another shape, or coordinates that are not finite.
        """
        positions = np.asarray(coordinates, np.float32)
        if positions.ndim != 2 or positions.shape[1] < 2:
            raise InputError(f"A map's coordinates have shape (N, 2), not {positions.shape}.")
        positions = np.ascontiguousarray(positions[:, :2])
        n = len(positions)
        low, high = _extent(positions)
        if not np.isfinite(low).all() or not np.isfinite(high).all():
            raise InputError("A map's coordinates must be finite numbers; some are NaN or infinite.")
        width = float((high - low).max()) * (1 + 1e-6) or 1.0
        levels = min(max(math.ceil(math.log(max(n, 1) / _CELL, 4)), 1), _LEVELS)
        steps, points = np.empty(n, np.int64), np.empty((2, n), np.float32)
        offsets = np.empty(4**levels + 1, np.int64)
        with Workers(n_jobs) as workers:
            codes = np.empty(n, np.uint64)
            workers.run(tree.morton_codes, n, _GRAIN, positions, low, (1 << _BITS) / width, _BITS, codes)
            codes, order = _sorted(codes, workers)
            workers.run(spatial.take_places, n, _GRAIN, order, positions, steps, points)
            spatial.cell_offsets(codes, 2 * (_BITS - levels), offsets)
        return cls(steps, points, offsets, (float(low[0]), float(low[1])), width)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def coordinates(self) -> NDArray[np.float32]:
        """Coordinates in this order, (N, 2) float32; a view of `points`."""
        return self.points.T

    @property
    def levels(self) -> int:
        """Depth of the quadtree: its smallest cells are a grid of 2^levels by 2^levels."""
        return (len(self.offsets) - 1).bit_length() // 2

    @functools.cached_property
    def extent(self) -> tuple[float, float, float, float]:
        """Smallest window (x0, x1, y0, y1) that holds all points; (-1, 1, -1, 1) where there are none."""
        if not len(self):
            return -1.0, 1.0, -1.0, 1.0
        low, high = self.points.min(axis=1), self.points.max(axis=1)
        return float(low[0]), float(high[0]), float(low[1]), float(high[1])

    def window(self, x0: float, x1: float, y0: float, y1: float) -> NDArray[np.int64]:
        """Runs of places that together hold every point of a closed window, and few others; O(runs + levels).

        Parameters
        ----------
        x0, x1, y0, y1 : float
            Its edges; may lie outside the map.

        Returns
        -------
        (R, 2) int64
            Start and stop of each run, ascending and apart.
        """
        runs = self._runs(x0, x1, y0, y1)[:, :2]
        if len(runs) < 2:
            return runs
        apart = runs[1:, 0] > runs[:-1, 1] + _FEW  # what lies between is read faster than left out
        first = np.concatenate([[True], apart])
        last = np.concatenate([apart, [True]])
        return np.stack([runs[first, 0], runs[last, 1]], axis=1)

    def count(self, x0: float, x1: float, y0: float, y1: float) -> int:
        """Number of points in a closed window, exactly; looks only at the points of the cells that its edge cuts."""
        return int(spatial.count_in_window(self._runs(x0, x1, y0, y1), self.points, x0, x1, y0, y1))

    def places(self, x0: float, x1: float, y0: float, y1: float) -> NDArray[np.int64]:
        """Places of the points in a closed window, ascending; the steps are ``order.steps[places]``."""
        found = []
        for start, stop in self.window(x0, x1, y0, y1).tolist():
            x, y = self.points[:, start:stop]
            found.append(start + np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)))
        return np.concatenate(found).astype(np.int64) if found else np.zeros(0, np.int64)

    def nearest(self, x: float, y: float, reach: float) -> int | None:
        """Step whose point is nearest to (x, y), None where none lies within `reach`; of equals the lowest step."""
        if not (math.isfinite(x) and math.isfinite(y) and reach >= 0 and math.isfinite(reach)):
            return None
        runs = self._runs(x - reach, x + reach, y - reach, y + reach)
        place = int(spatial.nearest_point(runs, self.points, self.steps, x, y, float(reach)))
        return None if place < 0 else int(self.steps[place])

    def inside(self, xs: ArrayLike, ys: ArrayLike, *, n_jobs: int | None = None) -> NDArray[np.int64]:
        """Steps whose points lie inside a polygon, ascending, by the even-odd rule.

        Parameters
        ----------
        xs, ys : (M,) array
            Corners; the last is joined to the first. Fewer than three hold nothing.
        n_jobs : int, optional
            Threads; see `Workers`.

        Raises
        ------
        InputError
            Not two lists of finite numbers of one length, or more than 100,000 corners.

        Notes
        -----
        A point is inside if a ray from it to the left crosses an odd number of edges (Shimrat 1962). Edges are looked
        up by slab, so a point of the polygon's bounding box asks only those beside it.
        """
        corners = _corners(xs, ys)
        if len(corners) < 3 or not len(self):
            return np.zeros(0, np.int64)
        (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
        starts, edges = _slabs(corners, bottom, top)
        factor = _SLABS / (top - bottom) if top > bottom else 0.0
        inside = np.zeros(len(self), np.bool_)
        slabs = (corners, bottom, factor, starts, edges)
        with Workers(n_jobs) as workers:
            for start, stop in self.window(left, right, bottom, top).tolist():
                workers.run(
                    spatial.inside_polygon, stop - start, _GRAIN, start, self.points, self.steps, *slabs, inside
                )
        return np.flatnonzero(inside)

    def sample(self, count: int) -> NDArray[np.int64]:
        """At most `count` steps spread evenly along the curve, hence over the map as densely as it is, ascending."""
        if count < 0:
            raise InputError(f"A sample has at least 0 points, not {count}.")
        places = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(np.int64))
        return np.sort(self.steps[places])

    def _runs(self, x0: float, x1: float, y0: float, y1: float) -> NDArray[np.int64]:
        """Runs (R, 3) int64 from `window_runs`."""
        if not len(self) or not (x0 <= x1 and y0 <= y1):  # NaN is neither
            return np.zeros((0, 3), np.int64)
        factor = (1 << self.levels) / self.width
        left, right = (_cell((x - self.low[0]) * factor) for x in (x0, x1))
        low, high = (_cell((y - self.low[1]) * factor) for y in (y0, y1))
        room = 1024
        while True:
            runs = np.empty((room, 3), np.int64)
            found = int(spatial.window_runs(self.offsets, self.levels, left, right, low, high, _FEW, runs))
            if found >= 0:
                return runs[:found]
            room *= 4


def spatial_order(trace: Trace, projection: str, *, n_jobs: int | None = None) -> SpatialOrder:
    """Spatial order of a projection: the stored one by memory map, else one that is made, and stored where it can be.

    Parameters
    ----------
    trace : Trace
        A recording.
    projection : str
        Name of one of its projections.
    n_jobs : int, optional
        Threads; see `Workers`.

    Raises
    ------
    StoreNotFoundError
        No such projection.
    """
    try:
        stored = open_spatial_order(trace, projection)
    except StoreError:  # damaged: what can be made again is made again
        stored = None
    if stored is not None:
        return stored
    try:
        return store_spatial_order(trace, projection, n_jobs=n_jobs)
    except (OutputError, OSError):  # a store that is read only, or a full disk
        return SpatialOrder.build(trace.projection(projection).coordinates, n_jobs=n_jobs)


def open_spatial_order(trace: Trace, projection: str) -> SpatialOrder | None:
    """The stored spatial order of a projection, mapped into memory; None where none is stored.

    Raises
    ------
    StoreError
        It is damaged, or is not of this trace.
    """
    found = read_mapped(trace.path, projection, _PART)
    if found is None:
        return None
    arrays, attributes = found
    if attributes.get("schema") != _SCHEMA:
        return None
    try:
        low, width = attributes["low"], float(attributes["width"])
        corner = float(low[0]), float(low[1])
        order = SpatialOrder(arrays["steps"], arrays["points"], arrays["offsets"], corner, width)
        fault = _fault(order, trace.steps)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        fault = f"{error!r}"
    if fault:
        raise StoreError(
            f"{trace.path}: projections/{projection}/{_PART} is damaged ({fault}); remove that folder, "
            "it is made again."
        )
    return order


def store_spatial_order(trace: Trace, projection: str, *, n_jobs: int | None = None) -> SpatialOrder:
    """Make the spatial order of a projection, store it beside its coordinates, and give the stored one.

    Parameters
    ----------
    trace : Trace
        A recording.
    projection : str
        Name of one of its projections.
    n_jobs : int, optional
        Threads; see `Workers`.

    Raises
    ------
    StoreNotFoundError
        No such projection.
    OutputError
        The store cannot be written.
    """
    folder = trace.path / "projections" / projection
    place = _identity(folder)
    coordinates = trace.projection(projection).coordinates
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder} cannot be written, so the spatial order of the map is not stored.")
    order = SpatialOrder.build(coordinates, n_jobs=n_jobs)
    if _identity(folder) != place:  # another process has replaced the projection meanwhile
        return order
    arrays: dict[str, tuple[NDArray[Any], tuple[str, ...]]] = {
        "steps": (order.steps, ("place",)),
        "points": (order.points, ("axis", "place")),
        "offsets": (order.offsets, ("cell",)),
    }
    attributes = {"schema": _SCHEMA, "curve": "morton", "low": list(order.low), "width": order.width}
    write_mapped(trace.path, projection, _PART, arrays, attributes)
    return open_spatial_order(trace, projection) or order


def _identity(folder: Any) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _fault(order: SpatialOrder, steps: int) -> str:
    """What of a stored order does not fit; empty if nothing. Whatever passes cannot lead a kernel out of bounds."""
    cells = len(order.offsets) - 1
    if order.steps.shape != (steps,) or order.points.shape != (2, steps) or order.offsets.ndim != 1:
        return f"it is of {order.steps.shape} points, not of {steps}"
    if [a.dtype.name for a in (order.steps, order.points, order.offsets)] != ["int64", "float32", "int64"]:
        return "its arrays have other types"
    if cells not in [4**level for level in range(1, _LEVELS + 1)]:
        return f"it has {cells} cells"
    if order.offsets[0] != 0 or order.offsets[-1] != steps or (np.diff(order.offsets) < 0).any():
        return "its cells do not hold its points"
    if not (math.isfinite(order.width) and order.width > 0 and all(map(math.isfinite, order.low))):
        return "its root cell has no size"
    if steps and (int(order.steps.min()) < 0 or int(order.steps.max()) >= steps):
        return "it names steps that the trace has not"
    return ""


def _extent(positions: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not len(positions):
        return np.full(2, -1.0), np.full(2, 1.0)
    low = np.array([positions[:, c].min() for c in range(2)], np.float64)
    high = np.array([positions[:, c].max() for c in range(2)], np.float64)
    return low, high


def _sorted(codes: NDArray[np.uint64], workers: Workers) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Codes ascending, and the points' ids likewise; a stable radix sort, O(n)."""
    n = len(codes)
    block = max(_GRAIN, -(-n // 64))
    order = np.arange(n, dtype=np.int32)
    new_codes, new_order = np.empty_like(codes), np.empty_like(order)
    for shift in range(0, 2 * _BITS, tree.DIGIT):
        counts = np.zeros((1 << tree.DIGIT, -(-n // block)), np.int64)
        workers.run(tree.count_digits, n, block, block, shift, codes, counts)
        places = (np.cumsum(counts) - counts.ravel()).reshape(counts.shape)
        workers.run(tree.place_digits, n, block, block, shift, codes, order, places, new_codes, new_order)
        codes, new_codes, order, new_order = new_codes, codes, new_order, order
    return codes, order


def _cell(place: float) -> int:
    """Column or row of the grid in which a coordinate lies; far outside, some number outside."""
    return math.floor(min(max(place, -1e9), 1e9))


def _corners(xs: ArrayLike, ys: ArrayLike) -> NDArray[np.float64]:
    try:
        x, y = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("A polygon's corners are two lists of numbers, one of x and one of y.") from error
    if x.ndim != 1 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("A polygon's corners are two lists of finite numbers of one length, one of x and one of y.")
    if len(x) > _CORNERS:
        raise InputError(f"A polygon has at most {_CORNERS:,} corners, not {len(x):,}.")
    return np.stack([x, y], axis=1)


def _slabs(corners: NDArray[np.float64], bottom: float, top: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges by the slab of y into which they reach: starts (slabs + 1,) and edges."""
    y = corners[:, 1]
    after = np.roll(y, -1)
    factor = _SLABS / (top - bottom) if top > bottom else 0.0
    first = np.clip(((np.minimum(y, after) - bottom) * factor).astype(np.int64), 0, _SLABS - 1)
    last = np.clip(((np.maximum(y, after) - bottom) * factor).astype(np.int64), 0, _SLABS - 1)
    spans = last - first + 1
    edge = np.repeat(np.arange(len(y), dtype=np.int64), spans)
    slab = np.repeat(first, spans) + (np.arange(len(edge)) - np.repeat(np.cumsum(spans) - spans, spans))
    order = np.argsort(slab, kind="stable")
    return np.searchsorted(slab[order], np.arange(_SLABS + 1)).astype(np.int64), edge[order]
