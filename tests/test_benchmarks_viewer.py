"""The viewer's benchmark: its store, its figures, its table, and one run in a real browser."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from benchmarks import viewer
from benchmarks.__main__ import main
from benchmarks.viewer_store import store_of
from hiddenstate_core.analysis.spatial import open_spatial_order
from hiddenstate_core.errors import InputError
from hiddenstate_core.traces import Trace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("viewer-stores")


def test_a_store_has_exactly_so_many_states_and_is_made_once(folder: Path) -> None:
    path = store_of(folder, 20_000)
    trace = Trace(path)
    assert trace.steps == 20_000
    assert trace.projections == ("pca",)
    order = open_spatial_order(trace, "pca")
    assert order is not None
    assert sorted(order.steps.tolist()) == list(range(20_000))
    assert set(np.unique(trace.predicted)) == {0, 1}
    made = path.stat().st_mtime_ns
    assert store_of(folder, 20_000).stat().st_mtime_ns == made


def test_figures_are_in_milliseconds() -> None:
    told = viewer.summary([0.1, 0.2, 0.3])
    assert told == {"p50": 200.0, "p95": 290.0, "least": 100.0, "most": 300.0, "count": 3.0}


def test_the_table_names_the_bars() -> None:
    some = viewer.summary([0.1, 0.2])
    row = {
        "states": 1_000_000, "first_paint": some, "complete": some, "zoom": some, "pan": some, "select": some,
        "hover": None, "picture_bytes": 2048, "memory_one": {"rss": 300.0, "own": 200.0}, "sessions": 20,
        "load": 1.5, "memory_sessions": {"rss": 900.0, "own": 700.0},
        "memory_opens": [{"opens": 50, "rss": 400.0, "own": 1.0}, {"opens": 500, "rss": 410.0, "own": 1.0}],
    }  # fmt: skip
    text = viewer.section({"rows": [row], "machine": {"processor": "Some", "cores": 2}})
    assert "| 1,000,000 | first paint after the page has loaded | 150 ms | 195 ms | 2,000 ms |" in text
    assert "| 1,000,000 | pan to new picture | 150 ms | 195 ms | 200 ms |" in text
    assert "| 1,000,000 | memory of the server, 20 sessions | 900 MiB |  | 4,096 MiB |" in text
    assert "| 1,000,000 | growth from open-and-close 50 to 500 | 10 MiB |  |  |" in text
    assert "hover" not in text
    assert "load before each store 1.5" in text


def test_what_cannot_be_measured_is_refused(folder: Path) -> None:
    for wrong in ({"moves": 1}, {"sessions": -1}, {"opens": -1}, {"sizes": (5,)}):
        options = {"sizes": (1_000,), "stores": (), "moves": 8, "sessions": 0, "opens": 0, "folder": folder, **wrong}
        with pytest.raises(InputError):
            viewer.Plan(**options)  # type: ignore[arg-type]


def test_a_server_that_does_not_start_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["viewer", "--store", str(tmp_path / "empty")]) == 2
    assert "empty" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser: install Debian's chromium")
def test_a_small_store_in_a_real_browser(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("playwright.sync_api", reason="needs playwright: python -m pip install playwright")
    out = tmp_path / "viewer.json"
    arguments = ["viewer", "--store", str(store_of(folder, 20_000)), "--moves", "4", "--sessions", "1", "--opens", "1"]
    # In a thread: a browser that other tests opened runs a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(main, [*arguments, "--json", str(out)]).result() == 0
    row = json.loads(out.read_text("utf-8"))["rows"][0]
    assert row["states"] == 20_000
    for name in ("first_paint", "complete", "zoom", "pan", "select_first", "select", "link"):
        assert 0 < row[name]["least"] <= row[name]["p50"] <= row[name]["most"]
    assert set(row["links"]) == {"word", "column", "point"}
    assert row["picture_bytes"] > 10_000
    assert row["memory_sessions"]["rss"] > row["memory_sessions"]["own"] > 50
    assert [one["opens"] for one in row["memory_opens"]] == [1, 1]
    assert "pan to new picture" in capsys.readouterr().out
