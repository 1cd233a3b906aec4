"""Uncompressed shards: the very bytes that zarr-python writes, for every kind of end."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate_core.errors import InputError
from hiddenstate_core.traces.shards import ShardLayout


def by_zarr(folder: Path, layout: ShardLayout, values: np.ndarray[Any, Any]) -> zarr.Array[Any]:
    """Write an array of a layout with zarr-python, shard by shard."""
    tail = () if layout.width is None else (layout.width,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = zarr.create_array(
            folder,
            shape=layout.shape,
            chunks=(layout.chunk, *tail),
            shards=(layout.rows, *tail),
            dtype=layout.dtype,
            compressors=None,
            filters=None,
            config={"write_empty_chunks": True},
            overwrite=True,
        )
    for shard in range(layout.shards):
        start, stop = layout.span(shard)
        array[start:stop] = values[start:stop]
    return array


def numbers(layout: ShardLayout, seed: int = 0) -> np.ndarray[Any, Any]:
    """Values of a layout's shape and type, some zero."""
    values = np.random.default_rng(seed).integers(-5, 6, layout.shape)
    return np.abs(values).astype(layout.dtype) if layout.dtype.startswith("u") else values.astype(layout.dtype)


def check(folder: Path, layout: ShardLayout, values: np.ndarray[Any, Any]) -> None:
    """Compare every file of an array with the layout's."""
    array = by_zarr(folder, layout, values)
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == {
        "zarr.json",
        *(layout.path(k) for k in range(layout.shards)),
    }
    for shard in range(layout.shards):
        start, stop = layout.span(shard)
        rows = values[start:stop].astype(layout.stored_dtype).tobytes()
        assert len(rows) == layout.data_bytes(shard)
        made = rows + layout.tail(shard)
        assert len(made) == layout.file_bytes(shard)
        assert made == (folder / layout.path(shard)).read_bytes()
    assert ShardLayout.of(json.loads((folder / "zarr.json").read_text())) == layout
    assert ShardLayout.of(array.metadata.to_dict()) == layout


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "uint16", "float64", "int8"])
@pytest.mark.parametrize("width", [None, 1, 5])
@pytest.mark.parametrize("steps", [1, 4, 12, 13, 24, 27])
def test_files_are_those_of_zarr(tmp_path: Path, dtype: str, width: int | None, steps: int) -> None:
    layout = ShardLayout(12, 4, width, dtype, steps)
    check(tmp_path / "a", layout, numbers(layout))
    check(tmp_path / "a", layout, np.zeros(layout.shape, dtype))


@settings(max_examples=25, deadline=None)
@given(chunk=st.integers(1, 5), chunks=st.integers(1, 4), steps=st.integers(0, 50), width=st.sampled_from([None, 1, 3]))
def test_any_sizes(
    tmp_path_factory: pytest.TempPathFactory, chunk: int, chunks: int, steps: int, width: int | None
) -> None:
    layout = ShardLayout(chunk * chunks, chunk, width, "float32", steps)
    check(tmp_path_factory.mktemp("shards") / "a", layout, numbers(layout, steps))


def test_the_sizes_of_a_last_shard_by_hand() -> None:
    layout = ShardLayout(12, 4, 5, "float32", 17)  # the second shard: 5 rows of 20 bytes in two chunks of three
    assert (layout.shards, layout.row_bytes, layout.chunk_bytes, layout.index_bytes) == (2, 20, 80, 52)
    assert [layout.span(k) for k in (0, 1)] == [(0, 12), (12, 17)]
    assert [layout.chunks(k) for k in (0, 1)] == [3, 2]
    assert [layout.file_bytes(k) for k in (0, 1)] == [292, 212]
    assert layout.path(1) == "c/1/0"
    assert ShardLayout(12, 4, None, "int32", 17).path(1) == "c/1"
    tail = layout.tail(1)
    assert tail[:60] == bytes(60)
    assert np.frombuffer(tail[60:-4], "<u8").tolist() == [0, 80, 80, 80, 2**64 - 1, 2**64 - 1]


def test_what_is_no_layout_is_refused() -> None:
    for rows, chunk, width, dtype, steps in (
        (10, 4, 5, "float32", 3),
        (0, 1, 5, "float32", 3),
        (4, 4, 0, "float32", 3),
        (4, 4, 5, "float32", -1),
        (4, 4, 5, "str", 3),
    ):
        with pytest.raises(InputError):
            ShardLayout(rows, chunk, width, dtype, steps)
    with pytest.raises(InputError, match="Shard 3 does not exist"):
        ShardLayout(4, 2, None, "int32", 9).span(3)


def _changes() -> list[Any]:
    def at(*path: Any, value: Any) -> Any:
        def change(metadata: dict[str, Any]) -> None:
            for key in path[:-1]:
                metadata = metadata[key]
            metadata[path[-1]] = value

        return change

    codec = ("codecs", 0, "configuration")
    return [
        at("codecs", value=[{"name": "bytes", "configuration": {"endian": "little"}}]),
        at(*codec, "codecs", value=[{"name": "bytes", "configuration": {"endian": "big"}}]),
        at(*codec, "codecs", 0, "name", value="zstd"),
        at(*codec, "index_location", value="start"),
        at(*codec, "index_codecs", value=[{"name": "bytes", "configuration": {"endian": "little"}}]),
        at(*codec, "chunk_shape", value=[4, 1]),
        at("chunk_grid", "configuration", "chunk_shape", value=[12, 10]),
        at("chunk_grid", "name", value="rectangular"),
        at("chunk_key_encoding", value={"name": "v2", "configuration": {"separator": "."}}),
        at("chunk_key_encoding", "configuration", "separator", value="."),
        at("data_type", value="string"),
        at("shape", value=[5, 5, 5]),
        at("shape", value=None),
        at("storage_transformers", value=[{"name": "other"}]),
    ]


@pytest.mark.parametrize("number", range(len(_changes())))
def test_any_other_array_has_no_layout(tmp_path: Path, number: int) -> None:
    layout = ShardLayout(12, 4, 5, "float32", 27)
    by_zarr(tmp_path / "a", layout, numbers(layout))
    metadata = json.loads((tmp_path / "a" / "zarr.json").read_text())
    assert ShardLayout.of(metadata) == layout
    _changes()[number](metadata)
    assert ShardLayout.of(metadata) is None
