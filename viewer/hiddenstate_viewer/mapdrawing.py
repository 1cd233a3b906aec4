"""Drawing on paper: the map of states with trajectories, and its legend."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from hiddenstate_viewer.colours import hex_of
from hiddenstate_viewer.data import Reading
from hiddenstate_viewer.drawing import DPI, RASTER, Area, Paper
from hiddenstate_viewer.evolution import short
from hiddenstate_viewer.scene import Scene, Window, clean, extent_of

__all__ = ["draw_legend", "draw_map"]

#: States up to which each is a point; up to which these points are shapes rather than one picture.
POINTS, SHAPES = 60_000, 3_000
#: Pixels of the picture of the density at most, each way: it bounds the size of a vector file.
MOST_PIXELS = 2_000
_NAMED = 16


def draw_map(paper: Paper, area: Area, scene: Scene) -> None:
    """All states, faded where something is selected, and on top what is selected."""
    axes, look = paper.axes(area, bare=True), paper.look
    if scene.projection is None:
        text = "No projection of the states yet.\nMake one:  hiddenstate project STORE"
        axes.text(0.5, 0.5, text, ha="center", va="center", color=look.muted, size=10, transform=axes.transAxes,
                  **paper.type)  # fmt: skip
        return
    points = scene.data.coordinates(scene.projection)
    window = _filling(scene.window or extent_of(points), area.width / area.height)
    axes.set(xlim=window[:2], ylim=window[2:])
    lasso = scene.steps is not None
    some = bool(scene.readings) or lasso or bool(scene.flows) or scene.own is not None
    _states(axes, area, scene, points, window, 0.42 if some else 1.0)
    if scene.steps is not None:
        _chosen(axes, scene, points, np.flatnonzero(scene.steps), window)
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
        colours = scene.colours(inside) / 255
        # Fewer points may be denser; over all of them the ink stays about the same.
        alpha = float(np.clip(60 / np.sqrt(max(len(inside), 1)), 0.25, 0.85)) * weight
        axes.scatter(*points[inside].T, s=7, c=colours, alpha=alpha, lw=0, rasterized=len(inside) > SHAPES)
        return
    shrink = min(1.0, MOST_PIXELS / (RASTER * max(area.width, area.height)))
    width, height = (max(16, round(side * RASTER * shrink)) for side in (area.width, area.height))
    rgba = scene.density(window, width, height)
    axes.imshow(rgba, extent=window, origin="lower", aspect="auto", alpha=weight, interpolation="none")


def _within(points: NDArray[np.float32], window: Window) -> NDArray[np.int64]:
    x0, x1, y0, y1 = window
    inside = (points[:, 0] >= x0) & (points[:, 0] <= x1) & (points[:, 1] >= y0) & (points[:, 1] <= y1)
    return np.flatnonzero(inside)


def _chosen(axes: Any, scene: Scene, points: NDArray[np.float32], steps: NDArray[np.int64], window: Window) -> None:
    steps = steps[_within(points[steps], window)]
    if len(steps) > POINTS:  # evenly thinned: more could not be told apart on paper
        steps = steps[np.linspace(0, len(steps) - 1, POINTS).astype(np.int64)]
    axes.scatter(*points[steps].T, s=8, c=scene.colours(steps) / 255, alpha=0.8, lw=0, rasterized=len(steps) > SHAPES)


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
    look = paper.look
    palette, scale = scene.scale()
    names = [short(clean(name), 18) for name in palette.classes]
    marks: list[tuple[str, str, Any]] = []  # kind, text, colour
    if scale is not None:
        marks += [("text", f"{scale.label}   {scale.low:.3g}", None), ("scale", f"{scale.high:.3g}", scale.colours)]
    elif palette.binary and scene.colour_by == "prediction":
        marks += [("text", names[0], None), ("scale", names[1], palette.diverging)]
    else:
        shown = np.flatnonzero(palette.own)[:10].tolist()
        marks += [("chip", names[c], hex_of(palette.hues[c])[0]) for c in shown]
        if len(names) > len(shown):
            marks.append(("text", f"and {len(names) - len(shown)} more", None))
    if scene.readings and scene.projection is not None:
        marks += [("ring", "start", look.start), ("ring", "end", look.end)]
    if scene.own is not None:
        marks.append(("diamond", "your text", look.muted))
    x, y = area.x, area.y + area.height - 0.13
    for kind, text, colour in marks:
        before = {"text": 0.0, "chip": 0.14, "ring": 0.17, "diamond": 0.17, "scale": 1.16}[kind]
        wide = before + paper.measure(text, 8.5)
        if x > area.x and x + wide > area.x + area.width:
            x, y = area.x, y - 0.19
        if y < area.y - 0.02:
            break
        _mark(paper, kind, x, y, colour)
        paper.say(x + before, y, text, size=8.5, color=look.muted)
        x += wide + (0.08 if kind == "text" and len(marks) > 1 and marks[1][0] == "scale" else 0.18)


def _mark(paper: Paper, kind: str, x: float, y: float, colour: Any) -> None:
    if kind == "chip":
        paper.box(Area(x, y - 0.005, 0.09, 0.09), colour)
    elif kind == "scale":
        scale = paper.axes(Area(x, y - 0.005, 1.08, 0.09), bare=True)
        colours = LinearSegmentedColormap.from_list("", colour / 255)
        scale.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=colours, interpolation="none")
    elif kind in ("ring", "diamond"):
        ring = paper.axes(Area(x - 0.02, y - 0.04, 0.16, 0.16), bare=True)
        shape: dict[str, Any] = {"s": 34, "facecolors": "none"} if kind == "ring" else {"s": 24, "marker": "D"}
        ring.scatter(0, 0, color=None if kind == "ring" else colour, edgecolors=colour, linewidths=1.5, **shape)
