"""The bar on top of the page: name, search line, what there is, options, export, theme."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from hiddenstate_viewer.controls import button, html
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.export import ExportMenu
from hiddenstate_viewer.settings import flow_choice, options_panel
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import UNIT, Look

__all__ = ["TopBar"]


class TopBar:
    """The bar.

    Parameters
    ----------
    data : ViewData
        The trace.
    selection : Selection
        What its panels show and set.
    look : Look
        Light or dark.
    search : viewable
        The search line.
    themes : bool
        Whether there is a button that loads the page in the other theme.

    Attributes
    ----------
    view : panel.viewable.Viewable
    options : panel.viewable.Viewable
        The panel of view options, shown on demand.
    """

    def __init__(self, data: ViewData, selection: Selection, look: Look, search: Any, *, themes: bool) -> None:
        trace = data.trace
        self.options = options_panel(
            selection.options, flow_choice(selection), fade=bool(trace.classes), right=f"{2 * UNIT}px", top="52px"
        )
        tools = [
            button("Options", self._toggle, css_classes=["hs-options"]),
            ExportMenu(data, selection, look).view,
        ]
        if themes:
            tools.append(_theme_button(look))
        summary = (
            f'<div class="hs-summary"><b>{len(trace):,}</b> sequences &nbsp; <b>{trace.steps:,}</b> states &nbsp; '
            f"<b>{len(trace.classes)}</b> classes &nbsp; <b>{' + '.join(str(n) for n in trace.layers)}</b> units</div>"
        )
        brand = f'<div class="hs-brand">hiddenstate<span>{escape(data.name)}</span></div>'
        self.view = pn.Row(
            html(brand, sizing_mode=None, align="center"),
            pn.Row(search, margin=0, align="center", sizing_mode="stretch_width", styles={"overflow": "visible"}),
            html(summary, align="center", css_classes=["hs-wide"]),
            *tools,
            self.options,
            height=56,
            sizing_mode="stretch_width",
            margin=0,
            styles={"align-items": "center", "gap": f"{UNIT + 4}px", "overflow": "visible", "position": "relative"},
        )

    def _toggle(self) -> None:
        self.options.visible = not self.options.visible


def _theme_button(look: Look) -> Any:
    # A page is built in one theme; the address, which holds the rest of its state, says in which.
    other = "light" if look.dark else "dark"
    theme = button(other.capitalize(), None, css_classes=["hs-theme"])
    theme.js_on_click(
        code=f"""
        const address = new URL(window.location.href)
        address.searchParams.set("theme", "{other}")
        window.location.href = address.href"""
    )
    return theme
