"""Makes the pictures of README and docs anew: runs the demonstrations, serves them, photographs the page.

The pictures of film reviews and newswires leave out the panes with running text: those corpora's texts are not ours to
spread. Single words and everything computed from the texts are shown. The other pictures show functions of Python's
standard library.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from hiddenstate_core.pipeline import ProjectionOptions, project, run_demo
from hiddenstate_core.traces import Trace

HERE = Path(__file__).parent / "pictures"
CHROMIUM = os.environ.get("HIDDENSTATE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--hide-scrollbars"]
#: Half of the space between two columns, and what a column's title is away from its edge.
GAP, PADDING = 6, 17
#: Whether the pictures of all maps in sight are on the screen.
DRAWN = """() => {
  const maps = window.hiddenstateMaps
  if (!maps) return false
  const shown = Array.from(maps.maps.values()).filter((map) => map.fitted && map.plot.inner_width > 0)
  return shown.length > 0 && shown.every((map) => maps.state(map.id).current)
}"""


@dataclasses.dataclass(frozen=True)
class Shot:
    """One picture of a page.

    Parameters
    ----------
    name : str
        File name without its ending.
    query : str
        State of the page, as in its address.
    parts : str
        What is kept of it: ``page``, or columns from the first to the last of ``left``, ``map`` and ``table``, such as
        ``left-map``; ``charts`` for what lies below the words.
    wide, high : int
        Size of the browser's window.
    wait : str
        Something that must be there before the picture is taken.
    """

    name: str
    query: str = ""
    parts: str = "page"
    wide: int = 1440
    high: int = 900
    wait: str = ""


#: A function that is taken for asyncio's, and the same with another parameter.
WRONG = 30
EDITED = (
    "def starmap_async ( self , func , iterable , chunksize = None , initializer = None , error_callback = None ) : "
    "return self . _map_async ( func , iterable , starmapstar , chunksize , initializer , error_callback )"
)
WORDS = EDITED.replace(" ", "+")
LABELS = "label-after-distance=on"
SHOTS: dict[str, tuple[Shot, ...]] = {
    "stdlib": (
        Shot("viewer", f"sequence=7&{LABELS}"),
        Shot("viewer-dark", f"sequence=7&{LABELS}&theme=dark"),
        Shot("viewer-overview"),
        Shot("wrong-cell", "class=multiprocessing&predicted=asyncio"),
        Shot("wrong-sequence", f"class=multiprocessing&predicted=asyncio&sequence={WRONG}&{LABELS}"),
        Shot("wrong-step", f"sequence={WRONG}&{LABELS}&step=13", "left-map"),
        Shot("wrong-word", f"words=callback&sequence={WRONG}&compare=63"),
        Shot("compare-edited", f"sequence={WRONG}&text={WORDS}", wait=".hs-outcomes"),
        Shot("compare-recorded", f"sequence={WRONG}&compare=63,71&words=callback", "map", high=760),
        Shot("words-change", "colour=change", "map", high=760),
        Shot("words-flips", "flips=_reader&sequence=125&label-after-flip=on"),
        Shot("words-distance", f"words=_loop&sequence=1&distance-threshold=60&{LABELS}", "left-map"),
        Shot("maps-beside", f"beside=pca&sequence={WRONG}", "map", wide=1600, high=760),
        Shot("maps-trust", "beside=pca&colour=trust:tsne", "map", wide=1600, high=760),
        Shot("maps-lasso", "beside=pca", "map", wide=1600, high=760),
    ),
    "stdlib-two": (Shot("layers", f"projection=layer-1&beside=layer-2&sequence={WRONG}", "left-map", wide=1800),),
    "imdb": (
        Shot("imdb-overview", "", "left-map"),
        Shot("imdb-trajectory", "sequence=3", "map"),
        Shot("imdb-evolution", "sequence=3", "charts"),
    ),
    "reuters": (
        Shot("reuters-overview", "", "left-map"),
        Shot("reuters-trajectory", "sequence=15", "map"),
        Shot("reuters-evolution", "sequence=15", "charts"),
    ),
}


def main() -> None:
    """Make every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("hiddenstate-pictures"), help="where the demonstrations go")
    parser.add_argument("--only", choices=tuple(SHOTS), nargs="+", default=tuple(SHOTS), help="these stores only")
    parser.add_argument("--name", default="", help="pictures whose name begins so only")
    arguments = parser.parse_args()
    HERE.mkdir(exist_ok=True)
    for store in arguments.only:
        shots = [shot for shot in SHOTS[store] if shot.name.startswith(arguments.name)]
        if not shots:
            continue
        trace = (
            two_layers(arguments.work / store)
            if store == "stdlib-two"
            else run_demo(store, arguments.work / store, say=print)
        )
        with browser_of(trace) as (address, browser):
            for shot in shots:
                take(shot, address, browser)


def two_layers(out: Path) -> Trace:
    """The same functions read by two layers, each with a map of its own; kept if it is there."""
    import hiddenstate_core as hs
    from hiddenstate_core.models.recipes import recipe

    if not (out / "trace.zarr").exists():
        made = recipe("stdlib")
        corpus = hs.load_corpus("stdlib", vocabulary=made.vocabulary)
        model = hs.train(corpus, made.spec.replace(hidden=(48, 48)), made.options)
        model.save(out / "model")
        hs.extract(model, corpus.test.select(range(150)), out / "trace.zarr")
    trace = hs.open_trace(out / "trace.zarr")
    for layer in (0, 1):
        project(trace, f"layer-{layer + 1}", ProjectionOptions(perplexity=50, layer=layer))
    return trace


@contextmanager
def browser_of(trace: Trace) -> Iterator[tuple[str, Any]]:
    """The address at which a trace is served, and a headless browser."""
    from hiddenstate_viewer import start

    with start(trace.path) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield server.address, browser
        browser.close()


def take(shot: Shot, address: str, browser: Any) -> None:
    """Open a page in the state wanted, wait until everything is drawn, and photograph it."""
    page = browser.new_page(viewport={"width": shot.wide, "height": shot.high})
    page.on("pageerror", lambda error: print(f"{shot.name}: {error}"))
    page.goto(f"{address}?{shot.query}", timeout=180_000)
    page.locator(".tabulator-row").first.wait_for(timeout=60_000)
    page.wait_for_function(DRAWN, timeout=60_000)
    if shot.wait:
        page.locator(shot.wait).first.wait_for(timeout=60_000)
    action = ACTIONS.get(shot.name)
    if action is not None:
        action(page)
    page.wait_for_timeout(3000)  # labels are placed and pictures drawn once more when fonts and sizes are settled
    page.wait_for_function(DRAWN, timeout=60_000)
    save(page.screenshot(clip=clip(page, shot)), shot.name)
    page.close()


def clip(page: Any, shot: Shot) -> Any:
    """The rectangle of a page that is kept."""
    if shot.parts == "page":
        return {"x": 0, "y": 0, "width": shot.wide, "height": shot.high}
    edges = {"left": 0.0, "map": title(page, "Hidden states")["x"], "table": title(page, "Sequences")["x"]}
    left, right = 2.0 * GAP + PADDING, float(shot.wide)
    starts = {name: left + PADDING if name == "left" else x for name, x in edges.items()}
    foot = page.locator(".hs-sentence").first.bounding_box()["y"] - GAP
    top = 56.0
    if shot.parts == "charts":
        first, last = "left", "left"
        top = title(page, "Class probability")["y"] - GAP
    else:
        first, _, last = shot.parts.partition("-")
        last = last or first
    names = list(starts)
    following = names[names.index(last) + 1 :]
    begin = 0.0 if first == "left" else starts[first] - PADDING - GAP
    end = starts[following[0]] - PADDING - GAP if following else right
    if shot.parts == "charts":
        begin, end, foot = begin + PADDING, end - PADDING, foot - PADDING
    return {"x": begin, "y": top, "width": end - begin, "height": foot - top}


def title(page: Any, text: str) -> Any:
    """Where a pane's title in sight stands."""
    found = page.locator(".hs-title", has_text=text).filter(visible=True)
    return found.first.bounding_box()


def lasso(page: Any) -> None:
    """Draw a box around the group of states in the first map's upper right."""
    buttons = page.get_by_role("button", name="Box")
    (buttons if buttons.count() else page.get_by_text("Box", exact=True)).first.click()
    plot = page.evaluate(
        """() => {
          const map = Array.from(window.hiddenstateMaps.maps.values())[0]
          const view = Bokeh.index.find_one_by_id(map.plot.id)
          const frame = view.el.getBoundingClientRect()
          return [frame.x, frame.y, frame.width, frame.height]
        }"""
    )
    x, y, wide, high = plot
    page.mouse.move(x + 0.58 * wide, y + 0.24 * high)
    page.mouse.down()
    page.mouse.move(x + 0.82 * wide, y + 0.42 * high, steps=12)
    page.mouse.up()
    page.wait_for_timeout(500)
    page.mouse.move(5, 5)


#: What is done by hand before a picture is taken.
ACTIONS: dict[str, Callable[[Any], None]] = {"maps-lasso": lasso}


def save(png: bytes, name: str) -> None:
    """Keep a screenshot in 256 colours, chosen to be near all that there are; the page has few more."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    packed = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    path = HERE / f"{name}.png"
    packed.save(path, optimize=True)
    print(f"{path} {picture.size[0]} x {picture.size[1]}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
