"""The shared cursor: ties the views of one sequence together in the browser."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

from bokeh.events import MouseLeave, MouseMove, Tap
from bokeh.models import ColumnDataSource, CustomJS

from hiddenstate_viewer.evolution import SequenceCharts
from hiddenstate_viewer.options import ViewOptions
from hiddenstate_viewer.theme import SMALL
from hiddenstate_viewer.trajectories import Foreground

__all__ = ["connect", "join", "linking_script", "lost_script", "player_html", "quick_script", "rules_source"]


@functools.cache
def linking_script() -> str:
    """JavaScript of the shared cursor; harmless to run twice."""
    return quick_script() + "".join(f";{_script(name)}\n" for name in ("labels.js", "linking.js"))


@functools.cache
def quick_script() -> str:
    """JavaScript that has Bokeh paint faster; harmless to run twice."""
    return f";{_script('quick.js')}\n"


@functools.cache
def lost_script() -> str:
    """JavaScript that knows what to do once the server is out of reach: ``window.hiddenstateLost()``."""
    return f";{_script('lost.js')}\n"


def player_html(page: str, length: int) -> str:
    """Markup of the scrubber and its button; ``hs-play``, ``hs-scrub`` and ``hs-place`` of the page."""
    name = escape(page)
    return (
        f'<div class="hs-player"><button type="button" class="hs-play" data-page="{name}" aria-pressed="false" '
        'title="Walk through the sequence (space)">Play</button>'
        f'<input type="range" class="hs-scrub" data-page="{name}" min="0" max="{length}" value="0" step="1" '
        'aria-label="Word at which the views stand">'
        f'<span class="hs-place" data-page="{name}">all {length}</span></div>'
    )


def rules_source(options: ViewOptions) -> ColumnDataSource:
    """The options that the browser applies by itself, and the step that it is to hold, or that it said it holds."""
    return ColumnDataSource(
        {"step": [-1], "own": [False], **{name: [value] for name, value in options.values().items()}}
    )


def connect(
    page: str,
    charts: SequenceCharts,
    maps: Sequence[Foreground],
    *,
    rules: ColumnDataSource,
    commands: Any = None,
    keys: bool = False,
) -> None:
    """Tie the views of one sequence to one cursor in the browser.

    Parameters
    ----------
    page : str
        Name of the page; the markup's ``data-page``.
    charts : SequenceCharts
        Heatmap and bars.
    maps : sequence of Foreground
        At least one; the first one's steps are the page's.
    rules : ColumnDataSource
        See `rules_source`.
    commands : ColumnDataSource, optional
        Where the page asks the server: ``clear``, ``move`` and ``step``.
    keys : bool
        Whether the page takes Esc, space and arrow keys wherever they are pressed.
    """
    models = {f"{name}{i}": getattr(drawn, name) for i, drawn in enumerate(maps) for name in _OF_A_MAP}
    listed = ", ".join(_listed(i) for i in range(len(maps)))
    start = CustomJS(
        args={**models, "boxes": [charts.heat_box, charts.bar_box], "rules": rules, "commands": commands},
        code=linking_script()
        + f"""
        window.hiddenstate.register({page!r}, {{
          maps: [{listed}], boxes, rules, commands, keys: {str(keys).lower()}, font: "{SMALL}px Arial, sans-serif",
        }})
        window.hiddenstate.relabel({page!r})""",
    )
    for plot in (*(drawn.plot for drawn in maps), charts.heat, charts.bars):
        plot.js_on_change("inner_width", start)

    for plot in (charts.heat, charts.bars):
        plot.js_on_event(MouseMove, _run(f"at({page!r}, cb_obj.x)"))
        plot.js_on_event(MouseLeave, _run(f"leave({page!r})"))
        plot.js_on_event(Tap, _run(f"press({page!r}, cb_obj.x)"))
    maps[0].steps.js_on_change("data", _run(f"refresh({page!r})"))
    for number, drawn in enumerate(maps):
        _follow(page, number, drawn)
    rules.js_on_change(
        "data",
        CustomJS(
            args={"line": charts.threshold},
            code=f"""const at = cb_obj.data.distance_threshold[0] / 100
            if (line.location !== at) line.location = at
            window.hiddenstate?.relabel({page!r})
            window.hiddenstate?.order({page!r}, cb_obj.data.step[0], cb_obj.data.own?.[0])""",
        ),
    )
    # The line can be dragged, but not out of its chart.
    charts.threshold.js_on_change(
        "location",
        CustomJS(
            args={"rules": rules},
            code="""const at = Math.round(100 * Math.min(Math.max(cb_obj.location, 0), 1))
            if (cb_obj.location !== at / 100) cb_obj.location = at / 100
            else if (rules.data.distance_threshold[0] !== at)
              rules.data = { ...rules.data, distance_threshold: [at] }""",
        ),
    )


def join(page: str, number: int, drawn: Foreground) -> None:
    """Tie one more map to the cursor of a page that is in the browser already; `number` is its place among the maps."""
    start = CustomJS(
        args={f"{name}{number}": getattr(drawn, name) for name in _OF_A_MAP},
        code=f"window.hiddenstate?.join({page!r}, {number}, {_listed(number)})",
    )
    drawn.plot.js_on_change("inner_width", start)
    _follow(page, number, drawn)


# -- inside ---------------------------------------------------------------------------------------------------------


def _script(name: str) -> str:
    return resources.files("hiddenstate_viewer").joinpath(name).read_text("utf-8")


#: What the cursor needs of a map.
_OF_A_MAP = ("plot", "steps", "segments", "ends", "focus", "labels")


def _listed(number: int) -> str:
    """A map in JavaScript, of the callback's arguments."""
    return "{" + ", ".join(f"{name}: {name}{number}" for name in _OF_A_MAP) + "}"


def _run(call: str) -> CustomJS:
    return CustomJS(code=f"window.hiddenstate?.{call}")


def _follow(page: str, number: int, drawn: Foreground) -> None:
    """Have a map follow the pointer, and its labels what is in sight."""
    plot, relabel = drawn.plot, _run(f"relabel({page!r})")
    plot.js_on_event(MouseMove, _run(f"over({page!r}, {number}, cb_obj.x, cb_obj.y)"))
    plot.js_on_event(MouseLeave, _run(f"leave({page!r})"))
    for axis in (plot.x_range, plot.y_range):
        for name in ("start", "end"):
            axis.js_on_change(name, relabel)
    plot.js_on_change("inner_height", relabel)
    if number:
        drawn.steps.js_on_change("data", relabel)
