"""Traces, a served page and a headless Chromium for the viewer's tests."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hiddenstate_core.traces import Trace
from tests.fakes import make_trace

pytest.importorskip("panel", reason="needs the viewer extra: python -m pip install 'hiddenstate[viewer]'")

from hiddenstate_viewer.data import ViewData

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


HERE = Path(__file__).parent
#: Panel's use of pandas that pandas 3.1 is about to drop: nothing that a caller of ours can change.
THEIRS = (
    "ignore:The inplace keyword in DataFrame:DeprecationWarning",
    "ignore:The inplace keyword in DataFrame:FutureWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            for message in THEIRS:
                item.add_marker(pytest.mark.filterwarnings(message))


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small stores: two classes, five, ninety, none of them projected, two layers."""
    folder = tmp_path_factory.mktemp("stores")
    make_trace(folder / "binary.zarr", 60)
    make_trace(folder / "five.zarr", 50, classes=5, unlabelled=4)
    make_trace(folder / "many.zarr", 120, classes=90, projections=("pca", "tsne"))
    make_trace(folder / "bare.zarr", 12, projections=())
    make_trace(folder / "deep.zarr", 16, hidden=(8, 6))
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture
def data(stores: dict[str, Path]) -> Callable[[str], ViewData]:
    """What the views share of one of the stores."""
    return lambda name: ViewData(Trace(stores[name]))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: python -m pip install playwright")
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if path is None:
        pytest.skip("needs a browser: install Debian's chromium")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=path, args=FLAGS.split())
        yield browser
        browser.close()


@dataclasses.dataclass
class Tab:
    """A browser tab that remembers what went wrong in it and what it asked of others than this machine."""

    page: Any
    complaints: list[str]
    strangers: list[str]

    def marked(self) -> dict[str, Any]:
        """What the shared cursor marks."""
        return self.page.evaluate("() => window.hiddenstate.marked()")

    def wait(self, condition: str, argument: Any = None) -> None:
        """Wait until a JavaScript condition holds."""
        self.page.wait_for_function(condition, arg=argument, timeout=30_000)


@pytest.fixture
def open_tab(chromium: Any) -> Iterator[Callable[..., Tab]]:
    """Opens an address, 1440 x 900."""
    contexts: list[Any] = []

    def open_tab(address: str, *, offline: bool = False) -> Tab:
        context = chromium.new_context(viewport={"width": 1440, "height": 900}, offline=offline)
        contexts.append(context)
        page = context.new_page()
        tab = Tab(page, [], [])
        page.on("console", lambda m: tab.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:")
        page.on("request", lambda r: None if r.url.startswith(local) else tab.strangers.append(r.url))
        page.goto(address)
        return tab

    yield open_tab
    for context in contexts:
        context.close()
