"""`States`: the points of a projection, checked and read into memory once as float32."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError, OutputError

__all__ = ["States", "room"]

#: Values beyond this would overflow float32 once squared and summed, even after scaling.
_LARGEST = 1e30
#: Bytes of float64 read from the source at a time.
_BLOCK = 1 << 25
#: Share of the available memory that one copy of the states may take, and what is assumed where that is not known.
_SHARE, _AVAILABLE = 0.4, 1 << 33
#: Largest magnitude that `States.convert` returns; its square still fits into float32.
_FURTHEST = 1e15


@dataclasses.dataclass(frozen=True, eq=False)
class States:
    """Points as float32 numbers near 1, with what was done to get there.

    Parameters
    ----------
    data : (n, d) float32, C order
        ``(X - shift) / scale``.
    scale : float
        A power of two, so that dividing by it is exact; distances in `data` times `scale` are distances in X.
    shift : (d,) or (1,) float64
        Subtracted before.

    Notes
    -----
    A column is shifted only where all its values lie within a factor of two of each other (an offset that dwarfs the
    variation): then the subtraction is exact for float16 and float32 input, so nothing is lost (Sterbenz 1974).
    float64 input is shifted in float64 and then rounded.
    """

    data: NDArray[np.float32]
    scale: float
    shift: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros(1))

    def __len__(self) -> int:
        return len(self.data)

    @property
    def mapped(self) -> bool:
        """Whether `data` lies in a temporary file."""
        return isinstance(self.data.base, np.memmap)

    @classmethod
    def read(cls, X: Any, *, memory: int | None = None) -> States:
        """Read an array block by block.

        Parameters
        ----------
        X : (n, d) array-like
            Real numbers of any kind: NumPy array of any order, memory map, Zarr array, data frame, nested list. It is
            not changed. Objects (dtype object) are converted to float32.
        memory : int or None
            Bytes that the copy may take in memory, 40 % of what is available by default. A larger one lies in a
            temporary file (in the folder of `tempfile.gettempdir`), which vanishes with it, whatever happens.

        Returns
        -------
        States
            Holds one float32 copy: 4 n d bytes.

        Raises
        ------
        InputError
            Sparse, masked, not two-dimensional, empty, not real numbers, NaN, infinity, or beyond +-1e30.
        """
        X = _sliceable(X)
        n, d = (int(size) for size in X.shape)
        rows = max(1, _BLOCK // (8 * d))
        data = room((n, d), mapped=4 * n * d > (_memory() if memory is None else memory))
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
        return cls(data, scale, shift)

    def convert(self, X: Any) -> NDArray[np.float32]:
        """Other points in the same frame: ``(X - shift) / scale``.

        Parameters
        ----------
        X : (m, d) array-like
            As for `read`; m may be 0.

        Returns
        -------
        (m, d) float32, C order

        Raises
        ------
        InputError
            As `read`, and another number of features, or values that dwarf all of the states.
        """
        X = _sliceable(X, empty=True)
        n, d = (int(size) for size in X.shape)
        wanted = self.data.shape[1]
        if d != wanted:
            raise InputError(f"The new states must have {wanted} features like the others, not {d}.")
        out = np.empty((n, d), np.float32)
        rows = max(1, _BLOCK // (8 * d))
        for start in range(0, n, rows):
            block = (_block(X, start, start + rows) - self.shift) / self.scale
            if (np.abs(block) > _FURTHEST).any():
                row = start + int(np.argmax((np.abs(block) > _FURTHEST).any(axis=1)))
                raise InputError(f"New state {row} is more than 1e15 times as large as all the others; is it damaged?")
            out[start : start + rows] = block
        return out


def room(shape: tuple[int, ...], *, mapped: bool) -> NDArray[np.float32]:
    """An empty float32 array, in memory or in a temporary file without a name, which vanishes with the array."""
    if not mapped:
        return np.empty(shape, np.float32)
    try:
        with tempfile.TemporaryFile(prefix="hiddenstate-") as file:
            return np.memmap(file, np.float32, "w+", shape=shape).view(np.ndarray)
    except OSError as error:
        size = 4 * int(np.prod(shape, dtype=np.int64))
        raise OutputError(
            f"The states need {size:,} bytes in a temporary file, which could not be made in {tempfile.gettempdir()}: "
            f"{error}. Free space there, set TMPDIR to another folder, or raise the memory allowed."
        ) from error


def _memory() -> int:
    """Bytes that a copy of the states may take."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        try:
            available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        except (AttributeError, OSError, ValueError):  # Windows
            available = _AVAILABLE
    return int(_SHARE * available)


def _sliceable(X: Any, *, empty: bool = False) -> Any:
    """`X` itself where it can be read by slices, or as an array; checks its shape and kind."""
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise InputError(f"The states must be dense, not a sparse {type(X).__name__}; pass X.toarray().")
    if np.ma.is_masked(X):
        raise InputError("Some of the states' values are masked; fill them or leave those states out.")
    if not (hasattr(X, "shape") and hasattr(X, "dtype") and hasattr(X, "__getitem__")) or hasattr(X, "iloc"):
        try:
            X = np.asarray(X)
        except ValueError as error:
            raise InputError(f"The states must form an array of shape (states, features): {error}.") from error
    shape = tuple(X.shape)
    if len(shape) != 2:
        raise InputError(f"The states must form an array of shape (states, features), not one of shape {shape}.")
    if shape[1] == 0 or (shape[0] == 0 and not empty):
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
