"""The sequence that is read: header, words, player, the two charts under them; and what shows or hides a pane."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from hiddenstate_core.errors import HiddenStateError
from hiddenstate_viewer.colours import Palette
from hiddenstate_viewer.controls import button, card, html
from hiddenstate_viewer.data import Reading, ViewData
from hiddenstate_viewer.evolution import SequenceCharts
from hiddenstate_viewer.linking import player_html
from hiddenstate_viewer.mapcontrols import step_controls
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import Look
from hiddenstate_viewer.words import header_html, words_html

__all__ = ["HINT", "SequencePane", "in_sight", "one_of", "put_in_sight"]

#: What the line under the words says while nothing is marked.
HINT = "Hover a word, a column, a bar or a point."


class SequencePane:
    """Header, words, player and charts of one sequence.

    Parameters
    ----------
    data : ViewData
        The trace.
    selection : Selection
        Whose layer and quantity are chosen here.
    palette : Palette
        Colours of the classes.
    look : Look
        Light or dark.
    page : str
        Name of the page, which the markup bears.
    flex : str
        Share of its row, as in CSS.

    Attributes
    ----------
    charts : SequenceCharts
        Heatmap and bars.
    header, verdict, words, player : panel.pane.HTML
        Its texts.
    view : panel.viewable.Viewable
        The card.
    """

    def __init__(
        self, data: ViewData, selection: Selection, palette: Palette, look: Look, *, page: str, flex: str
    ) -> None:
        self._palette, self._page = palette, page
        self.charts = SequenceCharts(palette, look)
        self.header, self.verdict, self._scaled = html(""), html(""), html("")
        # Of nothing yet: the browser notes where they are, and need not look for them once a sequence is chosen.
        self.words = html(words_html(None, page), sizing_mode="stretch_both", min_height=90)
        self.player = html(player_html(page, 0))
        readout = html(f'<div class="hs-readout" data-page="{page}" data-hint="{HINT}">{HINT}</div>')
        heading = pn.Row(
            self.header, button("Clear", selection.clear), sizing_mode="stretch_width", margin=0,
            styles={"gap": "8px"},
        )  # fmt: skip
        self._scaled.styles = {"flex": "1 0 92px"}
        choices = pn.Row(*step_controls(data, selection), margin=0, styles={"gap": "8px", "flex": "none"})
        title = pn.Row(
            self._scaled, choices, sizing_mode="stretch_width", margin=0, css_classes=["hs-steps"],
            # Several selectors have a line of their own.
            styles={"gap": "8px", "align-items": "center", "flex-wrap": "wrap"},
        )  # fmt: skip
        self.view = card(
            heading,
            self.verdict,
            html('<div class="hs-title">Words<small>coloured by the output after reading each</small></div>'),
            self.words,
            self.player,
            readout,
            html('<div class="hs-title">Class probability over time</div>'),
            pn.pane.Bokeh(self.charts.heat, sizing_mode="stretch_width", margin=0),
            title,
            pn.pane.Bokeh(self.charts.bars, sizing_mode="stretch_width", margin=0),
            flex=flex,
            overflow="hidden auto",
        )

    def read(self, reading: Reading) -> None:
        """Show a sequence."""
        self.header.object, self.verdict.object = header_html(reading, self._palette)
        self.words.object = words_html(reading, self._page)
        self.player.object = player_html(self._page, len(reading))
        whose = "data set's" if reading.scaled else "sequence's"
        self._scaled.object = f'<div class="hs-title">Step distance<small>share of the {whose} largest</small></div>'
        self.charts.update(reading)

    def fail(self, error: HiddenStateError) -> None:
        """Say why a sequence cannot be read."""
        told = f'<div class="hs-empty"><b>This sequence cannot be read</b>{escape(str(error))}</div>'
        self.header.object, self.verdict.object, self.words.object, self.player.object = told, "", "", ""


def one_of(*views: Any, flex: str) -> Any:
    """Cards of one place, of which `put_in_sight` leaves one in sight.

    All are laid out all the time: what Bokeh has not laid out yet, and whatever comes and goes in its layout, has the
    whole page measured anew, which takes the better part of a second.
    """
    for view in views:
        view.styles = {**view.styles, "grid-area": "1 / 1"}
    return pn.Column(
        *views,
        sizing_mode="stretch_both",
        margin=0,
        min_width=0,
        min_height=0,
        styles={
            "flex": flex,
            "min-width": "0",
            "min-height": "0",  # else Panel takes the tallest card's, and the foot of the page is pushed out of sight
            "display": "grid",
            "grid-template": "minmax(0, 1fr) / minmax(0, 1fr)",
        },
    )


def put_in_sight(view: Any, shown: bool) -> None:
    """Show a view, or hide it from the eye, the keyboard and those who hear the page, with its place kept."""
    if in_sight(view) != shown or "visibility" not in view.styles:
        view.styles = {**view.styles, "visibility": "visible" if shown else "hidden"}


def in_sight(view: Any) -> bool:
    """Whether `put_in_sight` has left it in sight."""
    return bool(view.styles.get("visibility") != "hidden")
