"""Drawing on paper: areas in inches, text that is measured before it is set, and the views of one sequence."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font_names
from matplotlib.patches import FancyBboxPatch, Rectangle

from hiddenstate_viewer.colours import hex_of, readable_text
from hiddenstate_viewer.evolution import heat_rows, short
from hiddenstate_viewer.scene import Scene, clean
from hiddenstate_viewer.theme import LIGHT, Look

__all__ = [
    "DPI", "Area", "Paper", "draw_distances", "draw_heading", "draw_probabilities", "draw_words", "heat_height",
    "words_height",
]  # fmt: skip

#: Pixels an inch at which text is measured.
DPI = 150
#: Pixels an inch of what is a picture in a drawing.
RASTER = 300
_FAMILIES = ("Inter", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "Liberation Sans", "Noto Sans", "DejaVu Sans")
#: Behind the first: scripts that it lacks.
_OTHERS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari",
           "WenQuanYi Zen Hei", "DejaVu Sans")  # fmt: skip
_LINE = 1.72


@dataclasses.dataclass(frozen=True)
class Area:
    """A rectangle on the paper, in inches from its lower left corner."""

    x: float
    y: float
    width: float
    height: float

    def inset(self, left: float = 0, bottom: float = 0, right: float = 0, top: float = 0) -> Area:
        """The rectangle without margins of these widths."""
        return Area(self.x + left, self.y + bottom, self.width - left - right, self.height - bottom - top)


class Paper:
    """A matplotlib figure of so many inches, and the means to set text on it.

    Parameters
    ----------
    width, height : float
        Inches.
    look : Look
        Light or dark.
    """

    def __init__(self, width: float, height: float, look: Look = LIGHT) -> None:
        self.width, self.height, self.look = width, height, look
        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor=look.card)
        self._renderer: Any = FigureCanvasAgg(self.figure).get_renderer()
        installed = set(get_font_names())
        known = [name for name in dict.fromkeys((*_FAMILIES, *_OTHERS)) if name in installed]
        self.families = known or ["sans-serif"]

    def say(self, x: float, y: float, text: str, **options: Any) -> Any:
        """Set text with its baseline at (x, y) inches."""
        options = {"size": 9, "color": self.look.ink, "va": "baseline", **self.type, **options}
        return self.figure.text(x / self.width, y / self.height, text, **options)

    @property
    def type(self) -> dict[str, Any]:
        """Options of any text: our family, and nothing in it taken for mathematics."""
        return {"family": self.families, "parse_math": False}

    def measure(self, text: str, size: float, weight: str = "normal") -> float:
        """Width of a text in inches."""
        font = FontProperties(family=self.families, size=size, weight=weight)
        return float(self._renderer.get_text_width_height_descent(text, font, False)[0]) / DPI

    def box(self, area: Area, colour: str) -> None:
        """Fill a rectangle."""
        low, size = (area.x / self.width, area.y / self.height), (area.width / self.width, area.height / self.height)
        self.figure.add_artist(Rectangle(low, *size, color=colour, lw=0, transform=self.figure.transFigure))

    def axes(self, area: Area, *, bare: bool = False) -> Any:
        """Axes that fill an area, with small grey labels or none."""
        w, h = self.width, self.height
        axes = self.figure.add_axes((area.x / w, area.y / h, area.width / w, area.height / h))
        axes.patch.set_alpha(0)
        if bare:
            axes.axis("off")
            return axes
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=8, labelcolor=self.look.muted, labelfontfamily=self.families[0])
        return axes


def draw_heading(paper: Paper, x: float, y: float, title: str, small: str = "", room: float = 1e9) -> None:
    """A title and, where there is room, what it is about."""
    paper.say(x, y, title, size=10, weight="bold")
    at = paper.measure(title, 10, "bold") + 0.08
    if small and at + paper.measure(small, 8) <= room:
        paper.say(x + at, y, small, size=8, color=paper.look.muted)


# -- words -----------------------------------------------------------------------------------------------------------


def words_height(paper: Paper, scene: Scene, width: float, size: float, most: float) -> float:
    """Inches that the words of the scene's sequence take in lines of `width` inches, at most `most`."""
    shown = [] if scene.reading is None else [clean(word) for word in scene.reading.evolution.words]
    placed = _wrap(paper, shown, size, width, most)
    return min(most, (placed[-1][1] if placed else 0.0) + size * _LINE / 72)


def draw_words(paper: Paper, area: Area, scene: Scene, sizes: tuple[float, ...] = (11, 10, 9, 8, 7, 6)) -> None:
    """The words, each on the colour of the output after it, in the largest of the sizes at which all fit."""
    reading, look = scene.reading, paper.look
    axes = paper.axes(area, bare=True)
    axes.set(xlim=(0, area.width * 72), ylim=(area.height * 72, 0))
    if reading is None or not len(reading):
        text = "No sequence of this trace has a word." if reading is None else "This sequence has no words."
        axes.text(0, 12, text, size=9, color=look.muted, **paper.type)
        return
    words = [clean(word) for word in reading.evolution.words]
    size, placed = sizes[0], []
    for size in sizes:
        placed = _wrap(paper, words, size, area.width, area.height)
        if len(placed) == len(words):
            break
    else:  # not all fit: leave room for the line that says so
        placed = _wrap(paper, words, size, area.width, area.height - 12 / 72)
    colours = scene.words(reading)
    ground, ink = hex_of(colours), readable_text(colours)
    for k, (left, top, wide) in enumerate(placed):
        x, y, w = left * 72, top * 72, wide * 72
        box = FancyBboxPatch((x, y), w, size * 1.35, boxstyle="round,pad=0,rounding_size=1.6", fc=ground[k], lw=0)
        axes.add_patch(box)
        where = {"ha": "center", "va": "baseline", "size": size, "color": ink[k], **paper.type}
        axes.text(x + w / 2, y + size, words[k], **where)
        if not reading.known[k]:
            axes.plot([x + 0.3 * size, x + w - 0.3 * size], [y + size * 1.2] * 2, color=ink[k], lw=0.7, ls=":")
    axes.set(xlim=(0, area.width * 72), ylim=(area.height * 72, 0))
    if len(placed) < len(words):
        rest = f"… and {len(words) - len(placed):,} more words"
        axes.text(0, area.height * 72, rest, size=8, color=look.muted, va="bottom", **paper.type)


def _wrap(paper: Paper, words: list[str], size: float, width: float, height: float) -> list[tuple[float, float, float]]:
    """Left, top and width (inches) of as many words as fit."""
    widths: dict[str, float] = {}
    line, em = size * _LINE / 72, size / 72
    x = y = 0.0
    out: list[tuple[float, float, float]] = []
    for word in words:
        if word not in widths:
            widths[word] = paper.measure(word, size) + 0.62 * em
        wide = min(widths[word], width)
        if x and x + wide > width:
            x, y = 0.0, y + line
        if y + line > height + 1e-6:
            break
        out.append((x, y, wide))
        x += wide + 0.3 * em
    return out


# -- charts ----------------------------------------------------------------------------------------------------------


def heat_height(scene: Scene, row: float = 0.24) -> float:
    """Inches that the rows of class probabilities take."""
    return row * (min(len(scene.palette.classes), 8) + 0.6)


def draw_probabilities(paper: Paper, area: Area, scene: Scene) -> None:
    """A row per class, a column per word; below, the output."""
    reading = scene.reading
    if reading is None:
        return
    names, rows, _ = heat_rows(reading, scene.palette)
    count, height = len(reading), len(names)
    axes = paper.axes(area)
    if count:
        # Cells of many pixels each: a drawing program would else smooth a picture of one pixel a cell.
        across = max(1, round(area.width * RASTER / count))
        for image, low, high in ((rows, 0.6, height + 0.6), (scene.words(reading)[None], 0.0, 0.5)):
            each = max(1, round(area.height * RASTER * (high - low) / (height + 0.6) / len(image)))
            pixels = np.repeat(np.repeat(image, each, axis=0), across, axis=1)
            axes.imshow(pixels, extent=(0.5, count + 0.5, low, high), aspect="auto", interpolation="none")
    _positions(axes, count)
    axes.set_ylim(0, height + 0.6)
    axes.set_yticks([*(height - i - 0.5 + 0.6 for i in range(height)), 0.25])
    axes.set_yticklabels([*(short(clean(name), 14) for name in names), "output"])


def draw_distances(paper: Paper, area: Area, scene: Scene) -> None:
    """A bar per word: its step, as a share of the data set's largest."""
    reading, look = scene.reading, paper.look
    if reading is None:
        return
    axes = paper.axes(area)
    jumps = reading.jumps
    if not len(jumps) and len(reading):
        axes.text(0.5, 0.5, "Hidden states were not recorded.", size=9, color=look.muted, ha="center",
                  transform=axes.transAxes, **paper.type)  # fmt: skip
    at = np.arange(1, len(jumps) + 1)
    colours = hex_of(scene.bars(reading)[: len(jumps)])
    axes.bar(at, jumps, width=0.86 if len(jumps) < 250 else 1.0, color=colours or None, lw=0)
    axes.axhline(scene.threshold, color=look.muted, lw=0.7, ls=(0, (4, 3)))
    _positions(axes, len(reading))
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])


def _positions(axes: Any, count: int) -> None:
    axes.set_xlim(0.5, max(count, 1) + 0.5)
    # Whole words only, the first among them.
    step = next(s for s in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10**9) if count / s <= 10)
    ticks = [1, *range(step, count + 1, step)] if step > 1 else list(range(1, count + 1))
    axes.set_xticks(ticks)
