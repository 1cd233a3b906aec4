"""The present document: a thread that serves pages leaves those of other threads alone, whatever goes wrong in it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bokeh.io.doc
import pytest
from bokeh.document import Document
from bokeh.io import curdoc
from bokeh.io.doc import patch_curdoc
from hiddenstate_viewer.present import keep_apart
from hiddenstate_viewer.serve import start


@pytest.fixture(autouse=True)
def as_bokeh_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bokeh.io.doc, "_PATCHED_CURDOCS", [])


def fail(document: Document) -> None:
    with patch_curdoc(document):
        raise ValueError("a callback that fails")


def leaves_its_own(document: Document) -> bool:
    """Whether a document in use by another thread, in which something failed, is none of this one's."""
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="fails"):
            pool.submit(fail, document).result()
        return curdoc() is not document


def test_another_threads_document_is_not_taken() -> None:
    served = Document()
    assert not leaves_its_own(served), "Bokeh keeps them apart by itself: this module is no longer needed"
    keep_apart()
    assert leaves_its_own(served)


def test_what_is_in_use_is_found_and_given_back() -> None:
    keep_apart()
    before, outer, inner = curdoc(), Document(), Document()
    with patch_curdoc(outer):
        with patch_curdoc(inner):
            assert curdoc() is inner
        assert curdoc() is outer
    assert curdoc() is before


def test_whoever_began_before_goes_on() -> None:
    before = curdoc()
    with patch_curdoc(Document()):
        keep_apart()
        keep_apart()
        assert curdoc() is before
    assert curdoc() is before


def test_a_server_keeps_them_apart(stores: dict[str, Path]) -> None:
    with start(stores["bare"]):
        assert leaves_its_own(Document())
