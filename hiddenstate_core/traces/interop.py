"""Stored arrays as xarray's and Dask's, read only when they are computed with."""

from __future__ import annotations

import hashlib
import importlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate_core.errors import InputError, MissingExtraError
from hiddenstate_core.traces.lazy import LazyArray

if TYPE_CHECKING:
    import xarray

__all__ = ["dask_array", "data_array", "dataset"]


def data_array(array: LazyArray, name: str | None = None) -> xarray.DataArray:
    """A lazy `xarray.DataArray` of a stored array, with its named axes and coordinates.

    Raises
    ------
    MissingExtraError
        xarray is not installed.
    """
    xarray = _xarray()
    coordinates = {key: _variable((axis,), values) for key, (axis, values) in array.coordinates().items()}
    name = array.name.rsplit("/", 1)[-1] if name is None else name
    return xarray.DataArray(_variable(array.dimensions, array), coords=coordinates, name=name)


def dataset(arrays: dict[str, LazyArray], attributes: dict[str, Any]) -> xarray.Dataset:
    """A lazy `xarray.Dataset` of stored arrays that share their axes.

    Raises
    ------
    MissingExtraError
        xarray is not installed.
    """
    xarray = _xarray()
    coordinates: dict[str, Any] = {}
    for array in arrays.values():
        for key, (axis, values) in array.coordinates().items():
            if key not in coordinates:
                coordinates[key] = _variable((axis,), values)
    data = {name: _variable(array.dimensions, array) for name, array in arrays.items()}
    return xarray.Dataset(data, coords=coordinates, attrs=attributes)


def dask_array(array: LazyArray, rows: int | None = None) -> Any:
    """A `dask.array.Array` of a stored array, in chunks of `rows` rows.

    Raises
    ------
    InputError
        Chunks of no row.
    MissingExtraError
        Dask is not installed.
    """
    try:
        module = importlib.import_module("dask.array")
    except ImportError as error:
        raise MissingExtraError(
            "A Dask array needs 'dask', which is not installed; install it with: "
            "python -m pip install 'hiddenstate[cluster]'"
        ) from error
    size = getattr(array, "shard", array.block) if rows is None else rows
    if size < 1:
        raise InputError(f"A chunk of a Dask array holds at least one row, not {rows}.")
    digest = hashlib.sha256(f"{array.token} {array.shape} {size}".encode()).hexdigest()[:32]
    return module.from_array(
        array,
        chunks=(min(size, max(1, len(array))), *array.shape[1:]),
        name=f"hiddenstate-{digest}",
        meta=np.empty((0,) * array.ndim, array.dtype),
        fancy=False,
    )


def _xarray() -> Any:
    try:
        import xarray
    except ImportError as error:
        raise MissingExtraError(
            "Named axes need 'xarray', which is not installed; install it with: "
            "python -m pip install 'hiddenstate[xarray]'"
        ) from error
    return xarray


def _variable(dimensions: tuple[str, ...], values: Any) -> Any:
    """An xarray variable, lazy where the values are."""
    xarray = _xarray()
    if not isinstance(values, LazyArray):
        return xarray.Variable(dimensions, values)
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Backend(BackendArray):
        """What xarray asks for rows and columns, one axis independent of the other."""

        shape = values.shape
        dtype = values.dtype
        size = math.prod(values.shape)

        def __getitem__(self, key: Any) -> Any:
            support = indexing.IndexingSupport.OUTER
            return indexing.explicit_indexing_adapter(key, self.shape, support, self._outer)

        def _outer(self, key: tuple[Any, ...]) -> Any:
            if len(key) == 2 and all(isinstance(part, np.ndarray) for part in key):
                return values[key[0]][:, key[1]]
            return values[key]

    return xarray.Variable(dimensions, indexing.LazilyIndexedArray(Backend()))
