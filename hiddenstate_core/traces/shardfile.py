"""Writes one uncompressed shard to disk: past the system's page cache where it can, aside, synced, then renamed."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hiddenstate_core.traces.checksums import FileChecksum, checksum_of_rows
from hiddenstate_core.traces.shards import ShardLayout

__all__ = ["aligned_empty", "aside_of", "write_shard"]

#: What memory, offsets and sizes are multiples of where a file is written past the page cache.
_ALIGNMENT = 4096
#: Errors of systems and file systems that cannot do that.
_REFUSED = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array whose memory begins at a page, so that `write_shard` can write from it directly."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)


def aside_of(path: Path) -> Path:
    """Where a file of a recording is written before it is renamed.

    The name is this host's and process' own, since another, which took this one for dead, may be writing the same file.
    """
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")


def write_shard(path: Path, rows: NDArray[Any], layout: ShardLayout, shard: int) -> FileChecksum:
    """Write the rows of a shard and what follows them; the file appears at `path` when it is whole and synced.

    Copying states into the page cache costs as much processor time as computing them. Rows in aligned memory (see
    `aligned_empty`) are therefore handed to the disk directly, where the file system allows it; the bytes are the same
    either way.

    Parameters
    ----------
    path : Path
        The file.
    rows : (R, W) or (R,) array
        The shard's rows.
    layout : ShardLayout
        Of the array.
    shard : int
        Which shard.

    Returns
    -------
    FileChecksum
        By the layout's chunks.

    Raises
    ------
    OSError
        The disk is full or cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = aside_of(path)
    rows = np.ascontiguousarray(rows, layout.stored_dtype)
    data, tail = memoryview(rows.reshape(-1).view(np.uint8).data), layout.tail(shard)
    found = checksum_of_rows(rows, tail, layout.chunk_bytes)  # first: the rows were just computed and may be in a cache
    try:
        done = _write_directly(temporary, data)
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | (0 if done else os.O_TRUNC)
        handle = os.open(temporary, flags, 0o666)
        try:
            os.lseek(handle, done, os.SEEK_SET)
            for part in (data[done:], memoryview(tail)):
                while len(part):
                    part = part[os.write(handle, part) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return found


def _write_directly(path: Path, data: memoryview) -> int:
    """Write whole pages past the page cache; how many bytes of `data` are in the file then, 0 where that cannot be."""
    whole = len(data) // _ALIGNMENT * _ALIGNMENT
    address = np.frombuffer(data, np.uint8).ctypes.data if len(data) else 0
    if not whole or address % _ALIGNMENT or not hasattr(os, "O_DIRECT"):
        return 0
    done = 0
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_DIRECT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in _REFUSED:
            return 0
        raise
    try:
        while done < whole and done % _ALIGNMENT == 0:
            done += os.write(handle, data[done:whole])
    except OSError as error:
        # What was written stays; the rest goes through the page cache, which finds a full disk too.
        if error.errno not in _REFUSED:
            raise
    finally:
        os.close(handle)
    return done
