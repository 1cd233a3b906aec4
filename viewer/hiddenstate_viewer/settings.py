"""The panel of view options: live, each labelled, grouped by what it changes."""

from __future__ import annotations

from typing import Any

import panel as pn

from hiddenstate_viewer.controls import CONTROL_CSS, TICK_CSS, check, html, popover, slider
from hiddenstate_viewer.options import ViewOptions
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import INK_CSS, TEXT, UNIT

__all__ = ["flow_choice", "options_panel"]

#: Classes that are ticked in a list in full sight; more are chosen from one that scrolls.
_TICKED = 8
#: A label that stands above its widget, as a heading.
_ABOVE = f"""
.bk-input-group {{ flex-direction: column; align-items: start; gap: {UNIT}px; }}
.bk-input-group > label {{ font-size: {TEXT}px; font-weight: 650; color: {INK_CSS}; }}
"""


def flow_choice(selection: Selection) -> Any:
    """Choice of the classes whose mean path is drawn; None where there are no classes."""
    classes = selection.data.trace.classes
    if not classes:
        return None
    options = {name: number for number, name in enumerate(classes)}
    title = "Mean path of a class"
    plain: dict[str, Any] = {"label": title, "margin": 0, "value": list(selection.flows)}
    if len(classes) <= _TICKED:
        widget = pn.widgets.CheckBoxGroup(
            options=options, inline=len(classes) <= 3, width=250, stylesheets=[CONTROL_CSS, TICK_CSS], **plain
        )
    else:
        widget = pn.widgets.MultiSelect(options=options, size=5, width=250, stylesheets=[CONTROL_CSS, _ABOVE], **plain)
    widget.param.watch(lambda event: selection.param.update(flows=tuple(event.new)), "value")
    selection.param.watch(lambda event: widget.param.update(value=list(event.new)), "flows")
    if len(classes) > _TICKED:
        return widget
    # Ticks in a row have no label of their own.
    heading = html(f'<div class="hs-title">{title}</div>')
    return pn.Column(heading, widget, margin=0, styles={"gap": f"{UNIT}px"})


def options_panel(options: ViewOptions, flows: Any = None, *, fade: bool = True, **styles: str) -> Any:
    """The panel; not shown until its `visible` is set.

    Parameters
    ----------
    options : ViewOptions
        What it shows and sets.
    flows : viewable, optional
        Choice of class flows, see `flow_choice`.
    fade : bool
        Whether sequences have classes, so that right and wrong ones can be told apart.
    **styles : str
        Where it lies, as CSS.
    """
    p = options.param

    def rows(*pairs: tuple[Any, ...]) -> Any:
        return pn.Column(
            *(pn.Row(*pair, margin=0, styles={"gap": "14px"}) for pair in pairs), margin=0, styles={"gap": "7px"}
        )

    def rule(name: str, after: Any, before: Any) -> tuple[Any, ...]:
        return (
            html(f"<small>{name}</small>", width=128, sizing_mode=None, align="center"),
            check("after", after, spoken=f"label words after, {name}"),
            check("before", before, spoken=f"label words before, {name}"),
        )

    labels = rows(
        rule("step distance", p.label_after_distance, p.label_before_distance),
        (slider("from % of the largest", p.distance_threshold, width=250),),
        rule("change of confidence", p.label_after_change, p.label_before_change),
        (slider("from percentage points", p.change_threshold, width=250),),
        rule("change of class", p.label_after_flip, p.label_before_flip),
    )
    line = rows(
        (check("grey to black over time", p.black_trajectory),),
        (check("thicker with time", p.thick_by_time), check("with distance", p.thick_by_distance)),
        (slider("line width", p.line_width, step=0.1, width=250),),
    )
    points = [
        (check("first states of all", p.show_starts), check("last states", p.show_lasts)),
        (slider("point size", p.point_size, step=0.5, width=250),),
    ]
    if fade:
        points.insert(1, (check("fade right ones", p.fade_correct), check("fade wrong ones", p.fade_wrong)))
    return popover(
        html('<div class="hs-title">Label words of the trajectory</div>'),
        labels,
        html('<div class="hs-title">Trajectory</div>'),
        line,
        html('<div class="hs-title">States</div>'),
        rows(*points),
        *([] if flows is None else [flows]),
        width=290,
        **styles,
    )
