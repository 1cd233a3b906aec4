"""The map of states: density far, points near, and the selected sequence's trajectory on top."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.core.properties import value as literal
from bokeh.models import ColumnDataSource, HoverTool, ImageRGBA, PanTool, Range1d, WheelZoomTool
from numpy.typing import NDArray

from hiddenstate_viewer.colours import hex_of, rgba32
from hiddenstate_viewer.data import Reading, ViewData
from hiddenstate_viewer.density import density_image
from hiddenstate_viewer.theme import FONT, INK, SMALL, quiet_figure

__all__ = ["FADED", "StateMap", "extent_of", "step_columns"]

#: Opacity of the rest while a sequence is selected.
FADED = 0.15
#: A trace of at most this many states is drawn point by point at once; a larger one only where so few are in sight.
ALL_POINTS, NEAR_POINTS = 12_000, 3_000
_DELAY = 40  # ms between a change of the window and the new picture

_TOOLTIP = """<div style="font: 12px/1.5 {font}; color: {ink}; max-width: 260px">
<b>@word</b><span style="color:#5b636d"> &nbsp;word @position</span><br>@predicted &nbsp;@confidence{{0.0 %}}<br>
<span style="color:#5b636d">@id &nbsp;·&nbsp; class @label</span></div>"""


def extent_of(points: NDArray[np.float32]) -> list[float]:
    """Window [x0, x1, y0, y1] that holds all points, with a margin."""
    if not len(points):
        return [-1.0, 1.0, -1.0, 1.0]
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    margin = np.maximum((high - low) * 0.035, 1e-6)
    low, high = low - margin, high + margin
    return [float(low[0]), float(high[0]), float(low[1]), float(high[1])]


def step_columns(reading: Reading, data: ViewData, points: NDArray[np.float32] | None) -> dict[str, Any]:
    """Columns of a sequence's steps, by which the views and the cursor find them."""
    count = len(reading)
    evolution = reading.evolution
    classes = data.trace.classes
    where = np.full((count, 2), np.nan, np.float32) if points is None else points[reading.start : reading.start + count]
    jumps = np.full(count, np.nan, np.float32)
    jumps[: len(reading.jumps)] = reading.jumps
    return {
        "x": np.ascontiguousarray(where[:, 0]),
        "y": np.ascontiguousarray(where[:, 1]),
        "word": list(evolution.words),
        "position": data.trace.sequence(reading.index).positions + 1,
        "predicted": [classes[c] for c in evolution.predicted.tolist()],
        "confidence": evolution.confidence,
        "jump": jumps,
        "id": [reading.id] * count,
        "label": [classes[evolution.label] if evolution.label >= 0 else "unknown"] * count,
        "colour": hex_of(reading.colours),
    }


class StateMap:
    """A figure of all states of one trace.

    Parameters
    ----------
    data : ViewData
        The trace.
    """

    def __init__(self, data: ViewData) -> None:
        self.data = data
        self.projection: str | None = None
        self.colour_by = "prediction"
        self.selected = False
        self._waiting = False
        #: Width and height of the frame in pixels, once a browser has told.
        self.size: tuple[int, int] | None = None
        self.extent = ColumnDataSource({}, tags=[-1.0, 1.0, -1.0, 1.0])
        self.image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        empty = ("x", "y", "word", "position", "predicted", "confidence", "jump", "id", "label", "colour")
        self.steps = ColumnDataSource({name: [] for name in empty})
        self.points = ColumnDataSource({name: [] for name in (*empty, "packed")})
        self.segments = ColumnDataSource({name: [] for name in ("x0", "y0", "x1", "y1", "colour")})
        self.ends = ColumnDataSource({name: [] for name in ("x", "y", "colour")})
        self.focus = ColumnDataSource({"x": [], "y": []}, syncable=False)
        self.labels = ColumnDataSource({name: [] for name in ("x", "y", "text", "dx", "dy")}, syncable=False)
        self.plot = self._figure()

    def _figure(self) -> Any:
        wheel, pan = WheelZoomTool(), PanTool()
        plot = quiet_figure(
            x_range=Range1d(-1, 1),
            y_range=Range1d(-1, 1),
            sizing_mode="stretch_both",
            tools=[pan, wheel],
            name="hs-map",
            lod_threshold=None,
            min_height=200,
            min_width=200,
        )
        plot.toolbar.active_scroll = wheel
        plot.axis.visible = False
        plot.background_fill_color = "#ffffff"
        self._image = plot.add_glyph(self.image, ImageRGBA(image="image", x="x", y="y", dw="dw", dh="dh"))
        self._points = plot.scatter(
            "x", "y", size=4.5, color="packed", line_color=None, source=self.points, nonselection_fill_alpha=1
        )
        plot.segment("x0", "y0", "x1", "y1", color="colour", line_width=1.8, line_cap="round", source=self.segments)
        line = plot.scatter(
            "x", "y", size=7, fill_color="colour", line_color="#ffffff", line_width=0.8, source=self.steps
        )
        plot.scatter("x", "y", size=15, fill_color=None, line_color="colour", line_width=2.5, source=self.ends)
        plot.text(
            "x", "y", "text", x_offset="dx", y_offset="dy", source=self.labels, text_font=literal(FONT), text_color=INK,
            text_font_size=f"{SMALL}px", text_baseline="bottom", background_fill_color="#ffffff",
            background_fill_alpha=0.8,
        )  # fmt: skip
        plot.scatter("x", "y", size=13, fill_color=None, line_color=INK, line_width=2.5, source=self.focus)
        tooltip = _TOOLTIP.format(font=FONT.replace('"', "'"), ink=INK)
        self._tooltips = HoverTool(
            renderers=[line, self._points], tooltips=tooltip, attachment="horizontal", point_policy="snap_to_data"
        )
        plot.add_tools(self._tooltips)
        return plot

    def hide_tooltips_of_points(self) -> None:
        """Tell nothing of points that are not of the selected sequence (their columns are not there)."""
        self._tooltips.renderers = self._tooltips.renderers[:1]

    def show(self, projection: str | None, colour_by: str) -> None:
        """Show another projection or another colouring of all states."""
        self.colour_by = colour_by
        if projection != self.projection:
            self.projection = projection
            extent = extent_of(self.data.coordinates(projection)) if projection else [-1.0, 1.0, -1.0, 1.0]
            self.plot.x_range.update(start=extent[0], end=extent[1])
            self.plot.y_range.update(start=extent[2], end=extent[3])
            self.extent.tags = extent
        self.paint()

    def paint(self) -> None:
        """Draw the states that are in sight: each of them if they are few, else their density."""
        if self.projection is None:
            return
        if self.data.trace.steps <= ALL_POINTS:
            self._show_points(np.arange(self.data.trace.steps))
            return
        x_range = float(self.plot.x_range.start), float(self.plot.x_range.end)
        y_range = float(self.plot.y_range.start), float(self.plot.y_range.end)
        if self.size is None:
            return
        image, inside = density_image(self.data, self.projection, self.colour_by, x_range, y_range, *self.size)
        if inside <= NEAR_POINTS:
            points = self.data.coordinates(self.projection)
            near = (points[:, 0] >= x_range[0]) & (points[:, 0] <= x_range[1])
            near &= (points[:, 1] >= y_range[0]) & (points[:, 1] <= y_range[1])
            self._show_points(np.flatnonzero(near))
            return
        self.image.data = {
            "image": [image], "x": [x_range[0]], "y": [y_range[0]],
            "dw": [x_range[1] - x_range[0]], "dh": [y_range[1] - y_range[0]],
        }  # fmt: skip
        if len(self.points.data["x"]):
            self.points.data = {name: [] for name in self.points.data}

    def _show_points(self, steps: NDArray[np.int64]) -> None:
        assert self.projection is not None
        self.points.data = self.context(steps)
        if len(self.image.data["image"]):
            self.image.data = {name: [] for name in self.image.data}

    def context(self, steps: NDArray[np.int64], *, named: bool = True) -> dict[str, Any]:
        """Columns of the points of these steps; `named` says whether with what a tooltip tells."""
        assert self.projection is not None
        data, trace = self.data, self.data.trace
        points = data.coordinates(self.projection)[steps]
        sequence = np.searchsorted(trace.offsets, steps, side="right") - 1
        labels = trace.labels.astype(np.int64)[sequence]
        predicted = data.predicted[steps].astype(np.int64)
        if self.colour_by == "prediction":
            colours = data.palette.states(predicted, data.confidence[steps])
        else:
            colours = data.palette.labels(labels)
        columns: dict[str, Any] = {
            "x": np.ascontiguousarray(points[:, 0]), "y": np.ascontiguousarray(points[:, 1]),
            "packed": rgba32(colours)[..., None].view(np.uint8).reshape(-1, 4) if len(steps) else [],
        }  # fmt: skip
        if not named:
            return columns
        classes = (*trace.classes, "unknown")
        lexicon, ids = trace.lexicon, trace.ids
        words = data.surface[steps].tolist()
        return {
            **columns,
            "word": [lexicon[w] for w in words],
            "position": trace.positions[steps] + 1,
            "predicted": [classes[c] for c in predicted.tolist()],
            "confidence": data.confidence[steps],
            "jump": np.zeros(len(steps), np.float32),
            "id": [ids[s] for s in sequence.tolist()],
            "label": [classes[c] for c in labels.tolist()],
            "colour": np.zeros(len(steps), np.int8),
        }

    def trace_sequence(self, reading: Reading | None) -> None:
        """Draw one sequence's trajectory over the faded rest, or none."""
        self.selected = reading is not None
        opacity = FADED if self.selected else 1.0
        self._points.glyph.fill_alpha = opacity if self.selected else 0.75
        self._points.nonselection_glyph = None
        self._image.glyph.global_alpha = max(opacity, 0.22) if self.selected else 1.0
        points = self.data.coordinates(self.projection) if self.projection else None
        if reading is None:
            self.steps.data = {name: [] for name in self.steps.data}
        else:
            self.steps.data = step_columns(reading, self.data, points)
        if reading is None or points is None or not len(reading):
            self.segments.data = {name: [] for name in self.segments.data}
            self.ends.data = {name: [] for name in self.ends.data}
            return
        way = points[reading.start : reading.start + len(reading)]
        self.segments.data = {
            "x0": way[:-1, 0].copy(), "y0": way[:-1, 1].copy(), "x1": way[1:, 0].copy(), "y1": way[1:, 1].copy(),
            "colour": hex_of(reading.before[1:]),
        }  # fmt: skip
        self.ends.data = {"x": way[[0, -1], 0], "y": way[[0, -1], 1], "colour": ["#98a0a9", "#000000"]}

    def follow_window(self) -> None:
        """Paint again whenever the window moves or changes its size (on a server)."""
        for model, names in ((self.plot.x_range, ("start", "end")), (self.plot.y_range, ("start", "end"))):
            for name in names:
                model.on_change(name, self._moved)

    def _moved(self, _attribute: str, _old: Any, _new: Any) -> None:
        document = self.plot.document
        if self._waiting or document is None or self.data.trace.steps <= ALL_POINTS:
            return
        self._waiting = True
        document.add_timeout_callback(self._repaint, _DELAY)

    def _repaint(self) -> None:
        self._waiting = False
        self.paint()

    def resize(self, width: int, height: int) -> None:
        """Paint for a frame of this size in pixels."""
        self.size = min(max(width, 16), 4096), min(max(height, 16), 4096)
        if self.data.trace.steps > ALL_POINTS:
            self.paint()

    def step_at(self, x: float, y: float) -> int | None:
        """Number of the step whose point lies within a few pixels of a place on the map."""
        if self.projection is None:
            return None
        span = abs(self.plot.x_range.end - self.plot.x_range.start)
        return self.data.nearest(self.projection, x, y, 12 * span / (self.size or (640, 640))[0])
