"""Reads rows of uncompressed shards straight from their files, with a bounded number of open files; safe in threads."""

from __future__ import annotations

import errno
import os
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import StoreError
from hiddenstate_core.traces.shards import ShardLayout

__all__ = ["MEND", "RawRows", "ShardFiles"]

#: What to do about a damaged array.
MEND = "Copy the store again, or record it again with `hiddenstate extract --overwrite`."


class _File:
    """A file that is open, and how many are reading it."""

    __slots__ = ("descriptor", "dropped", "users")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.users = 0
        self.dropped = False


class ShardFiles:
    """Files kept open between reads, the least recently read closed first.

    Parameters
    ----------
    limit : int
        Files kept open at most, beside those that other threads are reading just now.
    """

    def __init__(self, limit: int = 64) -> None:
        self._limit = max(1, limit)
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._files)

    def __len__(self) -> int:
        return len(self._files)

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return os.stat(path).st_size  # noqa: PTH116

    def read(self, path: str, offset: int, into: memoryview) -> int:
        """Fill `into` from a file, from byte `offset` on; returns the bytes that were there to be read.

        Raises
        ------
        OSError
            The file cannot be opened or read.
        """
        if not hasattr(os, "preadv"):  # Windows: no reading at a place without moving a shared one
            with open(path, "rb", buffering=0) as plain:  # noqa: PTH123
                plain.seek(offset)
                return _fill(into, lambda rest, _: plain.readinto(rest) or 0)
        file = self._take(path)
        try:
            return _fill(into, lambda rest, done: os.preadv(file.descriptor, [rest], offset + done))
        finally:
            self._release(file)

    def _take(self, path: str) -> _File:
        with self._lock:
            file = self._files.get(path)
            if file is None:
                file = self._files[path] = _File(self._open(path))
                self._shrink(self._limit)
            else:
                self._files.move_to_end(path)
            file.users += 1
            return file

    def _release(self, file: _File) -> None:
        with self._lock:
            file.users -= 1
            if file.dropped and not file.users:
                os.close(file.descriptor)

    def _open(self, path: str) -> int:
        flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
        try:
            return os.open(path, flags)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        self._shrink(0)  # the process has as many files open as it may
        return os.open(path, flags)

    def _shrink(self, size: int) -> None:
        while len(self._files) > size:
            _, file = self._files.popitem(last=False)
            file.dropped = True
            if not file.users:
                os.close(file.descriptor)


def _fill(into: memoryview, read: Any) -> int:
    done = 0
    while done < len(into):
        count = read(into[done:], done)
        if not count:
            break
        done += count
    return done


def _close(files: OrderedDict[str, _File]) -> None:
    while files:
        os.close(files.popitem()[1].descriptor)


class RawRows:
    """Rows of one array, read from its uncompressed shards without Zarr; safe in threads.

    Each shard is checked once, when it is first read: its length, and its index, byte for byte.

    Parameters
    ----------
    store : Path
        The store, for messages.
    path : str
        The array's path in it.
    layout : ShardLayout
        How its shards are laid out.
    files : ShardFiles
        Keeps files open.
    """

    def __init__(self, store: Path, path: str, layout: ShardLayout, files: ShardFiles) -> None:
        self.layout = layout
        self._store = store
        self._path = path
        self._folder = str(store / path)
        self._files = files
        self._known: dict[int, bool] = {}

    def read(self, start: int, stop: int, out: NDArray[Any]) -> bool:
        """Read rows ``start..stop`` into `out`; False where a shard holds its chunks in another order.

        Parameters
        ----------
        start, stop : int
            ``0 <= start <= stop <= steps``.
        out : (stop - start,) or (stop - start, width), of the array's stored type, C order
            Filled.

        Returns
        -------
        bool
            Whether all rows were read; where not, `out` holds nothing of use and Zarr has to be asked.

        Raises
        ------
        StoreError
            A shard is missing, was cut short, or cannot be read.
        """
        layout = self.layout
        flat: Any = out.reshape(-1).view(np.uint8) if out.size else b""
        into = memoryview(flat)
        first = start
        while start < stop:
            shard = start // layout.rows
            end = min(stop, (shard + 1) * layout.rows)
            if not self._fits(shard):
                return False
            part = into[(start - first) * layout.row_bytes : (end - first) * layout.row_bytes]
            self._read(shard, (start - shard * layout.rows) * layout.row_bytes, part)
            start = end
        return True

    def _fits(self, shard: int) -> bool:
        """Whether a shard is laid out as `layout` says."""
        known = self._known.get(shard)
        if known is not None:
            return known
        layout = self.layout
        expected = layout.index(shard)
        try:
            size = self._files.size(f"{self._folder}/{layout.path(shard)}")
        except FileNotFoundError as error:
            # Zarr would read zeros here; a recording's writer writes every shard, so that this one was lost.
            raise self._damaged(shard, "is missing") from error
        except OSError as error:
            raise self._damaged(shard, f"cannot be read ({error.strerror})") from error
        if size < len(expected):
            raise self._damaged(shard, f"has {size} bytes, not {layout.file_bytes(shard)}")
        found = bytearray(len(expected))
        self._read(shard, size - len(expected), memoryview(found))
        fits = found == expected
        if fits and size != layout.file_bytes(shard):
            raise self._damaged(shard, f"has {size} bytes, not {layout.file_bytes(shard)}")
        self._known[shard] = fits
        return fits

    def _read(self, shard: int, offset: int, into: memoryview) -> None:
        try:
            done = self._files.read(f"{self._folder}/{self.layout.path(shard)}", offset, into)
        except FileNotFoundError as error:
            raise self._damaged(shard, "is missing") from error
        except OSError as error:
            raise self._damaged(shard, f"cannot be read ({error.strerror})") from error
        if done != len(into):
            raise self._damaged(shard, "was cut short")

    def _damaged(self, shard: int, what: str) -> StoreError:
        file = f"{self._path}/{self.layout.path(shard)}"
        return StoreError(f"{self._store}: {self._path} is damaged and cannot be read: its file {file} {what}. {MEND}")
