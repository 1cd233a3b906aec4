"""The gradients of t-SNE in JAX: attraction, and repulsion by every pair or by interpolation on a grid."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hiddenstate_core.projection.affinities import Affinities

__all__ = [
    "Edges", "Grid", "attraction", "divergence_terms", "exact_repulsion", "interpolated_repulsion",
    "intervals", "kernel_transforms", "pairwise_sum", "place_affinities",
]  # fmt: skip

#: Neighbours in one piece of a row of P, and pieces worked on at a time on a CPU and elsewhere.
_WIDTH, _PIECES, _LARGE_PIECES = 32, 1 << 14, 1 << 18
#: Nodes between the farthest pair of points and the seam of the periodic grid.
_GUARD = 16
#: Sides of the periodic grid: few, since each is compiled for, and of small factors, since each is transformed.
_SIDES = (384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
#: How much wider than the map its grid is made, so that the map can grow for a while.
_SLACK = 1.2


class Grid(NamedTuple):
    """The grid of the interpolation.

    Parameters
    ----------
    side : int
        Nodes along each side of the periodic square.
    spacing : float
        Distance of neighbouring nodes.
    """

    side: int
    spacing: float

    @classmethod
    def around(cls, extent: float, spacing: float) -> Grid:
        """A grid for a map with a longer side of `extent`: nodes at most `spacing` apart, or as many as can be."""
        room = max(extent * _SLACK, 1e-30)
        side = next((s for s in _SIDES if intervals(s) * spacing >= room), _SIDES[-1])
        return cls(side, room / intervals(side))


def intervals(side: int) -> int:
    """Intervals within which points may lie on a periodic grid that must not let them meet around its seam."""
    return (side - _GUARD) // 2 - 4


class Edges(NamedTuple):
    """P on a device: rows cut into pieces of `_WIDTH` neighbours, the last filled up with values of 0.

    Parameters
    ----------
    rows : (chunks, pieces) int32
        Row of each piece, ascending; n for pieces that fill up the last chunk.
    columns : (chunks, pieces, width) int32
        Neighbours.
    values : (chunks, pieces, width) float32
        ``p_ij``.
    """

    rows: jax.Array
    columns: jax.Array
    values: jax.Array


def place_affinities(affinities: Affinities, device: Any) -> Edges:
    """P in pieces of rows on a device; O(nnz), and at most ``n * 32`` numbers more than P has."""
    a, n = affinities, affinities.n
    pieces = -(-np.diff(a.offsets) // _WIDTH)
    total = max(int(pieces.sum()), 1)
    chunk = min(_PIECES if device.platform == "cpu" else _LARGE_PIECES, total)
    chunks = -(-total // chunk)
    rows = np.full(chunks * chunk, n, np.int32)
    rows[: int(pieces.sum())] = np.repeat(np.arange(n, dtype=np.int32), pieces)
    columns, values = np.zeros((chunks * chunk, _WIDTH), np.int32), np.zeros((chunks * chunk, _WIDTH), np.float32)
    first = np.cumsum(pieces) - pieces
    # where each entry goes: its row's first piece, and as far on as it lies in its row
    step = np.repeat(first * _WIDTH - a.offsets[:-1], np.diff(a.offsets))
    step += np.arange(len(step))
    columns.ravel()[step] = a.columns
    values.ravel()[step] = a.values
    shape = (chunks, chunk)
    arrays = rows.reshape(shape), columns.reshape(*shape, _WIDTH), values.reshape(*shape, _WIDTH)
    return Edges(*(jax.device_put(x, device) for x in arrays))


def _apart(positions: jax.Array, piece: Edges) -> list[jax.Array]:
    """``y_i - y_j`` of each entry, (pieces, width), axis by axis: gathers of single numbers are fused into loops."""
    axes = [positions[:, c] for c in range(positions.shape[1])]
    return [
        x.at[piece.rows].get(mode="clip")[:, None] - x.at[piece.columns].get(mode="promise_in_bounds") for x in axes
    ]


def attraction(positions: jax.Array, edges: Edges) -> jax.Array:
    """``sum_j p_ij w_ij (y_i - y_j)``, (n, dims) float32; memory bounded by a chunk of pieces."""

    def forces(piece: Edges) -> jax.Array:
        apart = _apart(positions, piece)
        weights = piece.values / (1 + _norm(apart))
        return jnp.stack([(weights * d).sum(axis=1) for d in apart], axis=1)

    each = lax.map(forces, edges).reshape(-1, positions.shape[1])
    n = positions.shape[0]
    return jax.ops.segment_sum(each, edges.rows.ravel(), n + 1, indices_are_sorted=True)[:n]


def _norm(parts: list[jax.Array]) -> jax.Array:
    """Sum of squares."""
    return functools.reduce(jnp.add, [d * d for d in parts])


@jax.jit
def divergence_terms(positions: jax.Array, edges: Edges) -> jax.Array:
    """``sum p_ij log(1 + |y_i - y_j|^2)`` of each piece."""
    return lax.map(lambda piece: (piece.values * jnp.log1p(_norm(_apart(positions, piece)))).sum(axis=1), edges)


def pairwise_sum(values: jax.Array) -> jax.Array:
    """Sum over the first axis, pairwise: float32 loses a few bits, not log2(n) of them."""
    size = 1 << max(values.shape[0] - 1, 0).bit_length()
    values = jnp.pad(values, [(0, size - values.shape[0])] + [(0, 0)] * (values.ndim - 1))
    while size > 1:
        size //= 2
        values = values[:size] + values[size:]
    return values[0]


def exact_repulsion(positions: jax.Array, tile: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """``sum_j w_ij^2 (y_i - y_j)`` and ``Z = sum_i sum_{j != i} w_ij`` by every pair: O(n^2) time, O(n) memory.

    Parameters
    ----------
    positions : (n, dims) float32
        The map.
    tile : tuple of int
        Rows and columns of a tile; both powers of two.
    """
    n, dims = positions.shape
    height, width = tile
    size = -(-n // max(tile)) * max(tile)
    axes = jnp.pad(positions, ((0, size - n), (0, 0))).T
    ids = jnp.arange(size, dtype=jnp.int32)

    def rows(block: tuple[jax.Array, jax.Array]) -> jax.Array:
        places, here = block

        def add(k: jax.Array, sums: jax.Array) -> jax.Array:
            others = lax.dynamic_slice_in_dim(axes, k * width, width, axis=1)
            there = lax.dynamic_slice_in_dim(ids, k * width, width)
            apart = [places[c][:, None] - others[c][None, :] for c in range(dims)]
            other = (here[:, None] != there[None, :]) & (there < n)[None, :]
            w = lax.optimization_barrier(jnp.where(other, 1 / (1 + _norm(apart)), 0))  # or it is divided for each sum
            return sums + jnp.stack([*((w * w * d).sum(axis=1) for d in apart), w.sum(axis=1)])

        return lax.fori_loop(0, size // width, add, jnp.zeros((dims + 1, height), jnp.float32))

    sums = lax.map(rows, (axes.reshape(dims, -1, height).swapaxes(0, 1), ids.reshape(-1, height)))
    sums = sums.swapaxes(0, 1).reshape(dims + 1, size)[:, :n]
    return sums[:dims].T, jnp.maximum(pairwise_sum(sums[dims]), np.finfo(np.float32).tiny)


def kernel_transforms(side: int, spacing: Any) -> jax.Array:
    """Transforms of ``w``, ``x w^2`` and ``y w^2`` on a periodic grid, (3, side, side // 2 + 1) float32.

    The first is real and the others are imaginary, so one real number each is enough. They are divided by what sharing
    out and reading back take from each frequency: the transform of a cubic B-spline at the nodes, twice an axis.
    """
    steps = np.fft.fftfreq(side, 1 / side)
    odd = np.where(
        steps == -side // 2, 0, steps
    )  # the farthest node has no sign, and no pair of points is so far apart
    x, y = jnp.asarray(steps, jnp.float32)[None, :] * spacing, jnp.asarray(steps, jnp.float32)[:, None] * spacing
    w = 1 / (1 + x * x + y * y)
    signed = jnp.asarray(odd, jnp.float32) * spacing
    spectra = jnp.fft.rfft2(jnp.stack([w, w * w * signed[None, :], w * w * signed[:, None]]))
    taken = 2 / 3 + np.cos(2 * np.pi * np.arange(side) / side) / 3
    sharpen = 1 / (taken[:, None] * taken[None, : side // 2 + 1]) ** 2
    return jnp.stack([spectra[0].real, spectra[1].imag, spectra[2].imag]) * jnp.asarray(sharpen, jnp.float32)


def interpolated_repulsion(positions: jax.Array, grid: Grid, kernels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """As `exact_repulsion`, with charges on a grid convolved by FFT (after Linderman et al. 2019): O(n + m log m).

    Parameters
    ----------
    positions : (n, 2) float32
        The map; it must fit the grid.
    grid : Grid
        Grid of m nodes.
    kernels : (3, side, side // 2 + 1) float32
        From `kernel_transforms`.
    """
    side, spacing = grid
    inside = intervals(side)
    u = (positions - positions.min(axis=0)) / spacing
    base = jnp.clip(u.astype(jnp.int32), 0, inside - 1)
    t = u - base
    weights = jnp.stack(
        [(1 - t) ** 3 / 6, 2 / 3 + t * t * (t / 2 - 1), 1 / 6 + t * (1 + t - t * t) / 2, t**3 / 6], axis=1
    )  # (n, 4, 2): cubic B-splines of the four nodes around
    shares = weights[:, :, None, 1] * weights[:, None, :, 0]
    start = base[:, ::-1]  # row, column
    size = inside + 4
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=(1, 2), inserted_window_dims=(), scatter_dims_to_operand_dims=(0, 1)
    )  # fmt: skip
    charges = lax.scatter_add(
        jnp.zeros((size, size), jnp.float32), start, shares, numbers, mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS
    )
    spectrum = jnp.fft.rfft2(charges, (side, side))
    factors = jnp.asarray(np.array([1, 1j, 1j], np.complex64))[:, None, None]
    fields = jnp.fft.irfft2(spectrum * kernels * factors, (side, side))[:, :size, :size]
    gathering = lax.GatherDimensionNumbers(offset_dims=(1, 2, 3), collapsed_slice_dims=(), start_index_map=(0, 1))
    around = lax.gather(
        jnp.moveaxis(fields, 0, -1), start, gathering, (4, 4, 3), mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS
    )
    read = (around * shares[..., None]).sum(axis=(1, 2))
    return read[:, 1:], jnp.maximum(pairwise_sum(read[:, 0] - 1), np.finfo(np.float32).tiny)
