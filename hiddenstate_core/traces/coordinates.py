"""Reads coordinates, and what they say of themselves, from whatever a projection is given as."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError

__all__ = ["coordinates_of"]

#: What an embedding says of itself, as far as it does; noted beside its coordinates.
_NOTES = ("method", "parameters", "kl_divergence", "n_iter", "seed", "seconds", "interrupted")


def coordinates_of(projection: Any) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Coordinates and notes of whatever was given as a projection."""
    notes: dict[str, Any] = {}
    if hasattr(projection, "embedding") and callable(projection.embedding):
        projection = projection.embedding()
    if hasattr(projection, "coordinates"):
        notes = {name: getattr(projection, name) for name in _NOTES if hasattr(projection, name)}
        notes["parameters"] = dict(notes.get("parameters", {}))
        projection = projection.coordinates
    elif hasattr(projection, "embedding_"):
        projection = projection.embedding_
    try:
        return np.ascontiguousarray(projection, np.float32), notes
    except (TypeError, ValueError) as error:
        raise InputError(f"A projection must be an array of numbers, not {type(projection).__name__}.") from error
