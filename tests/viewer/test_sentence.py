"""A text of one's own: read, placed and compared; whatever is typed is data; the newest text wins."""

from __future__ import annotations

import gc
import json
import re
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.export import make_export
from hiddenstate_viewer.reader import ModelDesk, Typed, Wish
from hiddenstate_viewer.sentence import SentencePane
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import DARK, LIGHT

from hiddenstate_core.errors import InputError, ModelError
from hiddenstate_core.traces import Trace
from tests.fakes import make_corpus, make_model, make_trace
from tests.viewer.apps import served, until


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its model beside it."""
    folder = tmp_path_factory.mktemp("own")
    make_trace(folder / "trace.zarr", 60)
    make_model(make_corpus(60)).save(folder / "model")
    return folder / "trace.zarr"


@pytest.fixture
def pane(own: Path) -> SentencePane:
    data = ViewData(Trace(own))
    return SentencePane(data, Selection(data, sequence=9), LIGHT)


def read(pane: SentencePane, text: str) -> Typed:
    """What the pane makes of a text once its map is ready."""
    pane.place(text)
    until(lambda: pane.typed is not None and " ".join(pane.typed.reading.words) == text and not pane.typed.waiting)
    assert pane.typed is not None
    return pane.typed


def test_the_words_of_a_sequence_land_where_it_was_recorded(pane: SentencePane) -> None:
    view = pane.data.trace.sequence(9)
    typed = read(pane, " ".join(view.words))
    assert typed.divergence is not None
    assert typed.divergence.parted is None
    assert np.allclose(typed.places["tsne"], pane.data.coordinates("tsne")[view.start : view.stop], atol=1e-4)
    assert np.allclose(typed.reading.probabilities, view.probabilities(), atol=1e-6)
    assert np.allclose(typed.jumps, pane.data.reading(9).jumps, atol=1e-5)
    path = typed.path("tsne", pane.palette)
    assert (path.colours == pane.data.reading(9).colours).all()
    assert "The two texts are the same." in pane._verdict.object


def test_an_edit_is_marked_where_the_paths_part(pane: SentencePane) -> None:
    words = list(pane.data.trace.sequence(9).words)
    words[3] = "unheard-of-before"
    typed = read(pane, " ".join(words))
    assert typed.divergence is not None
    assert typed.divergence.parted == (3, 3)
    for side in (pane.mine, pane.other):
        assert side.words.object.count("data-parted") == 1
        assert 'data-step="3" data-parted' in side.words.object
        assert all(mark.visible and mark.location == 3.5 for mark in side.marks)
    assert "They part at word 4" in pane._verdict.object
    assert len(pane._apart.data["x"]) == len(words) - 1
    assert not np.any(np.asarray(pane._apart.data["top"])[:3])
    assert np.any(np.asarray(pane._apart.data["top"])[3:])
    assert pane.selection.text == " ".join(words)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script> <b>bold</b> &lt; \" onload='x'",
        "\u202eturned\u202c \u2066round\u2069 日本語 🎬👩‍👩‍👧 e\u0301",
        'data-step="0" data-parted </div></span>',
        "x" * 9_999,
    ],
)
def test_what_is_typed_is_data(pane: SentencePane, text: str) -> None:
    pane.place(text)
    typed = until(lambda: pane.typed)
    shown = pane.mine.words.object + pane.other.words.object + pane._verdict.object + pane._message.object
    assert "<script" not in shown
    assert "<b>bold" not in shown
    assert "</div></span>" not in pane.mine.words.object.replace("</div>", "", 0).split("</div>")[0] + "</div>"
    assert pane.mine.words.object.count("<span") == len(typed)
    assert pane.mine.words.object.count(" data-parted>") + pane.mine.words.object.count(" data-parted ") <= 1


@pytest.mark.parametrize(
    ("text", "said"), [("", "no word"), (" \n\t", "no word"), ("a\0b", "U+0000"), ("y " * 6_000, "characters")]
)
def test_what_cannot_be_read_is_said_in_a_sentence(pane: SentencePane, text: str, said: str) -> None:
    pane.place(text)
    assert pane._message.visible
    assert said in pane._message.object
    assert pane.typed is None
    assert pane.selection.text is None


def test_too_many_texts_are_refused_and_the_newest_wins(pane: SentencePane) -> None:
    for number in range(10):
        pane.place(f"it the {number}")
    pane.place("one too many")
    assert "wait a moment" in pane._message.object
    time.sleep(0.6)
    typed = read(pane, "the newest of all")
    assert typed.reading.words == ("the", "newest", "of", "all")


def test_an_outdated_text_is_not_read(pane: SentencePane) -> None:
    begun, go = threading.Event(), threading.Event()
    seen: list[str] = []
    original = ModelDesk.read

    def slow(desk: ModelDesk, wish: Wish) -> Typed:
        seen.append(wish.text)
        begun.set()
        go.wait(20)
        return original(desk, wish)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelDesk, "read", slow)
        pane.place("first")
        assert begun.wait(20)
        for text in ("second", "third", "fourth"):
            pane.place(text)
        go.set()
        until(lambda: pane.typed is not None and pane.typed.reading.words == ("fourth",))
    assert "second" not in seen
    assert "third" not in seen


def test_the_selection_holds_the_text(pane: SentencePane) -> None:
    pane.selection.text = "flaky wonderfully"
    until(lambda: pane.typed is not None and pane.typed.reading.words == ("flaky", "wonderfully"))
    assert pane.area.value == "flaky wonderfully"
    pane.selection.text = None
    assert pane.typed is None
    assert not pane.result.visible
    reopened = SentencePane(pane.data, Selection(pane.data, text="a flaky one"), DARK)
    until(lambda: reopened.typed is not None)
    assert reopened.typed is not None
    assert reopened.typed.divergence is None
    assert not reopened.other.view.visible


def test_a_text_can_be_taken_away(pane: SentencePane, tmp_path: Path) -> None:
    typed = read(pane, "it was =SUM(A1) <b>bold</b>")
    data, selection = pane.data, pane.selection
    make_export(data, selection, LIGHT, "text", tmp_path / "text.csv", typed=typed)
    frame = pd.read_csv(tmp_path / "text.csv")
    assert frame["position"].tolist() == list(range(1, len(typed) + 1))
    assert [word.removeprefix("'") for word in frame["word"]] == list(typed.reading.words)
    assert not any(word.startswith("=") for word in frame["word"])
    assert frame["known"].tolist() == typed.reading.known.tolist()
    names = [f"probability of {name}" for name in data.trace.classes]
    np.testing.assert_allclose(frame[names].to_numpy(), typed.reading.evolution.probabilities, rtol=1e-6)
    np.testing.assert_allclose(frame[["x", "y"]].to_numpy(), typed.places["tsne"], rtol=1e-6)
    with pytest.raises(InputError, match="type one at the foot"):
        make_export(data, selection, LIGHT, "text", tmp_path / "none.csv")
    make_export(data, selection, LIGHT, "page", tmp_path / "page.html", typed=typed)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "Your text" in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    values = json.loads(re.search(r'id="values">(.*?)</script>', page, re.DOTALL).group(1))  # type: ignore[union-attr]
    assert [path["x"] for path in values["beside"] if path.get("dash")] == [typed.places["tsne"][:, 0].tolist()]
    make_export(data, selection, LIGHT, "map", tmp_path / "with.svg", typed=typed)
    make_export(data, selection, LIGHT, "map", tmp_path / "without.svg")
    said = ["your text" in (tmp_path / f"{name}.svg").read_text("utf-8") for name in ("with", "without")]
    assert said == [True, False]


def test_another_sequence_beside_it_reads_it_anew(pane: SentencePane) -> None:
    first = read(pane, "it the a of")
    pane.selection.sequence = 12
    until(lambda: pane.typed is not first and pane.typed is not None)
    assert pane.typed is not None
    assert pane.typed.original is not None
    assert pane.typed.original.index == 12


def test_without_a_model_the_pane_says_how_to_give_one(tmp_path: Path) -> None:
    make_trace(tmp_path / "alone.zarr", 8)
    data = ViewData(Trace(tmp_path / "alone.zarr"))
    pane = SentencePane(data, Selection(data), LIGHT)
    assert "hiddenstate view alone.zarr --model MODEL" in pane._message.object
    assert pane.typed is None


def test_the_model_of_another_trace_is_refused(own: Path, tmp_path: Path) -> None:
    make_model(make_corpus(60), seed=7).save(tmp_path / "other")
    data = ViewData(Trace(own), model=tmp_path / "other")
    with pytest.raises(ModelError):
        ModelDesk.of(data).read(Wish("it"))
    pane = SentencePane(data, Selection(data), LIGHT)
    pane.place("it")
    until(lambda: "recorded with the model" in pane._message.object)
    assert pane.typed is None


def test_a_pane_is_let_go(own: Path) -> None:
    data = ViewData(Trace(own))
    pane = SentencePane(data, Selection(data, sequence=5), LIGHT)
    read(pane, "it the a")
    kept = weakref.ref(pane)
    del pane
    for _ in range(50):  # a thread may still hold its last job
        gc.collect()
        if kept() is None:
            break
        time.sleep(0.05)
    assert kept() is None


@pytest.mark.browser
def test_typing_reads_by_itself_and_ctrl_enter_at_once(own: Path, open_tab: Callable[..., Any]) -> None:
    data, made = ViewData(Trace(own)), []

    def app() -> Any:
        made.append(SentencePane(data, Selection(data, sequence=9), LIGHT))
        return made[-1].view

    with served(app) as address:
        tab = open_tab(address)
        area = tab.page.get_by_label("Type or edit a text")
        area.click()
        tab.page.keyboard.type("it <img src=x onerror=alert(1)> wonderfully")
        tab.page.locator(".hs-typed-words .hs-word").nth(4).wait_for()
        assert tab.page.locator(".hs-typed-words .hs-word").nth(2).inner_text() == "src=x"
        tab.page.keyboard.type(" flaky")
        tab.page.keyboard.press("Control+Enter")
        tab.page.locator(".hs-typed-words .hs-word").nth(5).wait_for()
        tab.page.get_by_role("button", name="Edit this one").click()
        count = len(data.trace.sequence(9))
        tab.page.locator(".hs-original-words .hs-word").nth(count - 1).wait_for()
        tab.page.locator(".hs-typed-words .hs-word").nth(count - 1).wait_for()
        assert area.input_value() == " ".join(data.trace.sequence(9).words)
        tab.page.get_by_role("button", name="Clear").click()
        tab.page.locator(".hs-typed-words .hs-word").first.wait_for(state="hidden")
        assert tab.complaints == []
        assert tab.strangers == []
