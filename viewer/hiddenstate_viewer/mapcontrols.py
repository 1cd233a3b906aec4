"""Selectors of the map: which projection, what colours it, which second one; and of what the step distances are."""

from __future__ import annotations

from typing import Any

import panel as pn
import param

from hiddenstate_core.analysis import available
from hiddenstate_viewer.controls import CONTROL_CSS, html, select
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import UNIT

__all__ = ["MapControls", "step_controls"]

_NONE = "none"


class MapControls(param.Parameterized):
    """The row above the maps.

    Parameters
    ----------
    data : ViewData
        The trace.
    selection : Selection
        What it shows and sets.

    Attributes
    ----------
    view : panel.viewable.Viewable
    """

    def __init__(self, data: ViewData, selection: Selection) -> None:
        super().__init__()
        self.data, self.selection = data, selection
        names = list(data.trace.projections)
        title = '<div class="hs-title">Hidden states</div>'
        self._kind = pn.widgets.Select(
            label="colour", width=154, margin=0, sizing_mode=None, align="center", stylesheets=[CONTROL_CSS]
        )
        self._number = pn.widgets.IntInput(
            label="no.", start=0, width=80, margin=0, sizing_mode=None, align="center", stylesheets=[CONTROL_CSS]
        )
        parts = [html(title, sizing_mode=None, align="center", styles={"margin-right": "auto"})]
        if len(names) > 1:
            parts.append(select("map", names, selection.param.projection, width=118))
            parts.append(self._beside(names))
        if names:
            parts += [self._kind, self._number]
        self.view = pn.Row(
            *parts, sizing_mode="stretch_width", margin=0,
            styles={"gap": f"{UNIT + 2}px", "flex-wrap": "wrap", "justify-content": "end", "min-width": "0"},
        )  # fmt: skip
        self._busy = False
        self._offer()
        self._kind.param.watch(self._chosen, "value")
        self._number.param.watch(self._chosen, "value")
        selection.param.watch(lambda *_: self._offer(), ["layer", "direction", "colour_by"])

    def _beside(self, names: list[str]) -> Any:
        """Choice of the second map; a list shows no name for None, so that "none" is an empty text in it."""
        widget = pn.widgets.Select(
            label="beside", options={_NONE: "", **{name: name for name in names}}, value=self.selection.beside or "",
            width=118, margin=0, sizing_mode=None, align="center", stylesheets=[CONTROL_CSS],
        )  # fmt: skip
        widget.param.watch(lambda event: self.selection.param.update(beside=event.new or None), "value")
        self.selection.param.watch(lambda event: widget.param.update(value=event.new or ""), "beside")
        return widget

    def _offer(self) -> None:
        """Offer what the layer has, and show what is chosen."""
        s = self.selection
        self._choices = {c.key: c for c in available(self.data.trace, s.layer, s.direction)}
        kind, number = self._split(s.colour_by)
        self._busy = True
        try:
            self._kind.param.update(options={c.label: c.key for c in self._choices.values()}, value=kind)
            count = self._choices[kind].count if kind in self._choices else None
            self._number.visible = count is not None
            if count is not None:
                self._number.param.update(end=count - 1, value=min(number, count - 1))
        finally:
            self._busy = False

    def _split(self, key: str) -> tuple[str, int]:
        if key in self._choices:
            return key, 0
        kind, _, number = key.rpartition(":")
        return kind, int(number) if number.isdecimal() else 0

    def _chosen(self, _event: Any) -> None:
        if self._busy or self._kind.value is None:
            return
        kind = self._kind.value
        counted = self._choices[kind].count is not None
        self.selection.colour_by = f"{kind}:{self._number.value or 0}" if counted else kind


def step_controls(data: ViewData, selection: Selection) -> list[Any]:
    """Selectors of layer, direction and quantity of the step distances, where there is a choice."""
    trace, made = data.trace, []
    if len(data.layers) > 1:
        layers = {f"layer {i + 1} ({trace.layers[i]})": i for i in data.layers}
        made.append(select("layer", layers, selection.param.layer, width=96, hidden=True))
    if len(trace.directions) > 1:
        made.append(select("direction", list(trace.directions), selection.param.direction, width=88, hidden=True))
    quantities = {"hidden state": "hidden"} if "hidden" in trace.recorded else {}
    if "cell" in trace.recorded:
        quantities["cell state"] = "cell"
    quantities |= {f"{gate} gate": f"gate:{gate}" for gate in trace.gates}
    if len(quantities) > 1:
        made.append(select("quantity", quantities, selection.param.quantity, width=102, hidden=True))
    return made
