"""What the page has Bokeh do otherwise: paint nothing for nothing, and wait for a reader who hesitates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hiddenstate_viewer.linking import quick_script

from tests.viewer.browsing import Site, visiting

#: Paints the map anew; how often a style sheet was written, and which glyphs were asked to paint.
_PAINT = """() => {
  const models = [...Bokeh.documents[0]._all_models.values()]
  const plot = models.find((model) => model.name === "hs-map")
  const view = Bokeh.index.find_one(plot)
  let written = 0
  const watcher = new MutationObserver((changes) => (written += changes.length))
  const painted = []
  for (const renderer of view.computed_renderer_views) {
    watcher.observe(renderer.position.el, { childList: true, characterData: true, subtree: true })
    const glyph = renderer.glyph
    if (glyph) glyph.mask_data = () => (painted.push(renderer.model.data_source.get_length()),
      Object.getPrototypeOf(glyph).mask_data.call(glyph))
  }
  view._invalidate_all = true
  view.paint()
  written += watcher.takeRecords().length
  const sheet = view.computed_renderer_views[0].position
  sheet.replace(":host { display: none; }")
  const news = sheet.el.textContent
  return { written, painted, news }
}"""


@pytest.fixture(scope="module")
def site(stores: dict[str, Path], chromium: Any) -> Iterator[Site]:
    with visiting(stores, ("binary",), chromium) as site:
        yield site


@pytest.mark.browser
def test_painting_writes_no_style_sheet_again_and_skips_what_is_empty(site: Site) -> None:
    visit = site()
    visit.drawn()
    told = visit.page.evaluate(_PAINT)
    assert told["written"] == 0
    assert told["painted"], "the points were painted"
    assert all(told["painted"])
    assert told["news"] == ":host { display: none; }"
    site.check()


@pytest.mark.browser
def test_a_reader_may_hesitate_before_a_stroke_and_within_a_click(site: Site) -> None:
    visit = site()
    page, mouse, long = visit.page, visit.page.mouse, 700  # ms; Bokeh's own patience is 300
    x0, x1, y0, y1 = visit.selection.data.order("tsne").extent
    page.get_by_role("button", name="Box", exact=True).click()
    mouse.move(*visit.spot("hs-map", x0, y0))
    mouse.down()
    page.wait_for_timeout(long)
    mouse.move(*visit.spot("hs-map", x1, (y0 + y1) / 2), steps=4)
    mouse.up()
    visit.until(lambda: len(visit.selection.strokes) == 1, "the box")
    visit.drawn()
    page.keyboard.press("Escape")
    visit.until(lambda: visit.selection.strokes == (), "the end of it")
    step = len(visit.trace.sequence_of_step) - 1
    mouse.move(*visit.spot("hs-map", *visit.trace.projection("tsne").coordinates[step].tolist()))
    mouse.down()
    page.wait_for_timeout(long)
    mouse.up()
    visit.until(lambda: visit.selection.sequence is not None, "the click")
    page.get_by_role("button", name="Pan", exact=True).click()
    site.check()


@pytest.mark.browser
def test_only_the_viewers_own_page_is_without_style_sheets_that_say_how_to_paint(site: Site) -> None:
    visit = site()
    visit.drawn()
    script = quick_script().replace("hiddenstateQuick", "hiddenstateTried")
    read = """(script) => {
      const { VisualProperties } = Bokeh.require("core/visuals/visual")
      const own = VisualProperties.prototype._get_css_value
      VisualProperties.prototype._get_css_value = () => "red"
      window.hiddenstateServed = false
      eval(script)
      const elsewhere = VisualProperties.prototype._get_css_value()
      VisualProperties.prototype._get_css_value = own
      return [own.call({}), elsewhere]
    }"""
    assert visit.page.evaluate(read, script) == ["", "red"]
    site.check()
