"""One sequence's views as a standalone HTML file: no server, no network, the same links between the views."""

from __future__ import annotations

import base64
import io
import os
from html import escape
from importlib import resources
from typing import Any

import numpy as np
from bokeh.embed import components
from bokeh.models import ColumnDataSource, ImageURL, Slider

from hiddenstate_core import __version__
from hiddenstate_core.atomic import write_text
from hiddenstate_core.errors import InputError
from hiddenstate_core.traces import Trace
from hiddenstate_viewer.data import Reading, ViewData
from hiddenstate_viewer.density import density_image
from hiddenstate_viewer.evolution import THRESHOLD, SequenceCharts
from hiddenstate_viewer.linking import connect
from hiddenstate_viewer.overview import ConfusionPlot, class_bars, figures_html
from hiddenstate_viewer.page import HINT
from hiddenstate_viewer.projection import ALL_POINTS, FADED, StateMap, extent_of
from hiddenstate_viewer.theme import FONT, LINE, SMALL, VIEW_CSS
from hiddenstate_viewer.words import header_html, legend_html, words_html

__all__ = ["choose", "png_bytes", "write_report"]

_PAGE = "hs-report"
_RASTER = 1100
_CSS = f"""
html {{ background: #f4f5f7; }}
body {{ margin: 0 auto; max-width: 1760px; padding: 0 16px 16px; box-sizing: border-box; min-height: 100vh;
  display: flex; flex-direction: column; }}
header {{ display: flex; align-items: center; justify-content: space-between; height: 56px; gap: 16px; flex: none; }}
main {{ display: grid; grid-template-columns: minmax(360px, 30%) minmax(0, 1fr) minmax(300px, 23%); gap: 12px;
  flex: 1 1 auto; }}
section {{ background: #fff; border: 1px solid {LINE}; border-radius: 8px; padding: 12px 16px; box-sizing: border-box;
  display: flex; flex-direction: column; gap: 8px; min-width: 0; }}
.hs-words {{ flex: 1 1 120px; max-height: 52vh; }}
.hs-map {{ flex: 1 1 480px; min-height: 420px; display: flex; }}
.hs-map > div {{ flex: 1 1 auto; }}
.hs-foot {{ display: flex; align-items: center; justify-content: space-between; gap: 16px; }}
.hs-grow {{ flex: 1 1 auto; }}
@media (max-width: 1100px) {{ main {{ grid-template-columns: 1fr; }} }}
"""


def choose(data: ViewData, sequence: int | None, projection: str | None) -> tuple[Reading | None, str | None]:
    """The sequence and projection to show: those asked for, else an example and the t-SNE or first projection.

    Raises
    ------
    InputError
        A sequence or projection that does not exist.
    """
    trace = data.trace
    index = data.example() if sequence is None else sequence
    names = trace.projections
    if projection is not None and projection not in names:
        raise InputError(
            f"There is no projection {projection!r} in {trace.path} (it has {', '.join(names) or 'none'}); "
            f"make one with `hiddenstate project {trace.path}`."
        )
    if projection is None and names:
        projection = next((n for n in names if "tsne" in n.lower()), names[0])
    return (None if index is None else data.reading(index)), projection


def write_report(
    trace: Trace | ViewData,
    path: str | os.PathLike[str],
    *,
    sequence: int | None = None,
    projection: str | None = None,
) -> None:
    """Write one sequence's views, with the data set's overview, as an HTML file that needs nothing else.

    Parameters
    ----------
    trace : Trace
        What to show.
    path : path-like
        Where to write; the file appears whole or not at all.
    sequence : int, optional
        Number of the sequence; by default one that is classified correctly and surely after a turn on the way.
    projection : str, optional
        Name of the projection; by default t-SNE's, or the first.

    Raises
    ------
    InputError
        A sequence or projection that does not exist.
    """
    data = trace if isinstance(trace, ViewData) else ViewData(trace)
    reading, projection = choose(data, sequence, projection)
    write_text(path, _document(data, reading, projection))


def _document(data: ViewData, reading: Reading | None, projection: str | None) -> str:
    charts, states = SequenceCharts(data.palette), StateMap(data)
    charts.update(reading)
    threshold = Slider(
        start=5, end=100, step=1, value=THRESHOLD, width=180, title="label words at steps ≥ %", margin=0,
        bar_color="#8a9099", stylesheets=[f".bk-slider-title {{ font: {SMALL}px {FONT}; color: #5b636d; }}"],
    )  # fmt: skip
    if projection is not None:
        _background(states, data, projection)
    states.trace_sequence(reading)
    connect(_PAGE, charts, states, threshold=threshold, commands=None, keys=False)
    models: dict[str, Any] = {"bars": class_bars(data), "confusion": ConfusionPlot(data).plot}
    models["confusion"].update(sizing_mode="stretch_width", height=min(80 * len(data.trace.classes), 300) + 20)
    if reading is not None:
        models |= {"heat": charts.heat, "distances": charts.bars}
    if projection is not None:
        models |= {"map": states.plot, "threshold": threshold}
    script, parts = components(models)
    body = _body(data, reading, projection, parts)
    title = escape(f"{reading.id if reading else data.name} · hiddenstate")
    css = VIEW_CSS.replace(":host", "body")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f'<meta name="generator" content="hiddenstate {__version__}">\n<style>{css}{_CSS}</style>\n'
        f"{_scripts()}\n</head>\n<body>\n{body}\n{script}\n</body>\n</html>\n"
    )


def _background(states: StateMap, data: ViewData, projection: str) -> None:
    """All states behind the trajectory: points where they are few, else one picture of their density."""
    states.projection = projection
    extent = extent_of(data.coordinates(projection))
    states.extent.tags = extent
    states.plot.x_range.update(start=extent[0], end=extent[1])
    states.plot.y_range.update(start=extent[2], end=extent[3])
    if data.trace.steps <= ALL_POINTS:
        columns = states.context(np.arange(data.trace.steps), named=False)
        states.points.data = columns
        states.hide_tooltips_of_points()
        return
    across, up = extent[1] - extent[0], extent[3] - extent[2]
    width, height = (round(_RASTER * side / max(across, up)) for side in (across, up))
    image, _ = density_image(
        data, projection, "prediction", (extent[0], extent[1]), (extent[2], extent[3]), max(width, 16), max(height, 16)
    )
    url = "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")
    source = ColumnDataSource({"url": [url], "x": [extent[0]], "y": [extent[2]], "w": [across], "h": [up]})
    glyph = ImageURL(url="url", x="x", y="y", w="w", h="h", anchor="bottom_left", global_alpha=FADED + 0.1)
    renderer = states.plot.add_glyph(source, glyph)
    renderer.level = "image"


def _scripts() -> str:
    # BokehJS alone, as it lies in the package: Bokeh's own "inline" resources add those of every extension that this
    # process happens to have loaded.
    folder = resources.files("bokeh").joinpath("server", "static", "js")
    names = ("bokeh.min.js", "bokeh-widgets.min.js")
    return "\n".join(f"<script>{folder.joinpath(name).read_text('utf-8')}</script>" for name in names)


def png_bytes(image: np.ndarray) -> bytes:
    """A packed RGBA image (lowest row first) as a PNG file."""
    from PIL import Image

    rgba = np.ascontiguousarray(image[::-1]).view(np.uint8).reshape(*image.shape, 4)
    buffer = io.BytesIO()
    Image.fromarray(rgba, "RGBA").save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _body(data: ViewData, reading: Reading | None, projection: str | None, parts: dict[str, str]) -> str:
    trace, palette = data.trace, data.palette
    summary = (
        f'<div class="hs-summary"><b>{len(trace):,}</b> sequences &nbsp; <b>{trace.steps:,}</b> states &nbsp; '
        f"<b>{len(trace.classes)}</b> classes</div>"
    )
    left = '<div class="hs-empty"><b>No sequence has a word</b>There is nothing to read in this trace.</div>'
    if reading is not None:
        head, verdict = header_html(reading, palette)
        left = (
            f'{head}{verdict}<div class="hs-title">Words<small>coloured by the output after reading each</small></div>'
            f'{words_html(reading, _PAGE)}<div class="hs-readout" data-page="{_PAGE}" data-hint="{HINT}">{HINT}</div>'
            f'<div class="hs-title">Class probability over time</div>{parts["heat"]}'
            '<div class="hs-title">Step distance<small>share of the largest in the data</small>'
            f"</div>{parts['distances']}"
        )
    command = escape(f"hiddenstate project {trace.path.name}")
    middle = f'<div class="hs-empty"><b>No projection of the states yet</b>Make one:<code>{command}</code></div>'
    if projection is not None:
        middle = (
            f'<div class="hs-title">Hidden states<small>{escape(projection)} of {trace.steps:,} states</small></div>'
            f'<div class="hs-map">{parts["map"]}</div><div class="hs-foot">'
            f"{legend_html(palette, trajectory=reading is not None)}<div>{parts['threshold']}</div></div>"
        )
    right = (
        f'<div class="hs-title">Data set</div>{figures_html(data)}'
        f'<div class="hs-title">True classes<small>correct first, then errors</small></div>{parts["bars"]}'
        f'<div class="hs-title">Confusion<small>true by row, predicted by column</small></div>{parts["confusion"]}'
        f'<div class="hs-grow"></div><div class="hs-caption">hiddenstate {__version__}</div>'
    )
    return (
        f'<header><div class="hs-brand">hiddenstate<span>{escape(data.name)}</span></div>{summary}</header>'
        f"<main><section>{left}</section><section>{middle}</section><section>{right}</section></main>"
    )
