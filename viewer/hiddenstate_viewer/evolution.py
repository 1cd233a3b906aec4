"""Class probability over time (a row per class, a column per word) and step distances (a bar per word)."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import BoxAnnotation, ColumnDataSource, FixedTicker, Range1d, Span
from numpy.typing import NDArray

from hiddenstate_viewer.colours import OTHER, Palette, hex_of, ramp, rgba32
from hiddenstate_viewer.data import Reading
from hiddenstate_viewer.theme import LIGHT, Look, quiet_figure

__all__ = ["THRESHOLD", "SequenceCharts", "heat_rows", "short"]

#: Rows of classes at most; the others share one.
MAX_ROWS = 8
ROW, BARS = 22, 120
#: Words are labelled in the map from this step distance on, in percent of the data set's largest.
THRESHOLD = 40
_LEFT = 78
#: Pixels from the middle of one name beside the heatmap to the next.
_APART = 14


def short(name: str, length: int = 12) -> str:
    """A class name cut to what a row has room for."""
    return name if len(name) <= length else name[: length - 1] + "…"


def heat_rows(reading: Reading, palette: Palette) -> tuple[list[str], NDArray[np.uint8], NDArray[np.uint8]]:
    """Rows of the heatmap, top to bottom.

    Parameters
    ----------
    reading : Reading
        A sequence of T words.
    palette : Palette
        Colours of its classes.

    Returns
    -------
    names : list of str
        R row names; with many classes those that were ever most probable come first, and the last row is the rest's.
    colours : (R, T, 3) uint8
        White to the class's hue by probability.
    summary : (1, T, 3) uint8
        Two classes: the diverging scale; more: the most probable class's hue by its probability.
    """
    p = reading.evolution.probabilities
    count = len(palette.classes)
    chosen = list(range(count))
    if count > MAX_ROWS:
        chosen = (
            sorted(np.argsort(-p.max(axis=0), kind="stable")[: MAX_ROWS - 1].tolist())
            if len(p)
            else chosen[: MAX_ROWS - 1]
        )
    index = np.rint(np.clip(p, 0, 1) * 255).astype(np.int64)
    rows = [palette.class_scale(c)[index[:, c]] for c in chosen]
    names = [palette.classes[c] for c in chosen]
    if count > MAX_ROWS:
        rest = np.clip(1 - p[:, chosen].sum(axis=1), 0, 1)
        rows.append(ramp(palette.ground, OTHER)[np.rint(rest * 255).astype(np.int64)])
        names.append(f"{count - len(chosen)} others")
    colours = np.stack(rows) if rows else np.zeros((0, len(p), 3), np.uint8)
    return names, colours, reading.colours[None]


class SequenceCharts:
    """The two charts under the words, on one axis of word positions.

    Parameters
    ----------
    palette : Palette
        Colours of the classes.
    look : Look
        Neutral colours of the page.
    row : int
        Pixels of a class's row.
    """

    def __init__(self, palette: Palette, look: Look = LIGHT, *, row: int = ROW) -> None:
        self.palette, self.look, self.row = palette, look, row
        #: Rows that the output below the classes takes: its name must not lie over the last class's.
        self.below = max(0.6, _APART / row - 0.25)
        self.positions = Range1d(0.5, 1.5)
        self.rows = min(len(palette.classes), MAX_ROWS)
        self._cells = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._bars = ColumnDataSource({"x": [], "top": [], "colour": []})
        self.heat = self._heatmap()
        if len(palette.classes) <= MAX_ROWS:  # known before there is a sequence, so that the first one waits less
            self._name_rows(list(palette.classes))
        self.bars = self._barchart()

    def _heatmap(self) -> Any:
        plot = quiet_figure(
            self.look,
            height=round(self.row * (self.rows + self.below)) + 2,
            sizing_mode="stretch_width",
            x_range=self.positions,
            y_range=Range1d(0, self.rows + self.below),
            min_border_left=_LEFT,
            min_border_right=4,
            name="hs-heatmap",
        )
        plot.image_rgba(image="image", x="x", y="y", dw="dw", dh="dh", source=self._cells)
        plot.xaxis.visible = False
        plot.yaxis.axis_line_color = None
        plot.yaxis.ticker = FixedTicker(ticks=[])
        self.heat_box = _box(self.look)
        plot.add_layout(self.heat_box)
        return plot

    def _name_rows(self, names: list[str]) -> None:
        axis, height = self.heat.yaxis[0], len(names)
        ticks = [height - i - 0.5 + self.below for i in range(height)]
        labels = {**{t: short(n) for t, n in zip(ticks, names, strict=True)}, 0.25: "output"}
        # Only what is another one: an axis given a ticker has Bokeh count all models of the page anew.
        axis.ticker.update(ticks=[*ticks, 0.25])
        if axis.major_label_overrides != labels:
            axis.major_label_overrides = labels

    def _barchart(self) -> Any:
        plot = quiet_figure(
            self.look,
            height=BARS,
            sizing_mode="stretch_width",
            x_range=self.positions,
            y_range=Range1d(0, 1.04),
            min_border_left=_LEFT,
            min_border_right=4,
            min_border_top=4,
            name="hs-distances",
        )
        plot.vbar(x="x", top="top", width=0.86, color="colour", line_width=0, source=self._bars)
        plot.yaxis.ticker = FixedTicker(ticks=[0, 0.5, 1])
        plot.yaxis.axis_line_color = None
        plot.ygrid.grid_line_color = self.look.line
        plot.ygrid.grid_line_alpha = 0.6
        plot.ygrid.ticker = plot.yaxis[0].ticker
        plot.xaxis.ticker.desired_num_ticks = 8
        plot.xaxis.major_label_standoff = 3
        self.bar_box = _box(self.look)
        self.threshold = Span(
            location=THRESHOLD / 100,
            dimension="width",
            line_color=self.look.muted,
            line_width=1,
            line_dash="4 3",
            editable=True,
            hover_line_color=self.look.ink,
            hover_line_width=2,
            syncable=False,
        )
        plot.add_layout(self.bar_box)
        plot.add_layout(self.threshold)
        return plot

    def update(self, reading: Reading | None) -> None:
        """Show a sequence, or nothing."""
        count = 0 if reading is None else len(reading)
        if reading is None or not count:
            self._cells.data = {"image": [], "x": [], "y": [], "dw": [], "dh": []}
            self._bars.data = {"x": [], "top": [], "colour": []}
            return
        names, colours, summary = heat_rows(reading, self.palette)
        height = len(names)
        self._cells.data = {
            "image": [rgba32(colours[::-1]), rgba32(summary)],
            "x": [0.5, 0.5],
            "y": [self.below, 0.0],
            "dw": [count, count],
            "dh": [height, 0.5],
        }
        self._name_rows(names)
        jumps = reading.jumps
        self._bars.data = {
            "x": np.arange(1, len(jumps) + 1),
            "top": jumps,
            "colour": hex_of(reading.before[: len(jumps)]),
        }
        self.positions.update(start=0.5, end=count + 0.5)


def _box(look: Look) -> BoxAnnotation:
    return BoxAnnotation(
        left=-1,
        right=0,
        visible=False,
        fill_color=None,
        line_color=look.ink,
        line_width=1.5,
        level="overlay",  # painted by itself, so that the chart below is not painted anew with every move
        syncable=False,
    )
