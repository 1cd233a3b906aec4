"""Distances between states as numbers: a matrix in memory or on disk, its blocks one by one, or one state's row."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.distances.frame import BlockCache, Frame, blocks_of
from hiddenstate_core.distances.source import Source, kind_of
from hiddenstate_core.errors import InputError, OutputError
from hiddenstate_core.kernels.blocks import Block
from hiddenstate_core.kernels.distances import MANHATTAN, fill_distances, state_distances
from hiddenstate_core.kernels.workers import Workers

__all__ = ["distance_blocks", "distances_to", "pairwise_distances"]

#: Distances of a block by default: 32 MB.
_BLOCK = 1 << 23
#: A square smaller than this many times its largest possible error is found again in float64.
_SURE = 1024.0
#: Rows that a thread takes at a time; a multiple of 4.
_GRAIN = 128

Part = tuple[slice, slice, NDArray[np.float32]]


def pairwise_distances(
    X: Any, Y: Any = None, metric: str = "euclidean", *, out: Any = None, n_jobs: int | None = None
) -> Any:
    """Distances of all states of X from all states of Y.

    Parameters
    ----------
    X : (n, d) array-like
        Real numbers in a NumPy array, memory map, Zarr array or `Trace` array; read block by block.
    Y : (m, d) array-like, optional
        X itself by default.
    metric : {"euclidean", "sqeuclidean", "cosine", "manhattan"}
        Cosine: 1 less the cosine of the angle.
    out : (n, m) array, optional
        Written block by block and returned: NumPy array, memory map, Zarr array, or whatever takes
        ``out[rows, columns] = block``. Blocks are made of whole chunks (shards, where there are any), so a Zarr array
        is never read back.
    n_jobs : int or None
        Threads; see `Workers`. The result does not depend on it.

    Returns
    -------
    (n, m) float32, or `out`
        Each distance depends on its two states and the mean of all, is the same both ways round, and is 0 where the
        states are equal. At most 0.05 % off (0.1 % where squared), and a few millionths as a rule; see Notes.

    Raises
    ------
    InputError
        Bad states (by row), X and Y of different width, an unknown metric, or an `out` of another shape.
    OutputError
        No memory for the result.

    Notes
    -----
    O(n m d) time; memory for the result (4 n m bytes without `out`) and a few blocks. Products are taken in float32;
    where the two states are so near that these lose more than stated (by the bound of `Frame`), in float64.
    """
    x, y = _sources(X, Y, metric)
    shape = (len(x), len(y))
    if out is None:
        try:
            result = np.empty(shape, np.float32)
        except MemoryError as error:
            raise OutputError(
                f"{shape[0]:,} x {shape[1]:,} distances take {4 * shape[0] * shape[1]:,} bytes, more than there is "
                "memory for; pass out=, a memory map or a Zarr array, or use distance_histogram."
            ) from error
        if shape[0] and shape[1]:
            _fill(x, y, result, n_jobs)
        return result
    tile = _check_out(out, shape)
    if isinstance(out, np.ndarray) and out.dtype == np.float32 and out.flags.c_contiguous:
        _fill(x, y, out, n_jobs)
        return out
    for rows, columns, block in _blocks(x, y, tile, n_jobs, reuse=True):
        out[rows, columns] = block
    return out


def distance_blocks(
    X: Any,
    Y: Any = None,
    metric: str = "euclidean",
    *,
    block: tuple[int, int] | None = None,
    n_jobs: int | None = None,
) -> Iterator[Part]:
    """The blocks of `pairwise_distances`, one by one, so that the whole is never held.

    Parameters
    ----------
    X, Y, metric, n_jobs
        As there.
    block : pair of int, optional
        Rows and columns of a block; by default as many as 32 MB hold, all columns if they fit.

    Yields
    ------
    rows, columns : slice
        Where the block lies.
    block : float32 array
        The distances; a new array each time.

    Raises
    ------
    InputError
        As there, when called, before the first block.
    """
    x, y = _sources(X, Y, metric)
    tile = _tile((len(x), len(y)))
    if block is not None:
        valid = isinstance(block, (tuple, list)) and len(block) == 2
        if not valid or not all(isinstance(b, (int, np.integer)) and b >= 1 for b in block):
            raise InputError(f"block must be a pair of whole numbers, rows and columns, at least 1, not {block!r}.")
        tile = int(block[0]), int(block[1])
    return _blocks(x, y, tile, n_jobs)


def distances_to(
    X: Any, state: Any, metric: str = "euclidean", *, k: int | None = None, n_jobs: int | None = None
) -> Any:
    """Distances of all states from one, in float64 throughout.

    Parameters
    ----------
    X : (n, d) array-like
        As for `pairwise_distances`; read once, block by block.
    state : int or (d,) array-like
        Number of a state of X (negative ones count from the end), or any state.
    metric : str
        As for `pairwise_distances`.
    k : int, optional
        Give the k nearest only.
    n_jobs : int or None
        Threads.

    Returns
    -------
    (n,) float32, or with `k` a pair of (k,) int64 and (k,) float32
        Distances; or the numbers of the k nearest states, nearest first and ties by number, and their distances. A
        state given by number is left out of its own neighbours.

    Raises
    ------
    InputError
        Bad states (by row), a state that does not exist or has another width, an unknown metric, or a senseless k.
    """
    source = Source.of(X, metric)
    n, own = len(source), -1
    if isinstance(state, (int, np.integer)) and not isinstance(state, bool):
        if not -n <= state < n:
            raise InputError(f"State {state} does not exist; there are {n}, 0..{n - 1}.")
        own = int(state) % n
        one = source.checked(np.asarray(source.array[own : own + 1]), np.array([own]))
    else:
        given = Source.of(np.asarray(state)[None], metric, name="The state given, number")
        if given.width != source.width:
            raise InputError(f"The state has {given.width} features, the others have {source.width}.")
        one = given.checked(np.asarray(given.array), np.array([0]))
    there = n - (own >= 0)
    if k is not None and (isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= there):
        raise InputError(f"k must lie in 1..{there}, the number of other states, not {k!r}.")
    kind = kind_of(metric)[0]
    distances = np.empty(n)
    at = 0
    with Workers(n_jobs) as workers:
        for block in source.checked_blocks():
            workers.run(state_distances, len(block), 4096, block, one, kind, distances[at : at + len(block)])
            at += len(block)
    if k is None:
        return distances.astype(np.float32)
    if own >= 0:
        distances[own] = np.inf
    limit = np.partition(distances, k - 1)[k - 1]
    near = np.flatnonzero(distances <= limit)
    near = near[np.argsort(distances[near], kind="stable")][:k]
    return near.astype(np.int64), distances[near].astype(np.float32)


def _sources(X: Any, Y: Any, metric: str) -> tuple[Source, Source]:
    x = Source.of(X, metric)
    if Y is None or Y is X:
        return x, x
    y = Source.of(Y, metric, name="State of Y")
    if x.width != y.width:
        raise InputError(f"X and Y must have the same number of features, not {x.width} and {y.width}.")
    return x, y


def _check_out(out: Any, shape: tuple[int, int]) -> tuple[int, int]:
    """Refuse an `out` that cannot take the result; returns the shape of the blocks to write."""
    if not (hasattr(out, "shape") and hasattr(out, "dtype") and hasattr(out, "__setitem__")):
        raise InputError(f"out must be an array that can be written to, not {type(out).__name__}.")
    if tuple(out.shape) != shape:
        raise InputError(f"out must have the shape {shape} of the result, not {tuple(out.shape)}.")
    if np.dtype(out.dtype).kind != "f":
        raise InputError(f"out must hold floating-point numbers, not {out.dtype}.")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise InputError("out cannot be written to; open the memory map with mode 'r+' or 'w+'.")
    chunks = getattr(out, "shards", None) or getattr(out, "chunks", None)
    return _tile(shape, tuple(int(c) for c in chunks) if chunks else (1, 1))


def _tile(shape: tuple[int, int], chunks: tuple[int, ...] = (1, 1)) -> tuple[int, int]:
    """Rows and columns of a block: multiples of the chunks', as many as `_BLOCK` holds, all columns if they fit."""
    high, wide = chunks
    columns = min(-(-shape[1] // wide), max(1, _BLOCK // (high * wide)))
    rows = max(1, _BLOCK // (high * wide * columns))
    return rows * high, columns * wide


class _Maker:
    """Computes parts of the matrix; blocks of states are laid out once and kept while they are used."""

    def __init__(self, x: Source, y: Source, n_jobs: int | None) -> None:
        self.frame = Frame.fit([x] if x is y else [x, y])
        self.x, self.y = x, y
        self.workers = Workers(n_jobs)
        relative = self.frame.relative * _SURE
        gauge = relative if self.frame.kind == MANHATTAN else float(np.sqrt(relative))

        def make(key: Hashable) -> Block:
            assert isinstance(key, tuple)
            source, start, stop = key
            return self.frame.block(source.read(start, stop), gauge)

        self.blocks = BlockCache(make)

    def write(self, rows: tuple[int, int], columns: tuple[int, int], out: NDArray[np.float32]) -> None:
        """Write the distances of rows from columns to a C-contiguous (rows, columns) array."""
        frame, step = self.frame, self.frame.rows_of_block()
        for top, bottom in blocks_of(rows[1] - rows[0], step):
            x = self.blocks((self.x, rows[0] + top, rows[0] + bottom))
            for left, right in blocks_of(columns[1] - columns[0], step):
                y = self.blocks((self.y, columns[0] + left, columns[0] + right))
                self.workers.run(
                    fill_distances,
                    bottom - top,
                    _GRAIN,
                    x,
                    y,
                    frame.kind,
                    frame.unit,
                    frame.factor,
                    left,
                    out[top:bottom],
                )


def _fill(x: Source, y: Source, out: NDArray[np.float32], n_jobs: int | None) -> None:
    maker = _Maker(x, y, n_jobs)
    with maker.workers:
        for rows in blocks_of(len(x), maker.frame.rows_of_block()):
            maker.write(rows, (0, len(y)), out[rows[0] : rows[1]])


def _blocks(x: Source, y: Source, tile: tuple[int, int], n_jobs: int | None, *, reuse: bool = False) -> Iterator[Part]:
    """The blocks; the states are checked here, the rest when the first block is asked for."""
    maker = _Maker(x, y, n_jobs)

    def parts() -> Iterator[Part]:
        spare = np.empty(0, np.float32)
        with maker.workers:
            for top, bottom in blocks_of(len(x), tile[0]):
                for left, right in blocks_of(len(y), tile[1]):
                    size = (bottom - top) * (right - left)
                    if not reuse or size > len(spare):
                        spare = np.empty(size, np.float32)
                    block = spare[:size].reshape(bottom - top, right - left)
                    maker.write((top, bottom), (left, right), block)
                    yield slice(top, bottom), slice(left, right), block

    return parts()
