"""Single states of a map: their colours, rings around first and last ones, what a tooltip says of one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_viewer.colours import rgba32
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.density import DIM, FADED, FULL, REST, Emphasis, layers_at, level, neutral
from hiddenstate_viewer.points import Source, points_of
from hiddenstate_viewer.theme import Look

__all__ = ["describe_state", "point_columns", "ring_columns", "state_colours"]

#: Opacity of points that nothing fades.
_POINTS = 0.78


def state_colours(
    data: ViewData, projection: str, source: Source, places: NDArray[np.int64], emphasis: Emphasis, look: Look
) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Packed RGBA (n,) of single states, by their places in the spatial order, and the layer of each, (n,) uint8."""
    points = points_of(data)
    colouring = points.colouring(projection, source)
    table = points.table(source, colouring, look)
    values = colouring.values[places]
    if colouring.kind == "categorical":
        strength = 1.0 if colouring.strength is None else colouring.strength[places]
        colours = table[values, level(np.broadcast_to(strength, values.shape))]
    else:
        colours = np.where(np.isnan(values)[:, None], neutral(look), table[level(colouring.share(values))])
    layers = np.full(len(places), FULL, np.uint8)
    if not emphasis.none:
        layers = layers_at(points, projection, emphasis, places)
        colours = np.where((layers == REST)[:, None], neutral(look), colours)
    return rgba32(colours, np.array([FADED * 255, 200, FADED * 255])[layers]), layers


def point_columns(
    data: ViewData, projection: str, source: Source, places: NDArray[np.int64], emphasis: Emphasis, look: Look
) -> dict[str, Any]:
    """Columns of single points, those behind first."""
    packed, layers = state_colours(data, projection, source, places, emphasis, look)
    order = np.argsort(np.array([0, 2, 1])[layers], kind="stable")
    points = data.order(projection).points[:, places[order]]
    alpha = np.zeros(3, np.float32)
    alpha[[REST, FULL, DIM]] = FADED, _POINTS, FADED
    return {
        "x": points[0], "y": points[1], "alpha": alpha[layers[order]],
        "packed": (packed[order] | np.uint32(0xFF000000))[:, None].view(np.uint8).reshape(-1, 4),
    }  # fmt: skip


def ring_columns(
    data: ViewData, projection: str, places: NDArray[np.int64], marks: tuple[str, ...], emphasis: Emphasis, look: Look
) -> dict[str, Any]:
    """Rings around first and last states of sequences, as far as they are asked for and not behind others."""
    order, offsets = data.order(projection), data.trace.offsets
    steps = order.steps[places]
    sequence = np.searchsorted(offsets, steps, side="right") - 1
    found = {"starts": steps == offsets[sequence], "lasts": steps == offsets[sequence + 1] - 1}
    layers = emphasis.of_states(offsets, steps)
    colours = {"starts": look.start, "lasts": look.end}
    chosen = [
        (places[found[name] & (layers == layer)], f"{colours[name]}{round(255 * opacity):02x}")
        for name in marks for layer, opacity in ((DIM, FADED), (FULL, 1.0))
    ]  # fmt: skip
    points = [order.points[:, some] for some, _ in chosen]
    return {
        "x": np.concatenate([p[0] for p in points]) if points else [],
        "y": np.concatenate([p[1] for p in points]) if points else [],
        "colour": [colour for some, colour in chosen for _ in range(len(some))],
    }


def describe_state(data: ViewData, step: int) -> list[str]:
    """What a tooltip says of a state: word, place, class there and its probability, sequence and its class."""
    trace = data.trace
    sequence = int(np.searchsorted(trace.offsets, step, side="right")) - 1
    view = trace.sequence(sequence)
    position = int(view.positions[step - view.start]) + 1
    label = trace.classes[view.label] if view.label >= 0 else "unknown"
    return [
        trace.lexicon[int(data.surface[step])] or "␣",
        f"word {position:,} of {int(trace.lengths[sequence]):,}",
        f"{trace.classes[int(data.predicted[step])]}  {100 * float(data.confidence[step]):.1f} %",
        f"{view.id}  ·  class {label}",
    ]
