"""What a picture or a file shows: the values of the views, chosen by hand or taken from a session's selection."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_viewer.colours import Palette, mix
from hiddenstate_viewer.counts import Counts
from hiddenstate_viewer.data import Reading, ViewData
from hiddenstate_viewer.density import NOTHING, Emphasis, Request, emphasis_of, render
from hiddenstate_viewer.points import Source, points_of
from hiddenstate_viewer.theme import DARK, LIGHT, Look
from hiddenstate_viewer.words import Scale

if TYPE_CHECKING:
    from hiddenstate_viewer.reader import Typed
    from hiddenstate_viewer.state import Selection

__all__ = ["Scene", "choose", "clean", "extent_of"]

Window = tuple[float, float, float, float]


def clean(text: str, length: int = 40) -> str:
    """A word as a file can hold it: control and direction characters shown as ``�``, white space as one blank, cut."""
    shown = "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") or c in _TURNS else c
                    for c in " ".join(text.split()))  # fmt: skip
    shown = shown or "␣"
    return shown if len(shown) <= length else shown[: length - 1] + "…"


#: Characters that turn the direction of what follows them, beyond their own word.
_TURNS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def extent_of(points: NDArray[np.float32], margin: float = 0.035) -> Window:
    """Window (x0, x1, y0, y1) that holds all points, with a margin."""
    if not len(points):
        return (-1.0, 1.0, -1.0, 1.0)
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    room = np.maximum((high - low) * margin, 1e-6)
    low, high = low - room, high + room
    return (float(low[0]), float(high[0]), float(low[1]), float(high[1]))


def choose(data: ViewData, sequence: int | None, projection: str | None) -> tuple[Reading | None, str | None]:
    """The sequence and projection to show: those asked for, else an example and the t-SNE or first projection.

    Raises
    ------
    InputError
        A sequence or projection that does not exist.
    """
    trace = data.trace
    index = data.example() if sequence is None else sequence
    names = trace.projections
    if projection is not None and projection not in names:
        raise InputError(
            f"There is no projection {projection!r} in {trace.path} (it has {', '.join(names) or 'none'}); "
            f"make one with `hiddenstate project {trace.path}`."
        )
    if projection is None and names:
        projection = next((n for n in names if "tsne" in n.lower() or "t-sne" in n.lower()), names[0])
    return (None if index is None else data.reading(index)), projection


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """What is shown, in which colours.

    Parameters
    ----------
    data : ViewData
        The trace.
    look : Look
        Light or dark.
    palette : Palette
        Colours of the classes on that ground.
    reading : Reading or None
        The sequence that is read.
    others : tuple of Reading
        Sequences whose trajectories are drawn beside it.
    projection : str or None
        The map.
    colour_by : str
        What colours the states.
    window : (x0, x1, y0, y1), optional
        Part of the map; the whole by default.
    steps : (N,) bool, optional
        States inside the lassos and boxes.
    black : bool
        Whether trajectories go from grey to black over time rather than being coloured by prediction.
    threshold : float
        Step distance, a share of the data set's largest, from which on words are labelled in the map.
    flows : tuple of int
        Classes whose mean path is drawn.
    source : Source, optional
        Layer, direction and quantity of what colours the states; the last layer's hidden states by default.
    typed : Typed, optional
        A text of one's own, drawn beside them.
    emphasis : Emphasis
        Which states stand out of the map; the rest is grey.
    counts : Counts, optional
        What the data set's overview counts; all sequences by default.
    """

    data: ViewData
    look: Look
    palette: Palette
    reading: Reading | None
    others: tuple[Reading, ...] = ()
    projection: str | None = None
    colour_by: str = "prediction"
    window: Window | None = None
    steps: NDArray[np.bool_] | None = None
    black: bool = False
    threshold: float = 0.3
    flows: tuple[int, ...] = ()
    source: Source | None = None
    typed: Typed | None = None
    emphasis: Emphasis = NOTHING
    counts: Counts | None = None

    @classmethod
    def chosen(
        cls,
        data: ViewData,
        *,
        sequence: int | None = None,
        projection: str | None = None,
        colour_by: str = "prediction",
        dark: bool = False,
    ) -> Scene:
        """One sequence and one map, as `choose` chooses them.

        Raises
        ------
        InputError
            A sequence, projection or colouring that does not exist.
        """
        reading, projection = choose(data, sequence, projection)
        look = DARK if dark else LIGHT
        scene = cls(data, look, data.colours(look), reading, projection=projection, colour_by=colour_by,
                    black=len(data.trace.classes) > 2)  # fmt: skip
        scene.check()
        return scene

    @classmethod
    def of(cls, data: ViewData, selection: Selection, look: Look, typed: Typed | None = None) -> Scene:
        """What a session's page shows now, with the text typed there, if any."""
        options: Any = getattr(selection, "options", None)
        how: dict[str, Any] = {"quantity": selection.quantity, "direction": selection.direction, "look": look}
        reading = None if selection.sequence is None else data.reading(selection.sequence, selection.layer, **how)
        others = tuple(data.reading(s, selection.layer, **how) for s in selection.selected if s != selection.sequence)
        threshold = options.distance_threshold / 100 if getattr(options, "label_after_distance", False) else 0.3
        return cls(
            data, look, data.colours(look), reading, others, selection.projection, selection.colour_by,
            selection.window, selection.steps_mask, bool(getattr(options, "black_trajectory", False)), threshold,
            tuple(selection.flows), Source.of(selection), typed, emphasis_of(data, selection),
            Counts.of(selection),
        )  # fmt: skip

    @property
    def counted(self) -> Counts:
        """What the data set's overview counts."""
        return self.counts or Counts.all(self.data)

    def check(self) -> None:
        """Refuse a colouring that this trace does not have.

        Raises
        ------
        InputError
            It does not; the message names those it has.
        """
        self.colours(np.zeros(0, np.int64))

    def words(self, reading: Reading) -> NDArray[np.uint8]:
        """Colours of the outputs after each word, (T, 3)."""
        return self.palette.outputs(reading.evolution.probabilities)

    def bars(self, reading: Reading) -> NDArray[np.uint8]:
        """Colours of the outputs before each word, (T, 3)."""
        return self.palette.outputs(reading.evolution.before)

    def segments(self, reading: Reading) -> NDArray[np.uint8]:
        """Colours of the T - 1 segments of a trajectory: of the state before the step, or grey to black over time."""
        if not self.black:
            return self.words(reading)[:-1]
        start, end = (_rgb(c) for c in (self.look.start, self.look.end))
        return mix(start, end, np.linspace(0, 1, max(len(reading) - 1, 0)))

    def way(self, reading: Reading) -> NDArray[np.float32]:
        """Places of a sequence's states on the map, (T, 2) float32; empty where there is no map."""
        if self.projection is None:
            return np.zeros((0, 2), np.float32)
        return self.data.coordinates(self.projection)[reading.start : reading.start + len(reading)]

    @property
    def own(self) -> tuple[Reading, NDArray[np.float32]] | None:
        """The text of one's own and the places of its states, (T, 2) float32; None where it is not in this map."""
        if self.typed is None or self.projection not in self.typed.places or not len(self.typed):
            return None
        return self.typed.shown(self.palette), self.typed.places[self.projection]

    @property
    def readings(self) -> tuple[Reading, ...]:
        """All sequences that are drawn: those beside first, so that the one that is read lies on top."""
        return (*self.others, *(() if self.reading is None else (self.reading,)))

    def colours(self, steps: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Colours (n, 3) of these states of the trace by `colour_by`.

        Raises
        ------
        InputError
            No such colouring in this trace.
        """
        data, key = self.data, self.colour_by
        if key == "prediction":
            return self.palette.states(data.predicted[steps].astype(np.int64), data.confidence[steps])
        if key in ("class", "true"):
            sequence = np.searchsorted(data.trace.offsets, steps, side="right") - 1
            return self.palette.labels(data.trace.labels.astype(np.int64)[sequence])
        if self.projection is None:
            return np.tile(np.asarray(self.palette.unsure, np.uint8), (len(steps), 1))
        points = points_of(data)
        colouring = points.colouring(self.projection, self.from_)
        table = points.table(self.from_, colouring, self.look)
        order = points.order(self.projection).steps
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        values = colouring.values[places[steps]]
        if colouring.kind == "categorical":
            strength = 1.0 if colouring.strength is None else colouring.strength[places[steps]]
            return np.asarray(table[values, _level(np.broadcast_to(strength, values.shape))])
        neutral = np.asarray(self.palette.unsure, np.uint8)
        return np.where(np.isnan(values)[:, None], neutral, table[_level(colouring.share(values))])

    @property
    def from_(self) -> Source:
        """Which numbers colour the states."""
        return self.source or Source("class" if self.colour_by == "true" else self.colour_by)

    def scale(self) -> tuple[Palette, Scale | None]:
        """Palette of the classes that colour the states; and, where numbers do, their scale."""
        if self.colour_by in ("prediction", "class", "true") or self.projection is None:
            return self.palette, None
        points = points_of(self.data)
        colouring = points.colouring(self.projection, self.from_)
        if colouring.kind == "categorical":
            return points.palette(self.from_, colouring, self.look), None
        return self.palette, Scale(self.colour_by, points.table(self.from_, colouring, self.look), *colouring.limits)

    def density(self, window: Window, width: int, height: int, emphasis: Emphasis = NOTHING) -> NDArray[np.uint8]:
        """Picture of all states in a window of the map, (height, width, 4) uint8, lowest row first."""
        assert self.projection is not None
        request = Request(self.projection, self.from_, window, width, height)
        image = render(self.data, request, emphasis, self.look)
        return image.view(np.uint8).reshape(*image.shape, 4)

    def named(self, label: int) -> str:
        """Name of a class; -1 is not known."""
        return self.data.trace.classes[label] if label >= 0 else "unknown"


def _level(share: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.rint(np.nan_to_num(share) * 255).astype(np.int64)


def _rgb(colour: str) -> Sequence[int]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
