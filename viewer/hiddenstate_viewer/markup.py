"""A pane of markup that is told its text and nothing else."""

from __future__ import annotations

from typing import Any

import panel as pn

__all__ = ["Markup"]


class Markup(pn.pane.HTML):
    """Panel's pane of HTML, whose new text leaves its style sheets as they are.

    Panel's own gives the model its style sheets anew with every text, at first without those of its design. A change of
    style sheets has Bokeh lay out the whole page, and count all its models, once for each pane.
    """

    # What follows takes the place of a method of Panel 1.9; the tests of the page tell when it is no more.

    def _update(self, ref: str, model: Any) -> None:
        model.update(text=self._get_properties(model.document)["text"])
