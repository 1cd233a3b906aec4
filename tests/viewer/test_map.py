"""The map in a browser: pictures, points, window, click, lasso and box, tooltip; and what it draws, without one."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from bokeh.document import Document
from hiddenstate_viewer import map as maps
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.density import FADED
from hiddenstate_viewer.map import StateMap
from hiddenstate_viewer.points import Source
from hiddenstate_viewer.state import Selection, Stroke
from hiddenstate_viewer.theme import DARK, LIGHT
from panel.io.state import set_curdoc

from hiddenstate_core.analysis import Query

_TEMPLATE = """
{% extends base %}
{% block preamble %}<link rel="icon" href="data:,">{% endblock %}
{% block contents %}<div style="width: 700px; height: 640px">{{ embed(roots.map) }}</div>{% endblock %}
"""
STATE = "() => window.hiddenstateMaps?.state()"
CURRENT = "() => window.hiddenstateMaps?.state()?.current === true"


class Served:
    """A page with nothing but a map."""

    def __init__(self) -> None:
        self.maps: list[StateMap] = []
        self.address = ""
        self.loop: Any = None

    def do(self, action: Callable[[], Any]) -> None:
        """Run something on the server's event loop, under no lock, as a widget of Panel would."""
        done = threading.Event()

        def run() -> None:
            action()
            done.set()

        self.loop.call_soon_threadsafe(run)
        assert done.wait(10)


@pytest.fixture
def serve_map() -> Iterator[Callable[..., Served]]:
    stops: list[Callable[[], None]] = []

    def serve(data: ViewData, **values: Any) -> Served:
        import panel as pn
        from panel.io.server import get_server

        pn.extension(notifications=False)
        served, ready, held = Served(), threading.Event(), {}
        which = values.pop("which", "main")

        def page() -> Any:
            shown = StateMap(data, Selection(data, **values), LIGHT, which=which)
            served.maps.append(shown)
            template = pn.Template(_TEMPLATE)
            template.add_panel("map", shown.view)
            return template

        def run() -> None:
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            server = get_server({"/": page}, port=0, address="127.0.0.1", start=False, show=False, verbose=False)
            server.start()
            served.loop, served.address, held["server"] = loop, f"http://127.0.0.1:{server.port}/", server
            ready.set()
            loop.run_forever()
            server.stop()
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert ready.wait(20)

        def stop() -> None:
            served.loop.call_soon_threadsafe(served.loop.stop)
            thread.join(20)

        stops.append(stop)
        return served

    yield serve
    for stop in stops:
        stop()


@pytest.fixture
def dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws small traces as large ones are drawn."""
    monkeypatch.setattr(maps, "ALL_POINTS", 10)
    monkeypatch.setattr(maps, "NEAR_POINTS", 60)


def settled(tab: Any) -> dict[str, Any]:
    """What the map tells of itself once its picture is on the screen."""
    tab.wait(CURRENT)
    return dict(tab.page.evaluate(STATE))


def on_screen(tab: Any, x: float, y: float) -> tuple[float, float]:
    """Where a place of the map is on the screen."""
    return tuple(
        tab.page.evaluate(
            """([x, y]) => {
              const { plot } = [...window.hiddenstateMaps.maps.values()][0]
              const deep = (root) => {
                for (const element of root.querySelectorAll("*")) {
                  if (element.classList.contains("bk-events")) return element.getBoundingClientRect()
                  const inner = element.shadowRoot && deep(element.shadowRoot)
                  if (inner) return inner
                }
              }
              const box = deep(document)
              const { x_range: h, y_range: v } = plot
              return [
                box.x + ((x - h.start) / (h.end - h.start)) * plot.inner_width,
                box.y + ((v.end - y) / (v.end - v.start)) * plot.inner_height,
              ]
            }""",
            [x, y],
        )
    )


def drag(tab: Any, *places: tuple[float, float]) -> None:
    tab.page.mouse.move(*places[0])
    tab.page.mouse.down()
    for place in places[1:]:
        tab.page.mouse.move(*place, steps=6)
    tab.page.mouse.up()


def test_zoom_from_a_picture_to_points_and_back(
    serve_map: Any, open_tab: Any, data: Callable[[str], ViewData], dense: None
) -> None:
    served = serve_map(data("binary"))
    tab = open_tab(served.address)
    first = settled(tab)
    shown = served.maps[0]
    assert (first["image"], first["points"]) == (1, 0)
    x0, x1, y0, y1 = first["window"]
    ex0, ex1, ey0, ey1 = shown.extent
    assert x0 <= ex0 < ex1 <= x1
    assert y0 <= ey0 < ey1 <= y1
    step = 200
    place = shown.place(np.array([step]))[0].tolist()
    at = on_screen(tab, *place)
    for _ in range(12):
        tab.page.mouse.move(*at)
        tab.page.mouse.wheel(0, -240)
        tab.page.wait_for_timeout(60)
    near = settled(tab)
    assert near["image"] == 0
    assert 0 < near["points"] < 200
    width = near["window"][1] - near["window"][0]
    assert width < (x1 - x0) / 4
    assert np.isclose((near["window"][3] - near["window"][2]) / width, (y1 - y0) / (x1 - x0), rtol=0.02)  # one scale
    served.do(lambda: None)
    tab.page.wait_for_timeout(800)
    assert shown.selection.window == pytest.approx(near["window"])
    tab.page.get_by_role("button", name="Whole map").click()
    tab.wait("() => window.hiddenstateMaps.state().image === 1")
    assert settled(tab)["window"] == pytest.approx(first["window"])
    tab.page.wait_for_timeout(800)
    assert shown.selection.window is None
    assert tab.complaints == []


def test_a_picture_that_never_came_is_asked_for_again(
    serve_map: Any, open_tab: Any, data: Callable[[str], ViewData], dense: None
) -> None:
    served = serve_map(data("binary"))
    tab = open_tab(served.address)
    settled(tab)
    shown, lost = served.maps[0], []
    apply = shown._apply

    def lose(*arguments: Any) -> None:
        shown._apply = apply
        lost.append(arguments)

    shown._apply = lose
    tab.page.mouse.move(*on_screen(tab, *shown.place(np.array([200]))[0].tolist()))
    tab.page.mouse.wheel(0, -240)
    tab.until(lambda: lost, "a lost picture")
    before = tab.page.evaluate(STATE)
    assert not before["current"]
    # Nothing moves meanwhile: the page asks by itself.
    assert settled(tab)["pictures"] > before["pictures"]
    assert tab.complaints == []


def test_click_and_tooltip(serve_map: Any, open_tab: Any, data: Callable[[str], ViewData]) -> None:
    view = data("binary")
    served = serve_map(view)
    tab = open_tab(served.address)
    assert settled(tab)["points"] == view.trace.steps
    shown = served.maps[0]
    order = view.order("tsne")
    # A state that no other one lies near, so that nothing else can be meant.
    points = view.coordinates("tsne")
    alone = int(np.argmax([np.sort(((points - p) ** 2).sum(axis=1))[1] for p in points]))
    assert order.nearest(float(points[alone, 0]), float(points[alone, 1]), 0.0) == alone
    at = on_screen(tab, *points[alone].tolist())
    tab.page.mouse.move(at[0] + 30, at[1] + 30)
    tab.page.mouse.move(*at)
    tab.wait("() => window.hiddenstateMaps.state().tip !== null")
    sequence = int(np.searchsorted(view.trace.offsets, alone, side="right")) - 1
    word = view.trace.lexicon[int(view.surface[alone])]
    told = tab.page.evaluate(STATE)["tip"].split("\n")
    assert told[0] == word
    assert told[1].startswith(f"word {alone - int(view.trace.offsets[sequence]) + 1} of")
    assert told[3].startswith(view.trace.ids[sequence])
    assert tab.page.evaluate("() => document.querySelectorAll('.hs-map-tip').length") == 1
    tab.page.mouse.click(*at)
    tab.page.wait_for_timeout(500)
    assert shown.selection.sequence == sequence
    assert shown.figure.plot.renderers[1].glyph.fill_alpha == FADED
    tab.page.mouse.move(at[0], at[1] + 600)
    tab.wait("() => window.hiddenstateMaps.state().tip === null")
    assert tab.complaints == []


def test_words_are_text_never_markup(
    serve_map: Any, open_tab: Any, data: Callable[[str], ViewData], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "describe_state", lambda *_: ["<b>bold</b>", "<img src=x onerror=alert(1)>"])
    served = serve_map(data("binary"))
    tab = open_tab(served.address)
    settled(tab)
    at = on_screen(tab, *served.maps[0].place(np.array([9]))[0].tolist())
    tab.page.mouse.move(at[0] + 30, at[1] + 30)
    tab.page.mouse.move(*at)
    tab.wait("() => window.hiddenstateMaps.state().tip !== null")
    tip = tab.page.locator(".hs-map-tip")
    assert tip.inner_text().split("\n")[0] == "<b>bold</b>"
    assert tip.locator("img, b b").count() == 0
    assert tab.complaints == []


def test_lasso_and_box_with_modifiers(
    serve_map: Any, open_tab: Any, data: Callable[[str], ViewData], dense: None
) -> None:
    view = data("binary")
    served = serve_map(view)
    tab = open_tab(served.address)
    before = settled(tab)["pictures"]
    selection = served.maps[0].selection
    x0, x1, y0, y1 = served.maps[0].extent
    middle = [(x0 + x1) / 2, (y0 + y1) / 2]
    corners = [(0.25, 0.3), (0.75, 0.25), (0.7, 0.75), (0.3, 0.7)]
    around = [on_screen(tab, x0 + a * (x1 - x0), y0 + b * (y1 - y0)) for a, b in corners]
    tab.page.get_by_role("button", name="Lasso").click()
    drag(tab, *around)
    tab.wait("(before) => window.hiddenstateMaps.state().pictures > before", before)
    assert [stroke.mode for stroke in selection.strokes] == ["replace"]
    lassoed = selection.steps_mask
    assert lassoed is not None
    assert 0 < lassoed.sum() < view.trace.steps
    assert selection.strokes[0].projection == "tsne"

    tab.page.get_by_role("button", name="Box").click()
    low, high = on_screen(tab, x0, y0), on_screen(tab, *middle)
    tab.page.keyboard.down("Shift")
    drag(tab, (low[0] + 2, low[1] - 2), high)
    tab.page.keyboard.up("Shift")
    tab.page.wait_for_timeout(500)
    assert [stroke.mode for stroke in selection.strokes] == ["replace", "add"]
    assert (selection.steps_mask & ~lassoed).any()
    more = int(selection.steps_mask.sum())
    tab.page.keyboard.down("Alt")
    drag(tab, high, (low[0] + 2, low[1] - 2))
    tab.page.keyboard.up("Alt")
    tab.page.wait_for_timeout(500)
    assert [stroke.mode for stroke in selection.strokes] == ["replace", "add", "remove"]
    assert int(selection.steps_mask.sum()) < more
    # Empty ground forgets them all.
    tab.page.get_by_role("button", name="Pan").click()
    tab.page.mouse.click(*on_screen(tab, x0, y1))
    tab.page.wait_for_timeout(500)
    assert selection.strokes == ()
    assert tab.complaints == []


def test_the_window_comes_from_the_selection(
    serve_map: Any, open_tab: Any, data: Callable[[str], ViewData], dense: None
) -> None:
    served = serve_map(data("binary"), window=(0.0, 0.5, 0.0, 0.5))
    tab = open_tab(served.address)
    x0, x1, y0, y1 = settled(tab)["window"]
    assert x0 <= 0 < 0.5 <= x1
    assert y0 <= 0 < 0.5 <= y1
    assert min(x1 - x0, y1 - y0) == pytest.approx(0.5)
    served.do(lambda: setattr(served.maps[0].selection, "window", (-0.2, 0.0, -0.2, 0.0)))
    tab.wait("() => window.hiddenstateMaps.state().window[0] < -0.15")
    assert settled(tab)["window"][1] < 0.1
    served.do(lambda: setattr(served.maps[0].selection, "window", None))
    tab.wait("() => window.hiddenstateMaps.state().window[0] < -0.5")


def test_another_projection_and_none(serve_map: Any, open_tab: Any, data: Callable[[str], ViewData]) -> None:
    served = serve_map(data("many"), projection="pca")
    tab = open_tab(served.address)
    before = settled(tab)["pictures"]
    served.do(lambda: setattr(served.maps[0].selection, "projection", "tsne"))
    tab.wait("(before) => window.hiddenstateMaps.state().pictures > before", before)
    served.do(lambda: setattr(served.maps[0].selection, "projection", None))
    tab.page.get_by_text("No map of these states yet").wait_for()
    assert tab.page.get_by_text("hiddenstate project").is_visible()
    assert tab.complaints == []


def test_a_second_map_follows_beside(data: Callable[[str], ViewData]) -> None:
    view = data("many")
    selection = Selection(view, projection="tsne", beside="pca")
    beside = StateMap(view, selection, DARK, which="beside")
    assert (beside.projection, beside.plot.name) == ("pca", "hs-map-beside")
    selection.beside = None
    assert beside.projection is None
    assert np.isnan(beside.place(np.array([0, 1]))).all()


def test_two_maps_carry_their_names(data: Callable[[str], ViewData]) -> None:
    selection = Selection(data("many"), projection="tsne")
    shown = [StateMap(selection.data, selection, DARK, which=which) for which in ("main", "beside")]

    views = [drawn.view for drawn in shown]

    def names() -> list[str | None]:
        texts = [view[1].object for view in views]
        return [re.sub("<.*?>", "", text) or None for text in texts]

    assert names() == [None, None]
    selection.beside = "pca"
    assert names() == ["tsne", "pca"]
    selection.projection = "pca"
    assert names() == ["pca", "pca"]
    selection.beside = None
    assert names() == [None, None]
    selection.param.update(projection="tsne", beside="pca")
    assert names() == ["tsne", "pca"]


class Asked:
    """A map without a browser, whose requests are made by hand."""

    def __init__(self, view: ViewData, **values: Any) -> None:
        self.selection = Selection(view, **values)
        self.map = StateMap(view, self.selection, LIGHT)
        self.serial = 0

    def ask(self, name: Any, value: Any) -> None:
        self.serial += 1
        self.map.figure.request.data = {"name": [name], "value": [value], "serial": [self.serial]}

    def look(self, window: Any = None, size: tuple[int, int] = (300, 200)) -> None:
        self.ask("window", [*(window or self.map.extent), *size, window is None])


def test_what_is_not_well_formed_is_passed_over(data: Callable[[str], ViewData]) -> None:
    asked = Asked(data("binary"))
    for name, value in (
        ("window", [0, 1, 0]),
        ("window", [0, float("nan"), 0, 1, 300, 200, True]),
        ("window", [1, 0, 0, 1, 300, 200, True]),
        ("window", "nonsense"),
        ("hover", [0, 0, "x"]),
        ("stroke", ["replace", [0, 1], [0, 1]]),
        ("stroke", ["sideways", [0, 1, 1], [0, 1, 0]]),
        ("stroke", ["replace", [0] * 5_000, [0] * 5_000]),
        ("stroke", ["replace", [0, 1, None], [0, 1, 0]]),
        ("tap", []),
        ("delete", [1]),
        (3, None),
    ):
        asked.ask(name, value)
    assert asked.selection.strokes == ()
    assert asked.selection.sequence is None
    assert asked.map.figure.reply.data["count"] == []
    asked.look(size=(10**9, -5))
    assert asked.map._frame is not None
    assert asked.map._frame[1:] == (4096, 16)


def test_pictures_have_the_size_of_the_screen_and_are_shared(data: Callable[[str], ViewData], dense: None) -> None:
    view = data("binary")
    one, two = Asked(view), Asked(view)
    one.look()
    two.look()
    image = one.map.figure.image.data["image"][0]
    assert image.shape == (200, 300)
    assert image is two.map.figure.image.data["image"][0]
    assert (image >> 24 > 0).any()
    two.selection.add_stroke(Stroke("tsne", "replace", (-9.0, 0.0, 0.0, -9.0), (-9.0, -9.0, 9.0, 9.0)))
    other = two.map.figure.image.data["image"][0]
    assert not np.array_equal(other, image)
    assert np.array_equal(one.map.figure.image.data["image"][0], image)


def test_points_are_coloured_as_pictures_are_and_the_rest_lies_behind(data: Callable[[str], ViewData]) -> None:
    view = data("five")
    asked = Asked(view)
    asked.look()
    columns = asked.map.figure.points.data
    assert len(columns["x"]) == view.trace.steps
    order = view.order("tsne")
    colours = view.palette.states(view.predicted[order.steps], view.confidence[order.steps])
    assert np.abs(columns["packed"][:, :3].astype(int) - colours).max() <= 3
    half = (-9.0, 0.0, 0.0, -9.0), (-9.0, -9.0, 9.0, 9.0)
    asked.selection.add_stroke(Stroke("tsne", "replace", *half))
    columns = asked.map.figure.points.data
    inside = columns["x"] < 0
    assert (columns["alpha"][inside] > 0.5).all()
    assert (columns["alpha"][~inside] == np.float32(FADED)).all()
    assert not inside[: int((~inside).sum())].any()  # what is behind is drawn first
    asked.selection.colour_by = "class"
    assert not np.array_equal(asked.map.figure.points.data["packed"], columns["packed"])


def test_right_and_wrong_sequences_fade(data: Callable[[str], ViewData]) -> None:
    view = data("binary")
    asked = Asked(view)
    asked.look()
    asked.selection.options.fade_wrong = True
    wrong = view.trace.labels != view.final
    alpha = asked.map.figure.points.data["alpha"]
    assert (alpha < 0.2).sum() == np.diff(view.trace.offsets)[wrong].sum()
    asked.selection.options.fade_correct = True
    assert (asked.map.figure.points.data["alpha"] < 0.2).all()


def test_first_and_last_states_are_ringed(data: Callable[[str], ViewData]) -> None:
    view = data("binary")
    asked = Asked(view)
    asked.look()
    assert len(asked.map.figure.rings.data["x"]) == 0
    asked.selection.options.show_starts = True
    full = np.diff(view.trace.offsets) > 0
    starts = view.trace.offsets[:-1][full]
    rings = asked.map.figure.rings.data
    assert sorted(rings["x"].tolist()) == sorted(view.coordinates("tsne")[starts, 0].tolist())
    asked.selection.options.show_lasts = True
    assert len(asked.map.figure.rings.data["x"]) == 2 * full.sum()
    assert set(asked.map.figure.rings.data["colour"]) == {f"{LIGHT.start}ff", f"{LIGHT.end}ff"}


def test_what_is_not_selected_has_no_rings(data: Callable[[str], ViewData]) -> None:
    view = data("binary")
    asked = Asked(view)
    asked.selection.options.param.update(show_starts=True, show_lasts=True)
    asked.look()
    lengths, offsets = np.diff(view.trace.offsets), view.trace.offsets

    def ringed(sequences: Any) -> list[tuple[float, float]]:
        ends = [*offsets[:-1][sequences], *(offsets[1:][sequences] - 1)]
        return sorted(map(tuple, view.coordinates("tsne")[ends].tolist()))

    def shown(opacity: str = "ff") -> list[tuple[float, float]]:
        x, y, colour = (asked.map.figure.rings.data[name] for name in ("x", "y", "colour"))
        return sorted((a, b) for a, b, c in zip(x.tolist(), y.tolist(), colour, strict=True) if c.endswith(opacity))

    asked.selection.query = Query(correct=False)
    matching = asked.selection.matching
    assert matching is not None
    assert 0 < matching.sum() < len(matching)
    assert shown() == ringed((lengths > 0) & matching)
    asked.selection.query = Query()
    asked.selection.add_stroke(Stroke("tsne", "replace", (-9.0, 0.0, 0.0, -9.0), (-9.0, -9.0, 9.0, 9.0)))
    assert shown() == [place for place in ringed(lengths > 0) if place[0] < 0]
    asked.selection.clear_strokes()
    asked.selection.options.fade_wrong = True
    wrong = view.trace.labels != view.final
    assert shown("26") == ringed((lengths > 0) & wrong)
    assert shown() == ringed((lengths > 0) & ~wrong)


def test_what_is_not_selected_has_no_rings_in_a_picture(data: Callable[[str], ViewData], dense: None) -> None:
    view = data("binary")
    pictures = {}
    for starts in (False, True):
        asked = Asked(view, query=Query(correct=False))
        asked.selection.options.show_starts = starts
        asked.look()
        pictures[starts] = asked.map.figure.image.data["image"][0]
    changed = np.argwhere(pictures[True] != pictures[False])
    x0, x1, y0, y1 = asked.map.extent
    full, matching = np.diff(view.trace.offsets) > 0, asked.selection.matching
    assert matching is not None
    starts_at = view.coordinates("tsne")[view.trace.offsets[:-1][full & matching]]
    pixels = np.column_stack([(starts_at[:, 1] - y0) / (y1 - y0) * 200, (starts_at[:, 0] - x0) / (x1 - x0) * 300])
    assert len(changed)
    assert (np.abs(changed[:, None] - pixels[None]).max(axis=2).min(axis=1) <= 5).all()


def test_a_drawing_that_is_not_wanted_any_more_is_dropped(data: Callable[[str], ViewData]) -> None:
    asked = Asked(data("binary"))
    asked.look()
    shown = asked.map
    count = shown.figure.reply.data["count"][0]
    assert shown._frame is not None
    late = shown._drawing(shown._wanted - 1, "tsne", Source("prediction"), shown._frame, 1)
    late()
    assert shown.figure.reply.data["count"][0] == count


def test_of_drawings_that_come_too_late_one_in_two_is_shown_and_none_after_a_newer_one(
    data: Callable[[str], ViewData],
) -> None:
    asked = Asked(data("binary"))
    asked.look()
    shown = asked.map
    reply, frame, first = shown.figure.reply, shown._frame, shown._wanted + 1
    assert frame is not None
    acts = []
    for ticket in range(first, first + 3):
        shown._wanted = ticket
        acts.append(shown._drawing(ticket, "tsne", Source("prediction"), frame, ticket))
    shown._wanted += 1
    serials = []
    for act in (acts[0], acts[1], acts[0], acts[2]):
        act()
        serials.append(reply.data["serial"][0] - first)
    assert serials[1:] == [1, 1, 2]
    assert serials[0] < 0


def test_point_size_is_the_option(data: Callable[[str], ViewData]) -> None:
    asked = Asked(data("binary"))
    asked.selection.options.point_size = 7.5
    assert asked.map.plot.renderers[1].glyph.size == 7.5


def test_what_waits_for_the_first_picture_comes_with_it_or_after_a_while(data: Callable[[str], ViewData]) -> None:
    class Session(Document):
        session_context: Any = True
        later: ClassVar[list[tuple[Callable[[], None], int]]] = []

        def add_timeout_callback(self, callback: Any, timeout_milliseconds: int) -> Any:
            self.later.append((callback, timeout_milliseconds))

    done: list[str] = []
    shown = StateMap(data("binary"), Selection(data("binary")), LIGHT)
    shown.once_shown(lambda: done.append("no server"))
    assert done.pop() == "no server"
    with set_curdoc(Session()):
        shown.once_shown(lambda: done.append("picture"))
        assert not done
        for _ in range(2):
            shown._asked("data", None, {"name": ["shown"], "value": [[]], "serial": [2]})
        assert done == ["picture"]
        shown.once_shown(lambda: done.append("patience"))
        after, milliseconds = Session.later[-1]
        assert milliseconds > 3000
        after()
        after()
    assert done == ["picture", "patience"]
