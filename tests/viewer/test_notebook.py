"""The page as an object: in a real kernel it shows itself and answers Python; outside of one it is steered the same."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hiddenstate_viewer import Viewer
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.state import Stroke

from hiddenstate_core.analysis import Query
from hiddenstate_core.errors import HiddenStateError, InputError

_CELLS = (
    """
import hiddenstate_core as hs
viewer = hs.view(STORE)
assert type(viewer).__name__ == "Viewer"
viewer
""",
    """
import time
from bokeh.models import ColumnDataSource
viewer.selection.sequence = 7
time.sleep(0.5)
words = viewer.selection.data.trace.sequence(7).words
assert all(word in viewer.selected()["word"].tolist() for word in words)
assert len(viewer.selected()) == len(words)
print(len(words), *sorted(viewer.panes))
""",
)


def test_a_viewer_is_shown_and_steered_in_a_kernel(stores: dict[str, Path]) -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs nbclient: python -m pip install nbclient ipykernel")
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: python -m pip install nbclient ipykernel")
    pytest.importorskip("ipykernel", reason="needs ipykernel: python -m pip install ipykernel")
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(text.replace("STORE", repr(str(stores["five"])))) for text in _CELLS]
    nbclient.NotebookClient(book, timeout=240, kernel_name="python3").execute()
    shown = [output for output in book.cells[0].outputs if output.output_type == "execute_result"]
    assert len(shown) == 1
    assert "application/vnd.holoviews_exec.v0+json" in shown[0]["data"]
    assert "bk-" in shown[0]["data"]["text/html"] or "root" in shown[0]["data"]["text/html"]
    told = "".join(output.get("text", "") for output in book.cells[1].outputs if output.output_type == "stream")
    assert "map" in told
    assert "table" in told


def test_a_selection_is_read_and_set_from_python(data: Callable[[str], ViewData]) -> None:
    made = data("binary")
    with Viewer(made) as viewer:
        viewer.selection.sequence = 9
        frame = viewer.selected()
        assert frame["sequence"].unique().tolist() == [9]
        assert frame["word"].tolist() == list(made.trace.sequence(9).words)
        viewer.selection.query = Query(labels=(1,))
        assert set(viewer.sequences()["class"]) == {made.trace.classes[1]}
        points = made.coordinates("tsne")[30]
        x, y = points.tolist()
        d = 1e-3
        viewer.selection.add_stroke(
            Stroke("tsne", "replace", (x - d, x + d, x + d, x - d), (y - d, y - d, y + d, y + d))
        )
        assert viewer.selection.steps_mask is not None
        assert viewer.selection.steps_mask[30]
        assert set(viewer.selected()["state"]) <= set(np.flatnonzero(viewer.selection.steps_mask).tolist())
        viewer.selection.clear()
        assert viewer.selection.sequence is None
        assert repr(viewer) == "Viewer(binary.zarr, sequence=None)"
        assert {"map", "sequence", "table"} <= set(viewer.panes)


def test_a_viewer_is_saved(data: Callable[[str], ViewData], tmp_path: Path) -> None:
    with Viewer(data("five"), dark=True) as viewer:
        viewer.selection.sequence = 7
        viewer.to_html(tmp_path / "page.html")
        assert "made-up/7" in (tmp_path / "page.html").read_text("utf-8")
        viewer.save(tmp_path / "words.svg", "words")
        viewer.save(tmp_path / "states.csv", "states")
        with pytest.raises(InputError, match=r"\.png"):
            viewer.save(tmp_path / "words.csv", "words")
        assert len(list(tmp_path.iterdir())) == 3


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HiddenStateError, match="no trace store"):
        Viewer(tmp_path / "nothing.zarr")


def test_a_viewer_that_is_closed_leaves_nothing_shown(data: Callable[[str], ViewData]) -> None:
    import panel as pn

    before = len(pn.state._views)
    for _ in range(3):
        viewer = Viewer(data("bare"))
        viewer._repr_mimebundle_()
        viewer.close()
        viewer.close()
    del viewer
    gc.collect()
    assert len(pn.state._views) == before
