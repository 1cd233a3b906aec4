"""One sequence's views as a PNG, drawn by matplotlib without a browser."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font_names
from matplotlib.patches import FancyBboxPatch, Rectangle

from hiddenstate_core.atomic import atomic_path
from hiddenstate_core.traces import Trace
from hiddenstate_viewer.colours import hex_of, readable_text
from hiddenstate_viewer.data import Reading, ViewData
from hiddenstate_viewer.density import density_image
from hiddenstate_viewer.evolution import THRESHOLD, heat_rows, short
from hiddenstate_viewer.projection import extent_of
from hiddenstate_viewer.report import choose
from hiddenstate_viewer.theme import INK, LINE, MUTED

__all__ = ["write_picture"]

#: Inches, and pixels per inch: 2,160 x 1,296.
SIZE, DPI = (14.4, 8.64), 150
_FAMILIES = ("Inter", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "Liberation Sans", "Noto Sans", "DejaVu Sans")
#: Left column, map: left and right edges, as shares of the width.
_LEFT, _MAP = (0.022, 0.415), (0.445, 0.985)
#: More points than this are drawn as a density picture.
_POINTS = 60_000


def write_picture(
    trace: Trace | ViewData,
    path: str | os.PathLike[str],
    *,
    sequence: int | None = None,
    projection: str | None = None,
) -> None:
    """Write one sequence's words, probabilities, step distances and trajectory as a PNG.

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
    with warnings.catch_warnings():
        # A script that no installed font has is drawn as boxes: a blemish, not an error.
        warnings.filterwarnings("ignore", message=r"(?s).*[Gg]lyph.*")
        warnings.filterwarnings("ignore", message=r"(?s).*Matplotlib currently does not support.*")
        picture = _Picture(data, reading, projection)
        with atomic_path(path) as temporary:
            picture.figure.savefig(temporary, format="png", dpi=DPI)


class _Picture:
    def __init__(self, data: ViewData, reading: Reading | None, projection: str | None) -> None:
        self.data, self.reading, self.projection = data, reading, projection
        self.figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
        self.canvas = FigureCanvasAgg(self.figure)
        installed = set(get_font_names())
        self.families = [name for name in _FAMILIES if name in installed] or ["sans-serif"]
        self._title()
        if reading is None:
            self._say(_LEFT[0], 0.5, "No sequence of this trace has a word.", color=MUTED)
        else:
            self._words()
            rows = self._heatmap()
            self._bars(rows)
        self._map()

    def _say(self, x: float, y: float, text: str, **options: Any) -> Any:
        options = {"size": 9, "color": INK, "va": "baseline", "family": self.families, "parse_math": False, **options}
        return self.figure.text(x, y, text, **options)

    # -- title ------------------------------------------------------------------------------------------------------

    def _title(self) -> None:
        trace, reading = self.data.trace, self.reading
        self._say(_LEFT[0], 0.952, _cut(reading.id if reading else self.data.name, 44), size=14, weight="bold")
        self._say(
            _MAP[1],
            0.955,
            f"{self.data.name}   {len(trace):,} sequences   {trace.steps:,} states",
            color=MUTED,
            ha="right",
        )
        if reading is None:
            return
        evolution, palette = reading.evolution, self.data.palette
        last = evolution.outcome
        names = (*trace.classes, "unknown")
        verdict = {True: "correct", False: "wrong", None: "class unknown"}[evolution.correct]
        cells = (
            ("class", names[evolution.label], evolution.label),
            ("classified as", names[evolution.final], evolution.final),
            ("verdict", verdict, None),
            ("confidence", f"{100 * float(last[evolution.final]):.1f} %", None),
        )
        for k, (name, value, label) in enumerate(cells):
            x = _LEFT[0] + k * 0.098
            self._say(x, 0.922, name, size=8, color=MUTED)
            inset = 0.0
            if label is not None:
                colour = hex_of(palette.labels(np.array([label])))[0]
                chip = Rectangle((x, 0.898), 0.0065, 0.0108, color=colour, transform=self.figure.transFigure, lw=0)
                self.figure.add_artist(chip)
                inset = 0.0105
            self._say(x + inset, 0.8985, short(value, 16), size=10, weight="bold")

    # -- words ------------------------------------------------------------------------------------------------------

    def _words(self) -> None:
        assert self.reading is not None
        self._heading(0.862, "Words", f"coloured by the output after reading each; {len(self.reading):,} in all")
        box = (_LEFT[0], 0.415, _LEFT[1] - _LEFT[0], 0.43)
        width, height = box[2] * SIZE[0] * 72, box[3] * SIZE[1] * 72
        axes = self.figure.add_axes(box)
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        words = [_cut(word, 40) for word in self.reading.evolution.words]
        if not words:
            axes.text(0, 12, "This sequence has no words.", size=9, color=MUTED, family=self.families)
            return
        placed: list[tuple[float, float, float]] = []
        size = 11.0
        for size in (11.0, 10.0, 9.0, 8.0, 7.0, 6.0):
            placed = self._wrap(words, size, width, height)
            if len(placed) == len(words):
                break
        ground, ink = hex_of(self.reading.colours), readable_text(self.reading.colours)
        for k, (x, y, wide) in enumerate(placed):
            axes.add_patch(
                FancyBboxPatch(
                    (x, y),
                    wide,
                    size * 1.35,
                    boxstyle="round,pad=0,rounding_size=1.6",
                    facecolor=ground[k],
                    linewidth=0,
                )
            )
            axes.text(
                x + wide / 2, y + size * 1.0, words[k], size=size, color=ink[k], ha="center", va="baseline",
                family=self.families, parse_math=False,
            )  # fmt: skip
        if len(placed) < len(words):
            rest = f"… and {len(words) - len(placed):,} more words"
            axes.text(0, height, rest, size=8, color=MUTED, va="bottom", family=self.families)

    def _wrap(self, words: list[str], size: float, width: float, height: float) -> list[tuple[float, float, float]]:
        """Left, top and width (points) of as many words as fit."""
        renderer: Any = self.canvas.get_renderer()
        font = FontProperties(family=self.families, size=size)
        widths: dict[str, float] = {}
        line, limit = size * 1.72, height - 12
        x = y = 0.0
        out: list[tuple[float, float, float]] = []
        for word in words:
            if word not in widths:
                text = word.replace("\n", " ")
                widths[word] = renderer.get_text_width_height_descent(text, font, False)[0] * 72 / DPI + 0.62 * size
            wide = min(widths[word], width)
            if x and x + wide > width:
                x, y = 0.0, y + line
            if y + line > limit:
                break
            out.append((x, y, wide))
            x += wide + 0.3 * size
        return out

    # -- charts -----------------------------------------------------------------------------------------------------

    def _heading(self, y: float, title: str, small: str = "", x: float = _LEFT[0]) -> None:
        text = self._say(x, y, title, size=10, weight="bold")
        wide = text.get_window_extent(self.canvas.get_renderer()).width / (SIZE[0] * DPI)
        self._say(x + wide + 0.006, y, small, size=8, color=MUTED)

    def _heatmap(self) -> float:
        assert self.reading is not None
        names, colours, summary = heat_rows(self.reading, self.data.palette)
        count, rows = len(self.reading), len(names)
        self._heading(0.385, "Class probability over time")
        tall = min(0.028 * (rows + 0.6), 0.155)
        axes = self._plain((_LEFT[0] + 0.062, 0.372 - tall, _LEFT[1] - _LEFT[0] - 0.062, tall), count)
        axes.set_ylim(0, rows + 0.6)
        if count:
            axes.imshow(colours, extent=(0.5, count + 0.5, 0.6, rows + 0.6), aspect="auto", interpolation="nearest")
            axes.imshow(summary, extent=(0.5, count + 0.5, 0, 0.5), aspect="auto", interpolation="nearest")
        axes.set_xlim(0.5, max(count, 1) + 0.5)
        axes.set_ylim(0, rows + 0.6)
        axes.set_yticks([*(rows - i - 0.5 + 0.6 for i in range(rows)), 0.25])
        axes.set_yticklabels([*(short(name, 14) for name in names), "output"])
        axes.set_xticks([])
        return 0.372 - tall

    def _bars(self, below: float) -> None:
        assert self.reading is not None
        jumps = self.reading.jumps
        top = below - 0.045
        self._heading(top, "Step distance", "share of the data set's largest")
        axes = self._plain(
            (_LEFT[0] + 0.062, 0.045, _LEFT[1] - _LEFT[0] - 0.062, top - 0.012 - 0.045), len(self.reading)
        )
        at = np.arange(1, len(jumps) + 1)
        axes.bar(
            at, jumps, width=0.86 if len(jumps) < 250 else 1.0, color=hex_of(self.reading.before[: len(jumps)]), lw=0
        )
        axes.axhline(THRESHOLD / 100, color=MUTED, lw=0.7, ls=(0, (4, 3)))
        axes.set_ylim(0, 1.02)
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])

    def _plain(self, box: tuple[float, float, float, float], count: int) -> Any:
        axes = self.figure.add_axes(box)
        axes.set_xlim(0.5, max(count, 1) + 0.5)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=8, labelcolor=MUTED, labelfontfamily=self.families[0])
        return axes

    # -- map --------------------------------------------------------------------------------------------------------

    def _map(self) -> None:
        self._heading(0.918, "Hidden states", self.projection or "", x=_MAP[0])
        box = (_MAP[0], 0.075, _MAP[1] - _MAP[0], 0.83)
        axes = self.figure.add_axes(box)
        axes.axis("off")
        if self.projection is None:
            text = "No projection of the states yet.\nMake one:  hiddenstate project STORE"
            axes.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, size=10, transform=axes.transAxes)
            return
        points = self.data.coordinates(self.projection)
        x0, x1, y0, y1 = extent_of(points)
        shape = box[2] * SIZE[0] / (box[3] * SIZE[1])
        grow_x, grow_y = max(shape * (y1 - y0) / (x1 - x0), 1), max((x1 - x0) / (y1 - y0) / shape, 1)
        cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) * grow_x / 2, (y1 - y0) * grow_y / 2
        window = (cx - w, cx + w, cy - h, cy + h)
        axes.set(xlim=window[:2], ylim=window[2:])
        self._context(axes, points, window)
        if self.reading is not None and len(self.reading):
            self._trajectory(axes, points[self.reading.start : self.reading.start + len(self.reading)])
        self._legend()

    def _context(self, axes: Any, points: np.ndarray, window: tuple[float, float, float, float]) -> None:
        data = self.data
        if len(points) <= _POINTS:
            colours = data.palette.states(data.predicted, data.confidence) / 255
            axes.scatter(points[:, 0], points[:, 1], s=7, c=colours, alpha=0.25 if len(points) < 15_000 else 0.12, lw=0)
            return
        assert self.projection is not None
        width = int(SIZE[0] * DPI * (_MAP[1] - _MAP[0]))
        height = int(SIZE[1] * DPI * 0.83)
        image, _ = density_image(data, self.projection, "prediction", window[:2], window[2:], width, height)
        rgba = image.view(np.uint8).reshape(*image.shape, 4)
        axes.imshow(rgba, extent=window, origin="lower", aspect="auto", alpha=0.35, interpolation="nearest")
        axes.set(xlim=window[:2], ylim=window[2:])

    def _trajectory(self, axes: Any, way: np.ndarray) -> None:
        assert self.reading is not None
        pieces = np.stack([way[:-1], way[1:]], axis=1)
        axes.add_collection(
            LineCollection(list(pieces), colors=hex_of(self.reading.before[1:]), linewidths=1.5, capstyle="round"),
            autolim=False,
        )
        axes.scatter(
            way[:, 0], way[:, 1], s=26, c=hex_of(self.reading.colours), edgecolors="white", linewidths=0.6, zorder=3
        )
        ends = {"facecolors": "none", "linewidths": 2.0, "s": 130, "zorder": 4}
        axes.scatter(*way[0], edgecolors="#98a0a9", **ends)
        axes.scatter(*way[-1], edgecolors="black", **ends)
        self._labels(axes, way)

    def _labels(self, axes: Any, way: np.ndarray) -> None:
        assert self.reading is not None
        renderer: Any = self.canvas.get_renderer()
        font = FontProperties(family=self.families, size=8.5)
        jumps, words = self.reading.jumps, self.reading.evolution.words
        pixels = axes.transData.transform(way)
        frame = axes.get_window_extent(renderer)
        taken: list[tuple[float, float, float, float]] = []
        for step in np.argsort(-jumps, kind="stable")[:40].tolist():
            if jumps[step] < THRESHOLD / 100:
                break
            word = _cut(words[step], 24)
            wide, high, _ = renderer.get_text_width_height_descent(word, font, False)
            px, py = pixels[step].tolist()
            for dx, dy in ((14, 10), (-14 - wide, 10), (14, -10 - high), (-14 - wide, -10 - high), (-wide / 2, 18)):
                box = (px + dx, py + dy, px + dx + wide, py + dy + high)
                inside = box[0] > frame.x0 and box[2] < frame.x1 and box[1] > frame.y0 and box[3] < frame.y1
                if not inside or any(
                    t[0] < box[2] and box[0] < t[2] and t[1] < box[3] and box[1] < t[3] for t in taken
                ):
                    continue
                taken.append(box)
                x, y = axes.transData.inverted().transform((box[0], box[1]))
                axes.text(
                    x, y, word, size=8.5, color=INK, va="bottom", family=self.families, parse_math=False, zorder=5,
                    bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 0.8},
                )  # fmt: skip
                break

    def _legend(self) -> None:
        palette, x, y = self.data.palette, _MAP[0], 0.045
        names = [short(name, 18) for name in palette.classes]
        renderer: Any = self.canvas.get_renderer()

        def say(text: str, at: float) -> float:
            made = self._say(at, y, text, size=8.5, color=MUTED)
            return at + made.get_window_extent(renderer).width / (SIZE[0] * DPI)

        if palette.binary:
            x = say(names[0], x) + 0.007
            scale = self.figure.add_axes((x, y, 0.075, 0.011))
            scale.axis("off")
            colours = LinearSegmentedColormap.from_list("", palette.diverging / 255)
            scale.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=colours)
            x = say(names[1], x + 0.082) + 0.02
        else:
            shown = np.flatnonzero(palette.own)[:7].tolist()
            for label in shown:
                chip = (x, y - 0.0008), 0.0062, 0.0103
                colour = hex_of(palette.hues[label])[0]
                self.figure.add_artist(Rectangle(*chip, color=colour, transform=self.figure.transFigure, lw=0))
                x = say(names[label], x + 0.0095) + 0.012
            if len(names) > len(shown):
                x = say(f"and {len(names) - len(shown)} more", x) + 0.012
        for name, colour in (("start", "#98a0a9"), ("end", "black")):
            ring = self.figure.add_axes((x, y - 0.003, 0.0096, 0.016))
            ring.axis("off")
            ring.scatter(0, 0, s=42, facecolors="none", edgecolors=colour, linewidths=1.6)
            x = say(name, x + 0.0125) + 0.012
        rule = Rectangle((_MAP[0] - 0.014, 0.04), 0.0006, 0.92, color=LINE, transform=self.figure.transFigure, lw=0)
        self.figure.add_artist(rule)


def _cut(text: str, length: int) -> str:
    text = " ".join(text.split()) or "␣"
    return text if len(text) <= length else text[: length - 1] + "…"
