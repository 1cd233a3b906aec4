"""The panel of filters: a labelled widget for each criterion of a query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn

from hiddenstate_core.analysis import Query
from hiddenstate_core.errors import InputError
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.theme import CARD_CSS, HOVER_CSS, INK_CSS, LIGHT, LINE_CSS, MUTED_CSS, SMALL, VIEW_CSS

__all__ = ["WIDGET_CSS", "FilterPanel"]

_CHOSEN = f"var(--hs-chosen, {LIGHT.chosen})"
#: Of Panel's widgets in the page's colours.
WIDGET_CSS = (
    VIEW_CSS
    + f"""
label, .bk-input-group label {{ font-size: {SMALL}px; color: {MUTED_CSS}; }}
.bk-input, select.bk-input, input.bk-input {{ font-size: 12px; border: 1px solid {LINE_CSS}; border-radius: 6px;
  background-color: {CARD_CSS}; color: {INK_CSS}; padding: 4px 8px; min-height: 28px; height: 28px; }}
.bk-input::placeholder {{ color: {MUTED_CSS}; }}
.bk-btn:focus:not(:focus-visible) {{ outline: none; }}
.bk-input:focus, .bk-btn:focus-visible {{ border-color: {INK_CSS};
  box-shadow: 0 0 0 1px {INK_CSS}; outline: none; }}
.bk-spin-wrapper .bk-spin-btn {{ border-color: {LINE_CSS}; background: {CARD_CSS}; }}
.bk-spin-wrapper .bk-spin-btn-up:before {{ border-bottom-color: {INK_CSS} !important; }}
.bk-spin-wrapper .bk-spin-btn-down:before {{ border-top-color: {INK_CSS} !important; }}
select.bk-input:not([multiple]) {{ appearance: auto; background-image: none; }}
.bk-spin-wrapper .bk-spin-btn:hover {{ background: {HOVER_CSS}; }}
select[multiple].bk-input {{ height: auto; padding: 3px; scrollbar-width: thin; background-image: none; }}
select[multiple].bk-input option {{ padding: 2px 6px; border-radius: 4px; }}
select[multiple].bk-input option:checked {{ background: {_CHOSEN} linear-gradient({_CHOSEN}, {_CHOSEN});
  color: {INK_CSS}; }}
.bk-btn.bk-btn-default {{ font-size: 12px; padding: 3px 10px; border-radius: 6px;
  border: 1px solid {LINE_CSS} !important;
  background: {CARD_CSS} !important; color: {INK_CSS}; white-space: nowrap; }}
.bk-btn.bk-btn-default:hover, .bk-btn.bk-btn-default.bk-active {{ background: {HOVER_CSS} !important;
  box-shadow: none !important; }}
"""
)
_ANY = "any"
_EITHER = {_ANY: None, "correct": True, "wrong": False}


class FilterPanel:
    """Labelled widgets for the criteria of a query, those that the trace has.

    Parameters
    ----------
    data : ViewData
        The trace.
    wish : callable
        Called with the query that the widgets ask for.
    done : callable
        Called when the panel is to be closed.

    Attributes
    ----------
    view : panel.viewable.Viewable
        The panel.
    widgets : dict of str to panel.widgets.Widget
        By name.
    """

    def __init__(self, data: ViewData, wish: Callable[[Query], None], done: Callable[[], None]) -> None:
        self.data, self._wish = data, wish
        self._filling = False
        self._query = Query()
        self.longest = max(int(data.trace.lengths.max(initial=0)), 1)
        self.widgets = self._make()
        for name, widget in self.widgets.items():
            widget.param.watch(lambda *_: self._changed(), "value", onlychanged=True)
            widget.css_classes = [f"hs-filter-{name}"]
        self.message = pn.pane.HTML("", margin=0, sizing_mode="stretch_width", stylesheets=[VIEW_CSS], visible=False)
        close = pn.widgets.Button(label="Done", margin=0, stylesheets=[WIDGET_CSS], align="end")
        close.on_click(lambda _event: done())
        get = self.widgets.get
        pairs = [
            [get("class"), get("predicted")],
            [get("correct"), get("split")],
            [get("confidence_low"), get("confidence_high")],
            [get("length_low"), get("length_high")],
            [get("flips"), get("id")],
        ]
        rows = [
            pn.Row(*(w for w in pair if w is not None), sizing_mode="stretch_width", margin=0, styles={"gap": "12px"})
            for pair in pairs
            if any(w is not None for w in pair)
        ]
        note = pn.pane.HTML(
            '<div class="hs-caption">All of these must hold. Ctrl-click takes several of a list.</div>', margin=0,
            stylesheets=[VIEW_CSS], sizing_mode="stretch_width",
        )  # fmt: skip
        foot = pn.Row(note, close, sizing_mode="stretch_width", margin=0, styles={"align-items": "center"})
        self.view = pn.Column(*rows, self.message, foot, sizing_mode="stretch_width", margin=0, styles={"gap": "10px"})

    def _make(self) -> dict[str, Any]:
        trace = self.data.trace
        plain = {"sizing_mode": "stretch_width", "margin": 0, "stylesheets": [WIDGET_CSS]}
        found: dict[str, Any] = {}

        def size(options: dict[str, int]) -> int:
            return min(max(len(options), 2), 5)

        classes = {name: number for number, name in enumerate(trace.classes)}
        predicted = trace.has_final_probabilities
        if classes:
            known = {**classes, "(unknown)": -1} if self.data.overview.unlabelled else classes
            found["class"] = pn.widgets.MultiSelect(label="true class", options=known, size=size(known), **plain)
        if predicted:
            found["predicted"] = pn.widgets.MultiSelect(
                label="predicted class", options=classes, size=size(classes), **plain
            )
            found["correct"] = pn.widgets.Select(label="prediction", options=list(_EITHER), value=_ANY, **plain)
        if len(trace.splits) > 1:
            splits = {name: number for number, name in enumerate(trace.splits)}
            found["split"] = pn.widgets.MultiSelect(label="split", options=splits, size=size(splits), **plain)
        if predicted:
            for end, value in (("low", 0), ("high", 100)):
                found[f"confidence_{end}"] = pn.widgets.FloatInput(
                    label=f"confidence {'from' if end == 'low' else 'to'} (%)", start=0, end=100, step=5, value=value,
                    **plain,
                )  # fmt: skip
        for end, value in (("low", 0), ("high", self.longest)):
            found[f"length_{end}"] = pn.widgets.IntInput(
                label=f"words {'from' if end == 'low' else 'to'}", start=0, end=self.longest, step=10, value=value,
                **plain,
            )  # fmt: skip
        if predicted:
            found["flips"] = pn.widgets.TextInput(label="prediction changes at the word", max_length=200, **plain)
        found["id"] = pn.widgets.TextInput(label="id contains", max_length=200, **plain)
        return found

    def fill(self, query: Query) -> None:
        """Show a query."""
        self._query = query
        low, high = query.confidence or (0.0, 1.0)
        short, long = query.length or (0, self.longest)
        values: dict[str, Any] = {
            "class": list(query.labels), "predicted": list(query.predicted),
            "correct": next(name for name, value in _EITHER.items() if value is query.correct),
            "split": list(query.split), "confidence_low": 100 * low, "confidence_high": 100 * high,
            "length_low": min(short, self.longest), "length_high": min(long, self.longest),
            "flips": query.flips_after or "", "id": query.ids or "",
        }  # fmt: skip
        self._filling = True
        try:
            for name, widget in self.widgets.items():
                if name in ("class", "predicted", "split"):
                    values[name] = [one for one in values[name] if one in widget.options.values()]
                if widget.value != values[name]:
                    widget.value = values[name]
        finally:
            self._filling = False

    def _changed(self) -> None:
        if self._filling:
            return
        try:
            query = self._query.replace(**self._criteria())
        except InputError as error:
            self._complain(str(error))
            return
        self._complain("")
        if query != self._query:
            self._query = query
            self._wish(query)

    def _criteria(self) -> dict[str, Any]:
        value = {name: widget.value for name, widget in self.widgets.items()}
        low, high = (value.get(f"length_{end}") for end in ("low", "high"))
        low, high = 0 if low is None else low, self.longest if high is None else high
        if low > high:
            raise InputError(f"No sequence has at least {low:,} and at most {high:,} words.")
        found: dict[str, Any] = {"length": (low, high) if (low, high) != (0, self.longest) else None}
        if "confidence_low" in value:
            least, most = (value[f"confidence_{end}"] for end in ("low", "high"))
            least, most = 0 if least is None else least, 100 if most is None else most
            if least > most:
                raise InputError(f"No confidence is at least {least:g} and at most {most:g} percent.")
            found["confidence"] = (round(least / 100, 12), round(most / 100, 12)) if (least, most) != (0, 100) else None
        for name, field in (("class", "labels"), ("predicted", "predicted"), ("split", "split")):
            if name in value:
                found[field] = tuple(value[name])
        if "correct" in value:
            found["correct"] = _EITHER[value["correct"]]
        for name, field in (("flips", "flips_after"), ("id", "ids")):
            if name in value:
                found[field] = value[name].strip() or None
        return found

    def _complain(self, text: str) -> None:
        from html import escape

        self.message.object = f'<div class="hs-caption" role="status">{escape(text)}</div>' if text else ""
        self.message.visible = bool(text)
