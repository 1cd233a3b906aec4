"""The search line, the filters and their chips: what is typed, what it finds, and how it is taken away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hiddenstate_viewer import search
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.query_line import FIELDS, complete, finished, read_line, write_line
from hiddenstate_viewer.search import SearchPane
from hiddenstate_viewer.state import Selection, Stroke
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate_core.analysis import Query
from hiddenstate_core.traces import Trace
from tests.viewer.browsing import Site, visiting
from tests.viewer.test_address import queries

Make = Callable[[str], ViewData]


@pytest.fixture(scope="module")
def many(stores: dict[str, Path]) -> ViewData:
    return ViewData(Trace(stores["many"]))


@pytest.fixture
def pane(data: Make) -> SearchPane:
    view = data("five")
    return SearchPane(view, Selection(view))


#: Of what lines are made.
_PIECES = [*(f"{field}:" for field in FIELDS), '"', "\\", ",", " ", "-", "1", "a"]


# -- the line -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "query"),
    [
        ("", Query()),
        ('great "not good" GREAT great', Query(words=("great", "not good", "GREAT"))),
        ('"open to the end', Query(words=("open to the end",))),
        (r'"a \"quoted\" word" 5"', Query(words=('a "quoted" word', '5"'))),
        ("http://x.y :) note:this", Query(words=("http://x.y", ":)", "note:this"))),
        ('"class:positive"', Query(words=("class:positive",))),
        ('class:"class 1","CLASS 3"  CLASS:unknown', Query(labels=(1, 3, -1))),
        ("predicted:#4 correct:no", Query(predicted=(4,), correct=False)),
        ("confidence:90-100", Query(confidence=(0.9, 1.0))),
        ("confidence:-12.5%", Query(confidence=(0.0, 0.125))),
        ("length:10-20 split:test", Query(length=(10, 20), split=(1,))),
        ("length:7", Query(length=(7, 7))),
        ("length:5-", Query(length=(5, 60))),
        ('flips:"the end" id:made', Query(flips_after="the end", ids="made")),
    ],
)
def test_lines_are_read(many: ViewData, line: str, query: Query) -> None:
    longest = int(many.trace.lengths.max())
    if query.length == (5, 60):
        query = query.replace(length=(5, longest))
    assert read_line(line, many.trace) == (query, ())


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("class:nobody", "class:nobody: there is no 'nobody'; there are class 0, class 1,"),
        ("class:", "class:: say what follows"),
        ("corect:no", "did you mean correct:?"),
        ("correct:perhaps", "correct:perhaps: yes or no was expected"),
        ("confidence:90-101", "0 to 100 percent"),
        ("confidence:nan", "a range such as 10-50 was expected"),
        ("length:50-10", "begins above its end"),
        ("length:1.5", "whole number"),
        ("length:1-2-3", "a range such as"),
        ("flips:a,b", "one value was expected"),
        ("correct:yes correct:no", "given twice"),
        ("x" * 3000, "Only the first 2,000 characters"),
        ("split:dev", "there is no 'dev'; there are train, test"),
    ],
)
def test_what_cannot_be_read_is_said_and_the_rest_is_taken(many: ViewData, line: str, complaint: str) -> None:
    query, complaints = read_line(f"good {line}", many.trace)
    assert len(complaints) == 1
    assert complaint in complaints[0]
    assert "good" in query.words


@settings(max_examples=150, deadline=None)
@given(queries)
def test_a_query_s_line_says_the_query(many: ViewData, query: Query) -> None:
    query = query.replace(words=tuple(dict.fromkeys(query.words)))
    assert read_line(write_line(query, many.trace), many.trace) == (query, ())


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40) | st.lists(st.sampled_from(_PIECES)).map("".join))
def test_any_line_is_read_and_can_be_completed(many: ViewData, line: str) -> None:
    query, _ = read_line(line, many.trace)
    assert read_line(write_line(query, many.trace), many.trace)[0] == query
    for caret in (0, len(line) // 2, len(line), len(line) + 5):
        for one in complete(line, caret, many):
            assert 0 < one.caret <= len(one.line)
    assert line.startswith(finished(line, many))


def test_words_are_completed_by_how_often_they_occur(many: ViewData) -> None:
    trace = many.trace
    counts = {f"word{i}": 0 for i in range(1, 10)}
    for i in range(len(trace)):
        for word in trace.sequence(i).words:
            if word in counts:
                counts[word] += 1
    found = complete("word", 4, many)
    assert len(found) == 8
    shown = [int(one.note.rstrip("×").replace(",", "")) for one in found]
    assert shown == sorted(shown, reverse=True)
    assert all(f"{counts[one.text]:,}×" == one.note for one in found if one.text in counts)
    assert [c.line for c in complete('x unh class:"class 1"', 5, many)] == ['x unheard-of class:"class 1"']
    assert [c.line for c in complete("flips:unh", 9, many)] == ["flips:unheard-of"]
    assert [c.line for c in complete('class:"class 1",unk', 19, many)] == ['class:"class 1",unknown']
    assert [c.text for c in complete("co", 2, many)] == ["correct:", "confidence:"]
    assert [c.line for c in complete("correct:y", 9, many)] == ["correct:yes"]
    assert complete("id:made", 7, many) == []


# -- the pane -------------------------------------------------------------------------------------------------------


def texts(pane: SearchPane) -> list[tuple[str, str]]:
    return [(item["text"], item["count"]) for item in pane.chips.items]


def test_typing_sets_the_query_and_chips_count(pane: SearchPane) -> None:
    trace, selection = pane.data.trace, pane.selection
    assert not pane.chips.visible
    pane._heard({"type": "typed", "line": 'don\'t class:"class 1"', "done": True})
    assert selection.query == Query(words=("don't",), labels=(1,))
    having = [i for i in range(len(trace)) if "don't" in trace.sequence(i).words]
    one = [i for i in range(len(trace)) if trace.labels[i] == 1]
    assert texts(pane) == [("contains “don't”", f"{len(having)}"), ("class class 1", f"{len(one)}")]
    both = set(having) & set(one)
    places = sum(word == "don't" for i in both for word in trace.sequence(i).words)
    assert pane.chips.summary == f"{len(both)} of 50 sequences · {places} place{'' if places == 1 else 's'}"
    assert pane.open.label == "Filter (2)"
    pane._heard({"type": "remove", "name": "words:0"})
    assert selection.query == Query(labels=(1,))
    assert pane.box.line == 'class:"class 1"'
    pane._heard({"type": "clear"})
    assert selection.query.empty
    assert (pane.box.line, pane.chips.items, pane.chips.visible, pane.open.label) == ("", [], False, "Filter")


def test_the_line_follows_a_query_set_elsewhere_but_keeps_what_says_it(pane: SearchPane) -> None:
    pane.type('  "don\'t"   ')
    assert pane.box.line == '  "don\'t"   '
    pane.selection.query = Query(predicted=(2,), correct=True)
    assert pane.box.line == 'predicted:"class 2" correct:yes'


def half(pane: SearchPane, mode: str = "replace") -> Stroke:
    """A box round the left half of the map."""
    points = pane.data.trace.projection("tsne").coordinates
    low, high, middle = float(points.min()) - 1, float(points.max()) + 1, float(np.median(points[:, 0]))
    return Stroke("tsne", mode, (low, middle, middle, low), (low, low, high, high))


def test_lassos_have_a_chip_that_counts_and_clears_them(pane: SearchPane) -> None:
    trace, selection = pane.data.trace, pane.selection
    stroke = half(pane)
    selection.add_stroke(stroke)
    inside = trace.projection("tsne").coordinates[:, 0] < stroke.xs[1]
    touched = np.unique(trace.sequence_of_step[inside])
    chip = (f"lasso: {inside.sum():,} states", f"{len(touched)}")
    assert texts(pane) == [chip]
    assert (pane.chips.visible, pane.open.label) == (True, "Filter")
    assert pane.chips.summary == f"{len(touched)} of 50 sequences"
    pane.type("don't")
    having = [i for i in touched.tolist() if "don't" in trace.sequence(i).words]
    places = sum(word == "don't" for i in having for word in trace.sequence(i).words)
    assert texts(pane)[1:] == [chip]
    assert pane.chips.summary.startswith(f"{len(having)} of 50 sequences · {places} place")
    assert pane.open.label == "Filter (1)"
    pane._heard({"type": "remove", "name": "strokes"})
    assert selection.strokes == ()
    assert selection.query == Query(words=("don't",))
    assert [text for text, _ in texts(pane)] == ["contains “don't”"]
    selection.add_stroke(stroke)
    pane._heard({"type": "clear"})
    assert selection.strokes == ()
    assert selection.query.empty
    assert (pane.chips.items, pane.chips.visible) == ([], False)


def test_a_lasso_round_nothing_can_be_taken_away(pane: SearchPane) -> None:
    pane.selection.strokes = (half(pane), half(pane, "remove"))
    assert texts(pane) == [("lasso: 0 states", "0")]
    assert pane.chips.summary == "No sequence meets all of these. Take one away, or clear all."


def test_a_line_being_typed_stays_while_a_lasso_is_drawn(pane: SearchPane) -> None:
    pane.type("don't unh", done=False)
    pane._typed = "don't unh"
    pane.selection.add_stroke(half(pane))
    assert pane._typed == "don't unh"


def test_nothing_found_says_what_to_do(pane: SearchPane) -> None:
    pane.type("nowhere-to-be-found")
    assert pane.chips.summary == "No sequence meets all of these. Take one away, or clear all."
    assert texts(pane) == [("contains “nowhere-to-be-found”", "0")]


def test_an_unfinished_word_waits_for_its_rest(pane: SearchPane) -> None:
    pane.type("don't unh", done=False)
    assert pane.selection.query == Query(words=("don't",))
    pane.type("don't unheard-of", done=False)
    assert pane.selection.query == Query(words=("don't", "unheard-of"))
    pane.type("don't unh ", done=False)
    assert pane.selection.query == Query(words=("don't", "unh"))
    pane.type("unh", done=True)
    assert pane.selection.query == Query(words=("unh",))


def test_what_is_wrong_is_said_below_the_line(pane: SearchPane) -> None:
    pane.type("class:<b>x</b> don't")
    assert pane.box.complaint.startswith("class:<b>x</b>: there is no")
    assert pane.selection.query == Query(words=("don't",))
    pane.type("don't")
    assert pane.box.complaint == ""


@pytest.mark.parametrize(
    "message",
    [
        "typed", None, {"type": "typed", "line": 5}, {"type": "remove", "name": "words:9"}, {"type": "remove"},
        {"type": "suggest", "line": "a", "caret": "b", "number": 1}, {"type": "other"}, {},
        {"type": "remove", "name": ["words"]}, {"type": "suggest", "line": "w", "caret": 10**30, "number": -1},
    ],
)  # fmt: skip
def test_messages_that_no_page_of_ours_sends_do_nothing(pane: SearchPane, message: Any) -> None:
    pane.box._handle_msg(message)
    pane.chips._handle_msg(message)
    assert pane.selection.query.empty


def test_widgets_and_query_say_the_same(pane: SearchPane) -> None:
    pane.open.value = True
    assert pane.popover.visible
    assert pane.panel is not None
    widgets = pane.panel.widgets
    assert "(unknown)" in widgets["class"].options
    widgets["class"].value = [1, -1]
    widgets["correct"].value = "wrong"
    widgets["confidence_low"].value = 20
    widgets["length_high"].value = 30
    widgets["flips"].value = " it "
    widgets["id"].value = "made"
    wanted = Query(
        labels=(1, -1), correct=False, confidence=(0.2, 1.0), length=(0, 30), flips_after="it", ids="made"
    )  # fmt: skip
    assert pane.selection.query == wanted
    widgets["length_low"].value = 40
    assert pane.selection.query == wanted
    assert "at least 40 and at most 30" in pane.panel.message.object
    pane.selection.query = Query(split=(1,), predicted=(3,))
    assert (widgets["split"].value, widgets["predicted"].value, widgets["class"].value) == ([1], [3], [])
    assert (widgets["correct"].value, widgets["length_low"].value, widgets["id"].value) == ("any", 0, "")
    pane.selection.query = Query()
    assert pane.selection.query.empty


def test_a_large_trace_is_searched_beside_the_loop_and_later_wishes_win(
    pane: SearchPane, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Document:
        """What a session's document does with callbacks: they wait for the loop."""

        def __init__(self) -> None:
            self.waiting: list[Callable[[], None]] = []

        def add_next_tick_callback(self, callback: Callable[[], None]) -> None:
            self.waiting.append(callback)

    monkeypatch.setattr(search, "_AT_ONCE_STEPS", 0)
    document, gate, threads = Document(), threading.Event(), []
    pane._document = document
    find = pane.data.find

    def slow(query: Query) -> Any:
        threads.append(threading.current_thread())
        assert gate.wait(20)
        return find(query)

    monkeypatch.setattr(pane.data, "find", slow)
    pane.type("don't")
    pane.type('class:"class 1"')
    assert pane.selection.query.empty
    assert pane.chips.summary == "Searching …"
    gate.set()
    search._pool().submit(lambda: None).result(20)
    for _ in range(2000):
        if len(document.waiting) == 2 or (document.waiting and len(threads) == 1):
            break
        threading.Event().wait(0.01)
    monkeypatch.setattr(pane.data, "find", find)
    for callback in document.waiting:
        callback()
    assert threads
    assert threading.main_thread() not in threads
    assert pane.selection.query == Query(labels=(1,))
    assert texts(pane)[0][0] == "class class 1"


# -- browser --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(stores: dict[str, Path], chromium: Any) -> Iterator[Site]:
    with visiting(stores, ("five",), chromium) as site:
        yield site


@pytest.mark.browser
def test_typed_suggested_taken_away_and_cleared(site: Site) -> None:
    visit = site("five", "")
    box, press = visit.page.get_by_role("combobox", name="Search sequences"), visit.page.keyboard.press
    offered = visit.page.get_by_role("listbox", name="Suggestions").get_by_role("option")
    box.click()
    visit.page.keyboard.type("unh")
    offered.first.wait_for()
    assert visit.selection.query.empty
    press("ArrowDown")
    assert offered.first.get_attribute("aria-selected") == "true"
    press("Enter")
    visit.until(lambda: visit.selection.query == Query(words=("unheard-of",)), "the word")
    assert box.input_value() == "unheard-of"
    visit.page.keyboard.type(" <b>bold</b> corr")
    visit.until(lambda: visit.selection.query == Query(words=("unheard-of", "<b>bold</b>")), "the other word")
    offered.get_by_text("correct:").wait_for()
    press("Escape")
    offered.first.wait_for(state="detached")
    for _ in "corr":
        press("Backspace")
    away = visit.page.get_by_role("button", name="Take away: contains “unheard-of”")
    away.focus()
    press("Enter")
    visit.until(lambda: visit.selection.query == Query(words=("<b>bold</b>",)), "one less")
    visit.until(lambda: box.input_value() == "<b>bold</b>", "the line")
    chips = visit.page.get_by_role("group", name="Filters in use")
    assert "contains “<b>bold</b>”" in chips.inner_text()
    assert chips.locator("b").count() == 0
    matches = visit.session.data.find(visit.selection.query)
    visit.page.get_by_text(f"{matches.counts[0]} of 50 sequences ·").wait_for()
    told = visit.page.locator(".summary")
    told.wait_for()
    # Chips may wrap; what clears them all stays beside what they leave.
    both = Query(words=("<b>bold</b>",), length=(2, 50), correct=False)
    visit.do(lambda: setattr(visit.selection, "query", both))
    chips.locator(".chip").nth(2).wait_for()
    boxes = [place.bounding_box() for place in (told, visit.page.get_by_role("button", name="Clear all"))]
    middles = [box["y"] + box["height"] / 2 for box in boxes if box]
    assert len(middles) == 2
    assert abs(middles[0] - middles[1]) < 4
    visit.page.get_by_role("button", name="Clear all").click()
    visit.until(lambda: visit.selection.query.empty and box.input_value() == "", "nothing")
    visit.do(lambda: visit.selection.add_stroke(half(visit.session.search)))
    visit.page.get_by_role("button", name="Take away: lasso").click()
    visit.until(lambda: not visit.selection.strokes, "no lasso")
    chips.wait_for(state="hidden")
    site.check()


@pytest.mark.browser
def test_the_panel_of_filters_opens_filters_and_closes(site: Site) -> None:
    visit = site("five", "")
    visit.page.get_by_role("button", name="Filter").click()
    visit.page.get_by_label("true class", exact=True).select_option("class 2")
    visit.until(lambda: visit.selection.query == Query(labels=(2,)), "the class")
    visit.page.get_by_label("prediction", exact=True).select_option("wrong")
    visit.until(lambda: visit.selection.query == Query(labels=(2,), correct=False), "the errors")
    visit.page.get_by_role("button", name="Done").click()
    visit.page.get_by_label("true class", exact=True).wait_for(state="hidden")
    visit.page.get_by_role("button", name="Filter (2)").wait_for()
    site.check()
