"""Drawing on paper: a bar per true class, and the confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from hiddenstate_viewer.classbars import MOST_BARS, bar_order
from hiddenstate_viewer.colours import hex_of, readable_text
from hiddenstate_viewer.confusion import MOST_NAMES, cell_colours, named_classes
from hiddenstate_viewer.counts import stretches
from hiddenstate_viewer.drawing import RASTER, Area, Paper
from hiddenstate_viewer.evolution import short
from hiddenstate_viewer.scene import Scene, clean

__all__ = ["bars_height", "draw_classes", "draw_confusion"]

#: Classes with numbers in the matrix: paper is finer than a screen.
MOST_NUMBERS = 12


def bars_height(scene: Scene) -> float:
    """Inches that the bars take."""
    return 0.3 * max(min(len(scene.palette.classes), MOST_BARS), 1)


def draw_classes(paper: Paper, area: Area, scene: Scene) -> None:
    """A bar per true class (the largest dozen): correct ones first, then errors, then what is not selected, in grey."""
    counts, hues = scene.counted, hex_of(scene.palette.hues)
    order, total = bar_order(scene.data), counts.whole.counts
    most = max(int(total.max(initial=0)), 1)
    axes = paper.axes(area)
    for row, actual in enumerate(order):
        left = 0
        for stretch in stretches(counts, actual):
            colour = paper.look.line if stretch.predicted is None else hues[stretch.predicted]
            axes.barh(row, stretch.count, 0.68, left, color=colour, edgecolor=paper.look.card, lw=0.8)
            left += stretch.count
        axes.text(left + 0.012 * most, row, f"{int(counts.selected.counts[actual]):,}", size=8.5, color=paper.look.ink,
                  va="center_baseline", **paper.type)  # fmt: skip
    axes.set(xlim=(0, most * 1.12), ylim=(max(len(order), 1) - 0.5, -0.5))
    axes.set_xticks([])
    axes.set_yticks(range(len(order)), [short(clean(counts.whole.classes[c]), 18) for c in order])


def draw_confusion(paper: Paper, area: Area, scene: Scene) -> None:
    """True class by row, predicted class by column; numbers where they can be read."""
    counts = scene.counted
    matrix, count = counts.crossed, len(counts.crossed)
    axes: Any = paper.axes(area)
    colours = cell_colours(counts, scene.palette, scene.look, matrix / max(int(matrix.max(initial=0)), 1))
    shown = colours.reshape(count, count, 3)
    if count <= MOST_NAMES:
        edges = np.arange(count + 1) - 0.5
        axes.pcolormesh(edges, edges, shown / 255, edgecolors=paper.look.card, linewidth=1.2)
    else:  # thousands of shapes would say no more than one picture
        each = max(1, round(area.width * RASTER / count))
        pixels = np.repeat(np.repeat(shown, each, axis=0), each, axis=1)
        side = (-0.5, count - 0.5)
        axes.imshow(pixels, extent=(*side, *side[::-1]), aspect="auto", interpolation="none")
    if count <= MOST_NUMBERS:
        ink = readable_text(colours)
        for at, number in enumerate(matrix.ravel().tolist()):
            axes.text(at % count, at // count, f"{number:,}", size=8.5 if count <= 8 else 6.5, color=ink[at],
                      ha="center", va="center", **paper.type)  # fmt: skip
    axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5))
    axes.xaxis.tick_top()
    named = named_classes(count)
    names = [short(clean(scene.data.overview.classes[c]), 14) for c in named]
    axes.set_yticks(named, names)
    turned = {"rotation": 50, "ha": "left", "rotation_mode": "anchor"} if count > 5 else {}
    axes.set_xticks(named, names, **turned)
