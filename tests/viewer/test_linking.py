"""The shared cursor in a real browser: hovering, the scrubber and playback mark the same word in all views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.viewer.browsing import DEEP, FIND, PAGE, Site, Visit, visiting

pytestmark = pytest.mark.browser
READ = 4  # the sequence that is read: twenty words


@pytest.fixture(scope="module")
def site(stores: dict[str, Path], chromium: Any) -> Iterator[Site]:
    with visiting(stores, ("deep", "binary"), chromium) as site:
        yield site


@pytest.fixture
def go(site: Site) -> Iterator[Site]:
    yield site
    site.check()


def places(visit: Visit, name: str = "tsne") -> np.ndarray:
    """Points of the sequence that is read."""
    view = visit.trace.sequence(READ)
    return visit.trace.projection(name).coordinates[view.start : view.stop]


def lone(points: np.ndarray) -> int:
    """The step whose point lies farthest from the sequence's other points."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(len(points))
    return int(apart.min(axis=1).argmax())


def marks(visit: Visit, step: int) -> None:
    """All views mark a step."""
    visit.wait("(step) => window.hiddenstate.marked().step === step", step)
    marked = visit.marked()
    assert marked["word"] == str(step)
    assert marked["boxes"] == [step, step]
    shown = ("tsne", "pca") if visit.selection.beside else ("tsne",)
    assert len(marked["points"]) >= len(shown)
    for name, point in zip(shown, marked["points"], strict=False):
        if name in visit.trace.projections:
            assert np.allclose(point, places(visit, name)[step])
    word = visit.trace.sequence(READ).words[step]
    told = visit.page.evaluate(f"() => ({DEEP})('.hs-readout').textContent")
    assert told.startswith(f"{step + 1}  {word}  ")


def hover_everywhere(visit: Visit) -> None:
    page = visit.page
    page.locator('.hs-word[data-step="3"]').hover()
    marks(visit, 3)
    visit.hover("hs-heatmap", 6, 1.0)
    marks(visit, 5)
    visit.hover("hs-distances", 8, 0.02)
    marks(visit, 7)
    step = lone(places(visit))
    visit.hover("hs-map", *places(visit)[step].tolist())
    marks(visit, step)
    # A segment, away from all points, stands for the step that it is.
    spots = np.array([visit.spot("hs-map", *place) for place in places(visit).tolist()])
    middles = (spots[1:] + spots[:-1]) / 2
    apart = np.linalg.norm(middles[:, None] - spots[None], axis=2).min(axis=1)
    wide = np.stack([np.linspace(spots[i], spots[i + 1], 40) for i in range(len(middles))])
    others = np.array([
        min(np.linalg.norm(wide[j] - middle, axis=1).min() for j in range(len(middles)) if j != i)
        for i, middle in enumerate(middles)
    ])  # fmt: skip
    along = int(np.where(apart > 16, others, 0).argmax())
    assert apart[along] > 16
    assert others[along] > 6
    page.mouse.move(*middles[along].tolist())
    marks(visit, along + 1)
    if visit.selection.beside:
        page.locator('.hs-word[data-step="0"]').hover()
        marks(visit, 0)
        visit.hover("hs-map-beside", *places(visit, "pca")[step].tolist())
        marks(visit, step)
    page.mouse.move(2, 2)
    visit.wait("() => window.hiddenstate.marked().step === -1")
    assert visit.marked()["boxes"] == [None, None]
    assert visit.marked()["word"] is None


def test_hovering_links_all_views(go: Site) -> None:
    visit = go()
    visit.select(READ)
    visit.page.get_by_label("beside").select_option("pca")
    visit.drawn("hs-map-beside")
    hover_everywhere(visit)


def test_the_cursor_needs_no_server(go: Site) -> None:
    # Nothing that is said to the server can have a part in it: what would be said is thrown away.
    visit = go("binary")
    visit.select(READ)
    visit.drawn()
    visit.page.evaluate("() => { WebSocket.prototype.send = () => { window.asked = true } }")
    go.leave()
    hover_everywhere(visit)
    visit.page.locator('.hs-word[data-step="6"]').click()
    marks(visit, 6)
    visit.page.keyboard.press("ArrowRight")
    marks(visit, 7)
    visit.page.keyboard.press("Space")
    visit.wait("() => !window.hiddenstate.marked().playing && window.hiddenstate.marked().held === 19")
    assert visit.selection.step is None


def test_a_click_on_a_word_holds_the_cursor_and_dims_what_lies_beyond(go: Site) -> None:
    visit = go()
    visit.select(READ)
    count = len(visit.trace.sequence(READ))
    assert visit.marked()["shown"][0] == count
    word = visit.page.locator('.hs-word[data-step="9"]')
    word.click()
    marks(visit, 9)
    assert visit.marked()["held"] == 9
    assert visit.marked()["shown"][0] == 10
    segments = np.asarray(visit.source("segments", "alpha"))
    assert (segments[:9] == 1).all()
    assert (segments[9:] < 0.2).all()
    assert visit.source("ends", "alpha") == [1, pytest.approx(0.12)]
    # Words beyond it are not labelled yet.
    visit.do(lambda: visit.selection.options.param.update(label_after_distance=True, distance_threshold=0))
    words = visit.trace.sequence(READ).words
    visit.until(lambda: visit.marked()["labels"][0], "labels")
    early = {word if len(word) <= 24 else f"{word[:23]}…" for word in words[:10]}
    assert set(visit.marked()["labels"][0]) <= early
    fewer = len(visit.marked()["labels"][0])
    visit.page.locator('.hs-word[data-step="19"]').click()
    visit.until(lambda: len(visit.marked()["labels"][0]) > fewer, "more labels")
    assert visit.source("ends", "alpha") == [1, 1]
    visit.apart()
    word.click()
    visit.until(lambda: len(visit.marked()["labels"][0]) == fewer, "fewer labels")
    visit.until(lambda: visit.selection.step == 9, "the step in Python")
    visit.until(lambda: visit.query.get("step") == "9", "the step in the address")
    # Another word is looked at meanwhile; the way stays as it is.
    visit.page.locator('.hs-word[data-step="2"]').hover()
    marks(visit, 2)
    assert visit.marked()["held"] == 9
    visit.page.mouse.move(2, 2)
    marks(visit, 9)
    visit.apart()
    word.click()
    visit.until(lambda: visit.selection.step is None, "no step")
    assert visit.marked()["held"] == -1
    assert visit.marked()["shown"][0] == count


def test_a_click_on_a_column_or_a_bar_holds_the_cursor_too(go: Site) -> None:
    visit = go()
    visit.select(READ)
    for name, height, step in (("hs-heatmap", 1.0, 5), ("hs-distances", 0.02, 7)):
        visit.apart()
        visit.hover(name, step + 1, height)
        visit.page.mouse.down()
        visit.page.mouse.up()
        visit.wait("(step) => window.hiddenstate.marked().held === step", step)
        visit.until(lambda step=step: visit.selection.step == step, "the step in Python")  # type: ignore[misc]
    visit.apart()
    visit.page.mouse.down()
    visit.page.mouse.up()
    visit.wait("() => window.hiddenstate.marked().held === -1")
    visit.until(lambda: visit.selection.step is None, "no step")


def test_the_scrubber_is_dragged_and_set_from_python(go: Site) -> None:
    visit = go()
    visit.select(READ)
    box = visit.page.locator(".hs-scrub").bounding_box()
    y = box["y"] + box["height"] / 2
    visit.page.mouse.move(box["x"] + 8, y)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] / 2, y, steps=8)
    visit.wait("() => window.hiddenstate.marked().held > 5")
    assert visit.selection.step is None  # told when it is let go
    visit.page.mouse.up()
    held = visit.marked()["held"]
    assert 7 <= held <= 11
    visit.until(lambda: visit.selection.step == held, "the step in Python")
    assert visit.marked()["shown"][0] == held + 1
    assert visit.page.locator(".hs-place").inner_text() == f"{held + 1} of 20"
    visit.do(lambda: setattr(visit.selection, "step", 13))
    visit.wait("() => window.hiddenstate.marked().held === 13")
    visit.do(lambda: setattr(visit.selection, "step", None))
    visit.wait("() => window.hiddenstate.marked().held === -1")
    assert visit.page.locator(".hs-place").inner_text() == "all 20"


def test_left_and_right_walk_through_the_words(go: Site) -> None:
    visit = go()
    visit.select(READ)
    press = visit.page.keyboard.press
    for step in (0, 1, 2):
        press("ArrowRight")
        marks(visit, step)
    press("ArrowLeft")
    marks(visit, 1)
    visit.until(lambda: visit.selection.step == 1, "the step in Python")
    press("ArrowLeft")
    press("ArrowLeft")
    press("ArrowLeft")
    visit.wait("() => window.hiddenstate.marked().held === -1")
    visit.until(lambda: visit.selection.step is None, "no step")
    assert visit.selection.sequence == READ


def test_playback_keeps_all_views_in_step_to_the_end_and_begins_anew(go: Site) -> None:
    visit = go()
    visit.select(READ)
    visit.page.evaluate(f"""() => {{
      window.seen = []
      const page = {PAGE}
      const note = () => window.seen.push([page.held, ...page.boxes.map((box) => box.visible ? box.left - 0.5 : null),
        Number(({DEEP})('.hs-on')?.dataset.step ?? -1), ({DEEP})('.hs-scrub').value - 1, page.maps[0].focus.data.x[0]])
      page.maps[0].focus.properties.data.change.connect(() => requestAnimationFrame(note))
    }}""")
    visit.page.keyboard.press("Space")
    visit.wait("() => window.hiddenstate.marked().playing")
    assert visit.page.get_by_role("button", name="Pause").get_attribute("aria-pressed") == "true"
    visit.wait("() => window.hiddenstate.marked().held > 3")
    visit.page.keyboard.press("Space")
    visit.wait("() => !window.hiddenstate.marked().playing")
    held = visit.marked()["held"]
    visit.until(lambda: visit.selection.step == held, "where it was paused")
    assert 3 < held < 19
    visit.page.get_by_role("button", name="Play").click()
    visit.wait("() => !window.hiddenstate.marked().playing && window.hiddenstate.marked().held === 19")
    marks(visit, 19)
    visit.until(lambda: visit.selection.step == 19, "its end")
    seen = visit.page.evaluate("() => window.seen")
    assert [row[0] for row in seen] == sorted(row[0] for row in seen)
    assert len({row[0] for row in seen}) >= 15
    x = places(visit)[:, 0]
    for step, *others, at in seen:
        assert others == [step, step, step, step]
        assert at == pytest.approx(x[step])
    visit.page.locator(".hs-id").click()  # space on the button would press it
    visit.page.keyboard.press("Space")
    visit.wait("() => window.hiddenstate.marked().playing && window.hiddenstate.marked().held < 10")
    # Another sequence ends it.
    visit.page.keyboard.press("ArrowDown")
    visit.words(READ + 1)
    assert not visit.marked()["playing"]
    assert visit.marked()["held"] == -1


#: Tooltips in the page, whoever shows them.
TIPS = """() => {
  const own = window.hiddenstateMaps.state().tip
  const bokeh = Array.from(document.querySelectorAll(".bk-Tooltip")).map((tip) => tip.shadowRoot.textContent)
  return [...(own === null ? [] : [own]), ...bokeh]
}"""


def test_tooltips_say_what_lies_under_the_pointer(go: Site) -> None:
    visit = go()
    visit.select(READ)
    view, points = visit.trace.sequence(READ), places(visit)
    step = lone(points)
    visit.hover("hs-map", *points[step].tolist())
    visit.wait(f"(what) => ({TIPS})()[0]?.includes(what)", f"word {step + 1} of {len(view)}")
    (text,) = visit.page.evaluate(TIPS)  # one, though the segments of its neighbours end there
    probabilities = view.probabilities()[step]
    assert view.words[step] in text
    assert visit.trace.classes[int(probabilities.argmax())] in text
    assert f"{100 * probabilities.max():.1f} %" in text
    assert view.id in text
    # A segment, where no point is near: both words, distance, both classes.
    long = int(np.linalg.norm(np.diff(points, axis=0), axis=1).argmax())
    for share in np.linspace(0.2, 0.8, 25).tolist():
        at = points[long] * (1 - share) + points[long + 1] * share
        spot, all_spots = visit.spot("hs-map", *at.tolist()), [visit.spot("hs-map", *p.tolist()) for p in points]
        if min(np.hypot(spot[0] - a, spot[1] - b) for a, b in all_spots) > 15:
            break
    visit.page.mouse.move(*spot)
    visit.wait(f"(what) => ({TIPS})()[0]?.includes(what)", "step distance")
    (told,) = visit.page.evaluate(TIPS)
    assert f"{view.words[long]} → {view.words[long + 1]}" in told
    assert f"{visit.source('segments', 'jump')[long]:.2f}" in told


#: Text of all tooltips that are seen, whether Bokeh's or the map's own.
TIPS = """() => {
  const found = []
  const walk = (root) => {
    for (const e of root.querySelectorAll("*")) {
      if (e.matches(".bk-Tooltip, .hs-map-tip") && e.checkVisibility() && e.getBoundingClientRect().width > 0)
        found.push((e.shadowRoot ?? e).textContent)
      if (e.shadowRoot) walk(e.shadowRoot)
    }
  }
  walk(document)
  return found
}"""


def test_one_tooltip_is_shown_that_of_what_lies_on_top(go: Site) -> None:
    visit = go()
    visit.select(READ)
    # The same sequence beside itself would not be drawn, so another's path is laid along the one that is read.
    front = visit.session.foregrounds[0]
    ways = {name: front.segments.data[name] for name in ("x0", "y0", "x1", "y1")}
    count = len(ways["x0"])
    visit.do(lambda: front.others.update(data={
        **ways, "colour": ["#000000"] * count, "width": [2.0] * count, "id": ["beside"] * count, "number": [1] * count,
    }))  # fmt: skip
    visit.until(lambda: visit.source("segments", "x0") and visit.page.evaluate(
        f"() => {PAGE}.maps[0].plot.renderers.some((r) => r.data_source.data.id?.[0] === 'beside')"))  # fmt: skip
    points = places(visit)
    for step in range(len(points)):
        visit.page.mouse.move(2, 2)
        visit.until(lambda: visit.page.evaluate(TIPS) == [], "no tooltip")
        visit.hover("hs-map", *points[step].tolist())
        (told,) = visit.until(lambda: visit.page.evaluate(TIPS), "a tooltip")
        assert "step distance" not in told
        assert "class " in told
    # Between two states the segment's is the one; from there on to a state, and back.
    long = int(np.linalg.norm(np.diff(points, axis=0), axis=1).argmax())
    spots = np.array([visit.spot("hs-map", *p.tolist()) for p in points])
    ways_on = spots[long] + np.linspace(0.2, 0.8, 25)[:, None] * (spots[long + 1] - spots[long])
    apart = np.linalg.norm(ways_on[:, None] - spots[None], axis=2).min(axis=1)
    middle = ways_on[int(apart.argmax())].tolist()
    for at, said in ((middle, "step distance"), (spots[long].tolist(), "class "), (middle, "step distance")):
        visit.page.mouse.move(*at)
        visit.until(lambda said=said: said in "".join(visit.page.evaluate(TIPS)), said)  # type: ignore[misc]
        assert len(visit.page.evaluate(TIPS)) == 1
    visit.do(lambda: front.compare([], 1.0))
    visit.sync()


def test_the_cursor_finds_what_the_page_has_named(go: Site) -> None:
    visit = go()
    for name in ("hs-map", "hs-heatmap", "hs-distances", "hs-confusion", "hs-class-bars"):
        assert visit.page.evaluate(f"(name) => ({FIND})(name) !== undefined", name), name
