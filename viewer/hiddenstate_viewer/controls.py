"""Small parts that the page is put together from: cards, captions, selectors, buttons, the slider."""

from __future__ import annotations

from typing import Any

import panel as pn
from bokeh.models import Slider

from hiddenstate_viewer.evolution import THRESHOLD
from hiddenstate_viewer.theme import CARD, SMALL, UNIT, VIEW_CSS

__all__ = ["CONTROL_CSS", "button", "card", "html", "select", "slider"]

CONTROL_CSS = (
    VIEW_CSS
    + f"""
label {{ font-size: {SMALL}px; color: #5b636d; }}
.bk-input-group {{ flex-direction: row; align-items: center; gap: 6px; }}
select.bk-input {{ height: 28px; padding: 2px 26px 2px 8px; font-size: 12px; border-radius: 6px; border-color: #dfe3e8;
  background-color: #fff; }}
.bk-input-group label, label span, span, .bk-slider-title {{ font-size: 11px; color: #5b636d; }}
.bk-btn.bk-btn-default {{ font-size: 12px; padding: 3px 10px; border-radius: 6px; border: 1px solid #d3d8de !important;
  background: #fff !important; color: #1b1f24; white-space: nowrap; }}
.bk-btn.bk-btn-default:hover {{ background: #f0f2f4 !important; }}
"""
)


def html(text: str, **options: Any) -> Any:
    options = {"sizing_mode": "stretch_width", "margin": 0, "stylesheets": [VIEW_CSS], **options}
    return pn.pane.HTML(text, **options)


def card(*views: Any, flex: str) -> Any:
    return pn.Column(
        *views,
        sizing_mode="stretch_both",
        margin=0,
        min_width=0,
        styles={
            **CARD,
            "flex": flex,
            "padding": f"{UNIT + 4}px {2 * UNIT}px",
            "gap": f"{UNIT}px",
            "overflow": "hidden",
        },
    )


def select(label: str, options: Any, parameter: Any) -> Any:
    return pn.widgets.Select.from_param(
        parameter,
        label=label,
        options=options,
        sizing_mode=None,
        width=200,
        margin=0,
        align="center",
        stylesheets=[CONTROL_CSS],
    )


def button(label: str, action: Any) -> Any:
    button = pn.widgets.Button(
        label=label, margin=0, sizing_mode=None, height=26, stylesheets=[CONTROL_CSS], align="start"
    )
    if action is not None:
        button.on_click(lambda _event: action())
    return button


def slider() -> Any:
    return Slider(
        start=5, end=100, step=1, value=THRESHOLD, width=180, title="label words at steps ≥ %", margin=0,
        bar_color="#8a9099", stylesheets=[CONTROL_CSS], name="hs-threshold",
    )  # fmt: skip
