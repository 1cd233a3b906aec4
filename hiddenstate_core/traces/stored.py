"""`StoredArray`: an array of a store, read when sliced; damage is an error that names the array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hiddenstate_core.errors import StoreError

__all__ = ["StoredArray", "open_array"]


class StoredArray:
    """An array of a trace store. Slicing reads what is asked for and gives NumPy; ``np.asarray`` reads all of it.

    Parameters
    ----------
    store : Path
        The store.
    path : str
        The array's path in it.
    array : zarr.Array
        The array.

    Raises
    ------
    StoreError
        On reading, where the array's data is damaged.
    """

    def __init__(self, store: Path, path: str, array: zarr.Array[Any]) -> None:
        self._store = store
        #: Path in the store.
        self.path = path
        #: The Zarr array behind it.
        self.array = array

    def __repr__(self) -> str:
        return f"StoredArray({self.path!r}, shape {self.shape}, {self.dtype})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an element."""
        return np.dtype(self.array.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            return np.asarray(self.array[key])
        except (IndexError, MemoryError):
            raise
        except Exception as error:  # codecs, Zarr and the file system each have errors of their own
            raise StoreError(
                f"{self._store}: {self.path} is damaged and cannot be read ({_brief(error)}). "
                "Copy the store again, or record it again with `hiddenstate extract --overwrite`."
            ) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        values = self[...]
        return values if dtype is None else values.astype(dtype, copy=False)


def open_array(group: zarr.Group, store: Path, path: str, where: str | None = None) -> StoredArray:
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
    return StoredArray(store, where, array)


def _brief(error: Exception) -> str:
    text = str(error).strip().split("\n", 1)[0][:120]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
