"""What a session's changes cost its page: one message, no new layout, no style sheets sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import panel as pn
import pytest
from bokeh.document import Document
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.markup import Markup
from hiddenstate_viewer.sequencepane import in_sight, one_of, put_in_sight
from hiddenstate_viewer.ticks import _LATE, _served, change
from panel.io import document as panel_io

from hiddenstate_core.traces import Trace
from tests.fakes import make_trace
from tests.viewer.browsing import visiting


class Session(Document):
    """A document that says it is a server's, and keeps what is to be run at the next tick."""

    session_context: Any = True

    def __init__(self) -> None:
        super().__init__()
        self.ticks: list[Callable[[], None]] = []

    def add_next_tick_callback(self, callback: Any) -> Any:
        self.ticks.append(callback)


def test_without_a_server_a_change_is_made_at_once() -> None:
    done: list[int] = []
    for document in (None, Document()):
        change(document, lambda: done.append(1))
    assert done == [1, 1]


def test_changes_of_one_tick_are_made_together_each_once_and_in_order() -> None:
    session, done = Session(), []

    def first() -> None:
        done.append("first")

    def second() -> None:
        done.append("second")

    for action in (first, second, first):
        change(session, action)
    assert done == []
    assert len(session.ticks) == 1
    session.ticks.pop()()
    assert done == ["first", "second"]
    change(session, first)  # a new tick
    session.ticks.pop()()
    assert done == ["first", "second", "first"]


def test_a_change_that_fails_holds_up_no_other() -> None:
    session, done = Session(), []

    def fail() -> None:
        raise ValueError("no")

    change(session, fail)
    change(session, lambda: done.append(1))
    with pytest.raises(ValueError, match="no"):
        session.ticks.pop()()
    assert done == [1]


def test_a_message_that_panel_has_forgotten_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    class Connection:
        _socket = object()

    async def send(document: Any) -> None:
        assert document in panel_io._WRITE_BLOCK
        sent.extend(panel_io._WRITE_MSGS.pop(document))
        del panel_io._WRITE_BLOCK[document]

    async def serve() -> None:
        session = Session()
        change(session, lambda: None)
        session.ticks.pop()()
        await asyncio.sleep(2 * _LATE)
        assert not sent
        # So it lies there where one task for it ended before another one began.
        for count in (1, 2):
            panel_io._WRITE_MSGS[session] = {Connection: ["message"]}
            while len(sent) < count:
                await asyncio.sleep(_LATE)
            assert session not in panel_io._WRITE_MSGS
        # Where a task is under way, it is left to it.
        panel_io._WRITE_MSGS[session], panel_io._WRITE_BLOCK[session] = {Connection: ["message"]}, True
        await asyncio.sleep(4 * _LATE)
        assert len(sent) == 2
        del panel_io._WRITE_MSGS[session], panel_io._WRITE_BLOCK[session]
        session.session_context = None  # its page was closed
        await asyncio.sleep(2 * _LATE)
        assert not len(_served[asyncio.get_running_loop()])

    monkeypatch.setattr(panel_io, "_dispatch_msgs", send)
    with ThreadPoolExecutor(1) as pool:  # another test's browser may have an event loop in this thread
        pool.submit(asyncio.run, serve()).result()
    assert len(sent) == 2


@pytest.mark.parametrize(("kind", "kept"), [(Markup, True), (pn.pane.HTML, False)])
def test_a_new_text_sends_no_style_sheets(kind: Any, kept: bool) -> None:
    pane, document = kind("before", stylesheets=[":host { color: red }"]), Document()
    model = pn.Column(pane).get_root(document).children[0]
    sheets = list(model.stylesheets)
    pane.object = "after &"
    assert "after" in model.text
    # Where Panel's own pane keeps them too, there is no need for one of ours any more.
    assert (model.stylesheets == sheets) is kept


def test_one_of_several_cards_is_in_sight_and_all_keep_their_place() -> None:
    cards = [pn.Column(), pn.Column()]
    place = one_of(*cards, flex="1 1 0")
    for chosen in cards:
        for card in cards:
            put_in_sight(card, card is chosen)
        assert [in_sight(card) for card in cards] == [card is chosen for card in cards]
        assert all(card.visible and card.styles["grid-area"] == "1 / 1" for card in cards)
    assert list(place) == cards


def test_distances_are_measured_once_whether_the_first_direction_is_named_or_not(tmp_path: Path) -> None:
    data = ViewData(Trace(make_trace(tmp_path / "t.zarr", 8).path))
    assert data.distances(-1) is data.distances(-1, direction=data.trace.directions[0])


@pytest.mark.browser
def test_selecting_lays_nothing_out_anew_and_is_one_message(stores: dict[str, Path], chromium: Any) -> None:
    with visiting(stores, ("binary",), chromium) as site:
        visit = site()
        visit.page.evaluate(
            """() => {
              window.laid = 0
              const document = Bokeh.documents.at(-1)
              for (const model of document.roots()) {
                const view = Bokeh.index.find_one(model)
                const real = view.invalidate_layout.bind(view)
                view.invalidate_layout = () => { window.laid += 1; real() }
              }
              window.batches = []
              const apply = document.apply_json_patch.bind(document)
              document.apply_json_patch = (patch, ...rest) => {
                const models = patch.events.map((event) => event.model?.id)
                window.batches.push(models)
                return apply(patch, ...rest)
              }
              window.named = (name) => document.get_model_by_name(name)
            }"""
        )
        for sequence in (4, 6):
            visit.page.evaluate("() => { window.laid = 0; window.batches.length = 0 }")
            visit.do(lambda sequence=sequence: visit.selection.select(sequence))  # type: ignore[misc]
            visit.words(sequence)
            visit.sync()
            assert visit.page.evaluate("() => window.laid") == 0
            # Columns of the heatmap, bars and the map's steps come together.
            sources = [visit.session.charts._cells, visit.session.charts._bars, visit.session.foregrounds[0].steps]
            wanted = [source.id for source in sources]
            batches = visit.page.evaluate("() => window.batches")
            assert sum(set(wanted) <= set(batch) for batch in batches) == 1, batches
        # What comes and goes in the layout would have been counted.
        visit.do(lambda: visit.session.panes["sentence"].param.update(visible=False))
        visit.wait("() => window.laid > 0")
        site.check()
