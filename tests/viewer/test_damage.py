"""A store that is damaged while it is served: the page says so, and goes on."""

from __future__ import annotations

from pathlib import Path

from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.page import Page

from hiddenstate_core.traces import Trace
from tests.fakes import make_trace


def test_a_sequence_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    trace = make_trace(tmp_path / "t.zarr", 8)
    page = Page(ViewData(Trace(trace.path)))
    file = trace.path / "steps/probabilities/c/0/0"
    whole = file.read_bytes()
    file.write_bytes(whole[:10])
    page.selection.sequence = 5
    assert "cannot be read" in page.sequence_pane.header.object
    assert "steps/probabilities" in page.sequence_pane.header.object
    file.write_bytes(whole)
    page.selection.sequence = 6
    assert "made-up/6" in page.sequence_pane.header.object
