"""What words do, against slow loops; ranks, data frame, bad input."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from hiddenstate_core.analysis import impact as impact_module
from hiddenstate_core.analysis import word_impact
from hiddenstate_core.distances import step_distances
from hiddenstate_core.errors import InputError, MissingExtraError
from hiddenstate_core.models import Model, ModelSpec
from hiddenstate_core.models.network import parameter_shapes
from hiddenstate_core.traces import Record, Trace, extract
from tests.fakes import make_corpus, make_model
from tests.oracles import impact as oracle


def _trace(path: Path, direction: Literal["forward", "backward", "both"], classes: int) -> Trace:
    corpus = make_corpus(20, classes=classes)
    spec = ModelSpec(hidden=(9,), embedding=6, direction=direction)
    shapes = parameter_shapes(spec, len(corpus.vocabulary), classes)
    rng = np.random.default_rng(1)
    params: dict[str, Any] = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return extract(Model(spec, corpus.vocabulary, corpus.classes, params), corpus, path, progress=False)


@pytest.mark.parametrize(
    ("direction", "classes", "block"), [("forward", 2, 7), ("backward", 3, 11), ("both", 2, 10**6)]
)
def test_figures_are_those_of_slow_loops(
    tmp_path: Path,
    direction: Literal["forward", "backward", "both"],
    classes: int,
    block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(impact_module, "_BLOCK", block)
    trace = _trace(tmp_path / "t.zarr", direction, classes)
    found = word_impact(trace, least=3, quantity="cell")
    slow = oracle.impact(trace, step_distances(trace, quantity="cell"))
    assert set(found.words) == {word for word, one in slow.items() if len(one["flip"]) >= 3}
    for row, word in enumerate(found.words):
        one = slow[word]
        assert found.counts[row] == len(one["flip"])
        assert found.mean_distance[row] == pytest.approx(oracle.mean(one["distance"]), rel=1e-6)
        assert found.median_distance[row] == pytest.approx(oracle.median(one["distance"]), rel=1e-6)
        assert found.mean_change[row] == pytest.approx(oracle.mean(one["change"]), rel=1e-5, abs=1e-7)
        assert found.flips[row] == pytest.approx(oracle.mean(one["flip"]))
        for code in range(classes):
            toward = oracle.mean(one[f"toward:{code}"])
            assert found.changes[row, code] == pytest.approx(toward, rel=1e-4, abs=1e-6)
    assert found.flips.any()
    np.testing.assert_allclose(found.changes.sum(axis=1), 0, atol=1e-6)
    assert (np.diff(found.mean_change) <= 0).all()


def test_words_are_ranked_by_any_figure(small_trace: Trace) -> None:
    found = word_impact(small_trace, least=1)
    assert len(found) == len(np.unique(small_trace.surface()))
    assert found.counts.sum() == small_trace.steps
    for by in ("counts", "mean_distance", "median_distance", "flips", "toward:positive", "toward:0"):
        top = found.top(7, by)
        assert len(top) == 7
        np.testing.assert_array_equal(top.column(by), np.sort(found.column(by))[::-1][:7])
    word = found.top(1, "counts").words[0]
    row = found.words.index(word)
    assert found.counts[row] == max(found.counts)
    assert len(found.top(0)) == 0
    assert "occurrences" in repr(found)


def test_rare_words_may_leave_nothing(small_trace: Trace) -> None:
    found = word_impact(small_trace, least=10**6)
    assert len(found) == 0
    assert found.changes.shape == (0, 2)
    assert len(found.to_pandas()) == 0


def test_a_data_frame(small_trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = word_impact(small_trace)
    frame = found.to_pandas()
    assert list(frame.word) == list(found.words)
    np.testing.assert_array_equal(frame["toward positive"], found.column("toward:positive"))

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install hiddenstate\[viewer\]"):
        found.to_pandas()


def test_bad_input_is_refused(small_trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="least must be"):
        word_impact(small_trace, least=0)
    with pytest.raises(InputError, match="Layer 5 does not exist"):
        word_impact(small_trace, layer=5)
    with pytest.raises(InputError, match="A quantity is"):
        word_impact(small_trace, quantity="forget")
    found = word_impact(small_trace)
    with pytest.raises(InputError, match="can be ranked by"):
        found.top(3, "beauty")
    with pytest.raises(InputError, match="no class 'neutral'"):
        found.top(3, "toward:neutral")
    with pytest.raises(InputError, match="n must be a number"):
        found.top(-1)
    corpus = make_corpus(5)
    some = extract(make_model(corpus), corpus, tmp_path / "t.zarr", record=Record(every=3), progress=False)
    with pytest.raises(InputError, match="one step in 3"):
        word_impact(some)
