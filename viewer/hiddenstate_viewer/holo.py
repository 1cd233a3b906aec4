"""HoloViews elements as quiet Bokeh figures: without ornament, in the page's type."""

from __future__ import annotations

import importlib
from typing import Any

from bokeh.core.properties import value as literal
from bokeh.models import BoxAnnotation

from hiddenstate_viewer.theme import FONT, LIGHT, Look, quieten

__all__ = ["frame", "holoviews", "lettering", "render", "styled", "tip"]


def holoviews() -> Any:
    """HoloViews with Bokeh as a backend, without the scripts that its notebook extension would put out."""
    import holoviews

    chosen = holoviews.Store.current_backend
    if "bokeh" not in holoviews.Store.registry:
        others = chosen in holoviews.Store.registry
        importlib.import_module("holoviews.plotting.bokeh")
        if others:  # a notebook's own choice, which loading another backend would change
            holoviews.Store.set_current_backend(chosen)
    return holoviews


def styled(overlay: Any, look: Look, model: dict[str, Any], **options: Any) -> Any:
    """An overlay, first row on top, without ornament; `model` holds properties of the Bokeh figure itself."""

    def finish(drawn: Any, _element: Any) -> None:
        plot = quieten(drawn.state, look)
        plot.update(**{"min_border_right": 4, **model}, outline_line_color=None, output_backend="canvas")
        plot.axis.axis_line_color = None
        plot.axis.major_label_standoff = 4

    return overlay.opts(
        invert_yaxis=True, xlabel="", ylabel="", toolbar=None, default_tools=[], active_tools=[], show_legend=False,
        show_frame=False, responsive=True, padding=0, border=0, hooks=[finish], **options, backend="bokeh",
    )  # fmt: skip


def render(element: Any) -> Any:
    """The Bokeh figure of an element."""
    return holoviews().render(element, backend="bokeh")


def lettering(size: int) -> dict[str, Any]:
    """Options of labels in the page's type."""
    font = {"text_font": literal(FONT), "text_font_size": f"{size}px", "text_baseline": "middle"}
    return {**font, "default_tools": [], "backend": "bokeh"}


def tip(text: str) -> str:
    """Markup of a tooltip."""
    # Bokeh's tooltips are white in either look.
    family = FONT.replace('"', "'")
    return f'<div style="font: 12px/1.5 {family}; color: {LIGHT.ink}">{text}</div>'


def frame(look: Look, **options: Any) -> BoxAnnotation:
    """A frame round what is chosen, not shown yet."""
    return BoxAnnotation(
        top=0, bottom=1, visible=False, fill_color=None, line_color=look.ink, line_alpha=1, line_width=2, **options
    )
