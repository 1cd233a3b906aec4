"""The page as a whole in a real browser: every kind of store opens, and one that goes bad meanwhile is said so."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hiddenstate_viewer import map as maps

from tests.fakes import make_trace
from tests.viewer.browsing import DEEP, ROWS, Site, visiting

pytestmark = pytest.mark.browser
KINDS = ("binary", "five", "many", "bare", "deep", "both", "sparse", "unlabelled", "trained")


@pytest.fixture(scope="module")
def site(stores: dict[str, Path], chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    stores["frail"] = make_trace(tmp_path_factory.mktemp("frail") / "frail.zarr", 12).path
    with visiting(stores, (*KINDS, "frail"), chromium) as site:
        yield site
    del stores["frail"]


@pytest.fixture
def go(site: Site) -> Iterator[Site]:
    yield site
    site.check()


def test_nothing_selected_shows_the_data_set(go: Site) -> None:
    visit = go()
    figures = visit.page.locator(".hs-figures").inner_text().split("\n")
    right = int((visit.trace.labels == visit.trace.predicted).sum())
    assert [figures[0], figures[2], figures[4]] == ["60", str(right), f"{100 * right / 60:.1f} %"]
    assert not visit.page.locator(".hs-words").is_visible()
    assert visit.page.locator(".hs-tips").is_visible()
    assert visit.query == {}


def test_the_first_row_is_in_its_hidden_pane_before_it_is_chosen(go: Site) -> None:
    go.leave()
    visit = go("five")
    first = int(visit.session.table.widget.order[0])
    visit.wait(f"(name) => ({DEEP})('.hs-id')?.textContent === name", visit.trace.ids[first])
    assert visit.selection.sequence is None
    assert visit.query == {}
    assert not visit.page.locator(".hs-id").is_visible()
    assert visit.page.locator(".hs-tips").is_visible()
    assert visit.source("steps", "word") == []
    visit.select(5)
    visit.do(visit.session._prepare)  # never over what is read
    visit.sync()
    assert visit.page.locator(".hs-id").text_content() == visit.trace.ids[5]
    go.leave()


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_trace_opens_and_is_read(go: Site, name: str) -> None:
    visit = go(name)
    trace, page = visit.trace, visit.page
    assert visit.rows() == list(trace.ids[: visit.session.table.widget.page_rows])
    if trace.projections:
        assert len(visit.column("hs-map", "x", 1)) == trace.steps
    else:
        assert f"hiddenstate project {trace.path}" in page.locator(".hs-empty").filter(visible=True).inner_text()
    for sequence in (5, 0, 1):  # several words, none, one
        visit.row(sequence).click()
        visit.words(sequence)
        view = trace.sequence(sequence)
        visit.until(functools.partial(lambda count: page.locator(".hs-word").count() == count, len(view)), "the words")
        label = trace.classes[view.label] if view.label >= 0 else "unknown"
        verdict = page.locator(".hs-verdict").inner_text()
        final = int(trace.final_probabilities[sequence].argmax())
        assert label in verdict
        assert trace.classes[final] in verdict
        assert {True: "correct", False: "wrong"}[final == view.label] in verdict or view.label < 0
        assert len(visit.source("segments", "x0")) == (max(len(view) - 1, 0) if trace.projections else 0)
    assert "This sequence has no words" not in page.locator(".hs-words").inner_text()
    page.keyboard.press("Escape")
    visit.words(None)


def test_an_empty_sequence_says_what_the_prediction_is_of(go: Site) -> None:
    visit = go()
    visit.select(0)
    visit.page.locator(".hs-words").get_by_text("This sequence has no words").wait_for()
    visit.page.keyboard.press("Space")
    visit.page.keyboard.press("ArrowRight")
    assert visit.marked()["held"] == -1
    assert not visit.marked()["playing"]


def test_many_states_are_drawn_as_a_picture_until_few_are_in_sight(go: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "ALL_POINTS", 100)
    monkeypatch.setattr(maps, "NEAR_POINTS", 200)
    go.leave()
    visit = go("many")
    visit.wait("() => window.hiddenstateMaps.state().image === 1")
    assert visit.column("hs-map", "x", 1) == []
    points = visit.trace.projection(visit.selection.projection).coordinates
    x, y = np.median(points, axis=0).tolist()
    visit.hover("hs-map", x, y)
    for _ in range(30):
        visit.page.mouse.wheel(0, -300)
        visit.drawn()
        if visit.column("hs-map", "x", 1):
            break
    assert 0 < len(visit.column("hs-map", "x", 1)) <= 200 * 4
    visit.until(lambda: "window" in visit.query, "the window in the address")
    visit.page.get_by_role("button", name="Whole map").click()
    visit.wait("() => window.hiddenstateMaps.state().image === 1 && window.hiddenstateMaps.state().current")
    visit.until(lambda: "window" not in visit.query, "the whole map")
    go.leave()


def test_the_words_of_a_class_that_was_learnt_are_coloured_by_it(go: Site) -> None:
    # A model that was really trained: what it answers after the telling word is what the word says.
    visit = go("trained")
    trace = visit.trace
    assert (trace.labels == trace.predicted).mean() > 0.9
    told = {"good": 1, "touching": 1, "bad": 0, "dull": 0}
    right = np.flatnonzero(trace.labels == trace.predicted)[:10].tolist()
    sequence = next(i for i in right if told.keys() & set(trace.sequence(i).words))
    visit.select(sequence)
    view = trace.sequence(sequence)
    step = max(i for i, word in enumerate(view.words) if word in told)
    probabilities = view.probabilities()[step]
    assert int(probabilities.argmax()) == told[view.words[step]]
    word = visit.page.locator(f'.hs-word[data-step="{step}"]')
    colour = word.evaluate("(element) => getComputedStyle(element).backgroundColor")
    expected = visit.session.palette.outputs(probabilities[None])[0].tolist()
    assert colour == f"rgb({expected[0]}, {expected[1]}, {expected[2]})"


def test_a_store_that_is_damaged_while_it_is_looked_at(go: Site) -> None:
    visit = go("frail")
    visit.select(5)
    file = visit.trace.path / "steps/probabilities/c/0/0"
    whole = file.read_bytes()
    file.write_bytes(whole[:10])
    visit.row(6).click()
    said = visit.page.locator(".hs-empty", has_text="This sequence cannot be read")
    said.wait_for()
    assert "steps/probabilities" in said.inner_text()
    visit.page.keyboard.press("ArrowDown")
    visit.until(lambda: visit.selection.sequence == 7, "the next one")
    said.wait_for()
    assert visit.page.locator(".hs-word").count() == 0
    file.write_bytes(whole)
    visit.page.keyboard.press("ArrowDown")
    visit.words(8)
    said.wait_for(state="hidden")
    hidden = visit.trace.path.with_name("away.zarr")
    shutil.move(visit.trace.path, hidden)
    try:
        for sequence in (9, 10):  # what is mapped already can be read on; the page stands in either case
            visit.row(sequence).click()
            visit.until(
                functools.partial(lambda sequence: visit.selection.sequence == sequence, sequence), "the choice"
            )
            visit.page.locator(".hs-empty").or_(visit.page.locator('.hs-word[data-step="0"]')).first.wait_for()
        visit.page.keyboard.press("Escape")
        visit.page.locator(".hs-figures").wait_for()
    finally:
        shutil.move(hidden, visit.trace.path)
    visit.select(11)
    go.leave()


def test_a_row_of_markup_is_text(go: Site) -> None:
    visit = go()
    sequence = next(i for i in range(20) if "<b>bold</b>" in visit.trace.sequence(i).words)
    visit.select(sequence)
    assert "<b>bold</b>" in visit.page.locator(".hs-words").inner_text()
    assert visit.page.locator(".hs-words b").count() == 0
    row = visit.row(sequence)
    assert row.locator("b").count() == 0
    assert visit.page.locator(ROWS).count() == visit.session.table.widget.page_rows
