"""Any view as a picture fit for a paper (PNG, SVG, PDF), drawn by matplotlib without a browser."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context

from hiddenstate_core.atomic import atomic_path
from hiddenstate_core.errors import InputError
from hiddenstate_core.traces import Trace
from hiddenstate_viewer.colours import hex_of
from hiddenstate_viewer.confusion import named_classes
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.drawing import (
    Area,
    Paper,
    draw_distances,
    draw_heading,
    draw_probabilities,
    draw_words,
    heat_height,
    words_height,
)
from hiddenstate_viewer.evolution import short
from hiddenstate_viewer.mapdrawing import draw_legend, draw_map, legend_height
from hiddenstate_viewer.overviewdrawing import bars_height, draw_classes, draw_confusion
from hiddenstate_viewer.scene import Scene, clean

__all__ = ["FORMATS", "VIEWS", "draw", "picture_bytes", "write_picture"]

#: What can be drawn.
VIEWS = ("all", "map", "words", "probabilities", "distances", "classes", "confusion")
#: By the ending of the file.
FORMATS = ("png", "svg", "pdf")
#: Inches of the whole, and pixels an inch: 2,160 x 1,296. A single view is as wide as a page of two columns.
SIZE, DPI, WIDE, FINE = (14.4, 8.64), 150, 6.75, 300
_LABELS = 0.85
#: matplotlib's settings are the process's, so one picture is made at a time.
_ONE = threading.Lock()
#: Text stays text: searchable, and set anew in a drawing program. The rest makes equal pictures equal files.
_SETTINGS = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "hiddenstate", "path.simplify": False}


def write_picture(
    trace: Trace | ViewData,
    path: str | os.PathLike[str],
    *,
    view: str = "all",
    sequence: int | None = None,
    projection: str | None = None,
    colour_by: str = "prediction",
    dark: bool = False,
) -> None:
    """Write a view as PNG, SVG or PDF.

    Parameters
    ----------
    trace : Trace
        What to show.
    path : path-like
        Where to write; the ending says what. The file appears whole or not at all.
    view : str
        ``"map"``, ``"words"``, ``"probabilities"``, ``"distances"``, ``"classes"``, ``"confusion"``, or ``"all"``: one
        sequence's views on one sheet.
    sequence : int, optional
        Number of the sequence; by default one that is classified correctly and surely after a turn on the way.
    projection : str, optional
        Name of the projection; by default t-SNE's, or the first.
    colour_by : str
        What colours the states of the map: ``"prediction"``, ``"class"``, or another key of the page's selector.
    dark : bool
        Whether to draw on a dark ground.

    Raises
    ------
    InputError
        A view, format, sequence, projection or colouring that does not exist.
    """
    data = trace if isinstance(trace, ViewData) else ViewData(trace)
    kind = _format(path)
    _check(view)
    scene = Scene.chosen(data, sequence=sequence, projection=projection, colour_by=colour_by, dark=dark)
    content = picture_bytes(scene, view, kind)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def picture_bytes(scene: Scene, view: str, kind: str, *, width: float | None = None) -> bytes:
    """A view as the content of a file; safe to call from any thread.

    Parameters
    ----------
    scene : Scene
        What is shown.
    view, kind : str
        One of `VIEWS`, one of `FORMATS`.
    width : float, optional
        Inches; by default those of a page of two columns. The sheet and the matrix have sizes of their own.

    Raises
    ------
    InputError
        No such view or format.
    """
    if kind not in FORMATS:
        raise InputError(f"A picture is written as {', '.join(FORMATS)}, not {kind!r}.")
    out = io.BytesIO()
    with _ONE, warnings.catch_warnings(), rc_context(_SETTINGS):
        # A script that no installed font has is drawn as boxes: a blemish, not an error.
        warnings.filterwarnings("ignore", message=r"(?s).*[Gg]lyph.*")
        warnings.filterwarnings("ignore", message=r"(?s).*Matplotlib currently does not support.*")
        figure = draw(scene, view, width=width)
        dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
        figure.savefig(out, format=kind, dpi=DPI if view == "all" and kind == "png" else FINE, metadata=dated)
    return out.getvalue()


def draw(scene: Scene, view: str, *, width: float | None = None) -> Any:
    """A view as a matplotlib figure; parameters as of `picture_bytes`.

    Raises
    ------
    InputError
        No such view.
    """
    _check(view)
    return _DRAWERS[view](scene, width or WIDE).figure


def _check(view: str) -> None:
    if view not in VIEWS:
        raise InputError(f"There is no view {view!r}; there are {', '.join(VIEWS)}.")


def _format(path: str | os.PathLike[str]) -> str:
    name = Path(path).name
    kind = Path(name).suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise InputError(f"A picture is written as .png, .svg or .pdf, not {name!r}.")
    return kind


# -- one view each ---------------------------------------------------------------------------------------------------


def _map(scene: Scene, wide: float) -> Paper:
    foot = 0.1 + legend_height(Paper(wide, 1, scene.look), wide - 0.2, scene)
    paper = Paper(wide, 5.4 + foot, scene.look)
    draw_map(paper, Area(0.05, foot, wide - 0.1, 5.35), scene)
    draw_legend(paper, Area(0.1, 0.08, wide - 0.2, foot - 0.1), scene)
    return paper


def _words(scene: Scene, wide: float) -> Paper:
    high = words_height(Paper(wide, 1, scene.look), scene, wide - 0.2, 9, 8.4)
    foot = legend_height(Paper(wide, 1, scene.look), wide - 0.2, _outputs(scene))
    paper = Paper(wide, max(high, 0.3) + foot + 0.3, scene.look)
    draw_words(paper, Area(0.1, foot + 0.2, wide - 0.2, max(high, 0.3)), scene, (9, 8, 7, 6))
    draw_legend(paper, Area(0.1, 0.06, wide - 0.2, foot + 0.04), _outputs(scene))
    return paper


def _probabilities(scene: Scene, wide: float) -> Paper:
    high = heat_height(scene)
    paper = Paper(wide, high + 0.5, scene.look)
    draw_probabilities(paper, Area(_LABELS, 0.42, wide - _LABELS - 0.12, high), scene)
    _axis(paper, "word")
    return paper


def _distances(scene: Scene, wide: float) -> Paper:
    paper = Paper(wide, 1.95, scene.look)
    draw_distances(paper, Area(_LABELS, 0.42, wide - _LABELS - 0.12, 1.45), scene)
    _axis(paper, "word")
    paper.say(0.2, 1.15, "step distance", size=8.5, color=scene.look.muted, rotation=90, ha="center", va="center")
    return paper


def _classes(scene: Scene, wide: float) -> Paper:
    high = bars_height(scene)
    paper = Paper(wide, high + 0.16, scene.look)
    left = max((paper.measure(short(clean(name), 18), 8) for name in scene.palette.classes), default=0.0) + 0.14
    draw_classes(paper, Area(left, 0.08, wide - left - 0.1, high), scene)
    return paper


def _confusion(scene: Scene, _wide: float) -> Paper:
    count = len(scene.palette.classes)
    side = float(np.clip(0.55 * count, 2.2, 5.4))
    ruler = Paper(1, 1, scene.look)
    names = [short(clean(scene.palette.classes[c]), 14) for c in named_classes(count)]
    longest = max((ruler.measure(name, 8) for name in names), default=0.0)
    left = longest + 0.5
    top = 0.3 if not longest else 0.55 if count <= 5 else 0.5 + 0.8 * longest
    paper = Paper(left + side + 0.15, side + top + 0.1, scene.look)
    draw_confusion(paper, Area(left, 0.1, side, side), scene)
    paper.say(0.16, 0.1 + side / 2, "true class", size=8.5, color=scene.look.muted, rotation=90, ha="center",
              va="center")  # fmt: skip
    paper.say(left + side / 2, paper.height - 0.18, "predicted class", size=8.5, color=scene.look.muted, ha="center")
    return paper


def _axis(paper: Paper, name: str) -> None:
    paper.say((paper.width + _LABELS - 0.12) / 2, 0.08, name, size=8.5, color=paper.look.muted, ha="center")


def _outputs(scene: Scene) -> Scene:
    """The scene as its words show it: coloured by prediction, without a trajectory."""
    import dataclasses

    return dataclasses.replace(scene, colour_by="prediction", projection=None)


# -- the sheet -------------------------------------------------------------------------------------------------------


def _all(scene: Scene, _wide: float) -> Paper:
    paper = Paper(*SIZE, scene.look)
    left, wide, middle = 0.32, 5.66, 6.41
    _title(paper, scene, left)
    if scene.reading is None:
        paper.say(left, 4.32, "No sequence of this trace has a word.", color=scene.look.muted)
    else:
        told = f"coloured by the output after reading each; {len(scene.reading):,} in all"
        draw_heading(paper, left, 7.45, "Words", told, wide)
        draw_words(paper, Area(left, 3.6, wide, 3.7), scene)
        draw_heading(paper, left, 3.32, "Class probability over time")
        high = min(heat_height(scene), 1.35)
        draw_probabilities(paper, Area(left + 0.9, 3.2 - high, wide - 0.9, high), scene)
        low = 3.2 - high - 0.46
        draw_heading(paper, left, low, "Step distance", "share of the data set's largest", wide)
        draw_distances(paper, Area(left + 0.9, 0.39, wide - 0.9, low - 0.11 - 0.39), scene)
    draw_heading(paper, middle, 7.93, "Hidden states", scene.projection or "")
    draw_map(paper, Area(middle, 0.66, SIZE[0] - 0.22 - middle, 7.16), scene)
    draw_legend(paper, Area(middle, 0.2, SIZE[0] - 0.22 - middle, 0.36), scene)
    paper.box(Area(middle - 0.2, 0.35, 0.009, 7.95), scene.look.line)
    return paper


def _title(paper: Paper, scene: Scene, left: float) -> None:
    trace, reading, muted = scene.data.trace, scene.reading, scene.look.muted
    paper.say(left, 8.22, clean(reading.id if reading else scene.data.name, 44), size=14, weight="bold")
    told = f"{scene.data.name}   {len(trace):,} sequences   {trace.steps:,} states"
    paper.say(SIZE[0] - 0.22, 8.25, told, color=muted, ha="right")
    if reading is None:
        return
    evolution = reading.evolution
    verdict = {True: "correct", False: "wrong", None: "class unknown"}[evolution.correct]
    cells = (
        ("class", scene.named(evolution.label), evolution.label),
        ("classified as", scene.named(evolution.final), evolution.final),
        ("verdict", verdict, None),
        ("confidence", f"{100 * float(evolution.outcome[evolution.final]):.1f} %", None),
    )
    for k, (name, value, label) in enumerate(cells):
        x = left + k * 1.41
        paper.say(x, 7.97, name, size=8, color=muted)
        if label is not None:
            paper.box(Area(x, 7.757, 0.095, 0.095), hex_of(scene.palette.labels(np.array([label])))[0])
        paper.say(x + (0.15 if label is not None else 0), 7.76, short(clean(value), 16), size=10, weight="bold")


_DRAWERS: dict[str, Callable[[Scene, float], Paper]] = {
    "all": _all,
    "map": _map,
    "words": _words,
    "probabilities": _probabilities,
    "distances": _distances,
    "classes": _classes,
    "confusion": _confusion,
}
