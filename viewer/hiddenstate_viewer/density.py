"""States as a picture: Datashader counts those in sight by pixel, our colours say what lies there and how densely."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_viewer.colours import rgba32
from hiddenstate_viewer.points import Colouring, MapPoints, SharedCache, Source, points_of
from hiddenstate_viewer.theme import LIGHT, Look

if TYPE_CHECKING:
    from hiddenstate_viewer.data import ViewData

__all__ = ["FADED", "NOTHING", "Emphasis", "Request", "density_image", "emphasis_of", "render", "state_colours"]

#: Opacity of what is faded.
FADED = 0.15
#: The rest behind a selection, in its densest places: strong enough to show the map's shape.
_CONTEXT = 0.35
#: Layers of states: those behind, those in colour, those in colour but faded.
REST, FULL, DIM = 0, 1, 2
#: Opacity of a pixel with one state, 0 to 255.
_LEAST = 120
#: States in sight up to which each is drawn 5 or 3 pixels wide.
_WIDE, _BROAD = 15_000, 250_000
#: Bytes of pictures that are kept.
_PICTURES = 96 * 2**20


@dataclasses.dataclass(frozen=True, eq=False)
class Emphasis:
    """Which states stand out.

    Parameters
    ----------
    key : hashable
        Stands for the rest of this in keys of caches.
    layers : (S,) uint8, optional
        0, 1 or 2 for each sequence: behind, in colour, in colour but faded; all in colour by default.
    steps : (N,) bool, optional
        States that are not marked are behind, whatever their sequence.
    """

    key: Hashable = None
    layers: NDArray[np.uint8] | None = None
    steps: NDArray[np.bool_] | None = None

    @property
    def none(self) -> bool:
        """Whether all states are in colour."""
        return self.layers is None and self.steps is None


NOTHING = Emphasis()


def emphasis_of(data: ViewData, selection: Any) -> Emphasis:
    """What a session's selection, filter and options for fading let stand out."""
    options = getattr(selection, "options", None)
    fade = bool(getattr(options, "fade_correct", False)), bool(getattr(options, "fade_wrong", False))
    strokes, query = getattr(selection, "strokes", ()), getattr(selection, "query", None)
    matching, steps = getattr(selection, "matching", None), getattr(selection, "steps_mask", None)
    if matching is None and steps is None and not any(fade):
        return NOTHING
    layers = None
    if matching is not None or any(fade):
        layers = np.full(len(data.trace), FULL, np.uint8)
        labels = data.trace.labels.astype(np.int64)
        for wanted, right in zip(fade, (True, False), strict=True):
            if wanted:
                layers[(labels >= 0) & ((labels == data.final) == right)] = DIM
        if matching is not None:
            layers[~matching] = REST
    return Emphasis((strokes, None if matching is None else query, fade), layers, steps)


@dataclasses.dataclass(frozen=True)
class Request:
    """A picture that is wanted.

    Parameters
    ----------
    projection : str
        Which map.
    source : Source
        What colours it.
    window : (x0, x1, y0, y1)
        What of the map.
    width, height : int
        Its size in pixels.
    marks : tuple of str
        ``"starts"`` and ``"lasts"``: first and last states of all sequences are marked.
    """

    projection: str
    source: Source
    window: tuple[float, float, float, float]
    width: int
    height: int
    marks: tuple[str, ...] = ()


def render(data: ViewData, request: Request, emphasis: Emphasis, look: Look) -> NDArray[np.uint32]:
    """Picture of the states in a window of the map; pictures are kept and shared by all sessions.

    Parameters
    ----------
    data : ViewData
        A trace.
    request : Request
        What of it.
    emphasis : Emphasis
        Which states stand out; the rest is neutral grey, behind them.
    look : Look
        The ground on which it lies.

    Returns
    -------
    (height, width) uint32
        Packed RGBA, lowest row first. The colour is that of the mean value, or of the most frequent class, paler where
        classes mix; the opacity grows with the logarithm of the count.
    """
    pictures: SharedCache = data.keep("pictures", None, lambda: SharedCache(_PICTURES))
    key = (request, emphasis.key, look.name)
    return pictures.get(key, lambda: _draw(data, request, emphasis, look), lambda a: a.nbytes)


def density_image(
    data: ViewData,
    projection: str,
    colour_by: str,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    width: int,
    height: int,
    look: Look = LIGHT,
) -> tuple[NDArray[np.uint32], int]:
    """Picture of all states in a window, for files; see `render`.

    Returns
    -------
    (height, width) uint32
        Packed RGBA, lowest row first.
    int
        Number of states in the window.
    """
    source = Source("class" if colour_by == "true" else colour_by)
    window = float(x_range[0]), float(x_range[1]), float(y_range[0]), float(y_range[1])
    image = render(data, Request(projection, source, window, int(width), int(height)), NOTHING, look)
    return image, points_of(data).order(projection).count(*window)


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
        colours = table[values, _level(np.broadcast_to(strength, values.shape))]
    else:
        colours = np.where(np.isnan(values)[:, None], _neutral(look), table[_level(colouring.share(values))])
    layers = np.full(len(places), FULL, np.uint8)
    if not emphasis.none:
        layers = _layers(points, projection, emphasis, places)
        colours = np.where((layers == REST)[:, None], _neutral(look), colours)
    return rgba32(colours, np.array([FADED * 255, 200, FADED * 255])[layers]), layers


# -- inside ---------------------------------------------------------------------------------------------------------


def _draw(data: ViewData, request: Request, emphasis: Emphasis, look: Look) -> NDArray[np.uint32]:
    points = points_of(data)
    order = points.order(request.projection)
    runs = order.window(*request.window)
    colouring = points.colouring(request.projection, request.source)
    frame = {"x": _taken(order.points[0], runs), "y": _taken(order.points[1], runs)}
    values = _taken(colouring.values, runs)
    strength = None if colouring.strength is None else _taken(colouring.strength, runs)
    table = points.table(request.source, colouring, look)
    if emphasis.none:
        count, colours = _coloured(frame, request, colouring, values, strength, table, look)
        layered = [(count, colours, 1.0)]
    else:
        layers = _layers(points, request.projection, emphasis, runs)
        layered = [(_counted(frame, request), _neutral(look), _CONTEXT)]
        for layer, opacity in ((DIM, FADED), (FULL, 1.0)):
            chosen = layers == layer
            if chosen.any():
                part = _part(frame, values, strength, chosen)
                count, colours = _coloured(part[0], request, colouring, part[1], part[2], table, look)
                layered.append((count, colours, opacity))
    shown = None
    for count, colours, opacity in layered:
        image = _spread(rgba32(colours, _opacity(count) * opacity), int(count.sum()))
        shown = image if shown is None else _over(shown, image)
    for name in request.marks:
        shown = _over(shown, _marks(data, request, name, look))
    return np.ascontiguousarray(shown, np.uint32)


def _taken(values: NDArray[Any], runs: NDArray[np.int64]) -> NDArray[Any]:
    """The values of some runs; a view where there is one run."""
    if len(runs) == 1:
        return values[runs[0, 0] : runs[0, 1]]
    return np.concatenate([values[a:b] for a, b in runs.tolist()]) if len(runs) else values[:0]


def _layers(points: MapPoints, projection: str, emphasis: Emphasis, where: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Layer of the points at some places (n,), or in some runs (r, 2)."""

    def taken(values: NDArray[Any]) -> NDArray[Any]:
        return values[where] if where.ndim == 1 else _taken(values, where)

    if emphasis.layers is not None:
        layers = emphasis.layers[taken(points.sequences(projection))]
    else:
        layers = np.full(len(taken(points.order(projection).steps)), FULL, np.uint8)
    if emphasis.steps is not None:
        layers[~taken(points.mask(projection, emphasis.key, emphasis.steps))] = REST
    return layers


def _part(
    frame: dict[str, NDArray[np.float32]],
    values: NDArray[Any],
    strength: NDArray[np.float32] | None,
    chosen: NDArray[np.bool_],
) -> tuple[dict[str, NDArray[np.float32]], NDArray[Any], NDArray[np.float32] | None]:
    if chosen.all():
        return frame, values, strength
    where = np.flatnonzero(chosen)  # much faster to take by than the mask, where little is chosen
    part = {name: column[where] for name, column in frame.items()}
    return part, values[where], None if strength is None else strength[where]


def _canvas(request: Request) -> Any:
    import datashader

    x0, x1, y0, y1 = request.window
    return datashader.Canvas(request.width, request.height, x_range=(x0, x1), y_range=(y0, y1))


def _counted(frame: dict[str, NDArray[np.float32]], request: Request) -> NDArray[np.int64]:
    import datashader
    import pandas as pd

    found = _canvas(request).points(pd.DataFrame(frame, copy=False), "x", "y", datashader.count())
    return np.asarray(found.values, np.int64)


def _coloured(
    frame: dict[str, NDArray[np.float32]],
    request: Request,
    colouring: Colouring,
    values: NDArray[Any],
    strength: NDArray[np.float32] | None,
    table: NDArray[np.uint8],
    look: Look,
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Number of states in each pixel, (H, W), and its colour, (H, W, 3)."""
    import datashader
    import pandas as pd

    canvas = _canvas(request)
    columns: dict[str, Any] = dict(frame)
    if colouring.kind != "categorical":
        data = pd.DataFrame({**columns, "v": values}, copy=False)
        found = canvas.points(data, "x", "y", datashader.summary(n=datashader.count(), v=datashader.mean("v")))
        mean = np.asarray(found["v"].values, np.float32)
        colours = table[_level(np.nan_to_num(colouring.share(mean)))]
        colours[np.isnan(mean)] = _neutral(look)
        return np.asarray(found["n"].values, np.int64), colours
    columns["c"] = pd.Categorical.from_codes(values.view(np.int8), categories=pd.RangeIndex(len(table)), validate=False)
    if strength is not None:
        columns["s"] = strength
    data = pd.DataFrame(columns, copy=False)
    by = np.asarray(canvas.points(data, "x", "y", datashader.by("c", datashader.count())).values)
    count = by.sum(axis=-1, dtype=np.int64)
    filled = np.nonzero(count)
    some = by[filled]
    share = some.max(axis=-1) / count[filled]
    if strength is not None:
        share = share * np.nan_to_num(np.asarray(canvas.points(data, "x", "y", datashader.mean("s")).values)[filled])
    colours = np.zeros((*count.shape, 3), np.uint8)
    colours[filled] = table[some.argmax(axis=-1), _level(share)]
    return count, colours


def _level(share: Any) -> NDArray[np.int64]:
    """Row of a table of 256 colours; NaN gives 0."""
    return np.rint(np.clip(np.nan_to_num(np.asarray(share, np.float32)), 0, 1) * 255).astype(np.int64)


def _neutral(look: Look) -> NDArray[np.uint8]:
    return np.array((0x5A, 0x62, 0x6C) if look.dark else (0x8A, 0x90, 0x99), np.uint8)


def _opacity(count: NDArray[np.int64]) -> NDArray[np.float32]:
    most = max(int(count.max(initial=0)), 2)
    # Counts are few numbers, most of them small: a table of their logarithms is read faster than they are taken.
    table = np.log1p(np.arange(min(most, 65_535) + 1, dtype=np.float32)) / np.float32(np.log1p(most))
    share = table[np.minimum(count, len(table) - 1)]
    return np.where(count > 0, np.float32(_LEAST) + np.float32(255 - _LEAST) * share, np.float32(0))


def _spread(image: NDArray[np.uint32], count: int) -> NDArray[np.uint32]:
    """The picture with each state a few pixels wide, where there are so few that single pixels would be lost."""
    pixels = 2 if count <= _WIDE else 1 if count <= _BROAD else 0
    if not pixels or not count:
        return image
    import datashader.transfer_functions as transfer
    import xarray

    spread = transfer.spread(transfer.Image(xarray.DataArray(image, dims=("y", "x"))), px=pixels, shape="circle")
    return np.asarray(spread.values, np.uint32)


def _over(below: Any, above: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """One picture over another (Porter & Duff 1984), alpha not multiplied in."""
    there = np.nonzero(above >> 24)
    top, bottom = above[there], below[there]
    a, b = (top >> 24).astype(np.float32) / 255, (bottom >> 24).astype(np.float32) / 255
    alpha = a + b * (1 - a)
    channels = [
        ((top >> shift & 255) * a + (bottom >> shift & 255) * b * (1 - a)) / np.maximum(alpha, 1e-6)
        for shift in (0, 8, 16)
    ]
    out = below.copy()
    out[there] = rgba32(np.rint(np.stack(channels, axis=-1)), np.rint(alpha * 255))
    return np.asarray(out, np.uint32)


def _marks(data: ViewData, request: Request, name: str, look: Look) -> NDArray[np.uint32]:
    """First or last states of all sequences as rings."""
    offsets = data.trace.offsets
    full = np.diff(offsets) > 0
    steps = offsets[:-1][full] if name == "starts" else offsets[1:][full] - 1
    places = data.coordinates(request.projection)[steps]
    count = _counted({"x": places[:, 0].copy(), "y": places[:, 1].copy()}, request)
    text = look.start if name == "starts" else look.end
    colour = np.array([int(text[at : at + 2], 16) for at in (1, 3, 5)], np.uint8)
    image = rgba32(colour, np.where(count > 0, 190, 0))
    import datashader.transfer_functions as transfer
    import xarray

    ring = np.array([[0, 1, 1, 1, 0], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [0, 1, 1, 1, 0]], bool)
    shown = transfer.spread(transfer.Image(xarray.DataArray(image, dims=("y", "x"))), mask=ring)
    return np.asarray(shown.values, np.uint32)
