"""What all sessions share of a map's points: their spatial order, and what colours them, in that order."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.analysis.spatial import SpatialOrder
from hiddenstate_viewer.colours import MAX_HUES, OTHER, UNKNOWN, Palette, mix, ramp
from hiddenstate_viewer.theme import Look

if TYPE_CHECKING:
    from hiddenstate_viewer.data import ViewData

__all__ = ["Colouring", "MapPoints", "SharedCache", "Source", "points_of"]

#: Bytes of colour values and of masks that are kept.
_BUDGET = 2**30
#: Keys of colours that depend on which states are looked at.
_OF_STATES = ("unit", "cell", "gate", "distance")
#: Scales over a number that is not a class: dark to light where nothing is the middle, else blue to orange.
_SEQUENTIAL = ((0x2B, 0x0B, 0x57), (0x8C, 0x29, 0x81), (0xDE, 0x49, 0x68), (0xFE, 0x9F, 0x6D))
_DIVERGING = ((0x00, 0x72, 0xB2), (0xC3, 0xC6, 0xCA), (0xD5, 0x5E, 0x00))


class SharedCache:
    """Values by key up to a number of bytes, the least recently used dropped first; each made once, by one thread.

    Parameters
    ----------
    budget : int
        Bytes kept at most, beside the value that was asked for last.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Future[Any], int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        """The value kept under `key`, else what `make` gives; others who ask meanwhile wait for the same value.

        Parameters
        ----------
        key : hashable
        make : callable
            Called without the cache's lock; what it raises reaches all who wait, and is not kept.
        size : callable
            Bytes of a value.
        """
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
            else:
                future: Future[Any] = Future()
                self._kept[key] = future, 0
        if known is not None:
            return known[0].result()
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                self._kept.pop(key, None)
            future.set_exception(error)
            raise
        future.set_result(value)
        with self._lock:
            if key in self._kept:
                self._kept[key] = future, size(value)
                self._shrink(key)
        return value

    def _shrink(self, newest: Hashable) -> None:
        total = sum(size for _, size in self._kept.values())
        for key in list(self._kept):
            if total <= self.budget:
                return
            future, size = self._kept[key]
            if key != newest and future.done():
                del self._kept[key]
                total -= size


@dataclasses.dataclass(frozen=True)
class Source:
    """Which numbers colour the states.

    Parameters
    ----------
    key : str
        As in `hiddenstate_core.analysis.step_values`: ``"prediction"``, ``"class"``, ``"unit:3"``...
    layer : int
    direction : str, optional
    quantity : str
        Whose states are meant, where that makes a difference.
    """

    key: str
    layer: int = -1
    direction: str | None = None
    quantity: str = "hidden"

    @classmethod
    def of(cls, selection: Any) -> Source:
        """What a session's selection asks for."""
        key = "class" if selection.colour_by == "true" else str(selection.colour_by)
        if key.split(":", 1)[0] not in _OF_STATES:
            return cls(key)
        direction = getattr(selection, "direction", None)
        return cls(key, selection.layer, direction, getattr(selection, "quantity", "hidden"))


@dataclasses.dataclass(frozen=True, eq=False)
class Colouring:
    """What colours the states of one map, in its spatial order; N states, K groups.

    Parameters
    ----------
    values : (N,) float32 or uint8
        Numbers, NaN where not known; or groups.
    strength : (N,) float32, optional
        0 to 1: how surely a state belongs to its group.
    kind : str
        ``"diverging"``, ``"sequential"`` or ``"categorical"``.
    limits : (float, float)
        What the ends of the scale stand for; not used by groups.
    classes : tuple of str
        Names of the classes behind the groups.
    """

    values: NDArray[Any]
    strength: NDArray[np.float32] | None
    kind: str
    limits: tuple[float, float]
    classes: tuple[str, ...] = ()

    @functools.cached_property
    def complete(self) -> bool:
        """Whether every number is known."""
        return self.kind == "categorical" or not bool(np.isnan(self.values).any())

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.values.nbytes + (0 if self.strength is None else self.strength.nbytes)

    def share(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Numbers as shares of the scale, 0 to 1; NaN stays."""
        low, high = self.limits
        return np.clip((np.asarray(values, np.float32) - low) / ((high - low) or 1.0), 0, 1)


class MapPoints:
    """The points of a trace's maps; thread-safe.

    Parameters
    ----------
    data : ViewData
        The trace.
    """

    def __init__(self, data: ViewData) -> None:
        self.data = data
        self._values = SharedCache(_BUDGET)

    def order(self, projection: str) -> SpatialOrder:
        """Spatial order of a projection: mapped from the store where that can be."""
        return self.data.order(projection)

    def inside(self, projection: str, xs: Any, ys: Any) -> NDArray[np.int64]:
        """Steps whose points lie inside a polygon, ascending."""
        return self.order(projection).inside(xs, ys)

    def sequences(self, projection: str) -> NDArray[np.int32]:
        """Sequence of each point, (N,) int32, in spatial order."""

        def make() -> NDArray[np.int32]:
            trace = self.data.trace
            number = np.repeat(np.arange(len(trace), dtype=np.int32), np.diff(trace.offsets))
            return np.asarray(number[self.order(projection).steps], np.int32)

        return self._values.get(("sequence", projection), make, lambda a: a.nbytes)

    def mask(self, projection: str, key: Hashable, steps: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask over steps, (N,) bool, in spatial order; `key` stands for what it was made from."""
        return self._values.get(
            ("mask", projection, key), lambda: steps[self.order(projection).steps], lambda a: a.nbytes
        )

    def colouring(self, projection: str, source: Source) -> Colouring:
        """What colours the states, in spatial order.

        Raises
        ------
        InputError
            The trace has no such quantity.
        """
        return self._values.get(
            ("colour", projection, source), lambda: self._colouring(projection, source), lambda c: c.nbytes
        )

    def _colouring(self, projection: str, source: Source) -> Colouring:
        data, steps = self.data, self.order(projection).steps
        classes = data.trace.classes
        if source.key == "prediction":
            if data.palette.binary:
                p = np.where(data.predicted == 1, data.confidence, 1 - data.confidence).astype(np.float32)
                return Colouring(p[steps], None, "diverging", (0.0, 1.0))
            codes = _groups(data.palette)[data.predicted][steps]
            return Colouring(codes, data.palette.strength(data.confidence)[steps], "categorical", (0.0, 1.0), classes)
        if source.key == "class":
            by_sequence = _groups(data.palette)[data.trace.labels.astype(np.int64)]
            return Colouring(by_sequence[self.sequences(projection)], None, "categorical", (0.0, 1.0), classes)
        from hiddenstate_core.analysis import step_values  # the one place where other quantities come in

        found = step_values(
            data.trace, source.key, layer=source.layer, direction=source.direction, quantity=source.quantity
        )
        values = np.asarray(found.full())
        if found.kind == "categorical":
            groups = _groups(Palette.of(found.classes))
            return Colouring(groups[values.astype(np.int64)][steps], None, "categorical", (0.0, 1.0), found.classes)
        values = values.astype(np.float32, copy=False)
        limits = found.limits or _limits(values, found.kind)
        return Colouring(values[steps], None, found.kind, limits)

    def palette(self, source: Source, colouring: Colouring, look: Look) -> Palette:
        """Colours of the groups."""
        if source.key in ("prediction", "class"):
            return self.data.colours(look)
        return Palette.of(colouring.classes, dark=look.dark)

    def table(self, source: Source, colouring: Colouring, look: Look) -> NDArray[np.uint8]:
        """Colours of the scale, (256, 3) uint8; of groups, (K, 256, 3): from no strength to full."""

        def make() -> NDArray[np.uint8]:
            if colouring.kind != "categorical":
                if source.key == "prediction":
                    return self.data.colours(look).diverging
                if colouring.kind == "diverging":
                    low, middle, high = _DIVERGING
                    return ramp(low, (0x62, 0x69, 0x72) if look.dark else middle, high)
                return ramp(*(_SEQUENTIAL if not look.dark else _SEQUENTIAL[1:]))
            palette = self.palette(source, colouring, look)
            own = np.flatnonzero(palette.own)[:MAX_HUES]
            hues = np.vstack([palette.hues[own], np.array([OTHER, UNKNOWN], np.uint8)])
            return mix(np.asarray(palette.unsure), hues[:, None, :], np.linspace(0, 1, 256)[None, :])

        key = ("table", source, colouring.classes, look.name)
        return self._values.get(key, make, lambda a: a.nbytes)


def points_of(data: ViewData) -> MapPoints:
    """The points of a trace's maps, one object for all sessions."""
    return data.keep("points", None, lambda: MapPoints(data))


def _groups(palette: Palette) -> NDArray[np.uint8]:
    """Group of each class, then of class -1 ("not known"): classes without a hue of their own share one."""
    own = np.flatnonzero(palette.own)[:MAX_HUES]
    group = np.full(len(palette.classes) + 1, len(own), np.uint8)
    group[own] = np.arange(len(own))
    group[-1] = len(own) + 1
    return group


def _limits(values: NDArray[np.float32], kind: str) -> tuple[float, float]:
    """Ends of a scale that a few extreme values do not stretch: the 1st and 99th percentile of a sample."""
    some = values[:: max(1, len(values) // 200_000)]
    some = some[np.isfinite(some)]
    if not len(some):
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(some, [1, 99]))
    if kind == "diverging":
        high = max(abs(low), abs(high))
        low = -high
    return (low, high) if high > low else (low - 0.5, low + 0.5)
