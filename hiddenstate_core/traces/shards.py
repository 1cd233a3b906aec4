"""The layout of an uncompressed Zarr v3 shard: its rows, contiguous, little-endian; padding; then Zarr's index."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import google_crc32c
import numpy as np

from hiddenstate_core.errors import InputError

__all__ = ["ShardLayout"]

#: Offset and length of an inner chunk that a shard does not hold.
_ABSENT = 2**64 - 1
_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


@dataclasses.dataclass(frozen=True)
class ShardLayout:
    """Where the rows of a one- or two-dimensional array lie in its uncompressed shards.

    A shard file is what zarr-python writes for codecs ``sharding_indexed(bytes(little); index: bytes, crc32c; end)``
    with ``write_empty_chunks=True``: the inner chunks one after another, which for chunks as wide as the array are
    the shard's rows one after another; zeros up to the end of a last chunk that is begun; then, for every inner chunk,
    its offset and length as two little-endian uint64 (both 2**64 - 1 for a chunk wholly beyond the array), and the
    CRC-32C of these as a little-endian uint32.

    Parameters
    ----------
    rows : int
        Rows of a shard, a multiple of `chunk`.
    chunk : int
        Rows of an inner chunk.
    width : int or None
        Columns; None for an array of one dimension.
    dtype : str
        NumPy's name of the type of an element: ``"float32"``, ``"float16"``, ``"int32"``, ``"uint16"``...
    steps : int
        Rows of the whole array.

    Raises
    ------
    InputError
        Sizes that are not positive, chunks that do not divide a shard, or elements that are not plain numbers.

    Notes
    -----
    Source: Zarr v3 specification, "Sharding codec" 1.0.
    """

    rows: int
    chunk: int
    width: int | None
    dtype: str
    steps: int

    def __post_init__(self) -> None:
        sizes = (self.rows, self.chunk, 1 if self.width is None else self.width)
        if min(sizes) < 1 or self.steps < 0 or self.rows % self.chunk:
            raise InputError(
                f"A shard is a whole number of chunks of at least one row and column; not rows {self.rows}, chunk "
                f"{self.chunk}, width {self.width}, of {self.steps} steps."
            )
        if np.dtype(self.dtype).kind not in "biuf":
            raise InputError(f"An uncompressed shard holds plain numbers, not {self.dtype}.")

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> ShardLayout | None:
        """Layout of an array by its ``zarr.json``; None where the array is laid out in any other way."""
        try:
            shape, name = tuple(metadata["shape"]), str(metadata["data_type"])
            grid, keys, (codec,) = metadata["chunk_grid"], metadata["chunk_key_encoding"], metadata["codecs"]
            inner = codec["configuration"]
            outer, chunk = tuple(grid["configuration"]["chunk_shape"]), tuple(inner["chunk_shape"])
            plain = (
                len(shape) in (1, 2)
                and outer[1:] == chunk[1:] == shape[1:]
                and (grid["name"], keys["name"], codec["name"]) == ("regular", "default", "sharding_indexed")
                and keys.get("configuration", {}).get("separator", "/") == "/"
                and not metadata.get("storage_transformers")
                and inner.get("index_location", "end") == "end"
                and [_codec(c) for c in inner["index_codecs"]] == _INDEX_CODECS
            )
            if not plain:
                return None
            layout = cls(outer[0], chunk[0], shape[1] if len(shape) == 2 else None, name, shape[0])
            (codec,) = inner["codecs"]
            single = np.dtype(name).itemsize == 1 and _codec(codec) == {"name": "bytes"}
            return layout if single or _codec(codec) == _INDEX_CODECS[0] else None
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):  # InputError is a ValueError
            return None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""
        return (self.steps,) if self.width is None else (self.steps, self.width)

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Type of an element as it lies in the file, little-endian."""
        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return np.dtype(self.dtype).itemsize * (1 if self.width is None else self.width)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of an inner chunk."""
        return self.chunk * self.row_bytes

    @property
    def index_bytes(self) -> int:
        """Bytes of a shard's index, checksum included; the same for every shard."""
        return 16 * (self.rows // self.chunk) + 4

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.steps // self.rows)

    def span(self, shard: int) -> tuple[int, int]:
        """First row of a shard in the array, and one past its last."""
        if not 0 <= shard < self.shards:
            raise InputError(f"Shard {shard} does not exist; {self.steps} rows lie in {self.shards} shards.")
        return shard * self.rows, min((shard + 1) * self.rows, self.steps)

    def chunks(self, shard: int) -> int:
        """Inner chunks that a shard holds: those that begin before the end of the array."""
        start, stop = self.span(shard)
        return -(-(stop - start) // self.chunk)

    def data_bytes(self, shard: int) -> int:
        """Bytes of a shard's rows, without padding."""
        start, stop = self.span(shard)
        return (stop - start) * self.row_bytes

    def file_bytes(self, shard: int) -> int:
        """Bytes of a shard's file."""
        return self.chunks(shard) * self.chunk_bytes + self.index_bytes

    def index(self, shard: int) -> bytes:
        """A shard's index, as it ends the file."""
        entries = np.full((self.rows // self.chunk, 2), _ABSENT, "<u8")
        held = self.chunks(shard)
        entries[:held, 0] = np.arange(held, dtype=np.uint64) * np.uint64(self.chunk_bytes)
        entries[:held, 1] = self.chunk_bytes
        encoded = entries.tobytes()
        return encoded + int(google_crc32c.value(encoded)).to_bytes(4, "little")

    def tail(self, shard: int) -> bytes:
        """What follows a shard's rows in its file: padding with zeros to whole chunks, then the index."""
        return bytes(self.chunks(shard) * self.chunk_bytes - self.data_bytes(shard)) + self.index(shard)

    def path(self, shard: int) -> str:
        """Path of a shard's file below the array's folder: ``c/3``, or ``c/3/0`` for two dimensions."""
        return f"c/{shard}" if self.width is None else f"c/{shard}/0"


def _codec(codec: Any) -> dict[str, Any]:
    """A codec's description without an empty configuration; the short form, a name alone, is the same."""
    if isinstance(codec, str):
        return {"name": codec}
    return {k: v for k, v in codec.items() if k == "name" or (k == "configuration" and v)}
