"""View options: what is labelled, faded and thickened; applied at once, kept in the address."""

from __future__ import annotations

import difflib
from typing import Any

import param

from hiddenstate_core.errors import InputError

__all__ = ["LABEL_RULES", "Steered", "UnknownNameError", "ViewOptions"]

#: Options that label words in the map, by what each goes by.
LABEL_RULES = {
    "distance": ("label_after_distance", "label_before_distance"),
    "change": ("label_after_change", "label_before_change"),
    "flip": ("label_after_flip", "label_before_flip"),
}


class UnknownNameError(InputError, AttributeError):
    """A name that the selection or its options do not have, or one that cannot be set."""


class Steered(param.Parameterized):
    """What is set from Python: a value that cannot be meant and a misspelt name are refused in one sentence.

    Raises
    ------
    UnknownNameError
        Setting a name that there is not, or one that follows from the others.
    InputError
        Setting a value that there cannot be; the old one stays.
    """

    #: What can be set besides the parameters.
    _plain: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        kind = type(self)
        # Names with an underscore are param's and our own; param's come before there is a parameter to look at.
        if name.startswith("_") or name == "name":
            super().__setattr__(name, value)
            return
        if name not in kind.param and name not in self._plain:
            raise UnknownNameError(_unknown(kind, name))
        value = self._checked(name, value)
        try:
            super().__setattr__(name, value)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} cannot be {value!r:.60}: {str(error).rstrip('.')}.") from error

    def _checked(self, name: str, value: Any) -> Any:
        """The value as it is kept; raises `InputError` for one that cannot be meant."""
        return value


def _unknown(kind: type[Steered], name: str) -> str:
    what = "selection" if kind.__name__ == "Selection" else "options"
    names = sorted({*kind.param, *kind._plain} - {"name"})
    if hasattr(kind, name):
        return f"{name!r} of the {what} cannot be set, it follows from the rest; what can be set is {', '.join(names)}."
    near = difflib.get_close_matches(name, names, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}."
    return f"The {what} {'has' if what == 'selection' else 'have'} no {name!r}; {hint}"


class ViewOptions(Steered):
    """How the views of one session draw.

    The rules and their defaults are those of Garcia, Munz and Weiskopf (2021). "After" labels a word where the step to
    it fulfils the rule, "before" where the step from it does.

    Attributes
    ----------
    label_after_distance, label_before_distance : bool
        Label by step distance, a share of the data set's largest, from `distance_threshold` percent on.
    label_after_change, label_before_change : bool
        Label by the largest change of any class's probability, from `change_threshold` percent on.
    label_after_flip, label_before_flip : bool
        Label where the most probable class changes.
    show_starts, show_lasts : bool
        Ring the first or last state of every sequence.
    fade_correct, fade_wrong : bool
        Fade the states of sequences that are classified correctly or wrongly.
    black_trajectory : bool
        Draw trajectories from grey to black over time rather than by prediction.
    thick_by_time, thick_by_distance : bool
        Draw trajectories thicker with time or with distance; distance wins.
    point_size, line_width : float
        Pixels on the screen, whatever the zoom.
    """

    label_after_distance = param.Boolean(default=False)
    label_before_distance = param.Boolean(default=False)
    distance_threshold = param.Integer(default=40, bounds=(0, 100))
    label_after_change = param.Boolean(default=False)
    label_before_change = param.Boolean(default=False)
    change_threshold = param.Integer(default=30, bounds=(0, 100))
    label_after_flip = param.Boolean(default=False)
    label_before_flip = param.Boolean(default=False)
    show_starts = param.Boolean(default=False)
    show_lasts = param.Boolean(default=False)
    fade_correct = param.Boolean(default=False)
    fade_wrong = param.Boolean(default=False)
    black_trajectory = param.Boolean(default=False)
    thick_by_time = param.Boolean(default=False)
    thick_by_distance = param.Boolean(default=False)
    point_size = param.Number(default=4.5, bounds=(1.0, 12.0))
    line_width = param.Number(default=1.8, bounds=(0.5, 6.0))

    def values(self) -> dict[str, Any]:
        """Every option by name."""
        return {name: value for name, value in self.param.values().items() if name != "name"}
