"""What is looked at as a standalone HTML file: no server, no network, no library, the same links between the views."""

from __future__ import annotations

import base64
import io
import json
import os
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core import __version__
from hiddenstate_core.atomic import write_text
from hiddenstate_core.errors import InputError
from hiddenstate_core.traces import Trace
from hiddenstate_viewer.colours import hex_of
from hiddenstate_viewer.data import Reading, ViewData, unfit
from hiddenstate_viewer.density import FULL, REST, neutral
from hiddenstate_viewer.evolution import heat_rows, short
from hiddenstate_viewer.overview import figures_html
from hiddenstate_viewer.picture import picture_bytes
from hiddenstate_viewer.scene import Scene, choose, clean, extent_of
from hiddenstate_viewer.theme import FONT, SMALL, VIEW_CSS, Look
from hiddenstate_viewer.words import header_html, legend_html, words_html

if TYPE_CHECKING:
    from hiddenstate_viewer.reader import Typed
    from hiddenstate_viewer.state import Selection

__all__ = ["choose", "page_html", "png_bytes", "report_html", "write_report"]

_PAGE = "hs-report"
#: States up to which each is a point; pixels of the picture of the others; states inside lassos that are drawn.
POINTS, RASTER, CHOSEN = 12_000, 1_400, 20_000
#: Rows of the table.
ROWS = 200
_HINT = "Hover a word, a column, a bar or a point."
_ROW = 22
#: Nothing may be loaded from anywhere, whatever a word of the corpus looks like.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def write_report(
    trace: Trace | ViewData,
    path: str | os.PathLike[str],
    *,
    sequence: int | None = None,
    projection: str | None = None,
    dark: bool = False,
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
    dark : bool
        Whether on a dark ground.

    Raises
    ------
    InputError
        A sequence or projection that does not exist, or a trace without class probabilities.
    """
    data = trace if isinstance(trace, ViewData) else ViewData(trace)
    if problem := unfit(data.trace):
        raise InputError(problem)
    write_text(path, report_html(Scene.chosen(data, sequence=sequence, projection=projection, dark=dark)))


def report_html(scene: Scene) -> str:
    """One sequence's views and the data set's overview as a document."""
    return _document(scene, f"<section>{_overview(scene)}</section>")


def page_html(data: ViewData, selection: Selection, look: Look, typed: Typed | None = None) -> str:
    """What a session's page shows, as a document: the sequence, the map, the first rows of the table.

    Parameters
    ----------
    data : ViewData
        The trace.
    selection : Selection
        What is selected.
    look : Look
        Light or dark.
    typed : Typed, optional
        The text of one's own that it shows.

    Returns
    -------
    str
        At most about 5 MB: large maps are a picture, the table has its first 200 rows.
    """
    scene = Scene.of(data, selection, look, typed)
    rows = selection.rows
    numbers = np.arange(len(data.trace)) if rows is None else rows
    return _document(scene, f'<section class="hs-list">{_table(scene, numbers)}</section>')


def png_bytes(image: NDArray[Any]) -> bytes:
    """A picture, (height, width, 3 or 4) uint8, highest row first, as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image, np.uint8)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _document(scene: Scene, right: str) -> str:
    data, trace = scene.data, scene.data.trace
    title = escape(f"{scene.reading.id if scene.reading else data.name} · hiddenstate")
    summary = (
        f'<div class="hs-summary"><b>{len(trace):,}</b> sequences &nbsp; <b>{trace.steps:,}</b> states &nbsp; '
        f"<b>{len(trace.classes)}</b> classes</div>"
    )
    left = _own(scene) + (_sequence(scene) if scene.reading is not None else _overview(scene))
    asset = resources.files("hiddenstate_viewer")
    css = (
        f":root {{ {scene.look.css} }}\n"
        + VIEW_CSS.replace(":host", "body")
        + asset.joinpath("report.css").read_text("utf-8").replace("FONT", FONT).replace("SMALL", f"{SMALL}px")
    )
    # "<" is written otherwise, so that no word can end the element; the browser reads it as data, not as a program.
    values = json.dumps(_values(scene), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    values = values.replace("<", "\\u003c")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f'<meta name="generator" content="hiddenstate {__version__}">\n<style>{css}</style>\n</head>\n<body>\n'
        f'<header><div class="hs-brand">hiddenstate<span>{escape(data.name)}</span></div>{summary}</header>\n'
        f"<main><section>{left}</section><section>{_map(scene)}</section>{right}</main>\n"
        f'<script type="application/json" id="values">{values}</script>\n'
        f"<script>{asset.joinpath('report.js').read_text('utf-8')}</script>\n</body>\n</html>\n"
    )


# -- markup ----------------------------------------------------------------------------------------------------------


def _own(scene: Scene) -> str:
    """The words of a text of one's own and what came of it."""
    if scene.typed is None:
        return ""
    reading = scene.typed.shown(scene.palette)
    words = words_html(reading, f"{_PAGE}-own").replace('class="hs-words"', 'class="hs-own"', 1)
    outcome = scene.typed.reading.prediction
    best = int(np.argmax(outcome))
    told = f"{escape(scene.data.trace.classes[best])}, {100 * float(outcome[best]):.1f} %"
    return f'<div class="hs-title">Your text<small>classified as {told}</small></div>{words}'


def _sequence(scene: Scene) -> str:
    reading = scene.reading
    assert reading is not None
    head, verdict = header_html(reading, scene.palette)
    return (
        f'{head}{verdict}<div class="hs-title">Words<small>coloured by the output after reading each</small></div>'
        f'{words_html(reading, _PAGE)}<div class="hs-readout" data-page="{_PAGE}" data-hint="{_HINT}">{_HINT}</div>'
        f'<div class="hs-title">Class probability over time</div>{_heat(scene, reading)}'
        '<div class="hs-title">Step distance<small>share of the largest in the data</small></div>'
        f"{_bars(scene, reading)}"
    )


def _heat(scene: Scene, reading: Reading) -> str:
    if not len(reading):
        return ""
    names, rows, _ = heat_rows(reading, scene.palette)
    labels = "".join(f"<span>{escape(short(clean(name), 12))}</span>" for name in names)
    output = scene.words(reading)[None]
    return (
        f'<div class="hs-chart"><div class="hs-names" style="grid-auto-rows:{_ROW}px">{labels}'
        f'<span class="hs-low">output</span></div><div class="hs-plot" data-chart>'
        f'<img alt="class probabilities" style="height:{_ROW * len(rows)}px" src="{_url(rows)}">'
        f'<img alt="outputs" style="height:{_ROW // 2}px" src="{_url(output)}"><i class="hs-box"></i></div></div>'
    )


def _bars(scene: Scene, reading: Reading) -> str:
    if not len(reading.jumps):
        return '<div class="hs-caption">Hidden states were not recorded.</div>' if len(reading) else ""
    colours = hex_of(scene.bars(reading)[: len(reading.jumps)])
    bars = "".join(
        f'<rect x="{at + 0.07:.2f}" y="{1 - jump:.4f}" width=".86" height="{jump:.4f}" fill="{colour}"/>'
        for at, (jump, colour) in enumerate(zip(reading.jumps.tolist(), colours, strict=True))
    )
    return (
        '<div class="hs-chart"><div class="hs-scale-y"><span>1</span><span>0.5</span><span>0</span></div>'
        f'<div class="hs-plot hs-bars" data-chart><svg viewBox="0 0 {len(reading)} 1" preserveAspectRatio="none" '
        f'role="img" aria-label="step distances">{bars}</svg><i class="hs-line"></i><i class="hs-box"></i></div></div>'
        f'<div class="hs-ends"><span>1</span><span>{len(reading):,}</span></div>'
    )


def _map(scene: Scene) -> str:
    trace = scene.data.trace
    if scene.projection is None:
        command = escape(f"hiddenstate project {trace.path.name}")
        return f'<div class="hs-empty"><b>No projection of the states yet</b>Make one:<code>{command}</code></div>'
    palette, scale = scene.scale()
    legend = legend_html(palette, "class" if scene.colour_by == "true" else scene.colour_by,
                         trajectory=scene.reading is not None, scale=scale)  # fmt: skip
    percent = round(100 * scene.threshold)
    return (
        f'<div class="hs-title">Hidden states<small>{escape(scene.projection)} of {trace.steps:,} states</small>'
        '<button type="button" id="whole">Whole map</button></div>'
        '<div class="hs-map"><canvas id="map" aria-label="map of the states"></canvas></div>'
        f'<div class="hs-foot">{legend}<label class="hs-caption">label words at steps ≥ <output id="percent">'
        f'{percent}</output> % <input id="threshold" type="range" min="5" max="100" value="{percent}"></label></div>'
    )


def _overview(scene: Scene) -> str:
    def picture(view: str, alt: str) -> str:
        content = base64.b64encode(picture_bytes(scene, view, "svg", width=3.6)).decode("ascii")
        return f'<img class="hs-drawing" alt="{alt}" src="data:image/svg+xml;base64,{content}">'

    return (
        f'<div class="hs-title">Data set</div>{figures_html(scene.counted)}'
        '<div class="hs-title">True classes<small>correct first, then errors</small></div>'
        f"{picture('classes', 'true classes')}"
        f'<div class="hs-title">Confusion<small>true by row, predicted by column</small></div>'
        f"{picture('confusion', 'confusion matrix')}"
        f'<div class="hs-grow"></div><div class="hs-caption">hiddenstate {__version__}</div>'
    )


def _table(scene: Scene, numbers: NDArray[np.int64]) -> str:
    rows = scene.data.table.iloc[numbers[:ROWS]]
    chosen = {reading.index for reading in scene.readings}
    body = []
    for number, row in zip(numbers[:ROWS].tolist(), rows.itertuples(index=False), strict=True):
        mark = ' class="hs-chosen"' if number in chosen else ""
        name, label, predicted, correct, confidence, length, text = row
        cells = "".join(f"<td>{escape(str(value))}</td>" for value in (name, label, predicted, correct))
        body.append(
            f'<tr{mark}>{cells}<td class="hs-number">{confidence:.1f}</td><td class="hs-number">{length:,}</td>'
            f"<td>{escape(text)}</td></tr>"
        )
    told = f"{len(numbers):,}" if len(numbers) <= ROWS else f"the first {ROWS} of {len(numbers):,}"
    names = "".join(
        f'<th scope="col"{" class=hs-number" if name in ("conf.", "len") else ""}>{name}</th>'
        for name in ("id", "class", "predicted", "ok", "conf.", "len", "words")
    )
    return (
        f'<div class="hs-title">Sequences<small>{told}</small></div><div class="hs-rows"><table><thead><tr>{names}'
        f"</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


# -- values ----------------------------------------------------------------------------------------------------------


def _values(scene: Scene) -> dict[str, Any]:
    """What the script draws and tells."""
    look = scene.look
    neutral = {"ink": look.ink, "muted": look.muted, "card": look.card, "start": look.start, "end": look.end}
    paths = [_path(scene, reading) for reading in scene.others]
    if scene.own is not None:
        reading, way = scene.own
        paths.append(_path(scene, reading, way) | {"dash": True})
    found: dict[str, Any] = {"look": neutral, "read": None, "beside": paths, "map": None, "font": FONT}
    if scene.reading is not None:
        evolution, classes = scene.reading.evolution, scene.data.trace.classes
        found["read"] = {
            **_path(scene, scene.reading),
            "words": [clean(word) for word in evolution.words],
            "predicted": [classes[c] for c in evolution.predicted.tolist()],
            "confidence": np.round(evolution.confidence, 4).tolist(),
            "jumps": np.round(scene.reading.jumps, 4).tolist(),
        }
    if scene.projection is not None:
        found["map"] = _background(scene)
    return found


def _path(scene: Scene, reading: Reading, places: NDArray[np.float32] | None = None) -> dict[str, Any]:
    way = (scene.way(reading) if places is None else places).astype(np.float64)
    return {
        "x": way[:, 0].tolist(),
        "y": way[:, 1].tolist(),
        "colours": hex_of(scene.words(reading)),
        "segments": hex_of(scene.segments(reading)),
    }


def _background(scene: Scene) -> dict[str, Any]:
    """All states: points where they are few, else one picture of their density; what is not selected is grey."""
    assert scene.projection is not None
    points = scene.data.coordinates(scene.projection)
    whole = extent_of(points)
    found: dict[str, Any] = {"extent": whole, "window": list(scene.window or whole)}
    offsets, selected = scene.data.trace.offsets, scene.steps
    if len(points) <= POINTS:
        layers = scene.emphasis.of_states(offsets, np.arange(len(points)))
        found["points"] = _packed(scene, points, np.arange(len(points)), behind=layers == REST)
        if not scene.emphasis.none:
            selected = layers == FULL
    else:
        x0, x1, y0, y1 = whole
        scale = RASTER / max(x1 - x0, y1 - y0)
        size = max(16, round((x1 - x0) * scale)), max(16, round((y1 - y0) * scale))
        found["image"] = _url(scene.density(whole, *size, scene.emphasis)[::-1])
    if selected is not None:
        steps = np.flatnonzero(selected)
        steps = steps[scene.emphasis.of_states(offsets, steps) == FULL]
        if len(steps) > CHOSEN:
            steps = steps[np.linspace(0, len(steps) - 1, CHOSEN).astype(np.int64)]
        found["chosen"] = _packed(scene, points, steps)
    return found


def _packed(
    scene: Scene, points: NDArray[np.float32], steps: NDArray[np.int64], behind: NDArray[np.bool_] | None = None
) -> dict[str, str]:
    """Points as base64 of little-endian float32 pairs and of RGB bytes; grey where they are behind."""
    places, colours = points[steps].astype("<f4"), scene.colours(steps)
    if behind is not None:
        colours = np.where(behind[:, None], neutral(scene.look), colours)
    return {name: base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
            for name, array in (("places", places), ("colours", colours))}  # fmt: skip


def _url(image: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")
