"""The foreground of a map: trajectories of chosen sequences, class flows, a typed sentence, labels and the cursor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bokeh.core.properties import value as literal
from bokeh.models import Ellipse, MultiLine, Scatter, Segment, Text
from numpy.typing import NDArray

from hiddenstate_viewer.colours import hex_of, mix
from hiddenstate_viewer.data import Reading, ViewData
from hiddenstate_viewer.layers import Layers
from hiddenstate_viewer.options import ViewOptions
from hiddenstate_viewer.theme import FONT, SMALL, Look

__all__ = ["STEP_COLUMNS", "Foreground", "Path", "paths_of", "step_columns"]

STEP_COLUMNS = (
    "x", "y", "word", "position", "length", "predicted", "confidence", "jump", "change", "flip", "id", "label",
    "colour", "alpha",
)  # fmt: skip
_SEGMENTS = (
    "x0",
    "y0",
    "x1",
    "y1",
    "colour",
    "width",
    "alpha",
    "from",
    "to",
    "jump",
    "was",
    "is",
    "sure_was",
    "sure_is",
)
_OTHERS = ("x0", "y0", "x1", "y1", "colour", "width", "id", "number")
#: How much thicker a trajectory gets at the most.
_THICKEST = 3.0
#: Ellipses along a flow.
_CLOUDS = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Path:
    """A way through the map.

    Parameters
    ----------
    name : str
        What it is of: a sequence's id, a class, "your text".
    places : (T, 2) float array
        Its points; rows that are not numbers are left out.
    colours : (T, 3) uint8
        Of the state at each point.
    """

    name: str
    places: NDArray[Any]
    colours: NDArray[np.uint8]


def step_columns(reading: Reading, data: ViewData, places: NDArray[np.float32] | None) -> dict[str, Any]:
    """Columns of a sequence's steps, by which the views and the cursor find them."""
    count, evolution, classes = len(reading), reading.evolution, data.trace.classes
    where = np.full((count, 2), np.nan, np.float32) if places is None else places
    jumps = np.full(count, np.nan, np.float32)
    jumps[: len(reading.jumps)] = reading.jumps
    return {
        "x": np.ascontiguousarray(where[:, 0]),
        "y": np.ascontiguousarray(where[:, 1]),
        "word": list(evolution.words),
        "position": data.trace.sequence(reading.index).positions + 1,
        "length": [int(data.trace.lengths[reading.index])] * count,
        "predicted": [classes[c] for c in evolution.predicted.tolist()],
        "confidence": evolution.confidence,
        "jump": jumps,
        "change": evolution.change,
        "flip": evolution.flips.astype(np.int8),
        "id": [reading.id] * count,
        "label": [classes[evolution.label] if evolution.label >= 0 else "unknown"] * count,
        "colour": hex_of(reading.colours),
        "alpha": np.ones(count, np.float32),
    }


class Foreground:
    """What is drawn on top of one map.

    Parameters
    ----------
    plot : bokeh.plotting.figure
        The map.
    data : ViewData
        The trace.
    look : Look
        Its neutral colours.
    """

    def __init__(self, plot: Any, data: ViewData, look: Look) -> None:
        self.plot, self.data, self.look = plot, data, look
        self._layers = Layers(plot)
        source = self._layers.source
        self.steps = source(*STEP_COLUMNS)
        self.segments = source(*_SEGMENTS)
        self.ends = source("x", "y", "colour", "alpha")
        self.others = source(*_OTHERS)
        self.badges = source("x", "y", "text", "id", "number")
        self.flows = source("xs", "ys", "colour", "width", "name")
        self.clouds = source("x", "y", "width", "height", "angle", "colour")
        self.typed = source("x0", "y0", "x1", "y1", "colour")
        self.typed_points = source("x", "y", "colour", "word")
        self.parting = source("x", "y")
        self.focus = source("x", "y")
        self.labels = source("x", "y", "text", "dx", "dy")
        self._draw()

    def _draw(self) -> None:
        look, draw = self.look, self._layers.draw
        at, way = {"x": "x", "y": "y"}, {"x0": "x0", "y0": "y0", "x1": "x1", "y1": "y1", "line_color": "colour"}
        text = {
            **at, "text": "text", "text_font": literal(FONT), "text_font_size": f"{SMALL}px", "text_color": look.ink,
        }  # fmt: skip
        draw(self.clouds, Ellipse(**at, width="width", height="height", angle="angle", fill_color="colour",
                                  fill_alpha=0.06, line_color=None))  # fmt: skip
        draw(self.flows, MultiLine(xs="xs", ys="ys", line_color="colour", line_width="width", line_cap="round",
                                   line_join="round", line_alpha=0.9))  # fmt: skip
        draw(self.others, Segment(**way, line_width="width", line_cap="round", line_alpha=0.75))
        draw(self.segments, Segment(**way, line_width="width", line_alpha="alpha", line_cap="round"))
        draw(self.steps, Scatter(**at, size=7, fill_color="colour", fill_alpha="alpha", line_alpha="alpha",
                                 line_color=look.card, line_width=0.8))  # fmt: skip
        draw(self.typed, Segment(**way, line_width=2.2, line_dash=[4, 3]))
        draw(self.typed_points, Scatter(**at, size=8, marker="diamond", fill_color="colour", line_color=look.ink,
                                        line_width=0.8))  # fmt: skip
        draw(self.parting, Scatter(**at, size=16, marker="x", line_color=look.ink, line_width=2.5))
        draw(self.ends, Scatter(**at, size=15, fill_color=None, line_color="colour", line_alpha="alpha",
                                line_width=2.5))  # fmt: skip
        draw(self.badges, Scatter(**at, size=16, fill_color=look.card, line_color=look.ink, line_width=1))
        draw(self.badges, Text(**text, text_align="center", text_baseline="middle"))
        draw(self.labels, Text(**text, x_offset="dx", y_offset="dy", text_baseline="bottom",
                               background_fill_color=look.card, background_fill_alpha=0.82))  # fmt: skip
        draw(self.focus, Scatter(**at, size=13, fill_color=None, line_color=look.ink, line_width=2.5), above=True)

    # -- the sequence that is read ----------------------------------------------------------------------------------

    def show(self, reading: Reading | None, places: NDArray[np.float32] | None, options: ViewOptions) -> None:
        """Draw a sequence's trajectory, or none; `places` (T, 2) are its states' places in this map."""
        _fill(self.steps, None if reading is None else step_columns(reading, self.data, places))
        if reading is None or places is None or not len(reading):
            _fill(self.segments, None)
            _fill(self.ends, None)
            return
        evolution = reading.evolution
        words, classes = evolution.words, self.data.trace.classes
        predicted = [classes[c] for c in evolution.predicted.tolist()]
        jumps = self.steps.data["jump"]
        _fill(self.segments, {
            "x0": places[:-1, 0].copy(), "y0": places[:-1, 1].copy(),
            "x1": places[1:, 0].copy(), "y1": places[1:, 1].copy(),
            **self._line(reading, options), "alpha": np.ones(max(len(reading) - 1, 0), np.float32),
            "from": list(words[:-1]), "to": list(words[1:]), "jump": jumps[1:],
            "was": predicted[:-1], "is": predicted[1:],
            "sure_was": evolution.confidence[:-1], "sure_is": evolution.confidence[1:],
        })  # fmt: skip
        known = np.flatnonzero(np.isfinite(places).all(axis=1))
        ends = places[known[[0, -1]]] if len(known) else places[:0]
        colours = [self.look.start, self.look.end][: len(ends)]
        shown = {"colour": colours, "alpha": [1.0] * len(ends)}
        _fill(self.ends, {"x": ends[:, 0].copy(), "y": ends[:, 1].copy(), **shown})

    def restyle(self, reading: Reading | None, options: ViewOptions) -> None:
        """Draw the same trajectory by other options."""
        if reading is not None and len(self.segments.data["x0"]):
            _fill(self.segments, {**self.segments.data, **self._line(reading, options)})

    def _line(self, reading: Reading, options: ViewOptions) -> dict[str, Any]:
        """Colour and width of each segment, which are those of the state before its step."""
        count = max(len(reading) - 1, 0)
        colours = reading.before[1:]
        if options.black_trajectory:
            start, end = (
                np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (self.look.start, self.look.end)
            )
            colours = mix(start, end, np.linspace(0, 1, count)) if count else colours
        weight = np.zeros(count)
        if options.thick_by_distance and len(reading.jumps):
            weight = np.asarray(reading.jumps[1:], np.float64)
        elif options.thick_by_time and count:
            weight = np.linspace(0, 1, count)
        return {"colour": hex_of(colours), "width": options.line_width * (1 + (_THICKEST - 1) * weight)}

    # -- what is drawn beside it ------------------------------------------------------------------------------------

    def compare(self, paths: Sequence[Path], width: float) -> None:
        """Draw other sequences' trajectories, numbered at their ends."""
        columns: dict[str, list[Any]] = {name: [] for name in _OTHERS}
        badges: dict[str, list[Any]] = {name: [] for name in ("x", "y", "text", "id", "number")}
        for number, path in enumerate(paths, 1):
            count = max(len(path.places) - 1, 0)
            for name, values in zip(("x0", "y0", "x1", "y1"), (*path.places[:-1].T, *path.places[1:].T), strict=True):
                columns[name] += values.tolist()
            columns["colour"] += hex_of(path.colours[:-1]) if count else []
            columns["width"] += [0.75 * width] * count
            columns["id"] += [path.name] * count
            columns["number"] += [number] * count
            if len(path.places):
                last = path.places[-1].tolist()
                for name, value in zip(badges, (last[0], last[1], str(number), path.name, number), strict=True):
                    badges[name].append(value)
        _fill(self.others, columns)
        _fill(self.badges, badges)

    def flow(self, flows: Sequence[tuple[str, Any, Sequence[int]]]) -> None:
        """Draw mean paths of classes: (name, `hiddenstate_core.analysis.Flow`, colour 0-255)."""
        lines: dict[str, list[Any]] = {name: [] for name in ("xs", "ys", "colour", "width", "name")}
        clouds: dict[str, list[Any]] = {name: [] for name in ("x", "y", "width", "height", "angle", "colour")}
        for name, flow, colour in flows:
            hue = hex_of(np.array([colour]))[0]
            there = np.flatnonzero(np.isfinite(flow.places).all(axis=1))
            if not len(there):
                continue
            # Pieces that grow wider with time tell the direction.
            for part, (a, b) in enumerate(zip(there[:-1].tolist(), there[1:].tolist(), strict=True)):
                lines["xs"].append(flow.places[[a, b], 0].tolist())
                lines["ys"].append(flow.places[[a, b], 1].tolist())
                lines["colour"].append(hue)
                lines["width"].append(2.0 + 5.0 * (part + 1) / len(there))
                lines["name"].append(name)
            # Where the sequences lie around the path, at a few places: more would hide one another.
            there = there[np.unique(np.linspace(0, len(there) - 1, _CLOUDS).astype(np.int64))]
            values, axes = np.linalg.eigh(np.nan_to_num(flow.covariance[there]))
            sides = 2 * np.sqrt(np.maximum(values, 0))
            clouds["x"] += flow.places[there, 0].tolist()
            clouds["y"] += flow.places[there, 1].tolist()
            clouds["width"] += sides[:, 1].tolist()
            clouds["height"] += sides[:, 0].tolist()
            clouds["angle"] += np.arctan2(axes[:, 1, 1], axes[:, 0, 1]).tolist()
            clouds["colour"] += [hue] * len(there)
        _fill(self.flows, lines)
        _fill(self.clouds, clouds)

    def type(self, path: Path | None, words: Sequence[str] = (), parted: int | None = None) -> None:
        """Draw a typed sentence's path, dashed, with a cross where it parts from the original; or none."""
        if path is None or not len(path.places):
            for source in (self.typed, self.typed_points, self.parting):
                _fill(source, None)
            return
        places, colours = np.asarray(path.places, np.float64), hex_of(path.colours)
        _fill(self.typed, {
            "x0": places[:-1, 0], "y0": places[:-1, 1], "x1": places[1:, 0], "y1": places[1:, 1],
            "colour": colours[:-1],
        })  # fmt: skip
        _fill(self.typed_points, {"x": places[:, 0], "y": places[:, 1], "colour": colours, "word": list(words)})
        at = places[[parted]] if parted is not None and parted < len(places) else np.empty((0, 2))
        _fill(self.parting, {"x": at[:, 0], "y": at[:, 1]})


def _fill(source: Any, columns: dict[str, Any] | None) -> None:
    """Give a source its columns, or empty ones; what is empty already stays as it is, so that nothing is sent."""
    if columns is None:
        if any(len(values) for values in source.data.values()):
            source.data = {name: [] for name in source.data}
        return
    source.data = columns


def paths_of(
    data: ViewData, sequences: Sequence[int], place: Callable[[NDArray[np.int64]], NDArray[np.float32]], look: Look
) -> list[Path]:
    """Paths of sequences, coloured by the model's output."""
    palette, found = data.colours(look), []
    for index in sequences:
        view = data.trace.sequence(index)
        steps = np.arange(view.start, view.start + len(view), dtype=np.int64)
        found.append(Path(view.id, place(steps), palette.outputs(view.probabilities())))
    return found
