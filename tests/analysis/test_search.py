"""Searching a trace against plain Python loops; queries as values; bad criteria refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hiddenstate_core.analysis import Query, SearchIndex, find_sequences
from hiddenstate_core.analysis import search as search_module
from hiddenstate_core.errors import InputError
from hiddenstate_core.models import Model, ModelSpec
from hiddenstate_core.traces import Trace, extract
from tests.fakes import make_corpus, make_model, make_trace
from tests.oracles import search as oracle
from tests.traces.stores import Kind, write

_WORD = st.sampled_from(["it", "IT", "the", "Naïve", "flaky", "unseen", "日本語", "nowhere", "a", "of"])
_PHRASE = st.lists(_WORD, min_size=1, max_size=2).map(" ".join)
_QUERIES = st.builds(
    Query,
    words=st.lists(_PHRASE, max_size=2).map(tuple),
    labels=st.sampled_from([(), (), (0,), (1, -1)]),
    predicted=st.sampled_from([(), (), (1,), (0, 1)]),
    correct=st.sampled_from([None, None, True, False]),
    confidence=st.sampled_from([None, None, (0.5, 0.75), (0.0, 1.0)]),
    length=st.sampled_from([None, None, (0, 0), (2, 30)]),
    split=st.sampled_from([(), (), (0,), (1,)]),
    flips_after=st.none() | _PHRASE,
    ids=st.sampled_from([None, None, "UP/1", "made-up", "nothing"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=_QUERIES)
def test_what_is_found_is_what_plain_loops_find(small_trace: Trace, query: Query) -> None:
    found = find_sequences(small_trace, query)
    sequences, steps = oracle.find(small_trace, query)
    assert found.sequences.tolist() == sequences
    assert found.steps.tolist() == steps
    assert found.counts == (sum(sequences), len(steps))
    for name, _ in query.describe(small_trace):
        field, _, at = name.partition(":")
        value: Any = (query.words[int(at)],) if at else getattr(query, field)
        only: dict[str, Any] = {field: value}
        assert found.alone[name] == sum(oracle.find(small_trace, Query(**only))[0])
    assert Query.from_json(query.to_json()) == query


def test_every_word_is_found_where_it_stands(small_trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "_BLOCK", 37)
    index = SearchIndex(small_trace)
    for s in range(0, len(small_trace), 5):
        view = small_trace.sequence(s)
        for t, (one, two) in enumerate(zip(view.words, view.words[1:], strict=False)):
            assert view.start + t + 1 in index.occurrences(f"{one.upper()} {two}")
    # no phrase goes on in the next sequence
    ends = small_trace.offsets[3:-1]
    lexicon, surface = small_trace.lexicon, index.surface
    for end in ends.tolist():
        assert end not in index.occurrences(f"{lexicon[surface[end - 1]]} {lexicon[surface[end]]}")


def test_many_spellings_of_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = make_trace(tmp_path / "t.zarr", 6, projections=())
    one = find_sequences(trace, Query(words=("the",)))
    monkeypatch.setattr(search_module, "_SPELLINGS", 0)
    other = find_sequences(trace, Query(words=("the",)))
    assert len(one.steps)
    np.testing.assert_array_equal(one.steps, other.steps)


@pytest.mark.parametrize("rare", [1, 10**9])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_flip_is_that_of_the_evolution(
    tmp_path: Path, direction: Literal["forward", "backward"], rare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hiddenstate_core.analysis import prediction_evolution

    monkeypatch.setattr(search_module, "_RARE", rare)
    corpus = make_corpus(12)
    model = make_model(corpus)
    spec = ModelSpec(hidden=(12,), embedding=6, direction=direction)
    model = Model(spec, model.vocabulary, model.classes, _renamed(model, spec))
    trace = extract(model, corpus, tmp_path / "t.zarr", progress=False)
    expected = set()
    for s in range(len(trace)):
        view, evolution = trace.sequence(s), prediction_evolution(trace, s)
        expected |= {view.start + t for t in range(len(view)) if evolution.flips[t] and view.words[t] == "word7"}
    assert expected
    assert set(find_sequences(trace, Query(flips_after="WORD7")).steps.tolist()) == expected


def _renamed(model: Model, spec: ModelSpec) -> dict[str, Any]:
    from hiddenstate_core.models.network import parameter_shapes

    shapes = parameter_shapes(spec, len(model.vocabulary), len(model.classes))
    rng = np.random.default_rng(1)
    return {name: (rng.normal(size=shape) * 0.8).astype(np.float32) for name, shape in shapes.items()}


def test_given_arrays_are_used_and_checked(small_trace: Trace) -> None:
    surface = np.zeros(small_trace.steps, np.int32)
    word = small_trace.lexicon[0]
    found = find_sequences(small_trace, Query(words=(word,)), SearchIndex(small_trace, surface=surface))
    assert found.counts == (int((small_trace.lengths > 0).sum()), small_trace.steps)
    with pytest.raises(InputError, match="surface must be a whole number for each"):
        SearchIndex(small_trace, surface=surface[1:])


def test_an_index_of_another_trace_is_refused(small_trace: Trace, tmp_path: Path) -> None:
    other = SearchIndex(make_trace(tmp_path / "t.zarr", 3, projections=()))
    with pytest.raises(InputError, match="search index is of"):
        find_sequences(small_trace, Query(), other)


def test_the_empty_query_finds_everything(small_trace: Trace) -> None:
    found = find_sequences(small_trace, Query())
    assert Query().empty
    assert found.sequences.all()
    assert (found.counts, found.alone) == ((len(small_trace), 0), {})


def test_criteria_can_be_told_and_taken_away(small_trace: Trace) -> None:
    query = Query(
        words=("not  good", "film"), labels=(1, -1), predicted=(0,), correct=False, confidence=(0.9, 1.0),
        length=(5, 5), split=(1,), flips_after="but", ids="up/",
    )  # fmt: skip
    told = query.describe(small_trace)
    assert dict(told) == {
        "words:0": "contains “not good”",
        "words:1": "contains “film”",
        "labels": "class positive or unknown",
        "predicted": "predicted negative",
        "correct": "misclassified",
        "confidence": "confidence 90 to 100 %",
        "length": "5 words",
        "split": "split test",
        "flips_after": "prediction changes at “but”",
        "ids": "id contains “up/”",
    }
    assert query.without("words:0").words == ("film",)
    for _ in told:
        query = query.without(query.describe(small_trace)[0][0])
    assert query.empty
    with pytest.raises(InputError, match="no criterion 'words:3'"):
        query.without("words:3")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"words": ("good", " ")}, "Query.words must name a word"),
        ({"words": "good"}, "Query.words must be a tuple"),
        ({"words": (3,)}, "Query.words must be text"),
        ({"flips_after": ""}, "Query.flips_after must name a word"),
        ({"labels": (True,)}, "Query.labels must hold whole numbers"),
        ({"predicted": 1}, "Query.predicted must be a tuple"),
        ({"correct": 1}, "Query.correct must be True"),
        ({"confidence": (0.9, 0.1)}, "Query.confidence must be fractions"),
        ({"confidence": (0.5, 1.5)}, "Query.confidence must be fractions"),
        ({"confidence": (float("nan"), 1)}, "Query.confidence must be two numbers"),
        ({"confidence": (0.5,)}, "Query.confidence must be two numbers"),
        ({"length": (9, 3)}, "Query.length must be whole numbers"),
        ({"length": (-1, 3)}, "Query.length must be whole numbers"),
        ({"length": (1.5, 3)}, "Query.length must be whole numbers"),
        ({"ids": " "}, "Query.ids must be a part"),
    ],
)
def test_bad_criteria_are_refused_by_name(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Query(**bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"labels": (2,)}, r"Query.labels: there is no class 2; the trace has 0 \(negative\), 1 \(positive\)"),
        ({"predicted": (-1,)}, "Query.predicted: there is no class -1"),
        ({"split": (7,)}, "Query.split: there is no split 7"),
    ],
)
def test_numbers_that_the_trace_lacks_are_refused_by_name(
    small_trace: Trace, bad: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        find_sequences(small_trace, Query(**bad))


def test_phrases_need_every_step(tmp_path: Path) -> None:
    from hiddenstate_core.traces import Record

    corpus = make_corpus(5)
    trace = extract(make_model(corpus), corpus, tmp_path / "t.zarr", record=Record(every=3), progress=False)
    assert find_sequences(trace, Query(words=("it",))).sequences.shape == (5,)
    with pytest.raises(InputError, match="one step in 3, so phrases"):
        find_sequences(trace, Query(words=("it the",)))
    with pytest.raises(InputError, match="one step in 3, so which word"):
        find_sequences(trace, Query(flips_after="it"))


def test_a_store_without_predictions_is_searched_by_its_words(tmp_path: Path) -> None:
    write(tmp_path / "t", Kind(task="language_model"))
    trace = Trace(tmp_path / "t")
    word = trace.lexicon[int(trace.surface()[0])]
    assert find_sequences(trace, Query(words=(word,), length=(1, 100))).sequences.any()
    for query in (Query(correct=True), Query(confidence=(0.5, 1.0)), Query(flips_after="nowhere")):
        for call in (find_sequences, lambda trace, query: query.describe(trace)):
            with pytest.raises(InputError, match="no class probabilities"):
                call(trace, query)
