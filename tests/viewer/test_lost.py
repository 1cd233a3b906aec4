"""A page without its server: it says so, and comes back as it was; also where its session was given up on the way."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hiddenstate_viewer import routes
from hiddenstate_viewer.serve import ServeOptions, start

from tests.viewer.browsing import ROWS
from tests.viewer.conftest import Tab
from tests.viewer.serving import until

pytestmark = pytest.mark.browser


@pytest.fixture
def tab(chromium: Any) -> Any:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    yield Tab.open(context)
    context.close()


def test_a_page_says_that_its_server_is_gone_and_comes_back_as_it_was(stores: dict[str, Path], tab: Tab) -> None:
    page = tab.page
    with start(stores["binary"]) as first:
        until(lambda: first.ready)
        page.goto(first.address)
        page.locator(ROWS).nth(3).click()
        tab.until(lambda: page.url.endswith("?sequence=3"), "the address")
    told = page.get_by_role("alert")
    told.wait_for()
    assert told.inner_text().startswith("The connection to the server is lost.")
    assert page.locator(".hs-page").evaluate("(it) => getComputedStyle(it).opacity") == "0.55"
    with start(stores["binary"], port=first.port, options=ServeOptions(token="another-token-of-it")) as second:
        assert second.port == first.port
        page.get_by_text("with another token").wait_for()
    with start(stores["binary"], port=first.port) as third:
        assert third.port == first.port
        told.wait_for(state="detached")
        page.locator(".hs-word").first.wait_for()
        assert page.url == f"{third.address}?sequence=3"


def test_a_browser_that_comes_after_its_session_was_given_up_is_given_another_one_that_looks_the_same(
    stores: dict[str, Path], tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("GRACE", 0.1), ("LINGER", 1_000), ("SWEEP", 50)):
        monkeypatch.setattr(routes, name, value)
    with start(stores["binary"]) as server:
        until(lambda: server.ready)

        def wait(route: Any) -> None:
            deadline = time.monotonic() + 60
            while server.sessions and time.monotonic() < deadline:
                time.sleep(0.05)
            route.continue_()

        tab.page.route("**/bokeh.min.js*", wait)
        tab.page.goto(f"{server.address}?sequence=4")
        tab.page.locator(ROWS).nth(4).wait_for()
        tab.page.locator(".hs-word").first.wait_for()

        def shaped() -> bool:
            box = tab.page.locator(ROWS).nth(2).bounding_box()  # None while the rows are made anew
            return box is not None and 20 < box["height"] < 40

        tab.until(shaped, "rows of the shape that the style sheets give them")
    assert tab.complaints == [], tab.complaints
    assert tab.strangers == []


def test_a_page_whose_websocket_is_not_let_through_says_so_until_it_comes(stores: dict[str, Path], tab: Tab) -> None:
    page = tab.page
    closed = [True]
    # The page waits a second for what it waits ten for.
    page.add_init_script(
        "const later = setTimeout; window.setTimeout = (act, time, ...rest) =>"
        " later(act, time === 10_000 ? 1_000 : time, ...rest)"
    )

    def socket(route: Any) -> None:
        route.close() if closed[0] else route.connect_to_server()

    page.route_web_socket("**/ws*", socket)
    with start(stores["binary"]) as server:
        until(lambda: server.ready)
        page.goto(server.address)
        told = page.get_by_role("alert")
        told.wait_for()
        assert "let the proxy pass WebSockets on, and start the server with --origin" in told.inner_text()
        box = told.bounding_box()
        assert box is not None
        assert box["width"] <= 640
        assert box["height"] < 80
        closed[0] = False
        page.reload()
        page.locator(ROWS).nth(3).wait_for()
        page.wait_for_timeout(3_500)  # longer than a page that comes late is waited for, and looked for again
        assert not told.is_visible()
