"""Drawing on paper: the map of states with trajectories, and its legend."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from hiddenstate_viewer.colours import hex_of
from hiddenstate_viewer.data import Reading
from hiddenstate_viewer.density import FADED, FULL, REST, neutral
from hiddenstate_viewer.drawing import DPI, RASTER, Area, Paper
from hiddenstate_viewer.evolution import short
from hiddenstate_viewer.scene import Scene, Window, clean, extent_of

__all__ = ["draw_legend", "draw_map", "legend_height"]

#: States up to which each is a point; up to which these points are shapes rather than one picture.
POINTS, SHAPES = 60_000, 3_000
#: Pixels of the picture of the density at most, each way: it bounds the size of a vector file.
MOST_PIXELS = 2_000
_NAMED = 16
_LEGEND_LINE = 0.19

#: Of the legend: kind, text, colour.
Mark = tuple[str, str, Any]


def draw_map(paper: Paper, area: Area, scene: Scene) -> None:
    """All states, those in grey that are not selected, and on top what is read."""
    axes, look = paper.axes(area, bare=True), paper.look
    if scene.projection is None:
        text = "No projection of the states yet.\nMake one:  hiddenstate project STORE"
        axes.text(0.5, 0.5, text, ha="center", va="center", color=look.muted, size=10, transform=axes.transAxes,
                  **paper.type)  # fmt: skip
        return
    points = scene.data.coordinates(scene.projection)
    window = _filling(scene.window or extent_of(points), area.width / area.height)
    axes.set(xlim=window[:2], ylim=window[2:])
    some = bool(scene.readings) or bool(scene.flows) or scene.own is not None
    _states(axes, area, scene, points, window, 0.42 if some else 1.0)
    for reading in scene.readings:
        _trajectory(axes, scene, reading)
    if scene.own is not None:
        _own(axes, scene, *scene.own)
    for label in scene.flows:
        _flow(axes, paper, scene, label)
    axes.set(xlim=window[:2], ylim=window[2:])
    if scene.reading is not None:
        _labels(axes, paper, scene, scene.reading)


def _filling(window: Window, shape: float) -> Window:
    """The window made wider or taller, so that a unit is as long across as up in a frame of this shape."""
    x0, x1, y0, y1 = window
    wide, high = max(x1 - x0, 1e-12), max(y1 - y0, 1e-12)
    w, h = max(wide, high * shape) / 2, max(high, wide / shape) / 2
    return ((x0 + x1) / 2 - w, (x0 + x1) / 2 + w, (y0 + y1) / 2 - h, (y0 + y1) / 2 + h)


def _states(axes: Any, area: Area, scene: Scene, points: NDArray[np.float32], window: Window, weight: float) -> None:
    inside = _within(points, window)
    if len(inside) <= POINTS:
        layers = scene.emphasis.of_states(scene.data.trace.offsets, inside)
        colours = np.where((layers == REST)[:, None], neutral(scene.look), scene.colours(inside)) / 255
        # Fewer points may be denser; over all of them the ink stays about the same.
        count = int(np.count_nonzero(layers == FULL))
        full = float(np.clip(60 / np.sqrt(max(count, 1)), 0.25, 0.85))
        alpha = np.where(layers == FULL, full, FADED) * weight
        above = np.argsort(np.array([0, 2, 1])[layers], kind="stable")  # what is behind is drawn first
        axes.scatter(*points[inside][above].T, s=7, c=np.column_stack([colours, alpha])[above], lw=0,
                     rasterized=len(inside) > SHAPES)  # fmt: skip
        return
    shrink = min(1.0, MOST_PIXELS / (RASTER * max(area.width, area.height)))
    width, height = (max(16, round(side * RASTER * shrink)) for side in (area.width, area.height))
    rgba = scene.density(window, width, height, scene.emphasis)
    axes.imshow(rgba, extent=window, origin="lower", aspect="auto", alpha=weight, interpolation="none")


def _within(points: NDArray[np.float32], window: Window) -> NDArray[np.int64]:
    x0, x1, y0, y1 = window
    inside = (points[:, 0] >= x0) & (points[:, 0] <= x1) & (points[:, 1] >= y0) & (points[:, 1] <= y1)
    return np.flatnonzero(inside)


def _trajectory(axes: Any, scene: Scene, reading: Reading) -> None:
    way, look = scene.way(reading), scene.look
    if not len(way):
        return
    beside = reading is not scene.reading
    pieces = list(np.stack([way[:-1], way[1:]], axis=1))
    lines = LineCollection(
        pieces, colors=hex_of(scene.segments(reading)), linewidths=1.0 if beside else 1.4, capstyle="round"
    )
    axes.add_collection(lines, autolim=False)
    axes.scatter(*way.T, s=12 if beside else 22, c=hex_of(scene.words(reading)), edgecolors=look.card, linewidths=0.5,
                 zorder=3)  # fmt: skip
    ends = {"facecolors": "none", "linewidths": 1.8, "s": 60 if beside else 110, "zorder": 4}
    axes.scatter(*way[0], edgecolors=look.start, **ends)
    axes.scatter(*way[-1], edgecolors=look.end, **ends)


def _own(axes: Any, scene: Scene, reading: Reading, way: NDArray[np.float32]) -> None:
    """A text of one's own: dashed, with diamonds."""
    axes.plot(*way.T, color=scene.look.muted, lw=1.2, ls=(0, (4, 2)), zorder=5)
    axes.scatter(*way.T, s=24, marker="D", c=hex_of(scene.words(reading)), edgecolors=scene.look.end, linewidths=0.7,
                 zorder=6)  # fmt: skip


def _flow(axes: Any, paper: Paper, scene: Scene, label: int) -> None:
    assert scene.projection is not None
    flow = scene.data.flow(scene.projection, label)
    places = flow.places[flow.counts > 0]
    if not len(places):
        return
    colour = hex_of(scene.palette.hues[label])[0]
    axes.plot(*places.T, color=paper.look.card, lw=5.5, solid_capstyle="round", zorder=5)
    axes.plot(*places.T, color=colour, lw=3, solid_capstyle="round", zorder=5)
    axes.scatter(*places[-1], s=46, marker="D", c=colour, edgecolors=paper.look.end, linewidths=1.2, zorder=6)


def _labels(axes: Any, paper: Paper, scene: Scene, reading: Reading) -> None:
    """Words at the longest steps, the longest first; one that finds no free place is left out."""
    way, jumps, words = scene.way(reading), reading.jumps, reading.evolution.words
    if not len(way):
        return
    pixels = axes.transData.transform(way)
    frame = axes.get_window_extent()
    taken: list[tuple[float, float, float, float]] = []
    high, size = 12 * DPI / 72, 8.5
    for step in np.argsort(-jumps, kind="stable")[:60].tolist():
        if jumps[step] < scene.threshold or len(taken) >= _NAMED:
            break
        word = clean(words[step], 24)
        wide = paper.measure(word, size) * DPI
        px, py = pixels[step].tolist()
        for dx, dy in ((12, 8), (-12 - wide, 8), (12, -8 - high), (-12 - wide, -8 - high), (-wide / 2, 16)):
            box = (px + dx, py + dy, px + dx + wide, py + dy + high)
            inside = box[0] > frame.x0 and box[2] < frame.x1 and box[1] > frame.y0 and box[3] < frame.y1
            if not inside or any(t[0] < box[2] and box[0] < t[2] and t[1] < box[3] and box[1] < t[3] for t in taken):
                continue
            taken.append(box)
            x, y = axes.transData.inverted().transform((box[0], (box[1] + box[3]) / 2))
            ground = {"facecolor": paper.look.card, "alpha": 0.8, "lw": 0, "pad": 0.8}
            axes.text(x, y, word, size=size, color=paper.look.ink, va="center", zorder=7, bbox=ground, **paper.type)
            break


# -- legend ----------------------------------------------------------------------------------------------------------


def draw_legend(paper: Paper, area: Area, scene: Scene) -> None:
    """What the colours and rings say, on one line or, where names are long, two; top line first."""
    for line, x, (kind, text, colour) in _placed(paper, area.width, scene):
        y = area.y + area.height - 0.13 - _LEGEND_LINE * line
        if y < area.y - 0.02:
            break
        _mark(paper, kind, area.x + x, y, colour)
        paper.say(area.x + x + _before(paper, kind), y, text, size=8.5, color=paper.look.muted)


def legend_height(paper: Paper, wide: float, scene: Scene) -> float:
    """Inches that the legend takes at this width: one line or two."""
    lines = max((line for line, _, _ in _placed(paper, wide, scene)), default=0)
    return 0.2 + _LEGEND_LINE * min(lines, 1)


def _placed(paper: Paper, wide: float, scene: Scene) -> list[tuple[int, float, Mark]]:
    """Marks of the legend, each with its line and its place there."""
    found: list[tuple[int, float, Mark]] = []
    marks, x, line = _marks(scene), 0.0, 0
    for mark in marks:
        own = _before(paper, mark[0]) + paper.measure(mark[1], 8.5)
        if x > 0 and x + own > wide:
            x, line = 0.0, line + 1
        found.append((line, x, mark))
        x += own + (0.08 if mark[0] == "text" and len(marks) > 1 and marks[1][0] == "scale" else 0.18)
    return found


def _marks(scene: Scene) -> list[Mark]:
    look = scene.look
    palette, scale = scene.scale()
    names = [short(clean(name), 18) for name in palette.classes]
    marks: list[Mark] = []
    if scale is not None:
        marks += [("text", f"{scale.label}   {scale.low:.3g}", None), ("scale", f"{scale.high:.3g}", scale.colours)]
    elif palette.binary and scene.colour_by == "prediction":
        marks += [("text", names[0], None), ("scale", names[1], palette.diverging)]
    else:
        shown = np.flatnonzero(palette.own)[:10].tolist()
        marks += [("chip", names[c], hex_of(palette.hues[c])[0]) for c in shown]
        if len(names) > len(shown):
            marks.append(("text", f"and {len(names) - len(shown)} more", None))
        if scene.colour_by == "prediction" and len(names) > 2:
            marks.append(("sure", "sure", palette.certainty))
    if scene.readings and scene.projection is not None:
        marks += [("ring", "start", look.start), ("ring", "end", look.end)]
    if scene.own is not None:
        marks.append(("diamond", "your text", look.muted))
    return marks


def _before(paper: Paper, kind: str) -> float:
    """Inches that a mark takes before its text."""
    if kind == "sure":
        return paper.measure("unsure", 8.5) + 0.66
    return {"text": 0.0, "chip": 0.14, "ring": 0.17, "diamond": 0.17, "scale": 1.16}[kind]


def _mark(paper: Paper, kind: str, x: float, y: float, colour: Any) -> None:
    if kind == "chip":
        paper.box(Area(x, y - 0.005, 0.09, 0.09), colour)
    elif kind in ("scale", "sure"):
        low, wide = x, 1.08
        if kind == "sure":
            paper.say(x, y, "unsure", size=8.5, color=paper.look.muted)
            low, wide = x + _before(paper, kind) - 0.58, 0.5
        scale = paper.axes(Area(low, y - 0.005, wide, 0.09), bare=True)
        colours = LinearSegmentedColormap.from_list("", colour / 255)
        scale.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=colours, interpolation="none")
    elif kind in ("ring", "diamond"):
        ring = paper.axes(Area(x - 0.02, y - 0.04, 0.16, 0.16), bare=True)
        shape: dict[str, Any] = {"s": 34, "facecolors": "none"} if kind == "ring" else {"s": 24, "marker": "D"}
        ring.scatter(0, 0, color=None if kind == "ring" else colour, edgecolors=colour, linewidths=1.5, **shape)
