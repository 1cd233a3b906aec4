"""The page as an object: in a real kernel it shows itself and answers Python; outside of one it is steered the same."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hiddenstate_viewer import Viewer
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.state import Selection, Stroke

from hiddenstate_core.analysis import Query
from hiddenstate_core.errors import HiddenStateError, InputError
from tests.fakes import make_corpus, make_model

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


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("sequence", 9999, "Sequence 9999 does not exist"),
        ("sequence", -1, "Sequence -1 does not exist"),
        ("sequence", "3", "named by its number"),
        ("compared", (9999,), "Sequence 9999 does not exist"),
        ("compared", tuple(range(13)), "At most 12"),
        ("compared", 3, "as a tuple"),
        ("flows", (7,), "Class 7 does not exist"),
        ("strokes", (Stroke("nope", "add", (0, 1, 1), (0, 0, 1)),), "no projection 'nope'"),
        ("query", "correct:no", "a hiddenstate_core.Query"),
        ("query", Query(labels=(9,)), "no class 9"),
        ("step", 9999, "no word 9999"),
        ("projection", "nope", "no projection 'nope'"),
        ("beside", "nope", "no projection 'nope'"),
        ("layer", 7, "no recorded layer 7"),
        ("direction", "sideways", "no direction 'sideways'"),
        ("quantity", "gate:nope", "no quantity 'gate:nope'"),
        ("colour_by", "nope", "cannot be coloured by 'nope'"),
        ("colour_by", "unit:99", "cannot be coloured by 'unit:99'"),
        ("window", (1, 0, 0, 1), "A window is"),
        ("text", 5, "text cannot be 5"),
        ("options", {}, "one by one"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_leaves_the_selection(
    data: Callable[[str], ViewData], name: str, value: object, says: str
) -> None:
    selection = Selection(data("binary"), sequence=3, step=0)
    before = getattr(selection, name)
    with pytest.raises(InputError, match=says):
        setattr(selection, name, value)
    assert getattr(selection, name) is before


def test_a_misspelt_name_is_refused_with_the_near_ones(data: Callable[[str], ViewData]) -> None:
    selection = Selection(data("binary"))
    with pytest.raises(AttributeError, match="no 'sequnce'; did you mean sequence") as caught:
        selection.sequnce = 3
    assert isinstance(caught.value, HiddenStateError)
    with pytest.raises(InputError, match="did you mean label_after_distance"):
        selection.options.label_after_distnce = True
    with pytest.raises(InputError, match="cannot be set"):
        setattr(selection, "rows", (1,))  # noqa: B010 - a plain assignment is refused by type checkers too
    with pytest.raises(InputError, match="change_threshold cannot be 300"):
        selection.options.change_threshold = 300
    with pytest.raises(InputError, match="no sequence is read"):
        selection.step = 0


def test_numbers_of_numpy_are_taken_and_the_cursor_goes_where_its_word_is_not(
    data: Callable[[str], ViewData],
) -> None:
    made = data("binary")
    lengths = made.trace.lengths
    long, short = int(lengths.argmax()), int(lengths.argmin())
    selection = Selection(made, step=int(lengths[long]) - 1, sequence=long)
    seen: list[tuple[int | None, int | None]] = []
    selection.param.watch(lambda event: seen.append((selection.sequence, selection.step)), "sequence")
    selection.sequence = np.int64(short)
    assert seen == [(short, None)]
    assert type(selection.sequence) is int
    selection.compared = [np.int64(4), 4]
    assert selection.compared == (4,)
    selection.colour_by = "unit:3"
    selection.param.update(sequence=long, step=3)
    assert selection.step == 3


def test_a_viewer_takes_only_the_checkpoint_that_recorded_its_trace(
    stores: dict[str, Path], data: Callable[[str], ViewData], tmp_path: Path
) -> None:
    make_model(make_corpus(60)).save(tmp_path / "right")
    make_model(make_corpus(60), seed=9).save(tmp_path / "wrong")
    with pytest.raises(InputError, match=r"wrong did not record .*binary\.zarr"):
        Viewer(stores["binary"], model=tmp_path / "wrong")
    with pytest.raises(HiddenStateError, match="nowhere"):
        Viewer(stores["binary"], model=tmp_path / "nowhere")
    with pytest.raises(InputError, match="has its model already"):
        Viewer(data("binary"), model=tmp_path / "right")
    viewer = Viewer(stores["binary"], model=tmp_path / "right")
    with viewer, pytest.raises(InputError, match=r"no view 'nope'; there is .*map"):
        viewer.show_in("nope")
