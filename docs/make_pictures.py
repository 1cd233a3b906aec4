"""Makes the pictures of README and docs anew: runs the demonstrations, serves them, photographs the page.

The pictures of film reviews and newswires leave out the panes with running text: those corpora's texts are not ours to
spread. Single words and everything computed from the texts are shown.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from hiddenstate_core.pipeline import run_demo
from hiddenstate_core.traces import Trace

HERE = Path(__file__).parent / "pictures"
CHROMIUM = os.environ.get("HIDDENSTATE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--hide-scrollbars"]
WIDTH, HEIGHT, GAP = 1440, 900, 22
#: Sequences whose trajectories are shown in the use cases.
SHOWN = {"imdb": 3, "reuters": 15}


def main() -> None:
    """Make every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("hiddenstate-pictures"), help="where the demonstrations go")
    parser.add_argument("--only", choices=("stdlib", "imdb", "reuters"), help="one corpus only")
    arguments = parser.parse_args()
    HERE.mkdir(exist_ok=True)
    for name, shoot in (("stdlib", shoot_stdlib), ("imdb", shoot_use_case), ("reuters", shoot_use_case)):
        if arguments.only in (None, name):
            trace = run_demo(name, arguments.work / name, say=print)
            with page_of(trace) as page:
                shoot(name, trace, page)


@contextmanager
def page_of(trace: Trace) -> Iterator[Any]:
    """The trace's page in a headless browser, loaded."""
    from hiddenstate_viewer.serve import start

    with start(trace.path) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(server.address)
        page.wait_for_selector(".tabulator-row", timeout=60_000)
        page.wait_for_timeout(3000)
        yield page
        browser.close()


def select(page: Any, trace: Trace, sequence: int) -> None:
    """Choose a sequence among the first rows of the table, which come in the trace's order."""
    row = page.locator(".tabulator-row").nth(sequence)
    assert trace.ids[sequence] in row.inner_text()
    row.click()
    page.wait_for_timeout(2500)


def shoot_stdlib(_name: str, trace: Trace, page: Any) -> None:
    """The whole page: first without, then with a selection."""
    save(page.screenshot(), "viewer-overview")
    select(page, trace, 7)
    save(page.screenshot(), "viewer")


def shoot_use_case(name: str, trace: Trace, page: Any) -> None:
    """The panes without running text: data overview and map, then one sequence's trajectory and its charts."""
    right, middle = (at(page, title)["x"] - GAP for title in ("Sequences", "Hidden states"))
    save(page.screenshot(clip=box(0, 0, right, HEIGHT)), f"{name}-overview")
    select(page, trace, SHOWN[name])
    save(page.screenshot(clip=box(middle, 48, right, HEIGHT)), f"{name}-trajectory")
    top = at(page, "Class probability")["y"] - 12
    save(page.screenshot(clip=box(16, top, middle - 8, HEIGHT - 16)), f"{name}-evolution")


def at(page: Any, title: str) -> Any:
    """Where a pane's title stands."""
    return page.locator(".hs-title", has_text=re.compile(f"^{title}")).first.bounding_box()


def box(left: float, top: float, right: float, bottom: float) -> Any:
    """Rectangle of a page."""
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def save(png: bytes, name: str) -> None:
    """Keep a screenshot, packed as tightly as PNG goes (fewer colours would merge classes)."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    path = HERE / f"{name}.png"
    picture.save(path, optimize=True)
    print(f"{path} {picture.size[0]} x {picture.size[1]}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
