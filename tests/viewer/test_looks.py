"""How the page looks in both themes: pictures of its panes, its grid at every width, contrast, names, the Tab key."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.viewer.browsing import DEEP, FIND, Site, Visit, visiting

pytestmark = pytest.mark.browser
PICTURES = Path(__file__).with_name("pictures")
#: Pixels on the screen that are one in a kept picture: fonts differ between machines, and a glyph is smaller than this.
BLOCK = 6
#: Share of the range of colours by which blocks may differ: in the mean, and those that differ most (one in a hundred).
MEAN, WORST = 0.025, 0.30
THEMES = ("light", "dark")
SIZES = ((1280, 720), (1440, 900), (1920, 1080), (2560, 1440))


@pytest.fixture(scope="module")
def site(stores: dict[str, Path], chromium: Any) -> Iterator[Site]:
    with visiting(stores, ("binary", "five", "deep", "bare"), chromium) as site:
        yield site


@pytest.fixture
def go(site: Site) -> Iterator[Site]:
    yield site
    site.check()


#: Panes of the page as boxes of the screen: the children of the row of cards, and of the page itself.
BOXES = """() => {
  const out = {}
  const area = (e) => e.getBoundingClientRect().width * e.getBoundingClientRect().height
  const visible = (e) => e.checkVisibility() && area(e) > 0
  const page = (function deep(root) {
    for (const e of root.querySelectorAll("*")) {
      if (e.classList?.contains("hs-page")) return e
      const inner = e.shadowRoot && deep(e.shadowRoot)
      if (inner) return inner
    }
  })(document)
  const children = (e) => Array.from(e.shadowRoot.children).filter((c) => c.tagName === "DIV" && visible(c))
  const box = (e) => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom] }
  const parts = children(page)
  parts.forEach((part, i) => { out[`part ${i}`] = box(part) })
  const cards = children(parts.reduce((a, b) => area(a) > area(b) ? a : b))
  cards.forEach((card, i) => { out[`card ${i}`] = box(card) })
  return out
}"""


def cards(visit: Visit) -> dict[str, list[float]]:
    """Boxes of the three cards, left to right: what is read or the data set, the map, the table."""
    found = visit.page.evaluate(BOXES)
    boxes = [box for name, box in found.items() if name.startswith("card")]
    assert len(boxes) == 3, found
    return dict(zip(("left", "map", "table"), sorted(boxes), strict=True))


def settled(visit: Visit) -> None:
    """Wait until fonts, pictures and marks stand."""
    visit.page.mouse.move(0, 0)
    if visit.selection.projection is not None:
        visit.drawn()
    visit.sync()
    visit.page.evaluate("() => document.fonts.ready.then(() => new Promise((done) => "
                        "requestAnimationFrame(() => requestAnimationFrame(done))))")  # fmt: skip


def small(visit: Visit, box: list[float]) -> np.ndarray:
    """Mean colours of the blocks of a part of the screen, (h, w, 3) in 0 to 1."""
    left, top, right, bottom = (round(v) for v in box)
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    taken = visit.page.screenshot(clip=clip, animations="disabled")
    with Image.open(io.BytesIO(taken)) as image:
        size = (-(-image.width // BLOCK), -(-image.height // BLOCK))
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX), np.float64) / 255


def differs(found: np.ndarray, kept: np.ndarray) -> str:
    """What is wrong with a picture, in a sentence; empty where it is right."""
    if abs(found.shape[0] - kept.shape[0]) > 1 or abs(found.shape[1] - kept.shape[1]) > 1:
        return f"it is {found.shape[1]} x {found.shape[0]} blocks, not {kept.shape[1]} x {kept.shape[0]}"
    high, wide = (min(a, b) for a, b in zip(found.shape[:2], kept.shape[:2], strict=True))
    apart = np.abs(found[:high, :wide] - kept[:high, :wide]).max(axis=2)
    mean, worst = float(apart.mean()), float(np.quantile(apart, 0.99))
    return "" if mean <= MEAN and worst <= WORST else f"blocks differ by {mean:.3f}, one in a hundred by {worst:.3f}"


STATES = {
    "overview": "",
    "sequence": "sequence=4&step=11&label-after-distance=on&distance-threshold=60",
    "compare": "sequence=4&compare=6,9&flows=0,1&colour=confidence",
}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("state", STATES)
def test_panes_look_as_they_did(go: Site, pytestconfig: pytest.Config, state: str, theme: str) -> None:
    visit = go("binary", f"{STATES[state]}&theme={theme}".strip("&"))
    if state != "overview":
        visit.words(4)
    settled(visit)
    if state == "compare":
        flows = "() => window.hiddenstate.pages.values().next().value.maps[0].plot.renderers"
        visit.wait(f"{flows.replace('() => ', '() => (')}).some((r) => r.glyph.type === 'MultiLine' && "
                   "r.data_source.data.xs.length > 5)")  # fmt: skip
        settled(visit)
    problems = []
    for name, box in cards(visit).items():
        if name == "table" and state != "overview":
            continue
        kept = PICTURES / f"{state}-{name}-{theme}.png"
        found = small(visit, box)
        if pytestconfig.getoption("--make-pictures", default=False):
            PICTURES.mkdir(exist_ok=True)
            Image.fromarray(np.rint(255 * found).astype(np.uint8)).save(kept, optimize=True)
            continue
        with Image.open(kept) as image:
            problem = differs(found, np.asarray(image.convert("RGB"), np.float64) / 255)
        if problem:
            problems.append(f"{kept.name}: {problem}")
    assert not problems, "\n".join([*problems, "If that is meant: pytest tests/viewer/test_looks.py --make-pictures"])


def test_a_picture_that_is_not_right_is_told(go: Site) -> None:
    # The tolerance lets another font through, but no missing chart, no other theme, no lost colour.
    with Image.open(PICTURES / "overview-left-light.png") as image:
        kept = np.asarray(image.convert("RGB"), np.float64) / 255
    assert differs(kept, kept) == ""
    rng = np.random.default_rng(0)
    assert differs(np.clip(kept + rng.normal(0, 0.02, kept.shape), 0, 1), kept) == ""
    assert differs(1 - kept, kept)
    assert differs(np.repeat(kept.mean(axis=2, keepdims=True), 3, axis=2), kept)  # without its colours
    gone = kept.copy()
    gone[len(kept) // 2 : len(kept) * 3 // 4] = 1.0
    assert differs(gone, kept)
    assert differs(kept[:-4], kept)
    visit = go("binary")
    settled(visit)
    visit.do(lambda: visit.session.overview.bars.plot.update(visible=False))
    visit.sync()
    settled(visit)
    found = small(visit, cards(visit)["left"])
    visit.do(lambda: visit.session.overview.bars.plot.update(visible=True))
    visit.sync()
    assert differs(found, kept)


def overlap(a: list[float], b: list[float]) -> bool:
    return a[0] < b[2] - 0.5 and b[0] < a[2] - 0.5 and a[1] < b[3] - 0.5 and b[1] < a[3] - 0.5


#: Text that its element has no room for and that is not cut with an ellipsis, and what reaches out of its card.
CLIPPED = """() => {
  const out = []
  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true })
  const walk = (root) => {
    for (const e of root.querySelectorAll("*")) {
      if (e.shadowRoot) walk(e.shadowRoot)
      if (/^(SELECT|INPUT|BUTTON|TEXTAREA)$/.test(e.tagName) && shown(e)) {
        const { left, right } = e.getBoundingClientRect()
        for (let p = e; p; p = p.assignedSlot ?? p.parentElement ?? p.getRootNode().host) {
          const ground = p.getBoundingClientRect()
          if (getComputedStyle(p).overflowX === "hidden" && (left < ground.left - 0.5 || right > ground.right + 0.5))
            out.push(`behind an edge: ${e.ariaLabel ?? e.textContent.slice(0, 40)}`)
        }
      }
      if (!shown(e) || !/^(BUTTON|SPAN|B|SMALL|P|LABEL|DIV)$/.test(e.tagName)) continue
      const own = Array.from(e.childNodes).filter((n) => n.nodeType === 3).map((n) => n.textContent.trim()).join("")
      if (!own) continue
      const style = getComputedStyle(e)
      const box = e.getBoundingClientRect()
      if (box.width <= 1) continue // for screen readers only
      if (box.left < -0.5 || box.right > innerWidth + 0.5 || box.top < -0.5 || box.bottom > innerHeight + 0.5) {
        let hidden = false
        for (let p = e; p; p = p.parentElement ?? p.getRootNode().host)
          hidden ||= /auto|scroll|hidden/.test(getComputedStyle(p).overflowY)
        if (!hidden) out.push(`outside: ${own.slice(0, 40)}`)
      }
      if (style.overflowX === "hidden" && style.textOverflow !== "ellipsis" && e.scrollWidth > e.clientWidth + 1)
        out.push(`cut: ${own.slice(0, 40)}`)
    }
  }
  walk(document)
  return out
}"""


@pytest.mark.parametrize("query", ["", "sequence=4&compare=6", "sequence=4&beside=pca&class=positive"])
def test_the_grid_holds(go: Site, query: str) -> None:
    visit = go("deep", query)
    if query:
        visit.words(4)
    for width, height in SIZES:
        visit.page.set_viewport_size({"width": width, "height": height})
        visit.wait("([width, height]) => innerWidth === width && innerHeight === height", [width, height])
        visit.until(
            functools.partial(lambda width: cards(visit)["table"][2] > width - 40, width), "the page's new size"
        )
        settled(visit)
        holds(visit, width, height, maps=2 if "beside" in query else 1)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_long_name_in_the_legend_keeps_its_colour_and_ends_in_dots(go: Site, classes: int) -> None:
    from hiddenstate_viewer.colours import Palette
    from hiddenstate_viewer.words import legend_html

    visit = go("five")
    long = "a very long name of a class that goes on and on " * 3
    legend = legend_html(Palette.of([long, "short", *["other"] * (classes - 2)]))
    visit.do(lambda: setattr(visit.session._legend, "object", legend))
    visit.wait(f"() => ({DEEP})('.hs-legend [title^=\"a very\"]')")
    (name, mark, ground, short) = visit.page.evaluate(f"""() => {{
      const name = ({DEEP})('.hs-legend [title^="a very"]')
      const mark = name.parentElement.querySelector("i")
      const short = ({DEEP})('.hs-legend [title="short"]')
      const box = (e) => (({{ left, right, width, height }}) => [left, right, width, height])(e.getBoundingClientRect())
      return [[...box(name), getComputedStyle(name).textOverflow, name.scrollWidth > name.clientWidth],
        box(mark), box(name.parentElement), [short.scrollWidth, short.clientWidth]]
    }}""")
    assert name[4:] == ["ellipsis", True]
    assert mark[2:] == ([112, 8] if classes == 2 else [9, 9])
    assert name[2] > 60
    for left, right in (name[:2], mark[:2]):
        assert ground[0] - 0.5 <= left < right <= ground[1] + 0.5
    assert short[0] <= short[1]  # nothing is taken from a name that fits
    assert visit.page.evaluate(CLIPPED) == []
    visit.do(visit.session._show_legend)
    visit.sync()


@pytest.mark.parametrize("width", [1179, 1024, 800])
def test_on_a_narrow_page_cards_lie_under_each_other_and_nothing_is_cut(go: Site, width: int) -> None:
    go.leave()
    visit = go("five", "sequence=4", width=width, height=768)
    visit.words(4)
    settled(visit)
    boxes = visit.page.evaluate(BOXES)
    assert visit.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]") == [width, width]
    cards = sorted((box for name, box in boxes.items() if name.startswith("card")), key=lambda box: box[1])
    assert len(cards) == 3
    for left, top, right, bottom in cards:
        assert right - left == pytest.approx(width - 32, abs=1)
        assert bottom - top >= 430
    assert all(upper[3] < lower[1] for upper, lower in itertools.pairwise(cards))
    at = visit.page.evaluate(f"() => Bokeh.index.find_one(({FIND})('hs-map')).el.getBoundingClientRect().top")
    assert cards[0][1] < at < cards[0][3]
    foot = max((box for name, box in boxes.items() if name.startswith("part")), key=lambda box: box[1])
    assert foot[1] > cards[-1][3]
    for name in ("Options", "Export", "Dark"):
        box = visit.page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box["x"] + box["width"] <= width - 8, name
    go.leave()


def holds(visit: Visit, width: int, height: int, *, maps: int) -> None:
    """Nothing scrolls, overlaps, is cut or reaches out of the page, and maps take the room that they have."""
    size = visit.page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size == [width, height]
    boxes = visit.page.evaluate(BOXES)
    for group in ("part", "card"):
        among = [(name, box) for name, box in boxes.items() if name.startswith(group)]
        for i, (name, box) in enumerate(among):
            assert -0.5 <= box[0] < box[2] <= width + 0.5, (name, box)
            assert -0.5 <= box[1] < box[3] <= height + 0.5, (name, box)
            assert not [other for other, its in among[:i] if overlap(box, its)], name
    left, middle, right = cards(visit).values()
    assert left[1] == middle[1] == right[1]
    assert left[3] == middle[3] == right[3]
    assert middle[2] - middle[0] > right[2] - right[0] >= 300
    assert middle[2] - middle[0] > left[2] - left[0] >= 300
    assert visit.page.evaluate(CLIPPED) == []
    # Columns fill the table.
    columns = visit.page.locator(".hs-table .tabulator-header .tabulator-col:visible").evaluate_all(
        "(all) => [Math.max(...all.map((e) => e.getBoundingClientRect().right)),"
        " all[0].closest('.tabulator').getBoundingClientRect().right]"
    )
    assert columns[0] == pytest.approx(columns[1], abs=3)
    # Maps are as large as their card lets them.
    plots = visit.page.evaluate("""() => window.hiddenstate.pages.values().next().value.maps.slice(0, 2)
      .map(({ plot }) => Bokeh.index.find_one(plot)?.el.getBoundingClientRect())
      .map((b) => b && [b.width, b.height])""")
    shown = [plot for plot in plots if plot and plot[0]]
    assert len(shown) == maps
    assert sum(plot[0] for plot in shown) > 0.9 * (middle[2] - middle[0]) - 40
    assert min(plot[1] for plot in shown) > 0.5 * (middle[3] - middle[1])


#: Text against the ground it stands on: every visible element with text of its own, with the ratio of WCAG 2.1.
CONTRAST = """() => {
  const out = new Map()
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
  const rgba = (css) => {
    canvas.clearRect(0, 0, 1, 1)
    canvas.fillStyle = css
    canvas.fillRect(0, 0, 1, 1)
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data
    return [r, g, b, a / 255]
  }
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]))
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const up = (e) => e.assignedSlot ?? e.parentElement ?? e.getRootNode().host
  const ground = (e) => {
    if (!e) return [255, 255, 255]
    const style = getComputedStyle(e)
    if (style.backgroundImage !== "none") return null
    const own = rgba(style.backgroundColor)
    if (own[3] === 1) return own.slice(0, 3)
    const below = ground(up(e))
    return below && over(own, below)
  }
  const faded = (e) => {
    for (let at = e; at; at = up(at)) if (Number(getComputedStyle(at).opacity) < 1) return true
    return false
  }
  const walk = (root) => {
    for (const e of root.querySelectorAll("*")) {
      if (e.shadowRoot) walk(e.shadowRoot)
      if (/^(STYLE|SCRIPT|TITLE|OPTION)$/.test(e.tagName) || /range|checkbox/.test(e.type)) continue
      if (!e.checkVisibility() || e.disabled) continue
      const text = Array.from(e.childNodes).filter((n) => n.nodeType === 3).map((n) => n.textContent.trim()).join("")
      if ((!text && !e.value) || !e.getBoundingClientRect().width || faded(e)) continue
      const style = getComputedStyle(e)
      const below = ground(e)
      if (!below) continue
      const [a, b] = [light(over(rgba(style.color), below)), light(below)].sort((x, y) => y - x)
      const ratio = (a + 0.05) / (b + 0.05)
      const name = `${e.tagName.toLowerCase()}.${e.className}: ${(text || e.value).slice(0, 30)}`
      if (ratio < 4.5) out.set(name, Math.round(100 * ratio) / 100)
    }
  }
  walk(document)
  return Object.fromEntries(out)
}"""


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read(go: Site, theme: str) -> None:
    visit = go("five", f"theme={theme}")
    visit.page.get_by_role("button", name="Options").click()
    visit.page.locator(".noUi-handle").first.wait_for()
    settled(visit)
    assert visit.page.evaluate(CONTRAST) == {}
    visit.page.keyboard.press("Escape")
    visit = go("binary", f"theme={theme}&sequence=4&compare=6&class=positive&step=3")
    visit.words(4)
    settled(visit)
    assert visit.page.evaluate(CONTRAST) == {}


_GROUNDS = ("RootWebArea", "option", "MenuListPopup", "generic")


def focusable(visit: Visit) -> list[tuple[str, str]]:
    """Role and name of all that can be focused, as a screen reader has them."""
    client = visit.page.context.new_cdp_session(visit.page)
    try:
        client.send("Accessibility.enable")
        nodes = client.send("Accessibility.getFullAXTree")["nodes"]
    finally:
        client.detach()
    found = []
    for node in nodes:
        properties = {p["name"]: p["value"].get("value") for p in node.get("properties", [])}
        role = node.get("role", {}).get("value", "")
        # What is generic is a ground that takes the keys of what lies in it, such as a chart or a list that scrolls.
        if not node.get("ignored") and properties.get("focusable") and role not in _GROUNDS:
            found.append((role, node.get("name", {}).get("value", "").strip()))
    return found


#: What has the focus, through all shadow trees, and its place on the screen.
FOCUSED = """() => {
  let e = document.activeElement
  while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement
  const b = e.getBoundingClientRect()
  const name = e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || e.placeholder || ""
  return [e === document.body ? "" : e.tagName, name.trim().split("\\n")[0], b.width > 0 && b.height > 0]
}"""


def test_controls_have_names_and_are_reached_by_tab(go: Site) -> None:
    visit = go("deep", "sequence=4&beside=pca")
    visit.words(4)
    visit.page.get_by_role("button", name="Options").click()
    visit.page.locator(".noUi-handle").first.wait_for()
    settled(visit)
    controls = focusable(visit)
    assert [control for control in controls if not control[1]] == []
    names = [name for _, name in controls]
    wanted = (
        "Search sequences", "Filter", "Options", "Export", "Dark", "Play", "Word at which the views stand", "Clear",
        "layer", "quantity", "map", "beside", "colour", "Pan", "Box", "Lasso", "Whole map", "line width", "point size",
        "thicker with time", "fade wrong ones", "negative", "Show Page 1", "label words before, change of class",
        "Rows whose id contains",
    )  # fmt: skip
    charts = ("Map of hidden states", "Second map of hidden states", "Class probability over time", "Step distances")
    assert [name for name in wanted if name not in names] == []
    # The Tab key comes by all of them once, and leaves the page again without a detour through a thousand cells.
    visit.page.evaluate("() => { document.activeElement?.blur(); window.getSelection().removeAllRanges() }")
    visit.page.mouse.click(5, 890)
    seen: list[tuple[str, str]] = []
    for _ in range(150):
        visit.page.keyboard.press("Tab")
        tag, name, visible = visit.page.evaluate(FOCUSED)
        if not tag:
            break
        if seen and (tag, name) == seen[0] and len(seen) > 20:
            break
        assert visible, name
        seen.append((tag, name))
    reached = {name for _, name in seen}
    assert [name for name in (*wanted, *charts) if name not in reached] == []
    assert len(seen) < 110


def test_a_focused_control_is_seen_to_be_so(go: Site) -> None:
    visit = go("deep", "sequence=4")
    visit.words(4)
    for role, name in (("button", "Options"), ("button", "Play"), ("combobox", "colour"), ("button", "Lasso")):
        control = visit.page.get_by_role(role, name=name).first
        visit.page.mouse.click(5, 890)
        control.focus()
        visit.page.keyboard.press("Shift")  # the keyboard is in use
        style = control.evaluate("(e) => { const s = getComputedStyle(e); return [s.outlineStyle, s.boxShadow] }")
        assert style != ["none", "none"], name


def test_a_chart_is_framed_for_the_keyboard_and_not_for_a_click(go: Site) -> None:
    visit = go("deep")
    settled(visit)
    style = "(e) => [e.matches(':focus'), getComputedStyle(e).outlineStyle]"
    for name, label in (("hs-map", "Map of hidden states"), ("hs-confusion", "Confusion matrix")):
        chart = visit.page.get_by_label(label, exact=True)
        box = visit.page.evaluate(f"(n) => {{ const b = Bokeh.index.find_one(({FIND})(n)).el.getBoundingClientRect(); "
                                  "return [b.x, b.y] }", name)  # fmt: skip
        visit.page.mouse.click(box[0] + 2, box[1] + 2)  # where there is nothing to choose
        assert chart.evaluate(style) == [True, "none"], name
        visit.page.keyboard.press("Tab")
        visit.page.keyboard.press("Shift+Tab")
        focused, outline = chart.evaluate(style)
        assert focused, name
        assert outline != "none", name


def test_the_page_is_wholly_of_one_theme(go: Site) -> None:
    visit = go("deep", "theme=dark&sequence=4")
    visit.words(4)
    settled(visit)
    taken = visit.page.screenshot()
    with Image.open(io.BytesIO(taken)) as image:
        grey = np.asarray(image.convert("L"))
    assert (grey < 80).mean() > 0.85
