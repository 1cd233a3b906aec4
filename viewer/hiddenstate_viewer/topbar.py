"""The bar on top of the page: name, search line, what there is, options, export, theme."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from hiddenstate_viewer.controls import button, html
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.export import ExportMenu
from hiddenstate_viewer.narrow import BRAND, dropped
from hiddenstate_viewer.settings import flow_choice, options_panel
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import UNIT, VIEW_CSS, Look

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
        self.export = ExportMenu(data, selection, look)
        tools = [button("Options", self._toggle, css_classes=["hs-options"]), self.export.view]
        self._one_at_a_time(self.options, self.export.form)
        if themes:
            tools.append(_theme_button(look))
        summary = (
            f'<div class="hs-summary"><b>{len(trace):,}</b> sequences &nbsp; <b>{trace.steps:,}</b> states &nbsp; '
            f"<b>{len(trace.classes)}</b> class{'' if len(trace.classes) == 1 else 'es'} &nbsp; "
            f"<b>{' + '.join(str(n) for n in trace.layers)}</b> units</div>"
        )
        brand = f'<div class="hs-brand">hiddenstate<span>{escape(data.name)}</span></div>'
        counts = html(summary, align="center")
        dropped(counts)
        self.view = pn.Row(
            html(brand, sizing_mode=None, align="center", stylesheets=[VIEW_CSS, BRAND]),
            pn.Row(search, margin=0, align="center", sizing_mode="stretch_width", styles={"overflow": "visible"}),
            counts,
            *tools,
            self.options,
            height=56,
            sizing_mode="stretch_width",
            margin=0,
            styles={"align-items": "center", "gap": f"{UNIT + 4}px", "overflow": "visible", "position": "relative"},
        )

    def close(self) -> bool:
        """Close what lies open over the page; whether anything did."""
        shown = [panel for panel in (self.options, self.export.form) if panel.visible]
        for panel in shown:
            panel.visible = False
        return bool(shown)

    def _toggle(self) -> None:
        self.options.visible = not self.options.visible

    @staticmethod
    def _one_at_a_time(*panels: Any) -> None:
        """Opening one of them closes the others, which lie at the same place."""

        def opened(event: Any) -> None:
            for panel in panels:
                if event.new and panel is not event.obj and panel.visible:
                    panel.visible = False

        for panel in panels:
            panel.param.watch(opened, "visible")


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
