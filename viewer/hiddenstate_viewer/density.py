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

__all__ = [
    "DIM", "FADED", "FULL", "NOTHING", "REST", "Emphasis", "Request", "density_image", "emphasis_of", "layers_at",
    "level", "neutral", "render", "warm",
]  # fmt: skip

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

    def of_states(self, offsets: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Layer of states, by their number in the trace; `offsets` (S + 1,) are those of its sequences."""
        if self.layers is None:
            layers = np.full(len(steps), FULL, np.uint8)
        else:
            layers = self.layers[np.searchsorted(offsets, steps, side="right") - 1]
        if self.steps is not None:
            layers[~self.steps[steps]] = REST
        return layers


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


def warm(data: ViewData, projection: str) -> None:
    """Compile what compiles when it first runs, and read what the first picture needs."""
    order = points_of(data).order(projection)
    everything = np.ones(data.trace.steps, np.bool_)
    sequences = np.full(len(data.trace), FULL, np.uint8)
    x0, x1, y0, y1 = order.extent
    for source in (Source("prediction"), Source("class")):
        request = Request(projection, source, order.extent, 32, 32, ("starts",))
        _draw(data, request, NOTHING, LIGHT)
    _draw(data, request, Emphasis("warm", sequences, everything), LIGHT)
    _spread(np.ones((8, 8), np.uint32), 1)
    order.nearest((x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 100)
    order.inside([x0, x1, x1], [y0, y0, y1])


# -- inside ---------------------------------------------------------------------------------------------------------


def _draw(data: ViewData, request: Request, emphasis: Emphasis, look: Look) -> NDArray[np.uint32]:
    points = points_of(data)
    order = points.order(request.projection)
    runs = order.window(*request.window)
    colouring = points.colouring(request.projection, request.source)
    frame = {"x": _taken(order.points[0], runs), "y": _taken(order.points[1], runs)}
    values = _taken(colouring.values, runs)
    strength = None if colouring.strength is None else _taken(colouring.strength, runs)
    table = _packed(points.table(request.source, colouring, look), look)
    inside = order.count(*request.window)
    if emphasis.none:
        shown = _coloured(frame, request, colouring, values, strength, table, 1.0)
        shown = _spread(shown, inside)
    else:
        layers = layers_at(points, request.projection, emphasis, runs)
        shown = _spread(_counted(frame, request, rgba32(neutral(look), 0), _CONTEXT), inside)
        for layer, opacity in ((DIM, FADED), (FULL, 1.0)):
            chosen = layers == layer
            if chosen.any():
                part = _part(frame, values, strength, chosen)
                above = _coloured(part[0], request, colouring, part[1], part[2], table, opacity)
                shown = _over(shown, _spread(above, inside))
    for name in request.marks:
        shown = _over(shown, _marks(data, request, emphasis, name, look))
    return np.ascontiguousarray(shown, np.uint32)


def _taken(values: NDArray[Any], runs: NDArray[np.int64]) -> NDArray[Any]:
    """The values of some runs; a view where there is one run."""
    if len(runs) == 1:
        return values[runs[0, 0] : runs[0, 1]]
    return np.concatenate([values[a:b] for a, b in runs.tolist()]) if len(runs) else values[:0]


def layers_at(points: MapPoints, projection: str, emphasis: Emphasis, where: NDArray[np.int64]) -> NDArray[np.uint8]:
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


def _counted(
    frame: dict[str, NDArray[np.float32]], request: Request, colour: NDArray[np.uint32], opacity: float
) -> NDArray[np.uint32]:
    """Picture of all states in one colour."""
    import datashader
    import pandas as pd

    count = _canvas(request).points(pd.DataFrame(frame, copy=False), "x", "y", datashader.count()).values
    filled = np.flatnonzero(count)
    return _filled(request, filled, _opacity(count.ravel()[filled], opacity) | colour)


def _coloured(
    frame: dict[str, NDArray[np.float32]],
    request: Request,
    colouring: Colouring,
    values: NDArray[Any],
    strength: NDArray[np.float32] | None,
    table: NDArray[np.uint32],
    opacity: float,
) -> NDArray[np.uint32]:
    """Picture of states, each pixel coloured by the mean or by the most frequent group; work on filled pixels only."""
    import datashader
    import pandas as pd

    canvas = _canvas(request)
    if colouring.kind != "categorical":
        data = pd.DataFrame({**frame, "v": values}, copy=False)
        reductions = {"n": datashader.count(), "v": datashader.sum("v"), "k": datashader.count("v")}
        if colouring.complete:
            del reductions["k"]
        found = canvas.points(data, "x", "y", datashader.summary(**reductions))
        count = found["n"].values.ravel()
        filled = np.flatnonzero(count)
        known = count[filled] if colouring.complete else found["k"].values.ravel()[filled]
        mean = found["v"].values.ravel()[filled] / np.maximum(known, 1)
        rows = np.where(known > 0, level(colouring.share(mean)), 256)
        return _filled(request, filled, _opacity(count[filled], opacity) | table[rows])
    groups = pd.Categorical.from_codes(values.view(np.int8), categories=pd.RangeIndex(len(table)), validate=False)
    data = pd.DataFrame({**frame, "c": groups, **({} if strength is None else {"s": strength})}, copy=False)
    by = canvas.points(data, "x", "y", datashader.by("c", datashader.count())).values.reshape(-1, len(table))
    count = by.sum(axis=-1, dtype=np.int64)
    filled = np.flatnonzero(count)
    some = by[filled]
    share = some.max(axis=-1) / count[filled]
    if strength is not None:
        surely = canvas.points(data, "x", "y", datashader.sum("s")).values.ravel()[filled]
        share = share * (surely / count[filled])
    return _filled(request, filled, _opacity(count[filled], opacity) | table[some.argmax(axis=-1), level(share)])


def _filled(request: Request, pixels: NDArray[np.int64], colours: NDArray[np.uint32]) -> NDArray[np.uint32]:
    image = np.zeros(request.height * request.width, np.uint32)
    image[pixels] = colours
    return image.reshape(request.height, request.width)


def level(share: Any) -> NDArray[np.int64]:
    """Row of a table of 256 colours; NaN gives 0."""
    return np.rint(np.clip(np.nan_to_num(np.asarray(share, np.float32)), 0, 1) * 255).astype(np.int64)


def _packed(table: NDArray[np.uint8], look: Look) -> NDArray[np.uint32]:
    """A table of colours packed without alpha; a scale over numbers gets a last row for "not known"."""
    if table.ndim == 2:
        table = np.vstack([table, neutral(look)[None]])
    return rgba32(table, 0)


def neutral(look: Look) -> NDArray[np.uint8]:
    return np.array((0x5A, 0x62, 0x6C) if look.dark else (0x8A, 0x90, 0x99), np.uint8)


def _opacity(count: NDArray[Any], opacity: float) -> NDArray[np.uint32]:
    """Alpha, in the highest byte, of pixels with so many states each; it grows with the logarithm."""
    most = max(int(count.max(initial=0)), 2)
    # Counts are few numbers, most of them small: a table of their logarithms is read faster than they are taken.
    table = np.log1p(np.arange(min(most, 65_535) + 1)) / np.log1p(most)
    alpha = np.rint((_LEAST + (255 - _LEAST) * table) * opacity).astype(np.uint32) << np.uint32(24)
    return np.asarray(alpha[np.minimum(count, len(alpha) - 1)])


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


def _marks(data: ViewData, request: Request, emphasis: Emphasis, name: str, look: Look) -> NDArray[np.uint32]:
    """First or last states of the sequences as rings, but for those that are behind."""
    offsets = data.trace.offsets
    full = np.diff(offsets) > 0
    steps = offsets[:-1][full] if name == "starts" else offsets[1:][full] - 1
    places, layers = data.coordinates(request.projection)[steps], emphasis.of_states(offsets, steps)
    text = look.start if name == "starts" else look.end
    colour = np.array([int(text[at : at + 2], 16) for at in (1, 3, 5)], np.uint8)
    image = np.zeros((request.height, request.width), np.uint32)
    for layer, opacity in ((DIM, FADED), (FULL, 1.0)):
        some = places[layers == layer]
        frame = {"x": some[:, 0].copy(), "y": some[:, 1].copy()}
        image = _over(image, _counted(frame, request, rgba32(colour, 0), opacity))
    import datashader.transfer_functions as transfer
    import xarray

    ring = np.array([[0, 1, 1, 1, 0], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [0, 1, 1, 1, 0]], bool)
    shown = transfer.spread(transfer.Image(xarray.DataArray(image, dims=("y", "x"))), mask=ring)
    return np.asarray(shown.values, np.uint32)
