"""`LazyArray`: slices like a NumPy array and reads only the rows that a slice asks for."""

from __future__ import annotations

import abc
import math
import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray

__all__ = ["LazyArray", "concatenated_ranges"]

#: Bytes of rows read at a time where only some columns of them are kept.
_BLOCK_BYTES = 8 * 2**20


class LazyArray(abc.ABC):
    """An array of one or two dimensions that is read when sliced.

    Indexing follows NumPy: integers, slices with any step, an ellipsis, integer arrays, boolean masks, and these on
    rows and columns together. Rows are read in runs of successive ones, each once, whatever the order and repetition
    asked for; of rows of which only some columns are wanted, a few megabytes are held at a time. New axes are not made.
    ``np.asarray`` reads everything. Reading is safe in threads.
    """

    #: Length of each axis.
    shape: tuple[int, ...]
    #: Type of an element as it is given.
    dtype: np.dtype[Any]
    #: Name of each axis.
    dimensions: tuple[str, ...]
    #: What it is called, in messages and in xarray.
    name: str

    @abc.abstractmethod
    def _rows(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[Any]:
        """Rows of ascending ranges that do not overlap, one after another, as a new array."""

    @property
    @abc.abstractmethod
    def block(self) -> int:
        """Rows that are stored together, so that reading a multiple of them from a multiple on wastes nothing."""

    @property
    @abc.abstractmethod
    def token(self) -> str:
        """Name of the content: arrays with the same one hold the same numbers."""

    def coordinates(self) -> dict[str, tuple[str, Any]]:
        """Names, axis and values of what labels the axes; values may be lazy arrays."""
        return {"unit": ("unit", np.arange(self.shape[-1]))} if "unit" in self.dimensions else {}

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of everything, as it is given."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, shape {self.shape}, {self.dtype})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self.name} lies in a file; making an array of it copies.")
        values: NDArray[Any] = self[...]
        return values if dtype is None else values.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> Any:
        rows, columns = _parse(key, self.shape)
        if isinstance(rows, int):
            row = self._range(rows, rows + 1)[0]
            return row if columns is None else row[columns]
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._sliced(start, max(start, stop), columns)
            return self._gathered(np.arange(start, stop, step, dtype=np.int64), columns)
        if isinstance(columns, np.ndarray):  # NumPy pairs arrays of indices
            rows, columns = np.broadcast_arrays(rows, columns)
            return self._paired(rows.ravel(), columns.ravel()).reshape(rows.shape)
        values = self._gathered(rows.ravel(), columns)
        return values.reshape(*rows.shape, *values.shape[1:])

    def blocks(self, rows: int | None = None) -> Iterator[tuple[int, NDArray[Any]]]:
        """Everything in order, a few megabytes at a time: the number of a block's first row, and the block.

        Parameters
        ----------
        rows : int, optional
            Rows of a block; a multiple of what is stored together, of about 8 MiB, by default.
        """
        size = self._block_rows() if rows is None else max(1, rows)
        for start in range(0, len(self), size):
            yield start, self._range(start, min(start + size, len(self)))

    def to_xarray(self) -> xarray.DataArray:
        """The array with named axes and coordinates, still read only when it is computed with.

        Raises
        ------
        MissingExtraError
            xarray is not installed.
        """
        from hiddenstate_core.traces.interop import data_array

        return data_array(self)

    def to_dask(self, rows: int | None = None) -> Any:
        """The array as a `dask.array.Array`, in chunks of `rows` rows; of one shard each by default.

        Dask's workers have to see the store under the same path.

        Raises
        ------
        MissingExtraError
            Dask is not installed.
        """
        from hiddenstate_core.traces.interop import dask_array

        return dask_array(self, rows)

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])

    def _block_rows(self) -> int:
        wanted = max(1, _BLOCK_BYTES // max(1, self._row_bytes))
        return max(self.block, wanted // self.block * self.block)

    def _range(self, start: int, stop: int) -> NDArray[Any]:
        return self._rows(np.array([start], np.int64), np.array([stop], np.int64))

    def _sliced(self, start: int, stop: int, columns: Any) -> NDArray[Any]:
        if columns is None:
            return self._range(start, stop)
        out = self._room(stop - start, columns)
        size, at = self._block_rows(), start
        while at < stop:
            end = min(stop, (at // size + 1) * size)
            out[at - start : end - start] = self._range(at, end)[:, columns]
            at = end
        return out

    def _gathered(self, rows: NDArray[np.int64], columns: Any) -> NDArray[Any]:
        if columns is None:
            return self._take(rows)
        out, size = self._room(len(rows), columns), self._block_rows()
        for at in range(0, len(rows), size):
            out[at : at + size] = self._take(rows[at : at + size])[:, columns]
        return out

    def _paired(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Any]:
        out, size = np.empty(len(rows), self.dtype), self._block_rows()
        for at in range(0, len(rows), size):
            some = self._take(rows[at : at + size])
            out[at : at + size] = some[np.arange(len(some)), columns[at : at + size]]
        return out

    def _room(self, rows: int, columns: Any) -> NDArray[Any]:
        return np.empty((rows, *np.empty((0, *self.shape[1:]))[:, columns].shape[1:]), self.dtype)

    def _take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Rows by number, in any order and number."""
        if not len(rows):
            return self._rows(rows, rows)
        inverse = None
        if not (np.diff(rows) > 0).all():
            rows, inverse = np.unique(rows, return_inverse=True)
        ends = np.flatnonzero(np.diff(rows) != 1)
        values = self._rows(rows[np.append(0, ends + 1)], rows[np.append(ends, len(rows) - 1)] + 1)
        return values if inverse is None else values[inverse]


def concatenated_ranges(starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every number of some ranges, one range after another; O(their number)."""
    lengths = stops - starts
    before = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(starts - before, lengths)


def _parse(key: Any, shape: tuple[int, ...]) -> tuple[int | slice | NDArray[np.int64], Any]:
    """Rows and columns of a key: an int, a slice or int64 numbers from 0 on; columns also None, for all of them."""
    parts: list[Any] = []
    for part in key if isinstance(key, tuple) else (key,):
        part = np.asarray(part) if isinstance(part, (list, tuple)) or hasattr(part, "__array__") else part
        if part is None or isinstance(part, (bool, np.bool_)) or (isinstance(part, np.ndarray) and _scalar_mask(part)):
            raise IndexError("A stored array takes integers, slices, an ellipsis, and arrays of integers or of bools.")
        if isinstance(part, np.ndarray) and part.dtype == np.bool_ and part.ndim > 1:
            before = sum(other is not Ellipsis for other in parts)
            if part.shape != shape[before : before + part.ndim]:
                raise IndexError(f"A mask of shape {part.shape} does not fit an array of shape {shape}.")
            parts.extend(np.nonzero(part))
        else:
            parts.append(part)
    dots = [i for i, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise IndexError("An index can have one ellipsis only.")
    if len(parts) - len(dots) > len(shape):
        raise IndexError(f"Too many indices: {len(parts) - len(dots)} for an array of {len(shape)} dimensions.")
    at = dots[0] if dots else len(parts)
    parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + len(dots))
    rows, *rest = (_axis(part, length, axis) for axis, (part, length) in enumerate(zip(parts, shape, strict=True)))
    columns = rest[0] if rest and not (isinstance(rest[0], slice) and rest[0] == slice(None)) else None
    return rows, columns


def _scalar_mask(part: NDArray[Any]) -> bool:
    return part.ndim == 0 and part.dtype.kind not in "iu"


def _axis(part: Any, length: int, axis: int) -> int | slice | NDArray[np.int64]:
    """The part of a key that belongs to one axis, counted from 0 and checked."""
    if isinstance(part, slice):
        return part
    if not isinstance(part, np.ndarray) or part.ndim == 0:
        try:
            number = operator.index(part)
        except TypeError as error:
            raise IndexError(f"An index is an integer, a slice or an array of them, not {part!r:.60}.") from error
        if not -length <= number < length:
            raise IndexError(f"Index {number} is out of bounds for axis {axis} with size {length}.")
        return number % length
    if part.dtype == np.bool_:
        if len(part) != length:
            raise IndexError(f"A mask of {len(part)} bools does not fit axis {axis} with size {length}.")
        return np.flatnonzero(part)
    if part.dtype.kind not in "iu" and part.size:
        raise IndexError(f"Arrays used as indices hold integers or bools, not {part.dtype}.")
    numbers = part.astype(np.int64)
    if numbers.size and not -length <= int(numbers.min()) <= int(numbers.max()) < length:
        worst = int(numbers.min()) if int(numbers.min()) < -length else int(numbers.max())
        raise IndexError(f"Index {worst} is out of bounds for axis {axis} with size {length}.")
    return np.where(numbers < 0, numbers + length, numbers)
