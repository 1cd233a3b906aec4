"""A store that is damaged while it is served: the page says so, and goes on."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.page import Page

from hiddenstate_core.errors import InputError
from hiddenstate_core.models import Model, ModelSpec
from hiddenstate_core.models.network import parameter_shapes
from hiddenstate_core.traces import Trace, extract
from tests.fakes import make_corpus, make_trace


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
