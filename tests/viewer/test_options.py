"""What is drawn and how, in a real browser: labels, thickness, sizes, colours, layers, maps, themes, the address."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hiddenstate_core.analysis import available
from hiddenstate_core.distances import step_distances
from tests.viewer.browsing import FIND, Site, Visit, visiting
from tests.viewer.conftest import Tab

pytestmark = pytest.mark.browser
READ = 4  # the sequence that is read: twenty words


@pytest.fixture(scope="module")
def site(stores: dict[str, Path], chromium: Any) -> Iterator[Site]:
    with visiting(stores, ("trained", "deep", "five", "both", "binary"), chromium) as site:
        yield site


@pytest.fixture
def go(site: Site) -> Iterator[Site]:
    yield site
    site.check()


def options(visit: Visit) -> None:
    """Open the panel of options."""
    visit.page.get_by_role("button", name="Options").click()
    visit.page.locator(".noUi-handle").first.wait_for()


def ticks(visit: Visit, name: str) -> Any:
    """The checkbox of a name."""
    return visit.page.get_by_role("checkbox", name=name, exact=True)


# -- labels ---------------------------------------------------------------------------------------------------------


def weights(visit: Visit, kind: str) -> np.ndarray:
    """What the step to each word weighs by a rule, computed from the trace alone; the first word has no such step."""
    view = visit.trace.sequence(READ)
    p = np.asarray(view.probabilities(), np.float64)
    if kind == "distance":
        found = step_distances(visit.trace, visit.selection.layer).normalised(READ).astype(np.float64)
    elif kind == "change":
        found = np.concatenate([[0], np.abs(np.diff(p, axis=0)).max(axis=1)])
    else:
        found = np.concatenate([[0], np.diff(p.argmax(axis=1)) != 0]).astype(np.float64)
    found[0] = -1
    return found


def labelled(visit: Visit, rules: dict[str, float]) -> set[int]:
    """Steps that rules such as ``after distance`` label from their thresholds on."""
    steps: set[int] = set()
    for rule, least in rules.items():
        where, kind = rule.split()
        hit = np.flatnonzero(weights(visit, kind) >= least - 1e-7)
        steps |= set((hit if where == "after" else hit - 1).tolist())
    return steps


def shows(visit: Visit, rules: dict[str, float]) -> None:
    """The map labels the steps that the rules say, but for those that find no free place."""
    steps, words = labelled(visit, rules), visit.trace.sequence(READ).words
    x = np.asarray(visit.source("steps", "x"))

    def found() -> set[int]:
        at = np.asarray(visit.source("labels", "x"))
        return {int(np.abs(x - one).argmin()) for one in at.tolist()}

    def right() -> bool:
        shown = found()
        return shown <= steps and len(shown) >= min(len(steps), 24) - len(steps) // 3 and bool(shown) == bool(steps)

    visit.until(right, f"labels at {sorted(steps)}")
    shown = found()
    texts = sorted(visit.marked()["labels"][0])
    assert texts == sorted(w if len(w) <= 24 else w[:23] + "…" for w in (words[i] for i in shown))


@pytest.mark.parametrize("where", ["after", "before"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [("distance", "step distance"), ("change", "change of confidence"), ("flip", "change of class")],
)
def test_labels_follow_their_rule_at_its_threshold(go: Site, kind: str, name: str, where: str) -> None:
    visit = go("binary")
    visit.select(READ)
    visit.until(lambda: visit.marked()["labels"][0] == [], "no labels")
    options(visit)
    ticks(visit, f"label words {where}, {name}").check()
    visit.until(lambda: getattr(visit.selection.options, f"label_{where}_{kind}"), "the option")
    default = {"distance": 0.4, "change": 0.3, "flip": 1.0}[kind]
    shows(visit, {f"{where} {kind}": default})
    if kind != "flip":
        least = int(100 * np.quantile(weights(visit, kind)[1:], 0.8))
        visit.do(lambda: setattr(visit.selection.options, f"{kind}_threshold", least))
        shows(visit, {f"{where} {kind}": least / 100})
    ticks(visit, f"label words {where}, {name}").uncheck()
    shows(visit, {})


def test_rules_add_up_and_labels_do_not_overlap(go: Site) -> None:
    visit = go("binary")
    visit.select(READ)
    rules = {"label_after_distance": True, "label_before_flip": True, "distance_threshold": 0}
    visit.do(lambda: visit.selection.options.param.update(**rules))
    shows(visit, {"after distance": 0.0, "before flip": 1.0})
    boxes = visit.page.evaluate(f"""() => {{
      const labels = Array.from(window.hiddenstate.pages.values())[0].maps[0].labels.data
      const view = Bokeh.index.find_one(({FIND})('hs-map'))
      const context = document.createElement('canvas').getContext('2d')
      context.font = '11px Arial, sans-serif'
      return labels.text.map((text, i) => {{
        const x = view.frame.x_scale.compute(labels.x[i]) + labels.dx[i]
        const y = view.frame.y_scale.compute(labels.y[i]) + labels.dy[i]
        return [x, y - 13, x + context.measureText(text).width, y]
      }})
    }}""")
    assert len(boxes) > 5
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] <= b[0] + 1 or b[2] <= a[0] + 1 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1


def test_the_threshold_line_is_dragged_and_stays_in_its_chart(go: Site) -> None:
    visit = go("binary")
    visit.select(READ)
    mouse = visit.page.mouse
    line = f"() => ({FIND})('hs-distances').center.find((one) => one.type === 'Span').location"

    def drag(to: float) -> None:
        visit.sync()  # what the server has to say of the last drag does not move the line from under the pointer
        at = visit.page.evaluate(line)
        mouse.move(*visit.spot("hs-distances", 3, at))
        mouse.down()
        mouse.move(*visit.spot("hs-distances", 3, to), steps=10)
        mouse.up()

    drag(0.7)
    visit.until(lambda: abs(visit.selection.options.distance_threshold - 70) <= 3, "the threshold")
    assert visit.selection.options.label_after_distance
    shows(visit, {"after distance": visit.selection.options.distance_threshold / 100})
    drag(1.5)
    visit.until(lambda: visit.selection.options.distance_threshold == 100, "the upper edge")
    assert visit.page.evaluate(line) == 1
    drag(-0.4)
    visit.until(lambda: visit.selection.options.distance_threshold == 0, "the lower edge")
    assert visit.page.evaluate(line) == 0
    shows(visit, {"after distance": 0.0})


# -- trajectory and points ------------------------------------------------------------------------------------------


def test_thickness_black_trajectory_and_widths(go: Site) -> None:
    visit = go("binary")
    visit.select(READ)
    options(visit)
    jumps = step_distances(visit.trace, 0).normalised(READ)[1:]
    before = np.asarray(visit.source("segments", "width"))
    assert (before == before[0]).all()
    ticks(visit, "thicker with time").check()
    visit.until(lambda: (np.diff(visit.source("segments", "width")) > 0).all(), "thicker with time")
    ticks(visit, "with distance").check()
    visit.until(
        lambda: np.allclose(visit.source("segments", "width"), before[0] * (1 + 2 * jumps), atol=1e-4), "with distance"
    )
    coloured = visit.source("segments", "colour")
    ticks(visit, "grey to black over time").check()
    visit.until(lambda: visit.source("segments", "colour") != coloured, "grey to black")
    grey = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in visit.source("segments", "colour")]
    assert (np.diff(np.array(grey).sum(axis=1)) <= 0).all()
    assert len({tuple(colour) for colour in grey}) > len(grey) - 3
    assert grey[-1] == [0, 0, 0]
    ticks(visit, "grey to black over time").uncheck()
    visit.until(lambda: visit.source("segments", "colour") == coloured, "the prediction's colours")
    slider = visit.page.get_by_role("slider", name="line width")
    slider.focus()
    visit.page.keyboard.press("ArrowRight")
    visit.until(lambda: np.isclose(visit.selection.options.line_width, 1.9), "the width")
    visit.until(lambda: np.allclose(visit.source("segments", "width"), 1.9 * (1 + 2 * jumps), atol=1e-4), "wider lines")


def test_several_classes_have_a_black_trajectory_from_the_beginning(go: Site) -> None:
    visit = go("five")
    visit.select(READ)
    assert visit.source("segments", "colour")[-1] == "#000000"
    assert visit.selection.options.black_trajectory
    assert "black-trajectory" not in visit.query


def test_point_size_rings_and_fading(go: Site) -> None:
    visit = go("binary")
    options(visit)
    size = f"() => JSON.stringify(({FIND})('hs-map').renderers[1].glyph.size)"
    slider = visit.page.get_by_role("slider", name="point size")
    slider.focus()
    visit.page.keyboard.press("ArrowRight")
    visit.until(lambda: np.isclose(visit.selection.options.point_size, 5), "larger points")
    visit.until(lambda: "4.5" not in visit.page.evaluate(size), "larger points on the screen")
    offsets, points = visit.trace.offsets, visit.trace.projection("tsne").coordinates
    there = np.diff(offsets) > 0
    ticks(visit, "first states of all").check()
    visit.until(lambda: len(visit.column("hs-map", "x", 2)) == there.sum(), "the first states")
    assert sorted(visit.column("hs-map", "x", 2)) == pytest.approx(sorted(points[offsets[:-1][there], 0].tolist()))
    ticks(visit, "first states of all").uncheck()
    ticks(visit, "last states").check()
    last = sorted(points[offsets[1:][there] - 1, 0].tolist())
    visit.until(lambda: sorted(visit.column("hs-map", "x", 2)) == pytest.approx(last), "the last states")
    ticks(visit, "last states").uncheck()
    visit.until(lambda: visit.column("hs-map", "x", 2) == [], "no rings")
    right = (visit.trace.labels == visit.trace.predicted)[visit.trace.sequence_of_step]

    def pale() -> int:
        return int((np.asarray(visit.column("hs-map", "alpha", 1)) < 0.5).sum())

    ticks(visit, "fade right ones").check()
    visit.until(lambda: pale() == right.sum(), "the right ones in grey")
    ticks(visit, "fade wrong ones").check()
    visit.until(lambda: pale() == len(right), "all in grey")
    ticks(visit, "fade right ones").uncheck()
    visit.until(lambda: pale() == (~right).sum(), "the wrong ones in grey")


# -- what colours, of what, and where -------------------------------------------------------------------------------


def test_every_kind_of_colour_is_drawn_and_explained(go: Site) -> None:
    visit = go("deep")
    choice = visit.page.get_by_label("colour")
    for kind in available(visit.trace, visit.selection.layer, visit.selection.direction):
        before = visit.column("hs-map", "packed", 1)
        choice.select_option(kind.label)
        wanted = {kind.key} if kind.count is None else {f"{kind.key}:{n}" for n in range(kind.count)}
        visit.until(functools.partial(lambda keys: visit.selection.colour_by in keys, wanted), kind.label)
        if kind.key not in ("prediction",):
            changed = functools.partial(lambda old: visit.column("hs-map", "packed", 1) != old, before)
            visit.until(changed, f"the colours of {kind.label}")
        number = visit.page.get_by_label("no.")
        if kind.count is None:
            number.wait_for(state="hidden")
        else:
            number.wait_for()
            if kind.key == "unit":
                number.fill("2")
                number.press("Enter")
                visit.until(lambda: visit.selection.colour_by == "unit:2", "another unit")
    # A scale has its ends written at it.
    choice.select_option("step distance")
    legend = visit.page.locator(".hs-legend", has_text="distance").first
    legend.wait_for()
    assert "0" in legend.inner_text()


def test_layer_quantity_and_direction_change_the_step_distances(go: Site) -> None:
    visit = go("deep")
    visit.select(READ)

    def bars(layer: int, quantity: str = "hidden", direction: str | None = None) -> None:
        found = step_distances(visit.trace, layer, quantity=quantity, direction=direction).normalised(READ)
        visit.until(lambda: np.allclose(visit.column("hs-distances", "top"), found, atol=1e-5), f"{quantity} {layer}")

    bars(1)
    visit.page.get_by_label("layer").select_option(index=0)
    bars(0)
    visit.page.get_by_label("quantity").select_option("cell state")
    bars(0, "cell")
    visit.page.get_by_label("quantity").select_option("forget gate")
    bars(0, "forget")
    visit = go("both")
    visit.select(READ)
    bars(0, direction="forward")
    visit.page.get_by_label("direction").select_option("backward")
    bars(0, direction="backward")


def test_another_map_shows_the_same_states_elsewhere(go: Site) -> None:
    visit = go("deep")
    visit.select(READ)
    view = visit.trace.sequence(READ)
    visit.page.get_by_label("map", exact=True).select_option("pca")
    visit.until(lambda: visit.selection.projection == "pca", "the map")
    other = visit.trace.projection("pca").coordinates
    visit.until(lambda: np.allclose(visit.source("steps", "x"), other[view.start : view.stop, 0]), "its places")
    visit.drawn()


# -- address and theme ----------------------------------------------------------------------------------------------


def state(visit: Visit) -> dict[str, Any]:
    """All that an address has to bring back."""
    selection = visit.selection
    values = {k: v for k, v in selection.param.values().items() if k not in ("name", "window", "options", "strokes")}
    rows = selection.rows
    return {**values, **selection.options.values(), "rows": None if rows is None else rows.tolist()}


def test_the_address_opens_the_same_page_again(go: Site) -> None:
    visit = go("deep")
    confusion = visit.session.data.overview.confusion
    actual, predicted = (int(i) for i in np.unravel_index(confusion.argmax(), confusion.shape))
    visit.click("hs-confusion", predicted, actual)
    visit.until(lambda: visit.selection.query.labels == (actual,), "the filter")
    first, second = visit.selection.rows[:2].tolist()
    visit.row(first).click()
    visit.words(first)
    visit.row(second).click(modifiers=["Control"])
    visit.page.get_by_label("beside").select_option("pca")
    visit.page.get_by_label("colour").select_option("confidence")
    visit.page.get_by_label("layer").select_option(index=0)
    options(visit)
    ticks(visit, "label words after, change of class").check()
    visit.page.get_by_role("checkbox", name="negative").check()
    visit.until(lambda: visit.selection.flows == (0,), "the flow")
    if len(visit.trace.sequence(first)) > 2:
        visit.page.locator('.hs-word[data-step="1"]').click()
        visit.until(lambda: visit.selection.step == 1, "the step")
    wanted = {"sequence", "compare", "beside", "colour", "layer", "flows", "class", "predicted", "label-after-flip"}
    visit.until(lambda: wanted <= set(visit.query), "the address")
    assert visit.query["sequence"] == str(first)
    before = state(visit)
    history = visit.page.evaluate("() => history.length")
    address = visit.page.url
    other = Tab.open(go.context)
    try:
        again = go.open(other, address)
        again.words(first)
        assert state(again) == before
        again.drawn("hs-map-beside")
        shown = [again.trace.ids[i] for i in again.selection.rows[:20].tolist()]
        again.until(lambda: again.rows() == shown, "the rows")
        assert dict(again.query) == dict(visit.query)
        assert again.marked()["held"] == visit.marked()["held"]
        assert again.page.locator(".hs-notice").count() == 0 or not again.page.locator(".hs-notice").is_visible()
        assert other.complaints == []
    finally:
        other.page.close()
    assert visit.page.evaluate("() => history.length") == history  # nothing was added for Back to lead through


def test_another_theme_keeps_all_that_is_selected(go: Site, site: Site) -> None:
    visit = go("deep", "sequence=4&compare=6&colour=confidence&label-after-flip=on&point-size=6")
    visit.words(4)
    before = state(visit)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = visit.page.evaluate(ground)
    site.sessions.clear()
    visit.page.get_by_role("button", name="Dark").click()
    visit.page.wait_for_url("**theme=dark**")
    visit.page.get_by_role("button", name="Light").wait_for()
    visit.until(lambda: site.sessions, "another session")
    dark = Visit(visit.tab, visit.trace, site.sessions[-1])
    dark.words(4)
    dark.drawn()
    assert dark.session.look.dark
    assert visit.page.evaluate(ground) != light
    assert state(dark) == before
    dark.page.get_by_role("button", name="Light").click()
    dark.page.get_by_role("button", name="Dark").wait_for()
    visit.wait("() => window.hiddenstate?.pages.size === 1")
    assert visit.page.evaluate(ground) == light


def test_what_an_address_asks_in_vain_is_said_and_left_out(go: Site) -> None:
    visit = go("deep", "sequence=99999&colour=%3Cscript%3Ealert(1)%3C/script%3E&projection=umap&layer=0")
    notice = visit.page.locator(".hs-notice")
    notice.wait_for()
    text = notice.get_by_role("status").inner_text()
    for told in ("sequence", "colour", "projection"):
        assert told in text
    assert visit.selection.sequence is None
    assert visit.selection.layer == 0
    visit.page.get_by_role("button", name="Hide").click()
    notice.wait_for(state="hidden")
    visit.do(lambda: visit.selection.param.update(text="it"))  # what has been read stays away
    visit.sync()
    assert not notice.is_visible()
    assert visit.page.evaluate("() => document.querySelectorAll('script').length") < 50
