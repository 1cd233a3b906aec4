"""A store that is damaged while it is served: the page says so, and goes on."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.notebook import Viewer
from hiddenstate_viewer.page import Page
from hiddenstate_viewer.report import write_report
from hiddenstate_viewer.serve import start

from hiddenstate_core.errors import InputError
from hiddenstate_core.models import Model, ModelSpec
from hiddenstate_core.models.network import parameter_shapes
from hiddenstate_core.traces import Record, Trace, extract
from tests.fakes import make_corpus, make_model, make_trace


def test_the_trace_of_a_language_model_is_refused_in_words(tmp_path: Path) -> None:
    corpus, rng = make_corpus(6), np.random.default_rng(0)
    spec, words = ModelSpec(task="language_model", hidden=(4,), embedding=3), len(corpus.vocabulary)
    params = {
        name: jnp.asarray(rng.normal(size=shape), np.float32)
        for name, shape in parameter_shapes(spec, words, words).items()
    }
    trace = extract(Model(spec, corpus.vocabulary, (), params), corpus, tmp_path / "t.zarr", progress=False)
    with pytest.raises(InputError, match=r"t\.zarr was recorded from a language model, .* target_probability\(\)"):
        ViewData(trace).check()


def test_what_cannot_be_shown_is_refused_before_it_is_served_and_left_out_beside_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus, shown = make_corpus(6), make_trace(tmp_path / "shown.zarr", 6).path
    bare = extract(
        make_model(corpus), corpus, tmp_path / "bare.zarr", record=Record(probabilities=False), progress=False
    ).path
    why = r"bare\.zarr was recorded without class probabilities, .* record it again"
    for refused in (
        lambda: start([bare]), lambda: write_report(Trace(bare), tmp_path / "r.html"), lambda: Viewer(bare),
    ):  # fmt: skip
        with pytest.raises(InputError, match=why):
            refused()
    assert not (tmp_path / "r.html").exists()
    with start([shown, bare]) as running:
        assert "Left out" in caplog.text
        assert "bare.zarr was recorded without class probabilities" in caplog.text
        with urllib.request.urlopen(running.address) as answer:
            listing = answer.read().decode()
    assert "bare.zarr was recorded without class probabilities" in listing
    assert 'href="/s/shown"' in listing
    assert 'href="/s/bare"' not in listing


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
