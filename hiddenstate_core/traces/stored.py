"""`StoredArray`: an array of a store, read when sliced; damage is an error that names the array."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hiddenstate_core.errors import StoreError
from hiddenstate_core.traces.lazy import LazyArray, concatenated_ranges
from hiddenstate_core.traces.rawfiles import MEND, RawRows, ShardFiles
from hiddenstate_core.traces.shards import ShardLayout

if TYPE_CHECKING:
    from hiddenstate_core.traces.quantities import Quantities

__all__ = ["StoredArray", "open_array"]

#: Rows so few bytes apart are read in one go and those between dropped: less than what asking twice costs.
_GAP_BYTES = 16 * 2**10
#: Bytes read in one go at most for the sake of rows that lie apart.
_SPAN_BYTES = 16 * 2**20


class StoredArray(LazyArray):
    """An array of a trace store. Slicing reads what is asked for and gives NumPy; ``np.asarray`` reads all of it.

    Uncompressed shards are read straight from their files into the result; every other array is read through Zarr.
    Arrays stored as bfloat16 are given as float32, float16 ones as they are.

    Parameters
    ----------
    store : Path
        The store.
    path : str
        The array's path in it.
    array : zarr.Array
        The array.
    trace : Trace, optional
        The trace that it belongs to, for coordinates and for reading it in other processes.
    files : ShardFiles, optional
        Keeps shard files open; shared by the arrays of a store.

    Raises
    ------
    StoreError
        On reading, where the array's data is damaged or lost.
    """

    def __init__(
        self,
        store: Path,
        path: str,
        array: zarr.Array[Any],
        trace: Quantities | None = None,
        files: ShardFiles | None = None,
    ) -> None:
        #: The store.
        self.store = store
        self._trace = trace
        #: Path in the store.
        self.path = path
        #: The Zarr array behind it.
        self.array = array
        metadata = array.metadata.to_dict()
        names = metadata.get("dimension_names") or [None] * array.ndim
        self.name = path
        self.shape = tuple(int(n) for n in array.shape)
        self.dimensions = tuple(str(name or f"dim_{axis}") for axis, name in enumerate(names))  # type: ignore[arg-type]
        #: Whether the numbers lie in the store as the upper halves of float32 numbers.
        self.bfloat16 = bool(array.attrs.get("bfloat16")) and array.dtype == np.uint16
        self.dtype = np.dtype(np.float32) if self.bfloat16 else np.dtype(array.dtype)
        layout = ShardLayout.of(metadata)
        self._raw = None if layout is None else RawRows(store, path, layout, files or ShardFiles())

    def __reduce__(self) -> Any:
        if self._trace is None:
            raise TypeError(f"{self.path} of {self.store} was not opened through a trace and cannot be sent elsewhere.")
        return _again, (self._trace, self.path)

    @property
    def layout(self) -> ShardLayout | None:
        """How its uncompressed shards are laid out; None where it is stored in another way and read through Zarr."""
        return None if self._raw is None else self._raw.layout

    @property
    def block(self) -> int:
        """Rows of a chunk."""
        return max(1, int(self.array.chunks[0]))

    @property
    def shard(self) -> int:
        """Rows of a file."""
        return max(1, int((self.array.shards or self.array.chunks)[0]))

    @property
    def token(self) -> str:
        """Store, recording and path."""
        return "/".join((str(self.store), "" if self._trace is None else self._trace.fingerprint, self.path))

    def coordinates(self) -> dict[str, tuple[str, Any]]:
        """See `LazyArray.coordinates`."""
        more = {} if self._trace is None else self._trace.coordinates_of(self.dimensions, len(self))
        return super().coordinates() | more

    def __getitem__(self, key: Any) -> Any:
        if self.ndim in (1, 2):
            return super().__getitem__(key)
        return self._by_zarr(key)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _rows(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[Any]:
        if self._trace is not None:
            self._trace.require_same()
        if len(starts) == 1:
            values = self._span(int(starts[0]), int(stops[0]))
        elif self._raw is None:
            values = self._by_zarr(concatenated_ranges(starts, stops))
        else:
            values = self._runs(starts, stops, self._raw.layout)
        if self.bfloat16:
            return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))

    def _runs(self, starts: NDArray[np.int64], stops: NDArray[np.int64], layout: ShardLayout) -> NDArray[Any]:
        """Many ranges; those near each other are read together."""
        ends = np.cumsum(stops - starts)
        out = np.empty((int(ends[-1]) if len(ends) else 0, *self.shape[1:]), layout.stored_dtype)
        gap, span = _GAP_BYTES // layout.row_bytes, max(1, _SPAN_BYTES // layout.row_bytes)
        breaks = np.flatnonzero(starts[1:] - stops[:-1] > gap) + 1
        first, at = 0, 0
        while first < len(starts):
            following = int(np.searchsorted(breaks, first, side="right"))
            apart = int(breaks[following]) if following < len(breaks) else len(starts)
            reach = int(np.searchsorted(stops, starts[first] + span, side="right"))
            last = max(first + 1, min(apart, reach))
            low, high, end = int(starts[first]), int(stops[last - 1]), int(ends[last - 1])
            if last == first + 1:
                self._span(low, high, out[at:end])
            else:
                wanted = concatenated_ranges(starts[first:last], stops[first:last]) - low
                np.take(self._span(low, high), wanted, 0, out[at:end])
            first, at = last, end
        return out

    def _span(self, start: int, stop: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Successive rows as they are stored."""
        if self._raw is not None:
            into = np.empty((stop - start, *self.shape[1:]), self._raw.layout.stored_dtype) if out is None else out
            if self._raw.read(start, stop, into):
                return into
        values = self._by_zarr(slice(start, stop))
        if out is None:
            return values
        out[...] = values
        return out

    def _by_zarr(self, key: Any) -> NDArray[Any]:
        """What Zarr gives for a key; for an array of rising row numbers, each chunk is decoded once."""
        rows = isinstance(key, np.ndarray)
        try:
            values = np.asarray(self.array.oindex[key] if rows else self.array[key])
        except (IndexError, MemoryError):
            raise
        except Exception as error:  # codecs, Zarr and the file system each have errors of their own
            raise StoreError(f"{self._damaged} ({_brief(error)}). {MEND}") from error
        if rows:
            self._lost(np.unique(key // self.shard).tolist())
        elif isinstance(key, slice):
            self._lost(range(key.start // self.shard, -(-key.stop // self.shard)))
        return values

    @property
    def _damaged(self) -> str:
        return f"{self.store}: {self.path} is damaged and cannot be read"

    def _lost(self, shards: Iterable[int]) -> None:
        """Refuse rows whose file is gone or empty: Zarr gives the fill value for it."""
        whole = (self.array.shards or self.array.chunks)[1:] == self.shape[1:]
        if not whole or self.array.metadata.zarr_format != 3:
            return
        for number in shards:
            file = f"{self.path}/{self.array.metadata.encode_chunk_key((number,) + (0,) * (self.ndim - 1))}"
            try:
                lost = "is empty" if (self.store / file).stat().st_size == 0 else None
            except FileNotFoundError:
                # A writer may leave out what holds the fill value alone, unless it lists the file.
                lost = "is missing" if file in _listed(self.store / "checksums.json") else None
            if lost is not None:
                raise StoreError(f"{self._damaged}: its file {file} {lost}. {MEND}")


def open_array(
    group: zarr.Group,
    store: Path,
    path: str,
    where: str | None = None,
    *,
    trace: Quantities | None = None,
    files: ShardFiles | None = None,
) -> StoredArray:
    """The array at `path` of a group; `where` is its path in the store where that is another.

    Raises
    ------
    StoreError
        No such array, or one whose description is damaged.
    """
    where = where or path
    try:
        array = group[path]
    except KeyError as error:
        raise StoreError(f"{store} has no array {where}; the store is damaged or incomplete.") from error
    except Exception as error:
        raise StoreError(f"{store}: the description of {where} is damaged ({_brief(error)}).") from error
    if not isinstance(array, zarr.Array):
        raise StoreError(f"{store} has a group at {where} where an array belongs; the store is damaged.")
    return StoredArray(store, where, array, trace, files)


def _again(trace: Quantities, path: str) -> StoredArray:
    """The array of a trace that was opened again, in another process."""
    return trace.array(path)


def _listed(checksums: Path) -> frozenset[str]:
    """Every file that the store's writer made, by its list of checksums; empty where there is none."""
    try:
        return _names(checksums, checksums.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


@functools.lru_cache(maxsize=4)
def _names(checksums: Path, changed: int) -> frozenset[str]:
    return frozenset(json.loads(checksums.read_text(encoding="utf-8"))["files"])


def _brief(error: Exception) -> str:
    text = str(error).strip().split("\n", 1)[0][:120]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
