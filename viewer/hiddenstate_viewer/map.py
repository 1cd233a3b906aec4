"""The map of states: density far, points near; its window, its tools, what is under the pointer."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource
from numpy.typing import NDArray

from hiddenstate_core.errors import HiddenStateError
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.density import FADED, Request, emphasis_of, render
from hiddenstate_viewer.mapfigure import MapFigure
from hiddenstate_viewer.nearpoints import describe_state, point_columns, ring_columns
from hiddenstate_viewer.points import Source
from hiddenstate_viewer.state import Selection, Stroke
from hiddenstate_viewer.theme import LIGHT, Look
from hiddenstate_viewer.ticks import change

__all__ = ["ALL_POINTS", "NEAR_POINTS", "StateMap"]

#: A trace of at most this many states is drawn point by point at once; a larger one only where so few are in sight.
ALL_POINTS, NEAR_POINTS = 12_000, 1_500
#: Opacity of a picture behind a trajectory.
_BEHIND = 0.22
#: Corners of a lasso; pixels of a picture's side.
_MOST_CORNERS, _MOST_PIXELS = 4_000, 4_096
_MARGIN = 0.035
_PATIENCE = 10_000  # ms after which what waits for the first picture waits no more
_SETTLED = 400  # ms after a picture, with none after it, when the address is told the window

Window = tuple[float, float, float, float]

_log = logging.getLogger(__name__)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Threads that draw for all sessions, so that no session waits for another's picture on the event loop."""
    return ThreadPoolExecutor(2, "hiddenstate-map")


class StateMap:
    """A figure of all states of one trace, which follows a selection.

    Nothing in it has the size of the data: pictures have that of the screen, and points are few or not drawn singly.

    Parameters
    ----------
    data : ViewData
        The trace.
    selection : Selection
        What it follows, and what clicks, lassos and boxes change.
    look : Look
        Neutral colours.
    which : str
        ``"main"`` for the map of ``selection.projection``, ``"beside"`` for that of ``selection.beside``.

    Attributes
    ----------
    plot : bokeh.plotting.figure
        Named ``hs-map``, or ``hs-map-beside``.
    view : panel.viewable.Viewable
        Tools and figure, or what to do where there is no projection.
    """

    def __init__(self, data: ViewData, selection: Selection, look: Look = LIGHT, *, which: str = "main") -> None:
        self.data, self.selection, self.look, self.which = data, selection, look, which
        self.name = "hs-map" if which == "main" else "hs-map-beside"
        #: Told what could not be done, in a sentence.
        self.complain: Callable[[str], None] = lambda _message: None
        self._lock = threading.Lock()
        self._frame: tuple[Window, int, int] | None = None
        self._serial = self._wanted = self._shown = self._count = 0
        self._passed = False
        self._home, self._settling = True, 0
        self._drawn: Any = None
        self._later: list[Callable[[], None]] = []
        self.figure = MapFigure(self.name, look, selection.options.point_size)
        self.plot, self.id = self.figure.plot, self.figure.id
        self.figure.go.data = self._aim()
        self.figure.request.on_change("data", self._asked)
        self._follow()

    # -- what others ask of it --------------------------------------------------------------------------------------

    @property
    def projection(self) -> str | None:
        """Name of the projection shown."""
        name = self.selection.projection if self.which == "main" else self.selection.beside
        return name if name in self.data.trace.projections else None

    @property
    def extent(self) -> Window:
        """Window that holds all states, with a margin."""
        if self.projection is None:
            return -1.0, 1.0, -1.0, 1.0
        x0, x1, y0, y1 = self.data.order(self.projection).extent
        dx, dy = max((x1 - x0) * _MARGIN, 1e-6), max((y1 - y0) * _MARGIN, 1e-6)
        return x0 - dx, x1 + dx, y0 - dy, y1 + dy

    def place(self, steps: NDArray[np.int64]) -> NDArray[np.float32]:
        """Where the states of these steps lie, (n, 2) float32; NaN where there is no map."""
        if self.projection is None:
            return np.full((len(steps), 2), np.nan, np.float32)
        return np.asarray(self.data.coordinates(self.projection)[steps], np.float32)

    def keep_clear(self, *sources: Any) -> None:
        """Show no tooltip of the map over what these sources hold (columns x, y or x0, y0, x1, y1)."""
        self.figure.keep_clear(*sources)

    def go(self, window: Window | None) -> None:
        """Show a part of the map, or all of it."""
        self.figure.go.data = self._aim(window)

    @functools.cached_property
    def view(self) -> Any:
        """Tools and figure."""
        import panel as pn

        from hiddenstate_viewer.controls import html

        self._pane = pn.pane.Bokeh(self.plot, sizing_mode="stretch_both", margin=0)
        self._empty = html(self._advice(), sizing_mode="stretch_both", visible=self.projection is None)
        self._pane.visible = self.figure.tools.visible = self.projection is not None
        # It lies over the map, and takes no clicks from it.
        self._name = html("", styles={"height": "0", "position": "relative", "z-index": "1", "pointer-events": "none"})
        self._entitle()
        return pn.Column(
            self.figure.tools, self._name, self._pane, self._empty, sizing_mode="stretch_both", margin=0, min_height=0,
            min_width=0,
        )  # fmt: skip

    # -- building ---------------------------------------------------------------------------------------------------

    def _advice(self) -> str:
        trace = self.data.trace
        layer = f" --layer {self.selection.layer}" if len(trace.layers) > 1 else ""
        command = escape(f"hiddenstate project {trace.path}{layer}")
        return (
            '<div class="hs-empty"><b>No map of these states yet</b>Make one, then load this page again:'
            f"<code>{command}</code></div>"
        )

    def once_shown(self, action: Callable[[], None]) -> None:
        """Run an action when the first picture is on the screen, or where none comes, after a while; once."""
        document = pn.state.curdoc
        if self.projection is None or document is None or document.session_context is None:
            action()
            return
        self._later.append(action)
        document.add_timeout_callback(self._shown_once, _PATIENCE)

    # -- following --------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        selection = self.selection

        def watch(parameters: list[str], action: Callable[[], None], of: Any = selection) -> None:
            there = [name for name in parameters if name in of.param]
            of.param.watch(lambda *_: self._locked(action), there)

        watch(["projection" if self.which == "main" else "beside"], self._turn)
        watch(["projection", "beside"], self._entitle)
        watch(["colour_by", "layer", "direction", "quantity", "strokes", "query", "cell"], self.paint)
        watch(["sequence"], self._fade)
        watch(["fade_correct", "fade_wrong", "show_starts", "show_lasts"], self.paint, selection.options)
        watch(["point_size"], self._resize, selection.options)
        if self.which == "main":
            watch(["window"], self._moved)
        self._fade()

    def _locked(self, action: Callable[[], None]) -> None:
        change(self.plot.document, action)

    def _turn(self) -> None:
        """Another projection."""
        shown = self.projection is not None
        if "view" in self.__dict__:
            self._pane.visible = self.figure.tools.visible = shown
            self._empty.visible = not shown
        with self._lock:  # what is being drawn of the other map is not shown any more
            self._wanted += 1
        self._drawn = None
        self._emptied(self.figure.image, self.figure.points, self.figure.rings)
        if shown:
            self.go(None)

    def _aim(self, window: Window | None = None) -> dict[str, Any]:
        if window is None and self.which == "main" and self._frame is None:
            window = self.selection.window
        aims = self.__dict__.get("_aims", 0) + 1
        self._aims = aims
        return {"extent": [list(self.extent)], "window": [list(window) if window else []], "count": [aims]}

    def _moved(self) -> None:
        wanted = self.selection.window
        if wanted != self._seen():
            self.go(wanted)

    def _seen(self) -> Window | None:
        return None if self._home or self._frame is None else self._frame[0]

    def _fade(self) -> None:
        chosen = self.selection.sequence is not None
        self.figure.fade(*((_BEHIND, FADED) if chosen else (None, None)))

    def _entitle(self) -> None:
        """Of two maps each carries its name."""
        if "_name" not in self.__dict__:  # not in a page yet
            return
        s, there = self.selection, self.data.trace.projections
        shown = self.projection if s.projection in there and s.beside in there else None
        self._name.object = "" if shown is None else f'<div class="hs-map-name">{escape(shown)}</div>'

    def _resize(self) -> None:
        self.figure.resize(self.selection.options.point_size)

    # -- from the browser -------------------------------------------------------------------------------------------

    def _asked(self, _attribute: str, _old: Any, new: Any) -> None:
        """What the browser asks for; what is not well formed is passed over."""
        try:
            name, value, serial = new["name"][0], list(new["value"][0]), int(new["serial"][0])
        except (KeyError, IndexError, TypeError, ValueError):
            return
        with contextlib.suppress(TypeError, ValueError, IndexError, OverflowError):
            if name == "window":
                self._look(value, serial)
            elif name == "shown":
                self._shown_once()
            elif name == "hover":
                self.work(self._told, *_numbers(value, 3), serial)
            elif name == "tap":
                self.work(self._tapped, *_numbers(value[:3], 3), str(value[3]))
            elif name == "stroke" and self.projection is not None:
                mode, xs, ys = str(value[0]), value[1], value[2]
                if len(xs) <= _MOST_CORNERS:
                    corners = tuple(_numbers(xs, len(xs))), tuple(_numbers(ys, len(xs)))
                    self.selection.add_stroke(Stroke(self.projection, mode, *corners))

    def _look(self, value: list[Any], serial: int) -> None:
        x0, x1, y0, y1, width, height = _numbers(value[:6], 6)
        if not (x0 < x1 and y0 < y1):
            return
        side = [min(max(round(n), 16), _MOST_PIXELS) for n in (width, height)]
        self._frame, self._serial, self._home = ((x0, x1, y0, y1), side[0], side[1]), serial, bool(value[6])
        self.paint()
        if self.which == "main" and self.plot.document is not None:
            self._settling += 1
            self.plot.document.add_timeout_callback(functools.partial(self._settle, self._settling), _SETTLED)

    def _settle(self, turn: int) -> None:
        if turn == self._settling and self.selection.window != self._seen():
            self.selection.window = self._seen()

    def _told(self, x: float, y: float, reach: float, serial: int) -> Callable[[], None]:
        step = None if self.projection is None else self.data.order(self.projection).nearest(x, y, reach)
        told: dict[str, Any] = {"serial": [serial], "lines": [[]], "x": [0.0], "y": [0.0]}
        if step is not None:
            where = self.place(np.array([step]))[0].tolist()
            told = {"serial": [serial], "lines": [describe_state(self.data, step)], "x": where[:1], "y": where[1:]}
        return lambda: self.figure.tell.update(data=told)

    def _tapped(self, x: float, y: float, reach: float, mode: str) -> Callable[[], None]:
        step = None if self.projection is None else self.data.order(self.projection).nearest(x, y, reach)

        def act() -> None:
            if step is None:
                if self.selection.strokes:
                    self.selection.clear_strokes()
                return
            sequence = int(np.searchsorted(self.data.trace.offsets, step, side="right")) - 1
            try:
                if mode == "replace" or self.selection.sequence is None:
                    self.selection.select(sequence)
                else:
                    self.selection.compare(sequence)
            except HiddenStateError as error:
                self.complain(str(error))

        return act

    def _shown_once(self) -> None:
        later, self._later = self._later, []

        def act() -> None:
            for action in later:
                action()
            self.figure.reply.data = {"serial": [0], "count": [self._count], "came": [True]}

        if later:
            change(self.plot.document, act)

    # -- drawing ----------------------------------------------------------------------------------------------------

    def work(self, job: Callable[..., Callable[[], None]], *arguments: Any) -> None:
        """Run a job in a thread, and what it gives on the event loop."""
        document = self.plot.document

        def work() -> None:
            try:
                act = job(*arguments)
            except HiddenStateError as error:  # the store was damaged or taken away, or has no such quantity
                act = functools.partial(self.complain, str(error))
            except Exception:  # nobody waits for what a thread raises
                _log.exception("The map could not be drawn.")
                return
            if document is not None and document.session_context is not None:
                document.add_next_tick_callback(act)
            else:
                act()

        if document is not None and document.session_context is not None:
            _pool().submit(work)
        else:
            work()

    def paint(self) -> None:
        """Draw what is in sight, in a thread; of several wishes the newest counts."""
        if self._frame is None or self.projection is None:
            return
        with self._lock:
            self._wanted += 1
            ticket = self._wanted
        source, frame, serial = Source.of(self.selection), self._frame, self._serial
        self.work(self._drawing, ticket, self.projection, source, frame, serial)

    def _drawing(
        self, ticket: int, projection: str, source: Source, frame: tuple[Window, int, int], serial: int
    ) -> Callable[[], None]:
        if ticket != self._wanted:
            return lambda: None
        window, width, height = frame
        emphasis = emphasis_of(self.data, self.selection)
        order = self.data.order(projection)
        options = self.selection.options
        marks = tuple(n for n, on in (("starts", options.show_starts), ("lasts", options.show_lasts)) if on)
        if len(order) <= ALL_POINTS:
            key: Any = ("all", projection, source, emphasis.key, marks)
            places = np.arange(len(order), dtype=np.int64)
        elif order.count(*window) <= NEAR_POINTS:
            key = ("near", projection, source, emphasis.key, marks, window)
            places = order.places(*_wider(window))
        else:
            image = render(self.data, Request(projection, source, window, width, height, marks), emphasis, self.look)
            return lambda: self._apply(ticket, serial, window, image, None)
        if key == self._drawn:
            return lambda: self._apply(ticket, serial, window, None, None)
        columns = point_columns(self.data, projection, source, places, emphasis, self.look)
        rings = ring_columns(self.data, projection, places, marks, emphasis, self.look)
        return lambda: self._apply(ticket, serial, window, None, (key, columns, rings))

    def _apply(self, ticket: int, serial: int, window: Window, image: NDArray[np.uint32] | None, points: Any) -> None:
        # One that is not wanted any more is passed over, unless the one before was: else none might come for long.
        if ticket < self._shown or (ticket < self._wanted and not self._passed):
            self._passed = True
            return
        self._shown, self._passed = ticket, False
        figure = self.figure
        if image is not None:
            x0, x1, y0, y1 = window
            figure.image.data = {"image": [image], "x": [x0], "y": [y0], "dw": [x1 - x0], "dh": [y1 - y0]}
            self._emptied(figure.points, figure.rings)
            self._drawn = None
        elif points is not None:
            self._drawn, figure.points.data, rings = points
            if len(rings["x"]) or len(figure.rings.data["x"]):
                figure.rings.data = rings
            self._emptied(figure.image)
        self._count += 1
        self.figure.reply.data = {"serial": [serial], "count": [self._count]}

    @staticmethod
    def _emptied(*sources: ColumnDataSource) -> None:
        for source in sources:
            if any(len(values) for values in source.data.values()):
                source.data = {name: [] for name in source.data}


def _numbers(values: Any, count: int) -> list[float]:
    """`count` finite numbers, or `ValueError`."""
    numbers = [float(v) for v in values]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError
    return numbers


def _wider(window: Window) -> Window:
    """The window and a quarter of it on each side, so that a short way there is something already."""
    x0, x1, y0, y1 = window
    dx, dy = (x1 - x0) / 4, (y1 - y0) / 4
    return x0 - dx, x1 + dx, y0 - dy, y1 + dy
