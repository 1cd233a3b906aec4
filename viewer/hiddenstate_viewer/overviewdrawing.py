"""Drawing on paper: a bar per true class, and the confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from hiddenstate_viewer.colours import hex_of, mix, readable_text
from hiddenstate_viewer.drawing import RASTER, Area, Paper
from hiddenstate_viewer.evolution import short
from hiddenstate_viewer.scene import Scene, clean

__all__ = ["MOST_NAMES", "bars_height", "draw_classes", "draw_confusion"]

MOST_BARS, MOST_NUMBERS, MOST_NAMES = 12, 12, 24


def bars_height(scene: Scene) -> float:
    """Inches that the bars take."""
    return 0.3 * max(min(len(scene.palette.classes), MOST_BARS), 1)


def draw_classes(paper: Paper, area: Area, scene: Scene) -> None:
    """A bar per true class (the largest dozen): correct ones first, then errors in the predicted class's colour."""
    overview, hues = scene.data.overview, hex_of(scene.palette.hues)
    order = list(range(len(overview.classes)))
    if len(order) > MOST_BARS:
        order = np.argsort(-overview.counts, kind="stable")[:MOST_BARS].tolist()
    most = max(int(overview.counts.max(initial=0)), 1)
    axes = paper.axes(area)
    for row, actual in enumerate(order):
        left = 0
        wrong = [c for c in np.argsort(-overview.confusion[actual], kind="stable").tolist() if c != actual]
        for predicted in (actual, *wrong):
            count = int(overview.confusion[actual, predicted])
            if count:
                axes.barh(row, count, 0.68, left, color=hues[predicted], edgecolor=paper.look.card, lw=0.8)
            left += count
        axes.text(left + 0.012 * most, row, f"{int(overview.counts[actual]):,}", size=8.5, color=paper.look.ink,
                  va="center_baseline", **paper.type)  # fmt: skip
    axes.set(xlim=(0, most * 1.12), ylim=(max(len(order), 1) - 0.5, -0.5))
    axes.set_xticks([])
    axes.set_yticks(range(len(order)), [short(clean(overview.classes[c]), 18) for c in order])


def draw_confusion(paper: Paper, area: Area, scene: Scene) -> None:
    """True class by row, predicted class by column; numbers where they can be read."""
    matrix = scene.data.overview.confusion
    count = len(matrix)
    axes: Any = paper.axes(area)
    weight = matrix / max(int(matrix.max(initial=0)), 1)
    ground = np.full(3, 0xF1) if not paper.look.dark else np.array([0x25, 0x2A, 0x31])
    predicted = np.indices(matrix.shape)[1].ravel()
    shares = 0.08 * (matrix > 0).ravel() + 0.92 * weight.ravel() ** 0.5
    colours = mix(ground, scene.palette.hues[predicted], shares)
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
    if count > MOST_NAMES:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    names = [short(clean(name), 14) for name in scene.data.overview.classes]
    axes.set_yticks(range(count), names)
    turned = {"rotation": 50, "ha": "left", "rotation_mode": "anchor"} if count > 5 else {}
    axes.set_xticks(range(count), names, **turned)
