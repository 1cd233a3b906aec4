"""The engine: every cell, direction, task and input equals the plain network, whatever runs beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hiddenstate_core.corpora import corpus_from_features
from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.errors import InputError
from hiddenstate_core.models import Model, ModelSpec
from hiddenstate_core.models.cells import CELLS
from hiddenstate_core.models.network import parameter_shapes, record_sequence
from hiddenstate_core.traces import Record, extract, record_states
from hiddenstate_core.traces.engine import Engine
from hiddenstate_core.traces.plan import make_plan, portion_shards
from hiddenstate_core.traces.record import CELL_GATES, CELL_STATES, as_record
from hiddenstate_core.traces.stages import compilations, has_wide_kernels, stages
from tests.fakes import make_corpus


def model_for(corpus: Corpus, seed: int = 0, **spec: Any) -> Model:
    """Model with random weights: large enough that states move, small enough that rounding does not grow with steps."""
    rng = np.random.default_rng(seed)
    chosen = ModelSpec(**{"hidden": (9, 5), "embedding": 6, **spec})
    language = chosen.task == "language_model"
    shapes = parameter_shapes(chosen, len(corpus.vocabulary), len(corpus.vocabulary if language else corpus.classes))
    scale = 0.25 if chosen.cell == "rnn" else 0.5  # nothing holds a vanilla network's states back
    params = {name: jnp.asarray(rng.normal(size=shape) * scale, np.float32) for name, shape in shapes.items()}
    return Model(chosen, corpus.vocabulary, () if language else corpus.classes, params)


def series(sequences: int = 12, *, width: int = 3, seed: int = 0) -> Corpus:
    """Corpus of sequences of random vectors."""
    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=(int(n), width)).astype(np.float32) for n in rng.integers(1, 50, sequences)]
    return corpus_from_features(rows, [str(i % 2) for i in range(sequences)])


def plain(model: Model, corpus: Corpus) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Every array of every sequence by the network run one sequence at a time."""
    spec = model.spec
    longest = int(corpus.lengths.max())
    shape = (len(corpus), longest, *(() if corpus.features is None else corpus.features.shape[1:]))
    padded = np.zeros(shape, np.int32 if corpus.features is None else np.float32)
    for s in range(len(corpus)):
        source = corpus.tokens if corpus.features is None else corpus.features
        padded[s, : corpus.lengths[s]] = source[corpus.offsets[s] : corpus.offsets[s + 1]]
    run = jax.jit(jax.vmap(lambda x, n: record_sequence(model.params, x, spec, n)))
    found = jax.tree.map(np.asarray, run(padded, corpus.lengths.astype(np.int32)))
    cell, directions = CELLS[spec.cell], ("forward", "backward") if spec.direction == "both" else (spec.direction,)
    places = [(layer, d) for layer in range(len(spec.hidden)) for d in directions]
    result = []
    for s, length in enumerate(corpus.lengths.tolist()):
        arrays = {"probabilities": found["probabilities"][s, :length]}
        for k, (layer, direction) in enumerate(places):
            units = spec.hidden[layer]
            for name in cell.states:
                arrays[f"layers/{layer}/{direction}/{name}"] = found[name][k][s, :length]
            for g, gate in enumerate(cell.gates):
                block = found["gates"][k][s, :length, g * units : (g + 1) * units]
                arrays[f"layers/{layer}/{direction}/gates/{gate}"] = block
        result.append(arrays)
    return result


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize("inputs", ["tokens", "features"])
def test_every_array_equals_the_plain_network(cell: str, direction: str, inputs: str) -> None:
    corpus = make_corpus(14, classes=3, longest=40) if inputs == "tokens" else series()
    model = model_for(corpus, cell=cell, direction=direction, inputs=inputs, features=3 if inputs == "features" else 0)
    states = record_states(model, corpus)
    expected = plain(model, corpus)
    names = {name.replace("probabilities", "steps/probabilities") for name in expected[0]}
    assert set(states.arrays) == names
    for s, arrays in enumerate(expected):
        found = states.sequence(s)
        for name, values in arrays.items():
            name = name.replace("probabilities", "steps/probabilities")
            np.testing.assert_allclose(found[name], values, atol=1e-6, err_msg=f"{name} of {s}")
    np.testing.assert_allclose(states.final, model.predict(corpus), atol=2e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_network_whose_kernels_are_wide_is_run_one_group_at_a_time(cell: str) -> None:
    corpus = make_corpus(40, longest=60)
    model = model_for(corpus, cell=cell, hidden=(520,))
    # So small that rounding dies away along a sequence; a tanh network of larger weights makes the most of it.
    params = {name: value / 16 for name, value in model.params.items()}
    model = Model(model.spec, corpus.vocabulary, corpus.classes, params)
    assert has_wide_kernels(model.spec)
    assert not has_wide_kernels(model_for(corpus).spec)
    states, alone = (record_states(model, corpus, threads=threads) for threads in (2, 1))
    for name, values in states.arrays.items():
        np.testing.assert_array_equal(values, alone.arrays[name], err_msg=name)
    for s, arrays in enumerate(plain(model, corpus)):
        found = states.sequence(s)
        for name, values in arrays.items():
            name = name.replace("probabilities", "steps/probabilities")
            np.testing.assert_allclose(found[name], values, atol=1e-6, err_msg=f"{name} of {s}")


def test_a_language_model_keeps_the_likeliest_words_and_the_one_that_came() -> None:
    corpus = make_corpus(10, longest=30)
    model = model_for(corpus, task="language_model", hidden=(8,))
    states = record_states(model, corpus, record=Record(top=4))
    assert set(states.arrays) == {
        "layers/0/forward/hidden", "steps/top_tokens", "steps/top_probabilities", "steps/target_probability"
    }  # fmt: skip
    assert states.final.shape == (10, 0)
    for s, arrays in enumerate(plain(model, corpus)):
        found, words, expected = states.sequence(s), corpus.sequence(s), arrays["probabilities"]
        order = np.argsort(-expected, axis=1, kind="stable")[:, :4]
        np.testing.assert_allclose(found["steps/top_probabilities"], np.take_along_axis(expected, order, 1), atol=1e-6)
        np.testing.assert_array_equal(found["steps/top_tokens"], order)
        if len(words):
            came = expected[np.arange(len(words) - 1), words[1:]]
            np.testing.assert_allclose(found["steps/target_probability"][:-1, 0], came, atol=1e-6)
            assert np.isnan(found["steps/target_probability"][-1, 0])


def test_a_language_model_reads_a_corpus_that_has_classes(tmp_path: Path) -> None:
    corpus = make_corpus(10, classes=3)
    trace = extract(model_for(corpus, task="language_model"), corpus, tmp_path / "t.zarr", progress=False)
    assert trace.classes == ()
    assert (trace.labels == -1).all()


@pytest.mark.parametrize("direction", ["forward", "both"])
@pytest.mark.parametrize("every", [2, 5, 100])
def test_every_nth_step_and_the_last(tmp_path: Path, every: int, direction: str) -> None:
    corpus = make_corpus(12, longest=23)
    model = model_for(corpus, direction=direction)
    whole = extract(model, corpus, tmp_path / "whole.zarr", progress=False)
    record = as_record(None, "lstm").replace(every=every, layers=(-1,))
    trace = extract(model, corpus, tmp_path / "thin.zarr", record=record, progress=False)
    side = trace.directions[-1]
    for s in range(len(corpus)):
        length = int(corpus.lengths[s])
        kept = [t for t in range(length) if (t + 1) % every == 0 or t == length - 1]
        mine, full = trace.sequence(s), whole.sequence(s)
        assert mine.words == [full.words[t] for t in kept]
        np.testing.assert_array_equal(mine.hidden(-1, side), full.hidden(-1, side)[kept])
        np.testing.assert_array_equal(mine.probabilities(), full.probabilities()[kept])
        np.testing.assert_array_equal(trace.positions[mine.start : mine.stop], kept)
    np.testing.assert_array_equal(trace.lengths, corpus.lengths)
    np.testing.assert_array_equal(trace.final_probabilities, whole.final_probabilities)
    with pytest.raises(InputError, match="layer"):
        trace.hidden(0)


@pytest.mark.parametrize("units", [33, 100])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_what_runs_beside_a_sequence_does_not_matter(cell: str, units: int) -> None:
    corpus = make_corpus(60, longest=200, words=600)
    # With such weights a vanilla network, and some others, double a difference in rounding every few steps.
    model = model_for(corpus, cell=cell, hidden=(units,), embedding=32)
    together = record_states(model, corpus)
    sources = set()
    for chosen in (range(60), range(5), [17], [59, 3, 2, 41]):
        part = corpus.select(list(chosen))
        sources |= {stage.source for stage in stages(make_plan(model, part, Record()))}
        few = record_states(model, part)
        for k, s in enumerate(chosen):
            for path, rows in few.sequence(k).items():
                np.testing.assert_allclose(rows, together.sequence(s)[path], atol=1e-6)
    assert sources == {"table", "tokens"}  # words' parts of the inputs computed once for all, or with every step


def test_a_handful_of_programs_serves_a_corpus_and_a_second_run_compiles_nothing() -> None:
    corpus = make_corpus(3000, longest=120)
    model = model_for(corpus, hidden=(16,))
    durations: list[str] = []

    def heard(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            durations.append(event)

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        before = compilations()
        plan = make_plan(model, corpus, Record())
        engine = Engine(plan, model.params)
        for shards in (1, plan.shards):
            for portion in plan.portions(shards):
                engine.run(portion, engine.rows(portion))
        assert 1 <= compilations() - before <= 6
        compiled = len(durations)
        assert compiled <= 12, "XLA itself was asked for more"
        engine.run(plan.portion(0, plan.shards), engine.rows(plan.portion(0, plan.shards)))
        assert len(durations) == compiled
        assert engine.steps_run / engine.steps_padded >= 0.95
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)


def test_the_record_names_what_a_cell_has() -> None:
    for name, cell in CELLS.items():
        assert CELL_GATES[name] == cell.gates
        assert CELL_STATES[name] == cell.states
    with pytest.raises(InputError, match="A GRU has no 'cell' to record; it has hidden, gates"):
        Record(cell=True).resolve("gru", 1)
    with pytest.raises(InputError, match="A GRU has no gate 'forget'"):
        Record(gates=("forget",)).resolve("gru", 1)
    with pytest.raises(InputError, match=r"A vanilla RNN has no 'gates' to record; it has hidden\."):
        as_record(["gates"], "rnn")
    with pytest.raises(InputError, match="Layer 2 cannot be recorded: the network has 2"):
        Record(layers=(2,)).resolve("lstm", 2)
    for wrong in (
        {"every": 0},
        {"top": 0},
        {"dtype": "int8"},
        {"layers": ()},
        {"layers": -1},
        {"hidden": False, "probabilities": False},
    ):
        with pytest.raises(InputError):
            Record(**wrong)
    found = Record(gates=("output", "input"), layers=(-1, 0, 1)).resolve("lstm", 2)
    assert found.gates == ("input", "output")
    assert found.layers == (0, 1)
    assert Record.from_json(found.to_json()) == found


def test_a_sequence_longer_than_a_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    """One long series is recorded in several portions, each from the series' beginning."""
    monkeypatch.setattr("hiddenstate_core.traces.plan.shard_rows", lambda steps, row_bytes: 1024)
    rng = np.random.default_rng(0)
    long = corpus_from_features([rng.normal(size=(n, 3)).astype(np.float32) for n in (5000, 10)], ["0", "1"])
    model = model_for(long, inputs="features", features=3)
    plan = make_plan(model, long, Record())
    engine = Engine(plan, model.params)
    portions = plan.portions(1)
    assert [len(portion.sequences) for portion in portions] == [1, 1, 1, 1, 2]
    rows = [engine.rows(portion) for portion in portions]
    finals = [engine.run(portion, r) for portion, r in zip(portions, rows, strict=True)]
    whole = record_states(model, long, record=Record())
    joined = np.concatenate([r["layers/0/forward/hidden"] for r in rows])
    np.testing.assert_allclose(joined, whole.arrays["layers/0/forward/hidden"], atol=1e-6)
    np.testing.assert_allclose(finals[-1], whole.final, atol=1e-6)


def test_a_portion_fits_in_memory_where_few_of_its_steps_are_kept() -> None:
    corpus = make_corpus(10)
    for spec, record in (
        ({"direction": "both"}, Record(every=50)),
        ({"hidden": (40,)}, Record(hidden=False)),
        ({"task": "language_model"}, Record(every=10)),
    ):
        plan = make_plan(model_for(corpus, **spec), corpus, record)
        shards = portion_shards(plan, 10**9)
        steps = shards * plan.shard * record.every
        kept = 4 * sum(plan.spec.hidden) if plan.reads_again else 0
        assert steps * (24 + kept) <= 10**9 + plan.shard * record.every * (32 + 2 * kept)


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_looking_inputs_up_by_word_changes_nothing(direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = make_corpus(30, longest=60)
    model = model_for(corpus, direction=direction)
    plan = make_plan(model, corpus, Record().resolve("lstm", 2))
    assert len(corpus.vocabulary) <= len(corpus.tokens)
    assert {stage.source for stage in stages(plan) if 0 in stage.layers} == {"table"}
    looked_up = record_states(model, corpus)
    monkeypatch.setattr("hiddenstate_core.traces.stages._TABLE_BYTES", 0)
    assert {stage.source for stage in stages(plan) if 0 in stage.layers} == {"tokens"}
    computed = record_states(model, corpus)
    for path, values in looked_up.arrays.items():
        np.testing.assert_allclose(values, computed.arrays[path], atol=1e-6, err_msg=path)


def test_portions_suit_the_network() -> None:
    corpus = make_corpus(5)

    def steps(**record: Any) -> int:
        plan = make_plan(model, corpus, Record(**record))
        return portion_shards(plan) * plan.shard

    model = model_for(corpus, hidden=(4,))
    assert 2**18 - make_corpus(5).offsets[-1] <= steps() <= 2**18, "narrow rows: no more than are worth a batch"
    model = model_for(corpus, hidden=(256,))
    everything = {"cell": True, "gates": ("input", "forget", "candidate", "output")}
    assert 2**16 <= steps(**everything) <= 2**19 * 2**10 // 6144, "wide rows: up to 512 MiB"
