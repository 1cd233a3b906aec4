"""Recording: the states are the network's, whatever the batches and shards, and nothing is lost when a process dies."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.errors import CorpusError, InputError, StoreError
from hiddenstate_core.models import Model
from hiddenstate_core.traces import Trace, extract, schema, writer
from hiddenstate_core.traces.extract import ExtractOptions, bucket_length
from tests.fakes import make_corpus, make_model


def lstm(model: Model, tokens: np.ndarray[Any, Any]) -> list[dict[str, np.ndarray[Any, Any]]]:
    """States of every layer in float64, written from the equations alone."""
    p = {name: np.asarray(value, np.float64) for name, value in model.params.items()}
    inputs = p["embedding"][tokens]
    found = []
    for layer, units in enumerate(model.spec.hidden):
        kernel, recurrent, bias = (
            p[f"layers.{layer}.forward.{name}"] for name in ("input_kernel", "recurrent_kernel", "bias")
        )
        h, c = np.zeros(units), np.zeros(units)
        rows: dict[str, list[np.ndarray[Any, Any]]] = {
            k: [] for k in ("hidden", "cell", "input", "forget", "candidate", "output")
        }
        for x in inputs:
            zi, zf, zg, zo = np.split(x @ kernel + h @ recurrent + bias, 4)
            i, f, o = (1 / (1 + np.exp(-z)) for z in (zi, zf, zo))
            g = np.tanh(zg)
            c = f * c + i * g
            h = o * np.tanh(c)
            for name, value in zip(rows, (h, c, i, f, g, o), strict=True):
                rows[name].append(value)
        found.append({name: np.array(values).reshape(-1, units) for name, values in rows.items()})
        inputs = found[-1]["hidden"]
    return found


def test_every_quantity_of_every_layer_and_step_equals_the_equations(tmp_path: Path) -> None:
    corpus = make_corpus(30, classes=3, longest=80)
    model = make_model(corpus, (12, 7))
    trace = extract(model, corpus, tmp_path / "t.zarr", progress=False)
    for s in range(len(corpus)):
        view = trace.sequence(s)
        expected = lstm(model, corpus.sequence(s))
        for layer in range(2):
            np.testing.assert_allclose(view.hidden(layer), expected[layer]["hidden"], atol=2e-5, rtol=0)
            np.testing.assert_allclose(view.cell(layer), expected[layer]["cell"], atol=2e-5, rtol=0)
            for gate in schema.GATES:
                np.testing.assert_allclose(view.gate(gate, layer), expected[layer][gate], atol=2e-5, rtol=0)
        logits = expected[-1]["hidden"] @ np.asarray(model.params["readout.kernel"], np.float64)
        logits += np.asarray(model.params["readout.bias"])
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        np.testing.assert_allclose(view.probabilities(), odds / odds.sum(axis=1, keepdims=True), atol=2e-5)
        assert view.words == corpus.text(s)
    np.testing.assert_allclose(trace.final_probabilities, model.predict(corpus), atol=2e-6)


@settings(max_examples=8, deadline=None)
@given(batch=st.integers(1, 9), seed=st.integers(0, 5), rows=st.sampled_from([8, 64]))
def test_shards_and_batches_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, batch: int, seed: int, rows: int
) -> None:
    corpus = make_corpus(12, longest=40, seed=seed)
    model = make_model(corpus, (5,), seed=seed)
    folder = tmp_path_factory.mktemp("batches")
    whole = extract(model, corpus, folder / "whole.zarr", progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "shard_rows", lambda steps, hidden: rows)
        patch.setattr(schema, "_CHUNK_ROWS", 8)
        options = ExtractOptions(batch_size=batch, progress=False)
        pieces = extract(model, corpus, folder / "pieces.zarr", options=options)
    for path in ("hidden", "cell", "gates/forget"):
        path = schema.layer_path(0, path)
        np.testing.assert_allclose(np.asarray(pieces._array(path)[:]), np.asarray(whole._array(path)[:]), atol=1e-6)
    np.testing.assert_array_equal(pieces.tokens()[:], corpus.tokens)


def tree(path: Path) -> dict[str, str]:
    """Digest of every file of a store."""
    return {
        str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in path.rglob("*") if p.is_file()
    }


_KILLED = """
import sys, os, signal
from pathlib import Path
from hiddenstate_core.traces import extract, schema, writer
from hiddenstate_core.traces.writer import Writer
from tests.fakes import make_corpus, make_model
schema._CHUNK_ROWS = 16
writer.shard_rows = lambda steps, hidden: 64
done = Writer.write
def write(self, shard, rows):
    if shard == int(sys.argv[2]):
        # Die with the shard half written, which is the worst moment.
        self._arrays["steps/probabilities"][64 * shard : 64 * shard + 64] = rows["steps/probabilities"]
        os.kill(os.getpid(), signal.SIGKILL)
    done(self, shard, rows)
Writer.write = write
corpus = make_corpus(20)
extract(make_model(corpus), corpus, Path(sys.argv[1]), progress=False)
"""


def test_a_killed_recording_is_finished_with_the_same_bytes(tmp_path: Path) -> None:
    corpus = make_corpus(20)
    model = make_model(corpus)
    target = tmp_path / "killed.zarr"
    for shard in (2, 5):
        child = subprocess.run(
            [sys.executable, "-c", _KILLED, str(target), str(shard)], env={**os.environ, "PYTHONPATH": "."}, check=False
        )
        assert child.returncode == -signal.SIGKILL
        assert not target.exists()
        with pytest.raises(FileNotFoundError, match="run the same"):
            Trace(target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "shard_rows", lambda steps, hidden: 64)
        patch.setattr(schema, "_CHUNK_ROWS", 16)
        computed: list[int] = []
        write = writer.Writer.write

        def count(self: writer.Writer, shard: int, rows: Any) -> None:
            computed.append(shard)
            write(self, shard, rows)

        patch.setattr(writer.Writer, "write", count)
        extract(model, corpus, target, progress=False)
        assert computed[0] == 5, "shards that were done are not done again"
        extract(model, corpus, tmp_path / "whole.zarr", progress=False)
    assert tree(target) == tree(tmp_path / "whole.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["killed.zarr", "whole.zarr"]


def test_the_same_recording_is_not_made_twice_and_another_is_refused(tmp_path: Path) -> None:
    corpus = make_corpus(10)
    model, other = make_model(corpus), make_model(corpus, seed=1)
    path = tmp_path / "t.zarr"
    first = extract(model, corpus, path, progress=False)
    before = (path / "zarr.json").stat().st_mtime_ns
    again = extract(model, corpus, path, progress=False)
    assert again.fingerprint == first.fingerprint
    assert (path / "zarr.json").stat().st_mtime_ns == before
    with pytest.raises(StoreError, match="another recording"):
        extract(other, corpus, path, progress=False)
    with pytest.raises(StoreError, match="another recording"):
        extract(model, corpus, path, record=("hidden",), progress=False)
    replaced = extract(other, corpus, path, overwrite=True, progress=False)
    assert replaced.fingerprint != first.fingerprint
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr"]


def test_a_folder_that_is_no_trace_is_never_replaced(tmp_path: Path) -> None:
    corpus = make_corpus(5)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a trace store"):
        extract(make_model(corpus), corpus, tmp_path / "precious", overwrite=True, progress=False)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"


def _hold(path: str, ready: Any) -> None:
    with writer.locked(Path(path)):
        ready.set()
        time.sleep(60)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    corpus = make_corpus(5)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    child = context.Process(target=_hold, args=(str(tmp_path / "t.zarr"), ready))
    child.start()
    try:
        assert ready.wait(120)
        with pytest.raises(StoreError, match="Another process"):
            extract(make_model(corpus), corpus, tmp_path / "t.zarr", progress=False)
    finally:
        child.kill()
        child.join()
    # The lock dies with its process.
    assert extract(make_model(corpus), corpus, tmp_path / "t.zarr", progress=False).steps == len(corpus.tokens)


def test_what_cannot_be_recorded_is_refused_by_name(tmp_path: Path) -> None:
    corpus = make_corpus(5)
    model = make_model(corpus)
    with pytest.raises(InputError, match="no 'attention' to record; it has hidden, cell, gates"):
        extract(model, corpus, tmp_path / "t", record=("attention",), progress=False)
    with pytest.raises(InputError, match="Nothing to record"):
        extract(model, corpus, tmp_path / "t", record=(), progress=False)
    with pytest.raises(CorpusError, match="no words"):
        extract(model, corpus.select([0]), tmp_path / "t", progress=False)
    with pytest.raises(CorpusError, match="no words"):
        extract(model, corpus.select([]), tmp_path / "t", progress=False)
    with pytest.raises(CorpusError, match="classes"):
        extract(model, make_corpus(5, classes=3), tmp_path / "t", progress=False)
    with pytest.raises(InputError, match="one sequence or more"):
        ExtractOptions(batch_size=0)
    assert not list(tmp_path.iterdir())


def test_a_state_that_is_not_finite_is_named(tmp_path: Path) -> None:
    corpus = make_corpus(5)
    model = make_model(corpus)
    weights = np.asarray(model.params["readout.kernel"]).copy()
    # Finite weights whose products overflow to infinity minus infinity in the readout.
    weights[:] = 3e38
    weights[:, 1] = -3e38
    model.params["readout.kernel"] = jnp.asarray(weights)
    with pytest.raises(StoreError, match=r"steps/probabilities is not finite at step \d+ of sequence \d+"):
        extract(model, corpus, tmp_path / "t.zarr", progress=False)
    assert not (tmp_path / "t.zarr").exists()


def test_only_what_is_asked_for_is_recorded(tmp_path: Path) -> None:
    corpus = make_corpus(6)
    trace = extract(make_model(corpus), corpus, tmp_path / "t.zarr", record="cell", progress=False)
    assert trace.recorded == ("cell",)
    assert trace.cell().shape == (trace.steps, 12)
    with pytest.raises(InputError, match="'hidden' was not recorded"):
        trace.hidden()


@given(length=st.integers(1, 5000), longest=st.integers(1, 5000))
def test_buckets_hold_their_sequences_and_pad_little(length: int, longest: int) -> None:
    length = min(length, longest)
    bucket = bucket_length(length, longest)
    assert length <= bucket <= longest
    assert bucket <= max(16, int(1.25 * length) + 1)


def test_a_corpus_of_other_words_is_read_by_its_words(tmp_path: Path) -> None:
    """A model reads words, not another vocabulary's ids."""
    corpus = make_corpus(10)
    model = make_model(corpus)
    words = tuple(reversed(corpus.vocabulary.words[1:]))
    other = corpus.encode(type(corpus.vocabulary)(("<unk>", *words)))
    assert not np.array_equal(other.tokens, corpus.tokens)
    a = extract(model, corpus, tmp_path / "a.zarr", progress=False)
    b = extract(model, other, tmp_path / "b.zarr", progress=False)
    np.testing.assert_array_equal(a.hidden()[:], b.hidden()[:])


def test_provenance_is_in_the_store(tmp_path: Path) -> None:
    corpus: Corpus = make_corpus(6)
    model = make_model(corpus)
    extract(model, corpus, tmp_path / "t.zarr", progress=False)
    attributes = json.loads((tmp_path / "t.zarr" / "zarr.json").read_text())["attributes"]
    assert attributes["format"] == "hiddenstate-trace"
    assert attributes["schema"] == 1
    assert attributes["model"]["fingerprint"] == model.fingerprint
    assert attributes["seed"] == 0
    assert {"jax", "zarr", "numpy", "python"} <= set(attributes["versions"])
