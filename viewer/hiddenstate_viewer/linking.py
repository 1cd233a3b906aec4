"""The shared cursor: ties the views of one sequence together in the browser."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

from bokeh.events import MouseLeave, MouseMove
from bokeh.models import CustomJS

from hiddenstate_viewer.evolution import SequenceCharts
from hiddenstate_viewer.projection import StateMap
from hiddenstate_viewer.theme import SMALL

__all__ = ["connect", "linking_script"]


@functools.cache
def linking_script() -> str:
    """JavaScript of the shared cursor; harmless to run twice."""
    return resources.files("hiddenstate_viewer").joinpath("linking.js").read_text("utf-8")


def connect(page: str, charts: SequenceCharts, states: StateMap, *, threshold: Any, commands: Any, keys: bool) -> None:
    """Tie the views of one sequence to one cursor in the browser."""
    start = CustomJS(
        args={
            "map": states.plot, "steps": states.steps, "focus": states.focus, "labels": states.labels,
            "extent": states.extent, "boxes": [charts.heat_box, charts.bar_box], "threshold": threshold,
            "commands": commands,
        },
        code=linking_script()
        + f"""
        window.hiddenstate.register({page!r}, {{
          map, steps, focus, labels, extent, boxes, threshold, commands, keys: {str(keys).lower()},
          font: "{SMALL}px Arial, sans-serif",
        }})
        window.hiddenstate.fit({page!r}, false)
        window.hiddenstate.relabel({page!r})""",
    )  # fmt: skip
    for plot in (states.plot, charts.heat, charts.bars):
        plot.js_on_change("inner_width", start)
    states.plot.js_on_change("inner_height", start)

    def run(call: str) -> CustomJS:
        return CustomJS(code=f"window.hiddenstate?.{call}")

    for plot in (charts.heat, charts.bars):
        plot.js_on_event(MouseMove, run(f"at({page!r}, cb_obj.x)"))
        plot.js_on_event(MouseLeave, run(f"leave({page!r})"))
    states.plot.js_on_event(MouseMove, run(f"over({page!r}, cb_obj.x, cb_obj.y)"))
    states.plot.js_on_event(MouseLeave, run(f"leave({page!r})"))
    states.steps.js_on_change("data", run(f"refresh({page!r})"))
    states.extent.js_on_change("tags", run(f"fit({page!r}, true)"))
    for axis in (states.plot.x_range, states.plot.y_range):
        for name in ("start", "end"):
            axis.js_on_change(name, run(f"relabel({page!r})"))
    threshold.js_on_change(
        "value",
        CustomJS(
            args={"line": charts.threshold},
            code=f"""line.setv({{location: cb_obj.value / 100, visible: cb_obj.value < 100}})
            window.hiddenstate?.relabel({page!r})""",
        ),
    )
