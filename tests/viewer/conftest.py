"""Traces, a served page and a headless Chromium for the viewer's tests."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hiddenstate_core.corpora.corpus import Corpus, Vocabulary
from hiddenstate_core.traces import Trace, extract
from tests.fakes import make_corpus, make_model, make_trace

pytest.importorskip("panel", reason="needs the viewer extra: python -m pip install 'hiddenstate[viewer]'")

from hiddenstate_viewer.data import ViewData

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --font-render-hinting=none"
)
#: Milliseconds after which something that is waited for is taken never to come, on a busy machine.
PATIENCE = 120_000

HERE = Path(__file__).parent
#: Panel's use of pandas that pandas 3.1 is about to drop: nothing that a caller of ours can change.
THEIRS = (
    "ignore:The inplace keyword in DataFrame:DeprecationWarning",
    "ignore:The inplace keyword in DataFrame:FutureWarning",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--make-pictures", action="store_true", help="make the reference pictures of the viewer's panes anew"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            for message in THEIRS:
                item.add_marker(pytest.mark.filterwarnings(message))


# -- stores ---------------------------------------------------------------------------------------------------------


def _project(trace: Trace, *names: str) -> Trace:
    """The states on their first two principal axes, whatever they are called."""
    states = np.asarray(trace.hidden(), np.float64)
    axes = np.linalg.svd(states - states.mean(0), full_matrices=False)[2][:2]
    for name in names:
        flat = ((states - states.mean(0)) @ axes.T).astype(np.float32)
        trace.add_projection(name, flat, attributes={"method": "pca"})
    return trace


def _both(path: Path) -> None:
    import jax.numpy as jnp

    from hiddenstate_core.models import Model, ModelSpec
    from hiddenstate_core.models.network import parameter_shapes

    corpus, rng = make_corpus(16), np.random.default_rng(0)
    spec = ModelSpec(hidden=(5,), embedding=6, direction="both")
    shapes = parameter_shapes(spec, len(corpus.vocabulary), len(corpus.classes))
    params = {name: jnp.asarray(rng.normal(size=shape) * 0.8, np.float32) for name, shape in shapes.items()}
    _project(extract(Model(spec, corpus.vocabulary, corpus.classes, params), corpus, path, progress=False), "tsne")


def _sparse(path: Path) -> None:
    from hiddenstate_core.traces import Record

    corpus = make_corpus(16)
    record = Record(every=3, hidden=True, cell=False, gates=())
    _project(extract(make_model(corpus), corpus, path, record=record, progress=False), "tsne")


def make_reviews(count: int = 120) -> Corpus:
    """Reviews of a few words each, whose class their last telling word decides."""
    rng = np.random.default_rng(3)
    words = ("<unk>", "the", "film", "was", "and", "then", "good", "bad", "touching", "dull")
    lengths = rng.integers(3, 13, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = rng.integers(1, len(words), offsets[-1]).astype(np.int32)
    labels = np.zeros(count, np.int32)
    for i in range(count):
        telling = [t for t in tokens[offsets[i] : offsets[i + 1]].tolist() if t >= 6]
        labels[i] = 0 if not telling else (telling[-1] in (6, 8))
    return Corpus(
        name="reviews", tokens=tokens, surface=tokens, offsets=offsets, labels=labels, classes=("negative", "positive"),
        vocabulary=Vocabulary(words), lexicon=words, split=(np.arange(count) % 4 == 0).astype(np.int8),
        splits=("train", "test"), ids=tuple(f"reviews/{i}" for i in range(count)),
    )  # fmt: skip


def _trained(path: Path) -> None:
    from hiddenstate_core.models import ModelSpec, TrainOptions, train

    corpus = make_reviews()
    spec = ModelSpec(hidden=(8,), embedding=8, dropout=0.0)
    options = TrainOptions(epochs=30, batch_size=32, learning_rate=0.05, validation=0.0, average=0.0)
    _project(extract(train(corpus, spec, options, progress=False), corpus, path, progress=False), "tsne")


_MAKERS: dict[str, Callable[[Path], Any]] = {
    "binary": lambda path: make_trace(path, 60),
    "five": lambda path: make_trace(path, 50, classes=5, unlabelled=4),
    "many": lambda path: make_trace(path, 120, classes=90, projections=("pca", "tsne")),
    "bare": lambda path: make_trace(path, 12, projections=()),
    "deep": lambda path: make_trace(path, 16, hidden=(8, 6), projections=("tsne", "pca")),
    "both": _both,
    "sparse": _sparse,
    "unlabelled": lambda path: make_trace(path, 14, unlabelled=14),
    "trained": _trained,
}


class Stores(dict[str, Path]):
    """Small stores by name, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, name: str) -> Path:
        self[name] = path = self.folder / f"{name}.zarr"
        _MAKERS[name](path)
        return path


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small stores: two classes, five, ninety, none of them projected, two layers and two maps, and odd ones."""
    return Stores(tmp_path_factory.mktemp("stores"))


@pytest.fixture
def data(stores: dict[str, Path]) -> Callable[[str], ViewData]:
    """What the views share of one of the stores."""
    return lambda name: ViewData(Trace(stores[name]))


# -- browser --------------------------------------------------------------------------------------------------------


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

    @classmethod
    def open(cls, context: Any) -> Tab:
        """A new tab, still empty."""
        tab = cls(context.new_page(), [], [])
        tab.page.set_default_timeout(PATIENCE)
        tab.page.on("console", lambda m: tab.complaints.append(m.text) if m.type in ("error", "warning") else None)
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:")
        tab.page.on("request", lambda r: None if r.url.startswith(local) else tab.strangers.append(r.url))
        return tab

    def marked(self) -> dict[str, Any]:
        """What the shared cursor marks."""
        return self.page.evaluate("() => window.hiddenstate.marked()")

    def wait(self, condition: str, argument: Any = None) -> None:
        """Wait until a JavaScript condition holds."""
        self.page.wait_for_function(condition, arg=argument, timeout=PATIENCE)

    def until(self, condition: Callable[[], Any], what: str = "it") -> Any:
        """Wait until a condition of Python's holds, and give what it gave."""
        deadline = time.monotonic() + PATIENCE / 1000
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what} never came about"
            self.page.wait_for_timeout(20)  # lets the browser's messages in
        return found


@pytest.fixture
def open_tab(chromium: Any) -> Iterator[Callable[..., Tab]]:
    """Opens an address, 1440 x 900."""
    contexts: list[Any] = []

    def open_tab(address: str, *, offline: bool = False) -> Tab:
        context = chromium.new_context(viewport={"width": 1440, "height": 900}, offline=offline)
        contexts.append(context)
        tab = Tab.open(context)
        tab.page.goto(address)
        return tab

    yield open_tab
    for context in contexts:
        context.close()
