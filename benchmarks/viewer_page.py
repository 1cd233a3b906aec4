"""The viewer's page in a headless Chromium, with a stop watch that runs inside the page."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from typing import Any

from hiddenstate_core.errors import InputError, MissingExtraError

__all__ = ["Tab", "browser"]

_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
_VIEWPORT = {"width": 1440, "height": 900}
_PATIENCE = 60_000  # ms

#: The watch starts with an input event and stops in the frame in which the page shows what the input asks for.
_WATCH = """() => {
  if (window.watch) return
  const bokeh = () => {
    for (const document of window.Bokeh?.documents ?? []) {
      const plot = document.get_model_by_name("hs-map")
      if (plot) return plot
    }
  }
  const close = (a, b, unit) => Math.abs(a - b) < 1e-6 * unit
  // Of a page whose map tells nothing of itself: its picture is the one of the window in sight.
  const plain = () => {
    const plot = bokeh()
    if (!plot) return null
    const { start: x0, end: x1 } = plot.x_range
    const { start: y0, end: y1 } = plot.y_range
    let current = false
    for (const { data_source, glyph } of plot.renderers) {
      const d = data_source?.data
      if (glyph?.type === "ImageRGBA" && d?.image?.length)
        current ||= close(d.x[0], x0, x1 - x0) && close(d.dw[0], x1 - x0, x1 - x0) && close(d.y[0], y0, y1 - y0)
      if (d?.packed?.length) current = true
    }
    return { current, window: [x0, x1, y0, y1] }
  }
  const map = () => window.hiddenstateMaps?.state() ?? plain()
  const shared = () => [...(window.hiddenstate?.pages?.values() ?? [])][0]
  const steps = () => shared()?.maps?.[0]?.steps ?? shared()?.steps
  // Views are looked for once: going through all of the page's in every frame takes time from what is measured.
  const views = new Map()
  const view = (name) => {
    const known = views.get(name)
    if (known?.el?.isConnected) return known
    const found = seek(name)
    if (found) views.set(name, found)
    return found
  }
  const seek = (name) => {
    for (const document of window.Bokeh?.documents ?? []) {
      const plot = document.get_model_by_name(name)
      if (plot) return window.Bokeh.index.find_one(plot)
    }
  }
  // How often Bokeh has painted map, heatmap and bars.
  const painted = () => ["hs-map", "hs-heatmap", "hs-distances"].map((name) => view(name)?._render_count ?? 0)
  const repainted = () => painted().every((count, i) => count > window.watch.paints[i])
  // Places on the screen that stand for steps of the sequence: its words, columns of the heatmap, points of the map.
  const places = () => {
    const found = { word: [], column: [], point: [] }
    const within = (box, x, y) => x > box.left + 2 && x < box.right - 2 && y > box.top + 2 && y < box.bottom - 2
    const frame = words()?.getBoundingClientRect()
    for (const word of words()?.querySelectorAll("[data-step]") ?? []) {
      const box = word.getClientRects()[0]
      const [x, y] = [box.left + Math.min(box.width / 2, 12), box.top + box.height / 2]
      if (within(frame, x, y)) found.word.push([x, y])
    }
    const at = (name, x, y) => {
      const { el, frame, model } = view(name)
      const [box, part] = [el.getBoundingClientRect(), frame.bbox]
      const { x_range, y_range } = model
      const across = (x - x_range.start) / (x_range.end - x_range.start)
      const up = (y - y_range.start) / (y_range.end - y_range.start)
      const place = [box.left + part.left + across * part.width, box.top + part.top + (1 - up) * part.height]
      return within(box, ...place) && across > 0 && across < 1 && up > 0 && up < 1 ? [place] : []
    }
    const { x, y } = steps()?.data ?? { x: [], y: [] }
    for (let i = 0; i < x.length; i++) {
      found.column.push(...at("hs-heatmap", i + 1, 1))
      found.point.push(...at("hs-map", x[i], y[i]))
    }
    return found
  }
  const deep = (root, selector) => {
    const found = root.querySelector(selector)
    if (found) return found
    for (const element of root.querySelectorAll("*")) {
      const inner = element.shadowRoot && deep(element.shadowRoot, selector)
      if (inner) return inner
    }
    return null
  }
  const words = () => {
    const { words: known, tree } = window.watch
    if (known?.isConnected) return known
    const found = (tree?.isConnected && tree.querySelector(".hs-words")) || deep(document, ".hs-words")
    window.watch.tree = found?.getRootNode()
    return (window.watch.words = found)
  }
  const probes = {
    map() {
      const now = map()
      return now && { key: now.window?.join(), done: now.current }
    },
    sequence() {
      const source = steps()
      const ids = source?.data.id ?? []
      const key = `${ids[0]}/${ids.length}`
      // And among the words only once there are others.
      if (!ids.length || key === window.watch.was) return { key, done: false }
      return { key, done: words()?.querySelectorAll("[data-step]").length === ids.length && repainted() }
    },
    // The step under the pointer is marked in words, charts and map, and each of these has painted itself since.
    linked() {
      const page = shared()
      const told = window.hiddenstate?.marked(page?.id)
      if (!told || told.step < 0) return { key: -1, done: false }
      const [x] = told.points[0]
      const there = Number(told.word) === told.step && told.boxes.every((at) => at === told.step) && x !== null
      return { key: told.step, done: there && repainted() }
    },
    tip() {
      const shown = window.hiddenstateMaps?.state()?.tip
      return { key: shown ?? "", done: Boolean(shown) }
    },
  }
  window.watch = {
    arm(probe, event) {
      words() // looked for now, so that it takes no time from what is measured
      Object.assign(this, { probe, event, was: probes[probe]()?.key, begun: null, seconds: null, paints: painted() })
    },
    places,
    ready: () => map()?.current === true,
    words: null,
    tree: null,
    paints: [],
  }
  const start = (event) => {
    if (window.watch.event !== event.type || window.watch.seconds !== null) return
    window.watch.begun = performance.now()
    window.watch.paints = painted()
  }
  for (const name of ["wheel", "pointermove", "pointerdown", "keydown"]) document.addEventListener(name, start, true)
  const frame = () => {
    const watch = window.watch
    if (watch.begun !== null && watch.seconds === null) {
      const now = probes[watch.probe]()
      if (now?.done && now.key !== watch.was) watch.seconds = (performance.now() - watch.begun) / 1000
    }
    requestAnimationFrame(frame)
  }
  frame()
}"""


class Tab:
    """One page of the viewer in a tab of its own.

    Parameters
    ----------
    engine : playwright Browser
        Where it is opened.
    address : str
        Of the page.
    """

    def __init__(self, engine: Any, address: str) -> None:
        self._context = engine.new_context(viewport=_VIEWPORT)
        self.page = self._context.new_page()
        self.address = address
        self.received = 0
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    def _count(self, payload: Any) -> None:
        self.received += len(payload)

    def open(self) -> dict[str, float]:
        """Load the page; seconds to its load event, from there to the map's picture on the screen, and to all views."""
        began = time.perf_counter()
        self.page.goto(self.address, wait_until="load")
        loaded = time.perf_counter()
        self.page.evaluate(_WATCH)
        self.page.wait_for_function("() => window.watch.ready()", timeout=_PATIENCE, polling="raf")
        painted = time.perf_counter()
        self.page.locator(".hs-table .tabulator-row").first.wait_for(timeout=_PATIENCE)
        complete = time.perf_counter()
        return {"load": loaded - began, "first_paint": painted - loaded, "complete": complete - loaded}

    def frame(self) -> dict[str, float]:
        """Left, top, width and height of the map on the screen."""
        box = self.page.evaluate(
            """() => {
              const deep = (root) => {
                for (const element of root.querySelectorAll("*")) {
                  if (element.classList.contains("bk-events")) {
                    const box = element.getBoundingClientRect()
                    if (box.width * box.height > 120000) return box
                  }
                  const inner = element.shadowRoot && deep(element.shadowRoot)
                  if (inner) return inner
                }
                return null
              }
              const box = deep(document)
              return box && { x: box.x, y: box.y, width: box.width, height: box.height }
            }"""
        )
        if box is None:
            raise InputError("The page shows no map; has the store a projection?")
        return dict(box)

    def wheel(self, x: float, y: float, by: int) -> float:
        """Zoom at a place; seconds from the turn of the wheel to the new picture."""
        self.page.mouse.move(x, y)
        return self._timed("map", "wheel", lambda: self.page.mouse.wheel(0, by))

    def drag(self, x: float, y: float, dx: float, dy: float) -> float:
        """Pan; seconds from the last move of the pointer to the new picture."""
        mouse = self.page.mouse
        mouse.move(x, y)
        mouse.down()
        try:
            return self._timed("map", "pointermove", lambda: mouse.move(x + dx, y + dy, steps=6))
        finally:
            mouse.up()

    def select_next(self) -> float:
        """Select the next sequence of the table; seconds until its words are there, and map and charts are painted."""
        return self._timed("sequence", "keydown", lambda: self.page.keyboard.press("ArrowDown"))

    def select_row(self, row: int) -> float:
        """Click a row of the table, counted from its top; seconds until its sequence is there, as in `select_next`."""
        cell = self.page.locator(".hs-table .tabulator-row").nth(row).locator(".tabulator-cell").nth(1)
        cell.hover()
        return self._timed("sequence", "pointerdown", lambda: cell.click(position={"x": 12, "y": 8}))

    def hover(self, x: float, y: float) -> float | None:
        """Rest on a place; seconds until the tooltip is there, None where nothing lies under it."""
        self.page.mouse.move(x + 40, y)
        self.page.wait_for_timeout(300)
        with contextlib.suppress(TimeoutError):
            return self._timed("tip", "pointermove", lambda: self.page.mouse.move(x, y), patience=2_000)
        return None

    def places(self) -> dict[str, list[list[float]]]:
        """Where on the screen steps of the sequence are: words, columns of the heatmap, points of the trajectory."""
        return dict(self.page.evaluate("() => window.watch.places()"))

    def link(self, x: float, y: float) -> float | None:
        """Hover a step; seconds until all views mark it and have painted, None where it is the one marked already."""
        with contextlib.suppress(TimeoutError):
            return self._timed("linked", "pointermove", lambda: self.page.mouse.move(x, y), patience=2_000)
        return None

    def close(self) -> None:
        """Close the tab."""
        self._context.close()

    def _timed(self, probe: str, event: str, act: Any, patience: int = _PATIENCE) -> float:
        from playwright.sync_api import TimeoutError as TooLate

        self.page.evaluate("([probe, event]) => window.watch.arm(probe, event)", [probe, event])
        act()
        try:
            self.page.wait_for_function("() => window.watch.seconds !== null", timeout=patience, polling="raf")
        except TooLate as error:
            raise TimeoutError(f"the page did not answer {event} within {patience / 1000:g} s") from error
        return float(self.page.evaluate("() => window.watch.seconds"))


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium.

    Raises
    ------
    MissingExtraError
        Playwright is not installed.
    InputError
        There is no Chromium.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise MissingExtraError("A browser is needed: python -m pip install playwright") from error
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        raise InputError(f"No browser was found ({', '.join(names)}); install Debian's chromium.")
    with sync_playwright() as playwright:
        engine = playwright.chromium.launch(executable_path=path, args=_FLAGS.split())
        try:
            yield engine
        finally:
            engine.close()
