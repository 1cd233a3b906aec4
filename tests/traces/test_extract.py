"""Recording: the states are the network's, whatever the batches and shards, and nothing is lost when a process dies."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterator
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
from hiddenstate_core.traces import Record, Trace, extract, plan, schema, target, verify, writer
from hiddenstate_core.traces.extract import ExtractOptions, record_states
from hiddenstate_core.traces.plan import Portion
from hiddenstate_core.traces.writer import Writer, partial_of, progress_of
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
@given(memory=st.integers(1, 60_000), seed=st.integers(0, 5), rows=st.sampled_from([8, 64]), threads=st.integers(1, 3))
def test_shards_portions_and_threads_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, memory: int, seed: int, rows: int, threads: int
) -> None:
    corpus = make_corpus(12, longest=40, seed=seed)
    model = make_model(corpus, (5,), seed=seed)
    folder = tmp_path_factory.mktemp("portions")
    whole = extract(model, corpus, folder / "whole.zarr", progress=False)
    with small_shards(rows):
        options = ExtractOptions(memory=memory, threads=threads, progress=False)
        pieces = extract(model, corpus, folder / "pieces.zarr", options=options)
    for path in ("hidden", "cell", "gates/forget"):
        path = schema.layer_path(0, path)
        np.testing.assert_allclose(np.asarray(pieces.array(path)), np.asarray(whole.array(path)), atol=1e-6)
    np.testing.assert_array_equal(pieces.tokens()[:], corpus.tokens)
    np.testing.assert_allclose(pieces.final_probabilities, whole.final_probabilities, atol=1e-6)


@contextlib.contextmanager
def small_shards(rows: int) -> Iterator[None]:
    """Shards of so many rows, chunks of 8."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "shard_rows", lambda steps, row_bytes: rows)
        patch.setattr(schema, "_CHUNK_ROWS", 8)
        patch.setattr(writer, "_ID_ROWS", rows)
        yield


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
    # Given beside options, the arguments still count.
    once_more = extract(model, corpus, path, options=ExtractOptions(progress=False), overwrite=True)
    assert once_more.fingerprint == first.fingerprint
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr"]


def test_other_words_and_splits_are_another_recording(tmp_path: Path) -> None:
    corpus = make_corpus(10)
    model = make_model(corpus)
    extract(model, corpus, tmp_path / "t.zarr", progress=False)
    # None of them changes what the model reads.
    for other in (
        dataclasses.replace(corpus, lexicon=tuple(f"{word}!" for word in corpus.lexicon)),
        dataclasses.replace(corpus, split=np.zeros_like(corpus.split)),
        dataclasses.replace(corpus, splits=tuple(f"other-{name}" for name in corpus.splits)),
        dataclasses.replace(corpus, ids=tuple(f"other-{name}" for name in corpus.ids)),
    ):
        assert other.fingerprint == corpus.fingerprint
        with pytest.raises(StoreError, match="another recording"):
            extract(model, other, tmp_path / "t.zarr", progress=False)


@pytest.mark.parametrize("lengths", [(5, 0, 5), (5, 0, 0, 5), (0, 1, 5, 300, 0, 3, 0), (41,) * 3 + (0,) + (41,) * 30])
def test_empty_sequences_anywhere(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    whole = make_corpus(40, longest=330)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    corpus = dataclasses.replace(
        whole.select(list(range(len(lengths)))),
        tokens=whole.tokens[: offsets[-1]],
        surface=whole.surface[: offsets[-1]],
        offsets=offsets,
    )
    model = make_model(corpus)
    with small_shards(64):
        options = ExtractOptions(memory=1, progress=False)
        trace = extract(model, corpus, tmp_path / "t.zarr", record="hidden", options=options)
    np.testing.assert_allclose(trace.final_probabilities, model.predict(corpus), atol=2e-6)


def test_a_damaged_recording_is_made_again_on_request(tmp_path: Path) -> None:
    corpus = make_corpus(10)
    model = make_model(corpus)
    path = tmp_path / "t.zarr"
    extract(model, corpus, path, progress=False)
    shard = path / "layers/0/forward/hidden/c/0/0"
    before = shard.read_bytes()
    shard.write_bytes(b"\x7f" + before[1:])
    assert not verify(path).intact
    extract(model, corpus, path, progress=False)
    assert not verify(path).intact
    extract(model, corpus, path, overwrite=True, progress=False)
    assert verify(path).intact
    assert shard.read_bytes() == before


def test_a_shard_that_was_damaged_meanwhile_is_done_again(tmp_path: Path) -> None:
    corpus = make_corpus(20)
    model = make_model(corpus)
    path, options = tmp_path / "t.zarr", ExtractOptions(memory=1, progress=False)
    with small_shards(64), pytest.MonkeyPatch.context() as patch:
        write = Writer.write

        def stop(self: Writer, portion: Any, *rest: Any) -> None:
            if portion.number == 4:
                raise KeyboardInterrupt
            write(self, portion, *rest)

        patch.setattr(Writer, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            extract(model, corpus, path, options=options)
        shard = partial_of(path) / "layers/0/forward/hidden/c/1/0"
        shard.write_bytes(b"\x7f" + shard.read_bytes()[1:])
        patch.setattr(Writer, "write", write)
        extract(model, corpus, path, options=options)
        whole = extract(model, corpus, tmp_path / "u.zarr", options=options)
    assert verify(path).intact
    np.testing.assert_array_equal(Trace(path).hidden()[:], whole.hidden()[:])


@pytest.mark.parametrize("harm", ["never written", "torn", "damaged"])
def test_words_and_ids_are_written_again_where_they_are_not_whole(tmp_path: Path, harm: str) -> None:
    corpus = make_corpus(20)
    model = make_model(corpus)
    path, options = tmp_path / "t.zarr", ExtractOptions(memory=1, progress=False)
    with small_shards(64):
        whole = extract(model, corpus, tmp_path / "u.zarr", options=options)
        with pytest.MonkeyPatch.context() as patch:

            def stop(*_: Any) -> None:
                raise KeyboardInterrupt

            if harm == "never written":
                patch.setattr(Writer, "write_corpus", stop)
            elif harm == "torn":
                patch.setattr(writer, "write_shard", stop)
            else:
                patch.setattr(Writer, "write", stop)
            with pytest.raises(KeyboardInterrupt):
                extract(model, corpus, path, options=options)
        # What a kill in the middle of Zarr's own writing leaves.
        (partial_of(path) / "layers" / "zarr.0123456789abcdef0123456789abcdef.partial").write_bytes(b"{")
        marked = (partial_of(path) / ".done" / "corpus.json").exists()
        assert marked == (harm == "damaged")
        if marked:
            tokens = partial_of(path) / "steps/tokens/c/0"
            tokens.write_bytes(b"\x7f" + tokens.read_bytes()[1:])
        extract(model, corpus, path, options=options)
    files = {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    other = {p.relative_to(whole.path): p.read_bytes() for p in whole.path.rglob("*") if p.is_file()}
    assert files == other
    assert verify(path).intact


def test_odd_paths_and_options_are_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = make_corpus(5)
    model = make_model(corpus)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="needs a name of its own"):
        extract(model, corpus, ".", progress=False)
    extract(model, corpus, "t.zarr", progress=False)
    with pytest.raises(InputError, match="would lie inside the Zarr store"):
        extract(model, corpus, "t.zarr/u.zarr", progress=False)
    for wrong in ({"memory": "x"}, {"threads": "2"}, {"threads": 1.5}):
        with pytest.raises(InputError, match="ExtractOptions"):
            ExtractOptions(**wrong)
    with pytest.raises(InputError, match="What to record is a Record or names"):
        extract(model, corpus, "v.zarr", record=5, progress=False)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"Record\.hidden must be True or False"):
        Record(hidden="no")  # type: ignore[arg-type]


def test_a_folder_that_is_no_trace_is_never_replaced(tmp_path: Path) -> None:
    corpus = make_corpus(5)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a trace store"):
        extract(make_model(corpus), corpus, tmp_path / "precious", overwrite=True, progress=False)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"


def _hold(path: str, ready: Any) -> None:
    with target.locked(Path(path)):
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
    with pytest.raises(InputError, match=r"no 'attention' to record; it has hidden, cell, gates \(input, forget"):
        extract(model, corpus, tmp_path / "t", record=("attention",), progress=False)
    with pytest.raises(InputError, match="Nothing to record"):
        extract(model, corpus, tmp_path / "t", record=(), progress=False)
    with pytest.raises(CorpusError, match="nothing to read"):
        extract(model, corpus.select([0]), tmp_path / "t", progress=False)
    with pytest.raises(CorpusError, match="nothing to read"):
        extract(model, corpus.select([]), tmp_path / "t", progress=False)
    with pytest.raises(CorpusError, match="classes"):
        extract(model, make_corpus(5, classes=3), tmp_path / "t", progress=False)
    with pytest.raises(InputError, match="Layer 1 cannot be recorded"):
        extract(model, corpus, tmp_path / "t", record=Record(layers=(1,)), progress=False)
    with pytest.raises(InputError, match="at least one, not 0"):
        ExtractOptions(memory=0)
    with pytest.raises(InputError, match="one a core"):
        ExtractOptions(threads=0)
    with pytest.raises(InputError, match="'none' or 'zstd'"):
        ExtractOptions(compression="gzip")  # type: ignore[arg-type]
    wrong: tuple[tuple[Any, Any, str], ...] = (
        ("model", corpus, "The model must be Model, not str"),
        (model, ["a"], "The corpus must be Corpus, not list"),
    )
    for a_model, a_corpus, message in wrong:
        with pytest.raises(InputError, match=message):
            extract(a_model, a_corpus, tmp_path / "t", progress=False)
        with pytest.raises(InputError, match=message):
            record_states(a_model, a_corpus)
    with pytest.raises(InputError, match="The options must be ExtractOptions, not dict"):
        extract(model, corpus, tmp_path / "t", options={"memory": 1})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_state_that_is_not_finite_is_named(tmp_path: Path) -> None:
    corpus = make_corpus(5)
    model = make_model(corpus)
    weights = np.asarray(model.params["readout.kernel"]).copy()
    # Finite weights whose products overflow to infinity minus infinity in the readout.
    weights[:] = 3e38
    weights[:, 1] = -3e38
    model.params["readout.kernel"] = jnp.asarray(weights)
    with pytest.raises(StoreError, match=r"steps/probabilities is not finite: step \d+ of sequence \d+ \(made-up/"):
        extract(model, corpus, tmp_path / "t.zarr", progress=False)
    assert not (tmp_path / "t.zarr").exists()


def test_only_what_is_asked_for_is_recorded(tmp_path: Path) -> None:
    corpus = make_corpus(6)
    trace = extract(make_model(corpus), corpus, tmp_path / "t.zarr", record="cell", progress=False)
    assert trace.recorded == ("cell",)
    assert trace.cell().shape == (trace.steps, 12)
    assert not (trace.path / "layers/0/forward/hidden").exists()
    assert not (trace.path / "layers/0/forward/gates").exists()
    with pytest.raises(InputError, match="'hidden' was not recorded"):
        trace.hidden()


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
    assert attributes["schema"] == 2
    assert attributes["record"]["layers"] == [0]
    assert attributes["model"]["fingerprint"] == model.fingerprint
    assert attributes["seed"] == 0
    assert {"jax", "zarr", "numpy", "python"} <= set(attributes["versions"])


def test_a_recording_half_done_is_not_thrown_away_for_another(tmp_path: Path) -> None:
    corpus = make_corpus(20)
    model, other = make_model(corpus), make_model(corpus, seed=1)
    path = tmp_path / "t.zarr"
    written: list[int] = []

    def fail_later(self: Writer, portion: Any, *rest: Any) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(portion.number)
        write(self, portion, *rest)

    write = Writer.write
    with small_shards(64), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Writer, "write", fail_later)
        with pytest.raises(StoreError, match=r"No space left on device.*run the same command again"):
            extract(model, corpus, path, options=ExtractOptions(memory=1, progress=False))
    found = progress_of(path)
    assert found is not None
    assert (found.done, found.shards) == (2, -(-len(corpus.tokens) // 64))
    with pytest.raises(FileNotFoundError, match=rf"not finished \(2 of {found.shards} shards are done\): run the same"):
        Trace(path)
    begun = (partial_of(path) / ".recording").read_bytes()
    with pytest.raises(StoreError, match=r"half done \(fingerprint [0-9a-f]{12}, this one is [0-9a-f]{12}\)"):
        extract(other, corpus, path, progress=False)
    with pytest.raises(StoreError, match="without compression"), small_shards(64):
        extract(model, corpus, path, options=ExtractOptions(compression="zstd", progress=False))
    assert (partial_of(path) / ".recording").read_bytes() == begun
    extract(other, corpus, path, overwrite=True, progress=False)
    assert not partial_of(path).exists()


def test_a_disk_without_room_is_said_before_anything_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = make_corpus(20)
    room = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: room)
    with pytest.raises(StoreError, match=r"takes 0\.0 GB, but the disk of .* has 0\.0 GB free; record fewer"):
        extract(make_model(corpus), corpus, tmp_path / "t.zarr", progress=False)
    assert not list(tmp_path.glob("t*"))


def _fill_the_disk(path: str) -> None:
    """Record where no file may grow beyond 20 kB: the system refuses in the middle of a shard, as a full disk does."""
    corpus = make_corpus(40)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        extract(make_model(corpus, (64,)), corpus, path, progress=False)
    except StoreError as error:
        os._exit(7 if "run the same command again" in str(error) else 1)
    os._exit(0)


def test_a_full_disk_leaves_no_torn_shard(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_fill_the_disk, args=(str(tmp_path / "t.zarr"),))
    child.start()
    child.join(120)
    assert child.exitcode == 7
    partial = partial_of(tmp_path / "t.zarr")
    assert not [p for p in partial.rglob("*") if p.name.endswith(".tmp")]
    found = progress_of(tmp_path / "t.zarr")
    assert found is not None
    assert found.done == 0
    corpus = make_corpus(40)
    model = make_model(corpus, (64,))
    resumed = extract(model, corpus, tmp_path / "t.zarr", progress=False)
    whole = extract(model, corpus, tmp_path / "u.zarr", progress=False)
    np.testing.assert_array_equal(resumed.hidden()[:], whole.hidden()[:])


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, where nobody can make a folder, root included")
def test_a_folder_that_cannot_be_written_is_said() -> None:
    corpus = make_corpus(5)
    with pytest.raises(StoreError, match=r"The store /proc/nothing/t\.zarr cannot be written"):
        extract(make_model(corpus), corpus, "/proc/nothing/t.zarr", progress=False)


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_types_and_compression(tmp_path: Path, compression: str, dtype: str) -> None:
    corpus = make_corpus(10)
    model = make_model(corpus)
    exact = extract(model, corpus, tmp_path / "exact.zarr", progress=False)
    options = ExtractOptions(compression=compression, progress=False)  # type: ignore[arg-type]
    record = Record(cell=True, gates=("forget",), dtype=dtype)  # type: ignore[arg-type]
    trace = extract(model, corpus, tmp_path / "t.zarr", record=record, options=options)
    step = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    for found, expected in ((trace.hidden(), exact.hidden()), (trace.gate("forget"), exact.gate("forget"))):
        np.testing.assert_allclose(np.asarray(found, np.float32), expected[:], rtol=step, atol=1e-7)
    assert trace.gates == ("forget",)
    with pytest.raises(InputError, match="forget"):
        trace.gate("input")


def test_a_cell_too_large_for_float16_is_named(tmp_path: Path) -> None:
    corpus = make_corpus(12, longest=60)
    model = make_model(corpus, (4,))
    bias = np.full(16, 50.0, np.float32)
    # Forget and input gates open and the candidate at 1: the cell grows by one a step; scaled up it leaves float16.
    model.params["layers.0.forward.bias"] = jnp.asarray(bias)
    trace = extract(model, corpus, tmp_path / "a.zarr", record=Record(cell=True, dtype="float16"), progress=False)
    longest = int(corpus.lengths.argmax())
    assert float(trace.sequence(longest).cell()[-1, 0]) == pytest.approx(corpus.lengths.max(), rel=1e-3)


def test_ctrl_c_keeps_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = make_corpus(20)
    model = make_model(corpus)
    with small_shards(64):
        written: list[int] = []
        write = Writer.write

        def interrupt(self: Writer, portion: Portion, *rest: Any) -> None:
            if portion.number == 2:
                raise KeyboardInterrupt
            write(self, portion, *rest)
            written.append(portion.number)

        monkeypatch.setattr(Writer, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            extract(model, corpus, tmp_path / "t.zarr", options=ExtractOptions(memory=1, progress=False))
        found = progress_of(tmp_path / "t.zarr")
        assert found is not None
        assert {0, 1} <= set(written)
        assert found.done == len(written) < found.shards
        monkeypatch.undo()
    with small_shards(64):
        trace = extract(model, corpus, tmp_path / "t.zarr", options=ExtractOptions(memory=1, progress=False))
    assert trace.steps == len(corpus.tokens)
    with pytest.raises(FileNotFoundError, match="no trace store"):
        Trace(tmp_path / "u.zarr")
