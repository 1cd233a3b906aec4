"""Arrays that belong to a projection and are read by memory map, so that all processes of a machine share them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hiddenstate_core.atomic import atomic_directory
from hiddenstate_core.errors import StoreError
from hiddenstate_core.traces.schema import check_name

__all__ = ["read_mapped", "write_mapped"]


def write_mapped(
    store: Path,
    projection: str,
    part: str,
    arrays: Mapping[str, tuple[NDArray[Any], tuple[str, ...]]],
    attributes: Mapping[str, Any],
) -> None:
    """Store arrays as ``projections/<projection>/<part>``; the group appears whole or not at all.

    Parameters
    ----------
    store : Path
        The trace store.
    projection, part : str
        Where in it.
    arrays : mapping of str to (array, dimension names)
        Each becomes one uncompressed chunk, that is a file of plain numbers.
    attributes : mapping
        Of the group; JSON values.

    Raises
    ------
    OutputError
        Nothing can be written there.
    """
    check_name(projection, "projection")
    check_name(part, "group")
    with atomic_directory(store / "projections" / projection / part) as temporary:
        group = zarr.create_group(temporary, zarr_format=3, attributes=dict(attributes), overwrite=True)
        for name, (values, dimensions) in arrays.items():
            shape = tuple(max(1, n) for n in values.shape)
            array = group.create_array(
                name,
                shape=values.shape,
                chunks=shape,
                dtype=values.dtype,
                compressors=None,
                dimension_names=dimensions,
                config={"write_empty_chunks": True},  # a file of zeros is mapped as well
            )
            array[...] = values


def read_mapped(store: Path, projection: str, part: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
    """Arrays of ``projections/<projection>/<part>`` as read-only memory maps, and the group's attributes.

    Parameters
    ----------
    store : Path
        The trace store.
    projection, part : str
        Where in it.

    Returns
    -------
    dict of arrays and dict, or None
        None where there is no such group.

    Raises
    ------
    StoreError
        It is there but is not what `write_mapped` writes: another layout, or a file cut short.
    """
    check_name(projection, "projection")
    check_name(part, "group")
    folder = store / "projections" / projection / part
    if not (folder / "zarr.json").is_file():
        return None
    try:
        attributes = json.loads((folder / "zarr.json").read_text("utf-8")).get("attributes", {})
        names = sorted(p.name for p in folder.iterdir() if (p / "zarr.json").is_file())
        return {name: _map(folder / name) for name in names}, dict(attributes)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise StoreError(
            f"{store}: projections/{projection}/{part} is damaged ({error}); remove that folder, it is made again."
        ) from error


def _map(folder: Path) -> NDArray[Any]:
    about = json.loads((folder / "zarr.json").read_text("utf-8"))
    shape = tuple(int(n) for n in about["shape"])
    dtype = np.dtype({"int64": "<i8", "int32": "<i4", "float32": "<f4"}[about["data_type"]])
    chunk = tuple(int(n) for n in about["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = [codec["name"] for codec in about["codecs"]]
    if codecs != ["bytes"] or any(have < want for have, want in zip(chunk, shape, strict=True)):
        raise ValueError(f"{folder.name} is not one uncompressed chunk")
    if about["codecs"][0].get("configuration", {}).get("endian", "little") != "little":
        raise ValueError(f"{folder.name} is not little-endian")
    if 0 in shape:
        return np.zeros(shape, dtype)
    path = folder / "c" / "/".join("0" * len(shape))
    size = path.stat().st_size
    if size != int(np.prod(shape)) * dtype.itemsize:
        raise ValueError(f"{folder.name} has {size} bytes")
    return np.asarray(np.memmap(path, dtype, "r", shape=shape))
