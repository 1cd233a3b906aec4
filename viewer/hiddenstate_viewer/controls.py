"""Small parts that the page is put together from: cards, captions, selectors, buttons, switches, popovers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn

from hiddenstate_viewer.markup import Markup
from hiddenstate_viewer.theme import CARD, SMALL, UNIT, VIEW_CSS
from hiddenstate_viewer.theme import CARD_CSS as GROUND
from hiddenstate_viewer.theme import HOVER_CSS as HOVER
from hiddenstate_viewer.theme import INK_CSS as INK
from hiddenstate_viewer.theme import LINE_CSS as LINE
from hiddenstate_viewer.theme import MUTED_CSS as MUTED

__all__ = ["CONTROL_CSS", "TICK_CSS", "button", "card", "check", "html", "popover", "select", "slider"]

CONTROL_CSS = (
    VIEW_CSS
    + f"""
label {{ font-size: {SMALL}px; font-weight: 400; color: {MUTED}; }}
.bk-input-group {{ flex-direction: row; align-items: center; gap: 6px; color: {INK}; }}
.bk-input-group label, label span, .bk-slider-title, .noUi-value {{ font-size: {SMALL}px; color: {MUTED}; }}
.bk-input {{ background-color: {GROUND}; color: {INK}; border: 1px solid {LINE}; border-radius: 6px; font-size: 12px; }}
select.bk-input {{ height: 28px; padding: 2px 26px 2px 8px; }}
select.bk-input:not([multiple]) {{ appearance: auto; background-image: none; padding-right: 4px; }}
select.bk-input option {{ background: {GROUND}; color: {INK}; }}
input[type=checkbox] {{ accent-color: {INK}; margin: 0; }}
.bk-btn.bk-btn-default, .bk-btn.bk-btn-light {{ font-size: 12px; padding: 3px 10px; border-radius: 6px;
  border: 1px solid {LINE} !important; background: {GROUND} !important; color: {INK}; white-space: nowrap; }}
.bk-btn.bk-btn-default:hover, .bk-btn.bk-btn-default.bk-active {{ background: {HOVER} !important; }}
.bk-btn:focus:not(:focus-visible) {{ outline: none; }}
.bk-btn:focus-visible, .bk-input:focus-visible, input:focus-visible {{ outline: 2px solid {INK}; outline-offset: 1px; }}
.noUi-target {{ background: {LINE}; border: none; box-shadow: none; height: 4px; }}
.noUi-connect {{ background: {MUTED}; }}
.noUi-handle {{ background: {GROUND}; border: 1px solid {MUTED}; box-shadow: none; }}
"""
)
#: A label that takes no room.
_UNSEEN = "label { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }"
#: Of checkboxes with labels of their own.
TICK_CSS = f"""
.bk-input-group label, label, label span {{ font-size: 12px; font-weight: 400; color: {INK}; }}
.bk-input-group label, label {{ display: inline-flex; align-items: center; gap: 5px; margin: 0; cursor: pointer; }}
label span, label input[type=checkbox], .bk-input-group label > input[type=checkbox] + span {{ margin: 0;
  position: static; }}
.bk-input-group {{ flex-wrap: wrap; gap: 4px 14px; height: 100%; }}
"""
_POPOVER = {
    **CARD,
    "position": "absolute",
    "z-index": "30",
    "height": "max-content",
    "max-height": "none",
    "box-shadow": "0 8px 28px rgba(0, 0, 0, .18)",
    "padding": f"{UNIT + 4}px {2 * UNIT}px",
    "gap": f"{UNIT}px",
}


def html(text: str, **options: Any) -> Any:
    """A pane of markup that is ours: whatever comes from outside must be escaped in it."""
    options = {"sizing_mode": "stretch_width", "margin": 0, "stylesheets": [VIEW_CSS], **options}
    return Markup(text, **options)


def card(*views: Any, flex: str, **styles: str) -> Any:
    """A column on a plain ground that takes the share `flex` (as in CSS) of its row."""
    return pn.Column(
        *views,
        sizing_mode="stretch_both",
        margin=0,
        min_width=0,
        styles={
            **CARD,
            "flex": flex,
            "min-width": "0",
            "padding": f"{UNIT + 4}px {2 * UNIT}px",
            "gap": f"{UNIT}px",
            "overflow": "hidden",
            **styles,
        },
    )


def popover(*views: Any, width: int, **styles: str) -> Any:
    """A card over the page, not shown until its `visible` is set."""
    return pn.Column(
        *views,
        visible=False,
        width=width,
        margin=0,
        styles={**_POPOVER, **styles},
        css_classes=["hs-popover"],
    )


def select(label: str, options: Any, parameter: Any, *, width: int = 200, hidden: bool = False) -> Any:
    """A labelled selector of a parameter's value; a hidden label is there for those who hear the page."""
    return pn.widgets.Select.from_param(
        parameter,
        label=label,
        options=options,
        sizing_mode=None,
        width=width,
        margin=0,
        align="center",
        stylesheets=[CONTROL_CSS, *([_UNSEEN] if hidden else [])],
    )


def button(label: str, action: Callable[[], Any] | None, **options: Any) -> Any:
    """A small button."""
    made = pn.widgets.Button(
        label=label, margin=0, sizing_mode=None, height=28, stylesheets=[CONTROL_CSS], align="center", **options
    )
    if action is not None:
        made.on_click(lambda _event: action())
    return made


def check(label: str, parameter: Any, *, spoken: str = "") -> Any:
    """A labelled checkbox of a parameter's value; `spoken` is a longer label for those who hear the page."""
    owner, name = parameter.owner, parameter.name
    short = f"""
label span {{ font-size: 0; }}
label span::after {{ content: "{label}"; content: "{label}" / ""; font-size: 12px; }}"""

    def ticked() -> list[bool]:
        return [True] if getattr(owner, name) else []

    # Of Panel's checkboxes those of a group are the ones with a label that can be clicked, and read aloud.
    box = pn.widgets.CheckBoxGroup(
        options={spoken or label: True},
        value=ticked(),
        inline=True,
        margin=0,
        align="center",
        stylesheets=[CONTROL_CSS, TICK_CSS, *([short] if spoken else [])],
    )
    box.param.watch(lambda event: owner.param.update({name: bool(event.new)}), "value")
    owner.param.watch(lambda _event: box.param.update(value=ticked()), name)
    return box


def slider(label: str, parameter: Any, *, step: float = 1, width: int = 190) -> Any:
    """A labelled slider of a number parameter's value."""
    kind = pn.widgets.IntSlider if isinstance(step, int) else pn.widgets.FloatSlider
    return kind.from_param(
        parameter, label=label, step=step, width=width, margin=0, align="center", stylesheets=[CONTROL_CSS]
    )
