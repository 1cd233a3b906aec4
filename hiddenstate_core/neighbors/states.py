"""`States`: the points of a projection, checked and read into memory once as float32."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError

__all__ = ["States"]

#: Values beyond this would overflow float32 once squared and summed, even after scaling.
_LARGEST = 1e30
#: Bytes of float64 read from the source at a time.
_BLOCK = 1 << 25


@dataclasses.dataclass(frozen=True, eq=False)
class States:
    """Points as float32 numbers near 1, with what was done to get there.

    Parameters
    ----------
    data : (n, d) float32, C order
        ``(X - shift) / scale``.
    scale : float
        A power of two, so that dividing by it is exact; distances in `data` times `scale` are distances in X.

    Notes
    -----
    A column is shifted only where all its values lie within a factor of two of each other (an offset that dwarfs the
    variation): then the subtraction is exact for float16 and float32 input, so nothing is lost (Sterbenz 1974).
    float64 input is shifted in float64 and then rounded.
    """

    data: NDArray[np.float32]
    scale: float

    def __len__(self) -> int:
        return len(self.data)

    @classmethod
    def read(cls, X: Any) -> States:
        """Read an array block by block.

        Parameters
        ----------
        X : (n, d) array-like
            Real numbers of any kind: NumPy array of any order, memory map, Zarr array, data frame, nested list. It is
            not changed. Objects (dtype object) are converted to float32.

        Returns
        -------
        States
            Holds one float32 copy: 4 n d bytes.

        Raises
        ------
        InputError
            Sparse, not two-dimensional, empty, not real numbers, NaN, infinity, or beyond +-1e30.
        """
        X = _sliceable(X)
        n, d = (int(size) for size in X.shape)
        rows = max(1, _BLOCK // (8 * d))
        data = np.empty((n, d), np.float32)
        double = np.dtype(X.dtype) not in (np.float16, np.float32)
        low, high = np.full(d, np.inf), np.full(d, -np.inf)
        for start in range(0, n, rows):
            block = _block(X, start, start + rows)
            low = np.minimum(low, block.min(axis=0))
            high = np.maximum(high, block.max(axis=0))
            if not double:
                data[start : start + rows] = block
        narrow = (low * high > 0) & (np.maximum(abs(low), abs(high)) <= 2 * np.minimum(abs(low), abs(high)))
        shift = np.where(narrow, (0.5 * (low + high)).astype(np.float32), 0.0)
        largest = float(np.maximum(abs(low - shift), abs(high - shift)).max())
        scale = float(2.0 ** np.floor(np.log2(largest))) if largest > 0 else 1.0
        for start in range(0, n, rows):
            part = data[start : start + rows]
            part[...] = ((_block(X, start, start + rows) if double else part.astype(np.float64)) - shift) / scale
        return cls(data, scale)


def _sliceable(X: Any) -> Any:
    """`X` itself where it can be read by slices, or as an array; checks its shape and kind."""
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise InputError(f"The states must be dense, not a sparse {type(X).__name__}; pass X.toarray().")
    if not (hasattr(X, "shape") and hasattr(X, "dtype") and hasattr(X, "__getitem__")) or hasattr(X, "iloc"):
        try:
            X = np.asarray(X)
        except ValueError as error:
            raise InputError(f"The states must form an array of shape (states, features): {error}.") from error
    shape = tuple(X.shape)
    if len(shape) != 2:
        raise InputError(f"The states must form an array of shape (states, features), not one of shape {shape}.")
    if 0 in shape:
        raise InputError(f"There are no states to work on: the array's shape is {shape}.")
    if np.dtype(X.dtype).kind == "O":
        X = _numbers(X)
    if np.dtype(X.dtype).kind not in "fiub":
        raise InputError(f"The states must be real numbers, not {X.dtype}.")
    return X


def _numbers(X: Any) -> NDArray[np.float32]:
    """An array of objects as float32; what does not fit becomes infinite, and is then refused with its row."""
    try:
        with np.errstate(over="ignore"):
            return np.asarray(X).astype(np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"The states must be real numbers; not all objects of the array are: {error}.") from error


def _block(X: Any, start: int, stop: int) -> NDArray[np.float64]:
    """Rows of `X` as float64, refused by number where they are not finite."""
    block = np.asarray(X[start:stop]).astype(np.float64)
    bad = ~(np.abs(block) <= _LARGEST)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        value = block[row, column]
        raise InputError(
            f"State {start + row} holds {value:g} in feature {column}; "
            f"every value must be finite and within +-{_LARGEST:g}. Remove or mend that state."
        )
    return block
