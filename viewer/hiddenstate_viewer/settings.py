"""The panel of view options: live, each labelled, grouped by what it changes."""

from __future__ import annotations

from typing import Any

import panel as pn

from hiddenstate_viewer.controls import check, html, popover, slider
from hiddenstate_viewer.options import ViewOptions

__all__ = ["options_panel"]


def options_panel(options: ViewOptions, *, fade: bool = True, **styles: str) -> Any:
    """The panel; not shown until its `visible` is set.

    Parameters
    ----------
    options : ViewOptions
        What it shows and sets.
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

    labels = rows(
        (html("<small>step distance</small>", width=96, sizing_mode=None), check("after", p.label_after_distance),
         check("before", p.label_before_distance)),
        (slider("from % of the largest", p.distance_threshold, width=250),),
        (html("<small>change of confidence</small>", width=96, sizing_mode=None), check("after", p.label_after_change),
         check("before", p.label_before_change)),
        (slider("from percentage points", p.change_threshold, width=250),),
        (html("<small>change of class</small>", width=96, sizing_mode=None), check("after", p.label_after_flip),
         check("before", p.label_before_flip)),
    )  # fmt: skip
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
        html('<div class="hs-title">Label words of the trajectory<small>by the step to or from them</small></div>'),
        labels,
        html('<div class="hs-title">Trajectory</div>'),
        line,
        html('<div class="hs-title">States</div>'),
        rows(*points),
        width=290,
        **styles,
    )
