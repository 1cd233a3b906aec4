"""`precomputed_affinities`: affinities from a similarity matrix of the user's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.projection.affinities import INT32_POINTS, Affinities, symmetrise

__all__ = ["precomputed_affinities"]

_FORMS = "a scipy sparse matrix, a dense (n, n) array, or a tuple of arrays (data, indices, indptr) as scipy's CSR has"


def precomputed_affinities(matrix: Any, *, n_jobs: int | None = None) -> Affinities:
    """Affinities from similarities that are there already, made symmetric and scaled to sum to 1.

    Parameters
    ----------
    matrix : sparse matrix, (n, n) array-like, tuple of three arrays, or Affinities
        Similarities of n points, at least 0; a larger number is a stronger pull. A scipy sparse matrix or array of any
        format, a dense array, or the tuple ``(data, indices, indptr)`` of scipy's CSR format. It is not changed.
        Entries given twice are added up.
    n_jobs : int or None
        Threads; see `Workers`.

    Returns
    -------
    Affinities
        ``(S + S^T) / sum(S + S^T)``: S itself over its sum where it is symmetric. `Affinities` are passed on as they
        are.

    Raises
    ------
    InputError
        Not square, fewer than two points, not real numbers, NaN, infinite or negative entries, entries on the
        diagonal, nothing but zeros, or ids out of range.

    Notes
    -----
    O(nnz) time where the columns of every row ascend, O(nnz log nnz) otherwise; about 40 bytes an entry beside the
    result. Values are rounded to float32 before they are added.
    """
    if isinstance(matrix, Affinities):
        return matrix
    offsets, columns, values = _rows(matrix)
    offsets, columns, values = _without_zeros(*_ascending(*_checked(offsets, columns, values)))
    if not len(values):
        raise InputError("All similarities are zero; affinities need at least one pair of points that attract.")
    weights = (values / values.max()).astype(np.float32)
    scale = 1 / (2 * float(weights.sum(dtype=np.float64)))
    bits = weights.view(np.uint32)

    def sorted_rows(first: int, last: int) -> NDArray[np.int64]:
        part = slice(int(offsets[first]), int(offsets[last]))
        return (columns[part] << 32) | bits[part]

    with Workers(n_jobs) as workers:
        return symmetrise(offsets, columns, weights, scale, sorted_rows, workers)


def _rows(matrix: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Any form of matrix as offsets, columns and values; the given arrays themselves where they fit."""
    if isinstance(matrix, tuple) and len(matrix) == 3 and all(isinstance(part, np.ndarray) for part in matrix):
        data, indices, indptr = matrix
        if indptr.ndim != 1 or indices.ndim != 1 or data.ndim != 1:
            raise InputError("The arrays (data, indices, indptr) of similarities must each have one dimension.")
        return _integers(indptr, "indptr"), _integers(indices, "indices"), _real(data)
    shape = getattr(matrix, "shape", None)
    if hasattr(matrix, "tocsr"):
        _check_square(shape)
        rows = matrix.tocsr()
        return _integers(rows.indptr, "indptr"), _integers(rows.indices, "indices"), _real(rows.data)
    if hasattr(matrix, "indptr") and hasattr(matrix, "indices") and hasattr(matrix, "data"):
        raise InputError(f"Similarities cannot be read from {type(matrix).__name__}; pass {_FORMS}.")
    try:
        dense = np.asarray(matrix)
    except ValueError as error:
        raise InputError(f"Similarities must be {_FORMS}: {error}.") from error
    _check_square(dense.shape)
    dense = _real(dense)
    row, column = np.nonzero(dense)
    offsets = np.zeros(len(dense) + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=len(dense)), out=offsets[1:])
    return offsets, column.astype(np.int64), dense[row, column]


def _check_square(shape: Any) -> None:
    if shape is None or len(shape) != 2 or shape[0] != shape[1]:
        raise InputError(f"Similarities must form a square matrix (n, n), not one of shape {shape}; pass {_FORMS}.")


def _integers(array: Any, name: str) -> NDArray[np.int64]:
    array = np.asarray(array)
    if array.dtype.kind not in "iu":
        raise InputError(f"The {name} of similarities must be integers, not {array.dtype}.")
    return np.ascontiguousarray(array, np.int64)


def _real(array: Any) -> NDArray[np.float64]:
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise InputError(f"Similarities must be real numbers, not {array.dtype}.")
    return np.ascontiguousarray(array, np.float64)


def _checked(
    offsets: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The same rows, refused where they are no similarities."""
    n = len(offsets) - 1
    if not 2 <= n <= INT32_POINTS:
        raise InputError(f"Similarities must be between 2 to {INT32_POINTS} points, not {max(n, 0)}.")
    if len(columns) != len(values):
        raise InputError(f"Similarities need as many indices as data: {len(columns)} and {len(values)} came.")
    if offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
        raise InputError(f"The indptr of similarities must rise from 0 to the number of data, {len(values)}.")
    if len(columns) and not 0 <= columns.min() <= columns.max() < n:
        raise InputError(f"The indices of similarities between {n} points must lie in 0..{n - 1}.")
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        at = int(np.argmax(bad))
        row = int(np.searchsorted(offsets, at, "right")) - 1
        raise InputError(
            f"The similarity of points {row} and {columns[at]} is {values[at]:g}; all must be finite and at least 0."
        )
    own = (columns == np.repeat(np.arange(n), np.diff(offsets))) & (values > 0)
    if own.any():
        point = int(columns[np.argmax(own)])
        raise InputError(
            f"Point {point} has a similarity to itself, {values[np.argmax(own)]:g}; the diagonal must be zero. "
            "Set it to 0 in a copy."
        )
    return offsets, columns, values


def _ascending(
    offsets: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows with strictly ascending columns: sorted, and what stands twice added up, where that is needed."""
    n = len(offsets) - 1
    cells = np.repeat(np.arange(n) * n, np.diff(offsets)) + columns
    if (np.diff(cells) > 0).all():
        return offsets, columns, values
    order = np.argsort(cells, kind="stable")
    cells, values = cells[order], values[order]
    first = np.flatnonzero(np.diff(cells, prepend=-1))
    cells, values = cells[first], np.add.reduceat(values, first)
    if not np.isfinite(values).all():
        raise InputError("Similarities given twice add up to infinity.")
    rows, columns = np.divmod(cells, n)
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=n), out=offsets[1:])
    return offsets, columns, values


def _without_zeros(
    offsets: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    keep = values > 0
    if keep.all():
        return offsets, columns, values
    return np.concatenate([[0], np.cumsum(keep)])[offsets], columns[keep], values[keep]
