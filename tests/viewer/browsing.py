"""What the tests of the page share: a server, and one tab to visit it with."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from hiddenstate_core.traces import Trace
from tests.viewer.conftest import Tab

ROWS = ".hs-table .tabulator-row"
#: A model of the page, by name.
FIND = "(name) => Bokeh.documents.map((d) => d.get_model_by_name(name)).find((m) => m)"
#: The page's own record of what it shows.
PAGE = "window.hiddenstate.pages.values().next().value"
#: Whether so many words are known to the cursor, and shown.
WORDS = f"""(count) => Array.from({PAGE}.maps[0].steps.data.word ?? []).length === count
  && (window.hiddenstate.marked(), true)"""
#: Whether a map's picture is on the screen, by the name of its figure.
CURRENT = """(name) => Array.from(window.hiddenstateMaps?.maps.keys() ?? [])
  .filter((id) => id.replace(/-[0-9a-f]{8}$/, '') === name)
  .some((id) => window.hiddenstateMaps.state(id).current)"""
#: An element, wherever in the shadow trees it is.
DEEP = """(selector) => {
  const deep = (root) => {
    const found = root.querySelector(selector)
    if (found) return found
    for (const element of root.querySelectorAll("*")) {
      const inner = element.shadowRoot && deep(element.shadowRoot)
      if (inner) return inner
    }
    return null
  }
  return deep(document)
}"""


class Visit:
    """A page in a tab, and the same session in Python.

    Attributes
    ----------
    tab, page
        The tab; Playwright's page.
    trace : Trace
        What is shown.
    session : hiddenstate_viewer.page.Page
        The server's side; read it, but change it through `do`.
    """

    def __init__(self, tab: Any, trace: Trace, session: Any) -> None:
        self.tab, self.page, self.trace, self.session = tab, tab.page, trace, session
        self._synced = 0

    @property
    def selection(self) -> Any:
        """What the server takes to be selected."""
        return self.session.selection

    @property
    def query(self) -> dict[str, str]:
        """The address's query."""
        return dict(parse_qsl(urlsplit(self.page.url).query, keep_blank_values=True))

    def marked(self) -> dict[str, Any]:
        """What the shared cursor marks."""
        return self.tab.marked()

    def wait(self, condition: str, argument: Any = None) -> None:
        """Wait until a JavaScript condition holds."""
        self.tab.wait(condition, argument)

    def until(self, condition: Callable[[], Any], what: str = "it") -> Any:
        """Wait until a condition of Python's holds."""
        return self.tab.until(condition, what)

    def do(self, action: Callable[[], Any]) -> None:
        """Change the session from Python, as a notebook would, with the document's lock."""
        self.session.charts.heat.document.add_next_tick_callback(action)

    def sync(self) -> None:
        """Wait until the browser has everything that the server had to tell it."""
        heat = self.session.charts.heat
        for _ in range(2):  # the second time for what the first one's actions put off to the next tick
            self._synced += 1
            self.do(functools.partial(heat.update, tags=[self._synced]))
            self.wait(f"(count) => ({FIND})('hs-heatmap').tags[0] === count", self._synced)

    def reset(self) -> None:
        """Back to a fresh page, without loading it anew, which takes long."""
        from hiddenstate_viewer.state import Selection

        selection, table = self.selection, self.session.table.widget
        fresh = Selection(selection.data)

        def act() -> None:
            selection.param.update(**{k: v for k, v in fresh.param.values().items() if k not in ("name", "options")})
            selection.options.param.update(**fresh.options.values())
            self.session._bar.options.visible = False
            table.param.update(sorters=[], filters=[])
            if table.page != 1:
                table.page = 1
            for drawn in self.session.maps:
                drawn.go(None)

        self.page.mouse.move(0, 0)
        self.page.evaluate("() => document.activeElement?.blur()")
        self.do(act)
        self.sync()
        self.words(None)
        self.page.locator(ROWS).first.wait_for()
        self.until(lambda: self.query == {}, "the address of a fresh page")  # it follows a little later

    def words(self, sequence: int | None) -> None:
        """Wait until a sequence is the one that is read, on both sides of the wire."""
        self.until(lambda: self.selection.sequence == sequence, f"sequence {sequence}")
        count = 0 if sequence is None else len(self.trace.sequence(sequence))
        self.wait(f"(count) => Array.from({PAGE}.maps[0].steps.data.word ?? []).length === count", count)
        if sequence is None:
            self.page.locator(".hs-words").wait_for(state="hidden")
        elif count:
            self.page.locator(f'.hs-word[data-step="{count - 1}"]').wait_for()
            self.wait(
                f"(name) => ({DEEP})('.hs-id')?.textContent === name && ({DEEP})('.hs-scrub')?.max === {PAGE}"
                ".maps[0].steps.data.word.length.toString()",
                self.trace.ids[sequence],
            )

    def drawn(self, name: str = "hs-map") -> None:
        """Wait until a map's picture is on the screen."""
        self.wait(CURRENT, name)

    def column(self, name: str, column: str, renderer: int = 0) -> list[Any]:
        """A column of a chart's data in the browser."""
        return self.page.evaluate(
            f"([name, column, n]) => Array.from(({FIND})(name).renderers[n].data_source.data[column] ?? [])",
            [name, column, renderer],
        )

    def source(self, what: str, column: str, number: int = 0) -> list[Any]:
        """A column of what the cursor knows of a map: its steps, segments, labels or focus."""
        return self.page.evaluate(
            f"([what, column, n]) => Array.from({PAGE}.maps[n][what].data[column] ?? [])", [what, column, number]
        )

    def spot(self, name: str, x: float, y: float) -> tuple[float, float]:
        """Pixels on the screen of a place in a chart's own coordinates."""
        script = f"""([name, x, y]) => {{
          const view = Bokeh.index.find_one(({FIND})(name))
          const box = view.canvas_view.el.getBoundingClientRect()
          return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)]
        }}"""
        at = self.page.evaluate(script, [name, x, y])
        return float(at[0]), float(at[1])

    def click(self, name: str, x: float, y: float, *held: str) -> None:
        """Click a place in a chart, with keys held."""
        at = self.spot(name, x, y)
        for key in held:
            self.page.keyboard.down(key)
        self.page.mouse.click(*at)
        for key in held:
            self.page.keyboard.up(key)

    def apart(self) -> None:
        """Let the time go by within which a second click would make a double click."""
        self.page.wait_for_timeout(500)

    def hover(self, name: str, x: float, y: float) -> None:
        """Move the pointer to a place in a chart."""
        self.page.mouse.move(*self.spot(name, x, y))

    def row(self, sequence: int) -> Any:
        """A sequence's row in the table, on the page that is shown."""
        return self.page.locator(ROWS, has=self.page.get_by_text(self.trace.ids[sequence], exact=True))

    def rows(self) -> list[str]:
        """Ids of the rows shown."""
        return self.page.locator(f"{ROWS} .tabulator-cell[tabulator-field=id]").all_text_contents()

    def select(self, sequence: int) -> None:
        """Click a row and wait until its sequence is shown."""
        self.row(sequence).click()
        self.words(sequence)


class Site:
    """A server of small stores, and one tab in which it is visited.

    Attributes
    ----------
    tab : Tab
    context
        The browser's context, for more tabs.
    running : ViewerServer
    """

    def __init__(self, stores: dict[str, Path], names: tuple[str, ...], context: Any, running: Any) -> None:
        self.stores, self.names, self.context, self.running = stores, names, context, running
        self.tab = Tab.open(context)
        self.sessions: list[Any] = []
        self._last: tuple[str, dict[str, int]] | None = None
        self._visit: Visit | None = None

    def __call__(self, name: str = "", query: str | None = None, **viewport: int) -> Visit:
        """Show a store's page as an address asks for it; without a query, a page that is open already is made fresh."""
        name = name or self.names[0]
        if self._visit is not None and self._last == (name, viewport) and query is None:
            self._visit.reset()
            return self._visit
        self._last = (name, viewport) if query is None else None
        self.tab.page.set_viewport_size({"width": 1440, "height": 900, **viewport})
        self.tab.page.mouse.move(0, 0)
        self._visit = self.open(self.tab, self.address(name, query))
        return self._visit

    def address(self, name: str, query: str | None = None) -> str:
        """Address of a store's page."""
        return f"{self.running.address}s/{name}{'?' if query else ''}{query or ''}"

    def open(self, tab: Tab, address: str) -> Visit:
        """Load an address and wait until its page stands."""
        self.sessions.clear()
        tab.page.goto(address)
        tab.page.locator(ROWS).first.wait_for()
        tab.wait("() => window.hiddenstate?.pages.size === 1")
        session = self.sessions[-1]
        visit = Visit(tab, session.data.trace, session)
        table = session.table.widget
        # The browser says how many rows fit once it has laid out the page, and is given as many.
        tab.until(
            lambda: table.page_size and tab.page.locator(ROWS).count() == min(len(table.order), table.page_rows),
            "as many rows as fit",
        )
        if session.selection.projection is not None:
            visit.drawn()
        return visit

    def leave(self) -> None:
        """Load the next page anew, whatever it is."""
        self._last = None

    def check(self) -> None:
        """Nothing was complained of in the browser, and nothing asked of other machines."""
        complaints, strangers = list(self.tab.complaints), list(self.tab.strangers)
        self.tab.complaints.clear()
        self.tab.strangers.clear()
        assert complaints == [], complaints
        assert strangers == [], strangers


@contextlib.contextmanager
def visiting(stores: dict[str, Path], names: tuple[str, ...], chromium: Any) -> Iterator[Site]:
    """Serve stores, and visit them."""
    import hiddenstate_viewer.page as pages
    from hiddenstate_viewer.serve import start

    build = pages.build_session
    sites: list[Site] = []

    def remember(*arguments: Any) -> Any:
        page = build(*arguments)
        for site in sites:
            site.sessions.append(page)
        return page

    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    with pytest.MonkeyPatch.context() as patch, start([stores[name] for name in names]) as running:
        patch.setattr(pages, "build_session", remember)
        site = Site(stores, names, context, running)
        sites.append(site)
        site.tab.until(lambda: running.ready, "the server")
        yield site
    context.close()
