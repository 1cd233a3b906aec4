"""The selection: one object that every view follows."""

from __future__ import annotations

from typing import Any

import param

from hiddenstate_core.errors import InputError
from hiddenstate_viewer.data import ViewData

__all__ = ["COLOUR_BY", "Selection"]

COLOUR_BY = {"prediction": "prediction", "true class": "true"}


class Selection(param.Parameterized):
    """What is looked at, and how.

    Attributes
    ----------
    sequence : int or None
        Number of the selected sequence.
    cell : (int, int) or None
        True and predicted class to which the table is filtered; either may be -1 for any.
    projection : str or None
        Name of the projection shown.
    layer : int
        Layer whose step distances are shown.
    colour_by : str
        ``"prediction"`` or ``"true"``.
    """

    sequence = param.Integer(default=None, allow_None=True)
    cell = param.Tuple(default=None, length=2, allow_None=True)
    projection = param.String(default=None, allow_None=True)
    layer = param.Integer(default=0)
    colour_by = param.Selector(default="prediction", objects=list(COLOUR_BY.values()))

    def __init__(self, data: ViewData, **values: Any) -> None:
        trace = data.trace
        values.setdefault("layer", data.layers[-1] if data.layers else len(trace.layers) - 1)
        names = trace.projections
        if "projection" not in values and names:
            values["projection"] = next((n for n in names if "tsne" in n.lower() or "t-sne" in n.lower()), names[0])
        super().__init__(**values)
        self.data = data

    def select(self, sequence: int | None) -> None:
        """Select a sequence by number, or none.

        Raises
        ------
        InputError
            No such sequence.
        """
        if sequence is not None and not 0 <= sequence < len(self.data.trace):
            raise InputError(
                f"Sequence {sequence} does not exist; the trace has {len(self.data.trace)} sequences, "
                f"0..{len(self.data.trace) - 1}."
            )
        self.sequence = sequence

    def toggle(self, sequence: int) -> None:
        """Select a sequence, or none if it is the one selected."""
        self.select(None if sequence == self.sequence else sequence)

    def clear(self) -> None:
        """Select nothing."""
        self.select(None)
