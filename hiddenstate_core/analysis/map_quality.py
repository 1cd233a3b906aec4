"""Keeps in the trace how far each point of a projection can be trusted, so that a map can be coloured by it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from hiddenstate_core.analysis.quantity import StateSource
from hiddenstate_core.projection.quality import Quality, quality
from hiddenstate_core.traces.additions import open_group
from hiddenstate_core.traces.stored import StoredArray, open_array
from hiddenstate_core.traces.trace import Trace

__all__ = ["QUALITY_COLUMNS", "read_quality", "store_quality"]

#: What the columns of the stored array are, by name.
QUALITY_COLUMNS = ("recall", "trust", "continuity")

#: Longest name of an array, and rows of the coordinates that tell one projection from another.
_LONGEST, _ROWS = 64, 4096
#: Pairs of points that are compared by default.
_PAIRS = 400_000_000


def store_quality(trace: Trace, projection: str, *, k: int = 10, sample: int | None = None, seed: int = 0) -> Quality:
    """Measure a projection and keep the figures of its points in the trace.

    Parameters
    ----------
    trace : Trace
        A recording with the states that the projection was made of.
    projection : str
        Its name.
    k : int
        Neighbours compared.
    sample : int, optional
        Points that are looked at; the others are NaN. All up to 20,000 states by default; of more, as many as cost
        the same, at least 2000.
    seed : int
        Of the sample.

    Returns
    -------
    Quality
        The figures of the whole map, too; they are noted in the attributes of the array, with the number of points
        looked at.

    Raises
    ------
    StoreNotFoundError
        No such projection.
    InputError
        States that were not recorded, or too few for `k`.

    Notes
    -----
    O(sample N H); see `quality`. Kept as ``analysis/quality-<projection>``, (N, 3) float32: recall, trustworthiness
    and continuity of every point.
    """
    found = trace.projection(projection)
    source = StateSource.of(trace, found.attributes, f"The projection {projection!r} of {trace.path}")
    mark = _mark(trace, projection)
    if sample is None:
        sample = max(2000, _PAIRS // max(1, trace.steps))
    measured = quality(source.array(trace), found.coordinates, n_neighbors=k, sample=sample, seed=seed)
    values = np.column_stack([measured.point_recall, measured.point_trustworthiness, measured.point_continuity])
    notes = {"projection": projection, "of": mark, "columns": list(QUALITY_COLUMNS), "k": k, "seed": seed}
    trace.add_analysis(_name(projection), values, attributes={**notes, "quality": measured.to_dict()})
    return measured


def read_quality(trace: Trace, projection: str) -> StoredArray | None:
    """Stored figures of the points of a projection, (N, 3); columns are `QUALITY_COLUMNS`.

    Returns
    -------
    StoredArray or None
        None where none were stored, or the projection was replaced or removed since.
    """
    name = _name(projection)
    if projection not in trace.projections or (values := trace.analysis(name)) is None:
        return None
    notes: dict[str, Any] = open_group(trace.path / "analysis" / name).attrs.asdict()
    fits = values.shape == (trace.steps, len(QUALITY_COLUMNS)) and notes.get("of") == _mark(trace, projection)
    return values if fits else None


def _name(projection: str) -> str:
    name = f"quality-{projection}"
    return name if len(name) <= _LONGEST else f"quality-{hashlib.sha256(projection.encode()).hexdigest()[:32]}"


def _mark(trace: Trace, projection: str) -> str:
    """Digest that tells a projection from others that had its name: how it was made, and where its first points lie."""
    group = open_group(trace.path / "projections" / projection)
    coordinates = open_array(group, trace.path, "coordinates", f"projections/{projection}/coordinates")
    head = np.ascontiguousarray(coordinates[:_ROWS], "<f4")
    notes = json.dumps(group.attrs.asdict(), sort_keys=True)
    return hashlib.sha256(notes.encode() + head.tobytes()).hexdigest()
