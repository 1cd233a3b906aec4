"""The selection: one object that every view follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import param
from numpy.typing import NDArray

from hiddenstate_core.analysis import Query
from hiddenstate_core.errors import InputError
from hiddenstate_viewer.checks import MOST_COMPARED, check_class, check_sequence, checked_value
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.options import Steered, ViewOptions

__all__ = ["MOST_COMPARED", "STROKE_MODES", "Selection", "Stroke"]

#: What a lasso or box does to what was selected before it.
STROKE_MODES = ("replace", "add", "remove")


@dataclasses.dataclass(frozen=True)
class Stroke:
    """One lasso or box drawn in a map.

    Parameters
    ----------
    projection : str
        The map.
    mode : str
        ``"replace"``, ``"add"`` or ``"remove"``.
    xs, ys : tuple of float
        Corners of the polygon in the map's coordinates, at least three.
    """

    projection: str
    mode: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.mode not in STROKE_MODES:
            raise InputError(f"A stroke can {', '.join(STROKE_MODES)}, not {self.mode!r}.")
        if len(self.xs) != len(self.ys) or len(self.xs) < 3:
            raise InputError(f"A stroke needs three corners or more, not {min(len(self.xs), len(self.ys))}.")
        if not (np.isfinite(self.xs).all() and np.isfinite(self.ys).all()):
            raise InputError("The corners of a stroke must be finite numbers.")


class Selection(Steered):
    """What is looked at, and how: readable, settable and watchable from Python.

    Attributes
    ----------
    sequence : int or None
        Number of the sequence that is read.
    compared : tuple of int
        Sequences whose trajectories are drawn beside it, at most `MOST_COMPARED`.
    flows : tuple of int
        Classes whose mean path is drawn.
    strokes : tuple of Stroke
        Lassos and boxes in the order drawn; together they say which states are selected.
    query : Query
        Filter of the sequences.
    step : int or None
        Word at which the time cursor stands.
    text : str or None
        A sentence of one's own, read beside the sequence.
    projection, beside : str or None
        The map, and the second map beside it.
    layer : int
        Layer whose step distances are shown.
    direction : str
        Direction of reading whose states are shown.
    quantity : str
        ``"hidden"``, ``"cell"`` or ``"gate:<name>"``: whose step distances are shown.
    colour_by : str
        Key of what colours the states, see `hiddenstate_core.analysis.available_values`.
    window : (x0, x1, y0, y1) or None
        Part of the map in sight; None is the whole.
    options : ViewOptions
        What is labelled, faded and thickened.

    Raises
    ------
    InputError
        Setting what the trace does not have: a sequence, word, class, map, layer, colouring... of that name or number.
        The old value stays.
    UnknownNameError
        Setting a name that there is not (an `InputError` and an `AttributeError`).

    Notes
    -----
    Where another sequence is set, the cursor goes if that has no such word. In ``selection.param.update(sequence=...,
    step=...)`` the sequence comes first.
    """

    _plain = ("data", "options")

    sequence = param.Integer(default=None, allow_None=True)
    compared = param.ClassSelector(class_=tuple, default=())
    flows = param.ClassSelector(class_=tuple, default=())
    strokes = param.ClassSelector(class_=tuple, default=())
    query = param.ClassSelector(class_=Query, default=Query())
    step = param.Integer(default=None, allow_None=True)
    text = param.String(default=None, allow_None=True)
    projection = param.String(default=None, allow_None=True)
    beside = param.String(default=None, allow_None=True)
    layer = param.Integer(default=0)
    direction = param.String(default="forward")
    quantity = param.String(default="hidden")
    colour_by = param.String(default="prediction")
    window = param.Parameter(default=None)

    def __init__(self, data: ViewData, **values: Any) -> None:
        trace = data.trace
        values.setdefault("layer", data.layers[-1] if data.layers else len(trace.layers) - 1)
        values.setdefault("direction", trace.directions[0])
        names = trace.projections
        if "projection" not in values and names:
            values["projection"] = next((n for n in names if "tsne" in n.lower() or "t-sne" in n.lower()), names[0])
        self.data = data
        if "sequence" in values:  # the cursor is checked against it
            values = {"sequence": values.pop("sequence"), **values}
        super().__init__(**values)
        self.options = ViewOptions(black_trajectory=len(trace.classes) > 2)
        self._masks: dict[str, tuple[Any, Any]] = {}

    def _checked(self, name: str, value: Any) -> Any:
        if name == "data" and not isinstance(value, ViewData):
            raise InputError(f"The data of a selection is a ViewData, not {value!r:.60}.")
        if name == "options" and not isinstance(value, ViewOptions):
            raise InputError("The options are set one by one, such as selection.options.point_size = 6.")
        if name in self._plain:
            return value
        value = checked_value(self.data, name, value, self.sequence if name == "step" else None)
        if name == "sequence" and self.step is not None and value != self.sequence:
            offsets = self.data.trace.offsets
            if value is None or self.step >= int(offsets[value + 1] - offsets[value]):
                self.step = None
        return value

    # -- what is selected -------------------------------------------------------------------------------------------

    def select(self, sequence: int | None) -> None:
        """Read a sequence, by number, or none.

        Raises
        ------
        InputError
            No such sequence.
        """
        if sequence is not None:
            sequence = check_sequence(self.data, sequence)
        self.param.update(sequence=sequence, step=None)

    def toggle(self, sequence: int) -> None:
        """Read a sequence, or none if it is the one that is read."""
        self.select(None if sequence == self.sequence else sequence)

    def compare(self, sequence: int) -> None:
        """Draw a sequence beside the one that is read, or no longer.

        Raises
        ------
        InputError
            No such sequence, or too many of them.
        """
        sequence = check_sequence(self.data, sequence)
        if sequence in self.compared:
            self.compared = tuple(other for other in self.compared if other != sequence)
            return
        if len(self.compared) >= MOST_COMPARED:
            raise InputError(f"{MOST_COMPARED} sequences are compared already; take one away first.")
        self.compared = (*self.compared, sequence)

    def flow(self, label: int) -> None:
        """Draw a class's mean path, or no longer.

        Raises
        ------
        InputError
            No such class.
        """
        label = check_class(self.data, label)
        known = self.flows
        self.flows = tuple(c for c in known if c != label) if label in known else (*known, label)

    def add_stroke(self, stroke: Stroke) -> None:
        """Select by a lasso or box; one that replaces takes the place of all before it."""
        self.strokes = (stroke,) if stroke.mode == "replace" else (*self.strokes, stroke)

    def clear_strokes(self) -> None:
        """Forget all lassos and boxes."""
        self.strokes = ()

    def clear(self) -> None:
        """Select nothing: no sequence, none beside it, no strokes; the filter stays."""
        self.param.update(sequence=None, compared=(), flows=(), strokes=(), step=None, text=None)

    @property
    def selected(self) -> tuple[int, ...]:
        """The sequence that is read and those beside it, in this order."""
        first = () if self.sequence is None else (self.sequence,)
        return (*first, *(s for s in self.compared if s != self.sequence))

    # -- what follows from it ---------------------------------------------------------------------------------------

    @property
    def steps_mask(self) -> NDArray[np.bool_] | None:
        """States inside the strokes, (N,) bool; None where there are no strokes."""
        return self._kept("steps", self.strokes, lambda: self._inside() if self.strokes else None)

    @property
    def matches(self) -> Any:
        """What the filter finds (`hiddenstate_core.analysis.Matches`), or None where it is empty."""
        return self._kept("matches", self.query, lambda: None if self.query.empty else self.data.find(self.query))

    @property
    def matching(self) -> NDArray[np.bool_] | None:
        """Sequences that pass the filter, (S,) bool; None where the filter is empty."""
        matches = self.matches
        return None if matches is None else matches.sequences

    @property
    def touched(self) -> NDArray[np.bool_] | None:
        """Sequences that have a state inside the strokes, (S,) bool; None where there are no strokes."""
        return self._kept("touched", self.strokes, self._touched)

    @property
    def rows(self) -> NDArray[np.int64] | None:
        """Sequences in the table: those that pass the filter and have a state inside the strokes; None for all."""
        return self._kept("rows", (self.query, self.strokes), self._rows)

    def _rows(self) -> NDArray[np.int64] | None:
        given = [mask for mask in (self.matching, self.touched) if mask is not None]
        return np.flatnonzero(np.logical_and.reduce(given)) if given else None

    def _touched(self) -> NDArray[np.bool_] | None:
        mask = self.steps_mask
        if mask is None:
            return None
        touched = np.zeros(len(self.data.trace), np.bool_)
        touched[np.searchsorted(self.data.trace.offsets, np.flatnonzero(mask), side="right") - 1] = True
        return touched

    def _inside(self) -> NDArray[np.bool_]:
        mask = np.zeros(self.data.trace.steps, np.bool_)
        for stroke in self.strokes:
            inside = self.data.inside(stroke.projection, stroke.xs, stroke.ys)
            if stroke.mode == "replace":
                mask[:] = False
            mask[inside] = stroke.mode != "remove"
        return mask

    def _kept(self, name: str, key: Any, make: Any) -> Any:
        # The last answer is kept: all views ask for it after every change.
        known = self._masks.get(name)
        if known is None or known[0] != key:
            self._masks[name] = known = (key, make())
        return known[1]

    def choose(self, sequences: Sequence[int]) -> None:
        """Read the first of these sequences and draw the others beside it.

        Raises
        ------
        InputError
            No such sequence, or too many of them.
        """
        numbers = [check_sequence(self.data, sequence) for sequence in sequences]
        if len(sequences) > MOST_COMPARED + 1:
            raise InputError(f"At most {MOST_COMPARED + 1} sequences are drawn together, not {len(sequences)}.")
        rest = tuple(dict.fromkeys(numbers[1:]))
        self.param.update(sequence=numbers[0] if numbers else None, compared=rest, step=None)
