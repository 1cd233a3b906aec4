"""Checksums of a store's files: CRC-32C of every block, so that damage is found and can be placed."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import StoreError

__all__ = ["NAME", "FileChecksum", "checksum_of_file", "checksum_of_rows", "read_checksums", "write_checksums"]

#: File in a store's root that holds the checksums.
NAME = "checksums.json"
_ALGORITHM = "crc32c"
#: Block of files that have no rows of their own.
_BLOCK = 2**20


@dataclasses.dataclass(frozen=True)
class FileChecksum:
    """Size and checksums of a file.

    Parameters
    ----------
    size : int
        Bytes.
    block : int
        Bytes of a block; the last one may be shorter.
    values : tuple of int
        CRC-32C (Castagnoli) of each block.
    """

    size: int
    block: int
    values: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """As in ``checksums.json``."""
        return {"bytes": self.size, "block": self.block, _ALGORITHM: list(self.values)}

    @classmethod
    def from_json(cls, value: Any) -> FileChecksum:
        """Inverse of `to_json`; raises `ValueError` for anything else."""
        if not isinstance(value, dict):
            raise ValueError("a file's entry must be an object")
        size, block, values = (value.get(name) for name in ("bytes", "block", _ALGORITHM))
        whole = all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in (size, block))
        if not whole or not block or not isinstance(values, list) or not all(isinstance(v, int) for v in values):
            raise ValueError("a file's entry must have 'bytes', 'block' and a list of numbers")
        if len(values) != -(-size // block):  # type: ignore[operator]
            raise ValueError("a file's entry must have a number for every block")
        return cls(size, block, tuple(values))  # type: ignore[arg-type]


def checksum_of_rows(rows: NDArray[Any], tail: bytes, block: int) -> FileChecksum:
    """Checksum of a file that holds an array's bytes and then `tail`; O(bytes).

    Parameters
    ----------
    rows : C-contiguous array
        What the file begins with.
    tail : bytes
        How it ends.
    block : int
        Bytes of a block.
    """
    data = rows.reshape(-1).view(np.uint8)
    whole = len(data) // block * block
    values = _of_blocks(data[:whole].reshape(-1, block))
    rest = data[whole:].tobytes() + tail
    values += [google_crc32c.value(rest[at : at + block]) for at in range(0, len(rest), block)]
    return FileChecksum(len(data) + len(tail), block, tuple(values))


def checksum_of_file(path: Path, block: int = _BLOCK) -> FileChecksum:
    """Checksum of a file as it is on disk; O(bytes), a block in memory at a time."""
    values = []
    size = 0
    with path.open("rb", buffering=0) as file:
        while data := _read(file, block):
            values.append(int(google_crc32c.value(data)))
            size += len(data)
    return FileChecksum(size, block, tuple(values))


def write_checksums(store: Path, files: Mapping[str, FileChecksum]) -> None:
    """Write ``checksums.json``: files by their path in the store, with a checksum of the list itself."""
    entries = {path: files[path].to_json() for path in sorted(files)}
    text = json.dumps(entries, separators=(",", ":"))
    own = google_crc32c.value(text.encode())
    (store / NAME).write_text(f'{{"algorithm":"{_ALGORITHM}","list":{own},"files":{text}}}\n', encoding="utf-8")


def read_checksums(store: Path) -> dict[str, FileChecksum] | None:
    """Checksums of a store's files by path; None where the store has none.

    Raises
    ------
    StoreError
        The list itself is damaged.
    """
    path = store / NAME
    if not path.is_file():
        return None
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        files = listed["files"]
        own = google_crc32c.value(json.dumps(files, separators=(",", ":")).encode())
        if listed["algorithm"] != _ALGORITHM or listed["list"] != own:
            raise ValueError("its own checksum does not fit")
        return {str(name): FileChecksum.from_json(entry) for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{path} is damaged ({str(error)[:80]}); the store cannot be checked against it.") from error


def _of_blocks(blocks: NDArray[np.uint8]) -> list[int]:
    """CRC-32C of each row."""
    together = _together()
    if together is None or blocks.shape[1] % 8 or blocks.ctypes.data % 8:
        return [google_crc32c.value(block.tobytes()) for block in blocks]
    found = np.empty(len(blocks), np.uint64)
    together(blocks.view(np.uint64), found)
    return [int(value) for value in found.tolist()]


@functools.cache
def _together() -> Callable[[NDArray[np.uint64], NDArray[np.uint64]], None] | None:
    """The kernel that takes many blocks at once, without the interpreter's lock; None where it cannot run."""
    from hiddenstate_core.kernels.crc32c import crc32c_of_blocks, has_crc32c  # only who writes needs Numba

    return crc32c_of_blocks if has_crc32c() else None


def _read(file: Any, count: int) -> bytes:
    """Exactly `count` bytes unless the file ends."""
    parts: list[bytes] = []
    while count:
        part = file.read(count)
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def blocks_that_differ(path: Path, expected: FileChecksum) -> Iterator[int]:
    """Numbers of the blocks of a file that are not as they were written.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    found = checksum_of_file(path, expected.block)
    for number, value in enumerate(expected.values):
        if number >= len(found.values) or found.values[number] != value:
            yield number
    if found.size > expected.size:
        yield len(expected.values)
