"""The repulsion by polynomial interpolation on a grid and fast Fourier transforms: O(n + m log m) for m grid nodes."""

from __future__ import annotations

import dataclasses
import math
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.interpolation import (
    NODES,
    apply_kernels,
    gather_field,
    join_fields,
    spread_charges,
    sum_tiles,
)
from hiddenstate_core.kernels.order import block_bounds
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.projection.barnes_hut import BarnesHut

__all__ = ["Field", "Interpolation"]

#: Points that share a tile of the grid, at least; tiles, at most; points and rows that a thread takes at a time.
_TILE, _TILES, _GRAIN, _ROWS = 1 << 14, 64, 4096, 32
#: Rows that are transformed at a time.
_LINES = 16
#: Steps in which the spacing shrinks with a small map, so that transforms of the kernels can be kept.
_STEP = 2.0**0.25

#: Mean of ``sum_j w_ij`` below which rounding of the point's own 1, which a grid cannot leave out, would show.
_SPARSE = 0.01
#: Nodes of the periodic grid, altogether or for each point, beyond which a tree is cheaper.
_NODES, _NODES_A_POINT = 1 << 21, 100
#: Nodes kept between the farthest pair of points and the seam of the periodic grid, whose ripples fade as 0.27^nodes.
_GUARD = 16

Array = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Interpolation:
    """Charges on a regular grid, convolved with the kernels by FFT (Linderman et al. 2019): two dimensions.

    Parameters
    ----------
    spacing : float
        Distance of neighbouring nodes, in units of the map.
    intervals : int
        The spacing is smaller in a small map, so that its longer side has at least so many.
    most_nodes : int
        A map so wide that a side would have more nodes than this, or the grid far more than there are points, is left
        to `BarnesHut`, as is one so sparse that its points hardly act on each other. In `field` nodes lie further
        apart instead.

    Notes
    -----
    Each point is shared out among the 4 x 4 nodes around it by cubic B-splines, and a field is read back with the same
    weights. What both take from each frequency is given back by the transforms of the kernels, so that a field is the
    cubic spline through its exact values at the nodes (as in the smooth particle-mesh Ewald method, Essmann et al.
    1995): its error falls with the fourth power of the spacing, and is smaller than that of the paper's piecewise
    polynomials of as many nodes. Unlike in the paper, the force is a convolution of the points' density itself with
    ``x / (1 + r^2)^2``, so one forward and three inverse transforms are enough, where the charges 1, x and y take
    seven. The transforms of the kernels, real for the even one and imaginary for the two odd ones, are kept while the
    size of the grid stays the same.
    """

    spacing: float = 0.4
    intervals: int = 64
    most_nodes: int = 4096
    _rooms: dict[int, _Room] = dataclasses.field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (self.spacing > 0 and math.isfinite(self.spacing)):
            raise InputError(f"The spacing of the grid must be above 0, not {self.spacing:g}.")
        if self.intervals < 1 or self.most_nodes < 16:
            raise InputError("The grid needs at least 1 interval and room for 16 nodes.")

    def __call__(self, positions: Array, workers: Workers) -> tuple[Array, float]:
        """See `Repulsion`."""
        n = len(positions)
        bounds = self._bounds(positions, workers)
        extent = bounds[:, 2:].max(axis=0).astype(np.float64) - bounds[:, :2].min(axis=0)
        nodes = 4 * np.prod(extent / self.step(extent) + NODES)
        if self.step(extent) * 0.999 > self.spacing or nodes > max(_NODES, _NODES_A_POINT * n):
            return BarnesHut()(positions, workers)
        room = self._room()
        frame, values = self._field(positions, bounds, room, workers)
        force = room.take("force", (n, 2), np.float32)
        sums = np.empty(-(-n // _GRAIN))
        workers.run(gather_field, n, _GRAIN, _GRAIN, positions, frame, values, force, sums)
        total = float(sums.sum())
        return (force, total) if total > _SPARSE * n else BarnesHut()(positions, workers)

    def field(self, positions: Array, workers: Workers) -> Field:
        """Potential and force of all points, at every node of a grid around them.

        Parameters
        ----------
        positions : (n, 2) float32, C order
            The map.
        workers : Workers
            Threads to use; the result does not depend on their number.

        Raises
        ------
        InputError
            The map does not have two dimensions.
        """
        frame, values = self._field(positions, self._bounds(positions, workers), self._room(), workers)
        return Field(frame, values.copy())

    def _room(self) -> _Room:
        """Memory of the calling thread's own: others may use the same method at the same time."""
        return self._rooms.setdefault(threading.get_ident(), _Room())

    def _bounds(self, positions: Array, workers: Workers) -> Array:
        """Lowest and highest coordinates of each block of points, (blocks, 4)."""
        n, dims = positions.shape
        if dims != 2:
            raise InputError(f"Interpolation works in 2 dimensions, not {dims}; use method='barnes_hut' or 'exact'.")
        size = _tile_size(n)
        bounds = np.empty((-(-n // size), 4), np.float32)
        workers.run(block_bounds, len(bounds), 1, size, positions, bounds)
        return bounds

    def _field(
        self, positions: Array, bounds: Array, room: _Room, workers: Workers
    ) -> tuple[NDArray[np.float64], Array]:
        """As `field`, in memory that the next call uses again."""
        size, blocks = _tile_size(len(positions)), len(bounds)
        low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
        spacing = self.step(high.astype(np.float64) - low)
        frame = np.array([low[0], low[1], 1.0 / spacing])
        boxes = np.zeros((blocks, 5), np.int64)
        # in float32 and in this order, as the kernels have it
        scaled = ((bounds - np.tile(low, 2)) * np.float32(frame[2])).astype(np.int64)
        boxes[:, 0], boxes[:, 1] = scaled[:, 1], scaled[:, 0]
        boxes[:, 2], boxes[:, 3] = scaled[:, 3] - scaled[:, 1] + NODES, scaled[:, 2] - scaled[:, 0] + NODES
        rows, columns = (int((boxes[:, c] + boxes[:, 2 + c]).max()) for c in range(2))
        areas = boxes[:, 2] * boxes[:, 3]
        boxes[1:, 4] = np.cumsum(areas)[:-1]
        tiles = room.take("tiles", (int(areas.sum()),), np.float64)
        workers.run(spread_charges, blocks, 1, size, positions, frame, boxes, tiles)
        charges = room.take("charges", (rows, columns), np.float32)
        workers.run(sum_tiles, rows, _ROWS, boxes, tiles, charges)
        return frame, room.plan(rows, columns, spacing).convolve(charges, room, workers)

    def step(self, extent: NDArray[np.float64]) -> float:
        """Spacing of the nodes for a map of the given sides."""
        widest = max(float(extent.max()), 1e-30)
        if widest < self.intervals * self.spacing:  # in steps, so that plans can be kept
            return float(self.spacing * _STEP ** math.floor(math.log(widest / (self.intervals * self.spacing), _STEP)))
        return max(self.spacing, widest / (self.most_nodes - NODES - 1))


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
    """What a map's points do to any place in it, at the nodes of a grid.

    Parameters
    ----------
    frame : (3,) float64
        Place of the node (1, 1), and nodes in a unit of length.
    values : (rows, columns, 4) float32
        ``sum_j w_j``, ``sum_j w_j^2 (y - y_j)`` (two components), and an unused number.
    """

    frame: NDArray[np.float64]
    values: Array


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """Transforms of the three kernels on a periodic grid that is large enough for a convolution without wrapping."""

    shape: tuple[int, int]
    even: Array
    odd: Array

    @classmethod
    def make(cls, height: int, width: int, spacing: float) -> _Plan:
        import scipy.fft

        y = np.fft.fftfreq(height, 1 / height)[:, None] * spacing
        x = np.fft.fftfreq(width, 1 / width)[None, :] * spacing
        w = 1 / (1 + x * x + y * y)
        forces = [w * w * x, w * w * y]
        if width % 2 == 0:
            forces[0][:, width // 2] = 0.0  # the farthest column has no sign, and no pair of points meets it
        if height % 2 == 0:
            forces[1][height // 2] = 0.0
        sharpen = 1 / (_blur(height)[:, None] * _blur(width)[None, : width // 2 + 1]) ** 2
        even = scipy.fft.rfft2(w).real * sharpen
        odd = [scipy.fft.rfft2(f).imag * sharpen for f in forces]
        return cls((height, width), np.ascontiguousarray(even, np.float32), np.asarray(odd, np.float32))

    def convolve(self, charges: Array, room: _Room, workers: Workers) -> Array:
        """Fields of charges (rows, columns): (rows, columns, 4) float32, in `room`.

        Rows beyond the charges are zero, and results beyond them are not wanted: the transforms along rows skip them.
        """
        import scipy.fft

        rows, columns = charges.shape
        height, width = self.shape
        spectrum = room.take("spectrum", self.even.shape, np.complex64)
        products = room.take("products", (3, *spectrum.shape), np.complex64)
        fields = room.take("fields", (rows, columns, 4), np.float32)

        def forward(start: int, stop: int) -> None:
            spectrum[start:stop] = scipy.fft.rfft(charges[start:stop], width, axis=1)

        def backward(start: int, stop: int) -> None:
            parts = scipy.fft.irfft(products[:, start:stop], width, axis=2)
            join_fields(0, stop - start, parts, fields[start:stop])

        workers.run(forward, rows, _LINES)
        spectrum[rows:] = 0
        spectrum = scipy.fft.fft(spectrum, axis=0, workers=workers.threads, overwrite_x=True)
        workers.run(apply_kernels, height, _ROWS, spectrum, self.even, self.odd, products)
        products = scipy.fft.ifft(products, axis=1, workers=workers.threads, overwrite_x=True)
        workers.run(backward, rows, _LINES)
        return fields


class _Room:
    """What the next call uses again: the kernels' transforms, and memory.

    Pages that are new to a process cost as much as the work on them.
    """

    def __init__(self) -> None:
        self._held: dict[str, NDArray[Any]] = {}
        self._plans: dict[tuple[int, int, float], _Plan] = {}

    def plan(self, rows: int, columns: int, spacing: float) -> _Plan:
        """Transforms for a grid; those of the last size are kept."""
        key = _fast_size(2 * rows + _GUARD), _fast_size(2 * columns + _GUARD), spacing
        if key not in self._plans:
            self._plans = {key: _Plan.make(*key)}
        return self._plans[key]

    def take(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
        """An array that keeps nothing from the last time but its memory."""
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or len(held) < size:
            held = self._held[name] = np.empty(size + size // 4, dtype)
        return held[:size].reshape(shape)


def _tile_size(n: int) -> int:
    """Points that share a tile."""
    return max(_TILE, -(-n // _TILES))


def _blur(size: int) -> NDArray[np.float64]:
    """Transform of a cubic B-spline at the nodes: what spreading or reading takes from each frequency."""
    return np.asarray(2 / 3 + np.cos(2 * np.pi * np.arange(size) / size) / 3)


def _fast_size(least: int) -> int:
    """A size of few small factors, from a short list, so that a growing map needs few plans."""
    import scipy.fft

    step = 1 << max(int(least).bit_length() - 4, 3)
    return int(scipy.fft.next_fast_len(-(-least // step) * step, real=True))
