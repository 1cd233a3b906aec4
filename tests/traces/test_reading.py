"""Reading: slices, selections, named axes and Dask give what zarr-python gives; what is lost or damaged is named."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import shutil
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate_core.errors import InputError, MissingExtraError, StoreError
from hiddenstate_core.traces import Trace, open_trace
from hiddenstate_core.traces.rawfiles import RawRows, ShardFiles
from tests.traces.stores import GATES, Kind, write

Array = np.ndarray[Any, Any]
KINDS = {
    "plain": Kind(),
    "compressed": Kind(compressed=True),
    "float16": Kind(dtype="float16"),
    "bfloat16": Kind(dtype="bfloat16"),
    "bfloat16-compressed": Kind(dtype="bfloat16", compressed=True),
    "both": Kind(direction="both", recorded=("hidden", "cell", "gates"), gates=("forget",), layers=(1,)),
}


@pytest.fixture(scope="module", params=sorted(KINDS))
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, dict[str, Array]]:
    """A trace and what it holds."""
    path = tmp_path_factory.mktemp("reading") / f"{request.param}.zarr"
    held = write(path, KINDS[request.param])
    return Trace(path), held


@pytest.fixture
def plain(tmp_path: Path) -> tuple[Path, dict[str, Array]]:
    """An uncompressed store that may be damaged."""
    return tmp_path / "t.zarr", write(tmp_path / "t.zarr", Kind(lengths=(30, 17), hidden=(5,), layers=(0,)))


def _numbers(length: int) -> st.SearchStrategy[int]:
    return st.integers(-length, length - 1)


def _slices(length: int) -> st.SearchStrategy[slice]:
    end = st.none() | st.integers(-length - 3, length + 3)
    return st.builds(slice, end, end, st.none() | st.integers(-5, 5).filter(bool))


def _axis(length: int) -> st.SearchStrategy[Any]:
    lists = st.lists(_numbers(length), max_size=8)
    masks = st.lists(st.booleans(), min_size=length, max_size=length).map(np.array)
    return _numbers(length) | _slices(length) | lists | lists.map(lambda v: np.array(v, np.int64)) | masks


def test_every_array_is_what_was_written(store: tuple[Trace, dict[str, Array]]) -> None:
    trace, held = store
    for path, values in held.items():
        array = trace.array(path)
        np.testing.assert_array_equal(np.asarray(array), values)
        assert array.dtype == values.dtype
        assert array.shape == values.shape
        assert b"".join(block.tobytes() for _, block in array.blocks()) == values.tobytes()
        assert b"".join(block.tobytes() for _, block in array.blocks(7)) == values.tobytes()
    raw = [trace.array(path).layout is not None for path in held if path.startswith("layers")]
    assert set(raw) == {"compressed" not in str(trace.path)}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_indexing_is_numpys(store: tuple[Trace, dict[str, Array]], data: st.DataObject) -> None:
    trace, held = store
    path = "layers/1/forward/hidden"
    array, values = trace.array(path), held[path]
    keys = st.just(...) | _axis(len(values)) | st.tuples(_axis(len(values)), _axis(3))
    keys |= st.tuples(st.just(...), _axis(3)) | st.tuples(_axis(len(values)), st.just(...))
    key = data.draw(keys)
    try:
        expected = values[key]
    except IndexError:  # arrays of rows and of columns that cannot be paired
        with pytest.raises((IndexError, ValueError)):
            _ = array[key]
        return
    found = array[key]
    np.testing.assert_array_equal(found, expected)
    assert np.shape(found) == np.shape(expected)
    assert np.asarray(found).dtype == expected.dtype


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_slices_are_zarrs_own(store: tuple[Trace, dict[str, Array]], data: st.DataObject) -> None:
    trace, held = store
    path = data.draw(st.sampled_from([p for p in sorted(held) if held[p].dtype != np.uint16]))
    if "bfloat16" in str(trace.path) and path.startswith("layers"):
        return
    direct = zarr.open_group(trace.path, mode="r")[path]
    assert isinstance(direct, zarr.Array)
    rows = data.draw(st.integers(0, len(held[path])).flatmap(lambda a: st.tuples(st.just(a), st.integers(a, 50))))
    np.testing.assert_array_equal(trace.array(path)[slice(*rows)], np.asarray(direct[slice(*rows)]))


def test_what_cannot_be_an_index_is_refused(store: tuple[Trace, dict[str, Array]]) -> None:
    array = store[0].array("layers/1/forward/hidden")
    for key in (47, -48, (0, 3), (0, 0, 0), (..., ...), None, True, "a", 1.5, [0.5], [47], np.ones(5, bool)):
        with pytest.raises(IndexError):
            _ = array[key]
    with pytest.raises(IndexError):
        _ = array[np.ones((47, 2), bool)]
    mask = np.zeros((47, 3), bool)
    mask[4, 1] = mask[30, 2] = True
    np.testing.assert_array_equal(array[mask], np.asarray(array)[mask])
    rows = np.array([[3, 4], [5, -1]])
    np.testing.assert_array_equal(array[rows], np.asarray(array)[rows])
    np.testing.assert_array_equal(array[rows, 1], np.asarray(array)[rows, 1])
    assert array[[]].shape == (0, 3)
    assert array[5:2, 1].shape == (0,)
    with pytest.raises(ValueError, match="copies"):
        np.array(array, copy=False)


def test_sequences_and_directions(tmp_path: Path) -> None:
    held = write(tmp_path / "t", KINDS["both"])
    trace = Trace(tmp_path / "t")
    assert trace.directions == ("forward", "backward")
    assert (trace.layers, trace.facts.layers, trace.recorded, trace.gates) == (
        (5, 3), (1,), ("hidden", "cell", "gates"), ("forget",),
    )  # fmt: skip
    start, stop = trace.offsets[3], trace.offsets[4]
    one = trace.sequence(3)
    for direction in trace.directions:
        for name, found in (
            ("hidden", one.hidden(direction=direction)),
            ("cell", one.cell(-1, direction)),
            ("gates/forget", one.gate("forget", 1, direction)),
        ):
            np.testing.assert_array_equal(found, held[f"layers/1/{direction}/{name}"][start:stop])
    np.testing.assert_array_equal(one.hidden(), one.hidden(direction="forward"))
    np.testing.assert_array_equal(one.positions, np.arange(14))
    assert (len(one), one.length) == (14, 14)
    for call, message in (
        (lambda: trace.hidden(0), "Layer 0 was not recorded in .*hidden, cell, gates .forget. of layer 1, forward and"),
        (lambda: trace.hidden(2), "Layer 2 does not exist"),
        (lambda: trace.gate("input"), "gate 'input' was not recorded in .* it has hidden"),
        (lambda: trace.gate("reset"), "no gate 'reset'; an LSTM has input, forget, candidate, output"),
        (lambda: trace.hidden(direction="sideways"), "'forward' or 'backward', not 'sideways'"),
        (lambda: trace.top_tokens(), "a classifier's recording and has no top_tokens"),
        (lambda: trace.unit(3), "Unit 3 does not exist; the layer has 3, 0..2"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_a_store_of_schema_1(tmp_path: Path) -> None:
    kind = Kind(recorded=("hidden", "cell", "gates"), gates=GATES["lstm"], compressed=True)
    held = write(tmp_path / "t", kind)
    metadata = json.loads((tmp_path / "t" / "zarr.json").read_text())
    metadata["attributes"]["schema"] = 1
    for name in ("task", "cell", "direction", "record"):
        del metadata["attributes"][name]
    (tmp_path / "t" / "zarr.json").write_text(json.dumps(metadata))
    trace = Trace(tmp_path / "t")
    assert (trace.facts.schema, trace.task, trace.directions, trace.gates) == (
        1, "classification", ("forward",), GATES["lstm"],
    )  # fmt: skip
    for path, values in held.items():
        np.testing.assert_array_equal(trace.array(path)[:], values)
    np.testing.assert_array_equal(trace.sequence(3).gate("output", 0), held["layers/0/forward/gates/output"][10:24])
    assert trace.select(correct=True).probabilities().shape[1] == 3
    with pytest.raises(InputError, match="does not read backwards"):
        trace.hidden(direction="backward")


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_other_cells(tmp_path: Path, cell: str) -> None:
    gates = {"gru": ("reset", "candidate"), "rnn": ()}[cell]
    recorded = ("hidden", "gates") if gates else ("hidden",)
    held = write(tmp_path / "t", Kind(cell=cell, direction="backward", recorded=recorded, gates=gates))
    trace = Trace(tmp_path / "t")
    assert trace.facts.cell == cell
    np.testing.assert_array_equal(trace.hidden(0)[:], held["layers/0/backward/hidden"])
    for gate in gates:
        np.testing.assert_array_equal(trace.gate(gate)[3:9], held[f"layers/1/backward/gates/{gate}"][3:9])
    with pytest.raises(InputError, match=r"does not read forwards, .* it has hidden"):
        trace.hidden(direction="forward")
    with pytest.raises(InputError, match="'cell' was not recorded"):
        trace.cell()
    with pytest.raises(InputError, match="a GRU has reset, update, candidate" if gates else "a vanilla RNN has none"):
        trace.gate("forget")


def test_steps_left_out(tmp_path: Path) -> None:
    held = write(tmp_path / "t", Kind(every=4))
    trace = Trace(tmp_path / "t")
    assert trace.lengths.tolist() == [0, 1, 9, 14, 3, 20]
    assert np.diff(trace.offsets).tolist() == [0, 1, 3, 4, 1, 5]
    np.testing.assert_array_equal(trace.positions[:], held["steps/position"])
    one = trace.sequence(3)
    assert (len(one), one.length, one.positions.tolist(), len(one.words)) == (4, 14, [3, 7, 11, 13], 4)
    assert trace.select(label="negative").lengths.tolist() == [1, 20]
    assert trace.to_xarray().position[:3].values.tolist() == held["steps/position"][:3].tolist()
    lengths = zarr.open_array(tmp_path / "t" / "sequences" / "lengths", mode="r+")
    lengths[2] = 13
    with pytest.raises(StoreError, match="sequences/lengths does not fit"):
        Trace(tmp_path / "t")


def test_a_language_models_store(tmp_path: Path) -> None:
    held = write(tmp_path / "t", Kind(task="language_model"))
    trace = Trace(tmp_path / "t")
    assert (trace.task, trace.classes, trace.has_final_probabilities) == ("language_model", (), False)
    np.testing.assert_array_equal(trace.top_tokens()[:], held["steps/top_tokens"])
    np.testing.assert_array_equal(trace.sequence(3).top_probabilities(), held["steps/top_probabilities"][10:24])
    assert np.isnan(trace.sequence(3).target_probability()).tolist() == [False] * 13 + [True]
    assert trace.select(sequences=[5, 2]).target_probability().shape == (29,)
    for call in (
        trace.probabilities,
        lambda: trace.final_probabilities,
        lambda: trace.sequence(2).predicted,
        lambda: trace.select(correct=True),
    ):
        with pytest.raises(
            InputError, match=r"no class probabilities, since its model is a language model; it has top"
        ):
            call()
    assert set(trace.to_xarray(0).data_vars) == {
        "tokens", "surface", "top_tokens", "top_probabilities", "target_probability", "hidden",
    }  # fmt: skip


def test_a_store_without_probabilities(tmp_path: Path) -> None:
    write(tmp_path / "t", Kind(probabilities=False))
    trace = Trace(tmp_path / "t")
    for call in (trace.probabilities, lambda: trace.final_probabilities, lambda: trace.select(predicted=1)):
        with pytest.raises(
            InputError, match=r"without class probabilities at every step; it has hidden of layers 0, 1, for"
        ):
            call()
    assert trace.sequence(3).hidden().shape == (14, 3)
    assert "probabilities" not in trace.to_xarray()


# -- selections ---------------------------------------------------------------------------------------------------


def test_selections_by_class_split_prediction_and_name(store: tuple[Trace, dict[str, Array]]) -> None:
    trace, held = store
    labels, split = held["sequences/labels"], held["sequences/split"]
    predicted = held["sequences/probabilities"].argmax(axis=1)
    cases: list[tuple[dict[str, Any], Any]] = [
        ({}, range(6)),
        ({"label": "neutral"}, np.flatnonzero(labels == 1)),
        ({"label": -1}, np.flatnonzero(labels == -1)),
        ({"label": ["negative", 2]}, np.flatnonzero((labels == 0) | (labels == 2))),
        ({"split": "test"}, [1, 3, 5]),
        ({"split": 0, "label": 1}, np.flatnonzero((split == 0) & (labels == 1))),
        ({"predicted": "positive"}, np.flatnonzero(predicted == 2)),
        ({"correct": True}, np.flatnonzero(predicted == labels)),
        ({"correct": False}, np.flatnonzero((predicted != labels) & (labels >= 0))),
        ({"ids": "text/4"}, [4]),
        ({"ids": ["text/4", "text/2"]}, [4, 2]),
        ({"sequences": [-1, 2, 2]}, [5, 2, 2]),
        ({"sequences": np.arange(6) > 3}, [4, 5]),
        ({"sequences": [5, 2, 3], "ids": ["text/3", "text/1", "text/5"]}, [3, 5]),
    ]
    for criteria, expected in cases:
        assert trace.select(**criteria).sequences.tolist() == list(expected), criteria
    some = trace.select(sequences=[5, 2, 3])
    refused: list[tuple[dict[str, Any], str]] = [
        ({"label": "angry"}, "no class 'angry'; the trace has negative, neutral, positive"),
        ({"label": 3}, "no class 3"),
        ({"predicted": -1}, "no class -1"),
        ({"split": "dev"}, "no split 'dev'"),
        ({"ids": "text/9"}, "no sequence with the id 'text/9'"),
        ({"sequences": [6]}, "the trace has 6"),
        ({"sequences": [0.5]}, "numbers of sequences"),
    ]
    for criteria, message in refused:
        with pytest.raises(InputError, match=message):
            trace.select(**criteria)
    assert some.select(split="test").sequences.tolist() == [5, 3]
    assert some.select(ids=["text/3", "text/1"]).sequences.tolist() == [3]
    assert [one.index for one in some] == [5, 2, 3]
    assert some.sequence(-1).index == 3
    assert some.ids == ("text/5", "text/2", "text/3")
    with pytest.raises(InputError, match="Sequence 3 of a selection of 3"):
        some.sequence(3)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_rows_of_a_selection_are_those_of_its_sequences(
    store: tuple[Trace, dict[str, Array]], data: st.DataObject
) -> None:
    trace, held = store
    values = held["layers/1/forward/hidden"]
    some = trace.select(sequences=np.array(data.draw(st.lists(st.integers(0, 5), max_size=7)), np.int64))
    expected = values[some.rows]
    hidden = some.hidden()
    assert hidden.shape == expected.shape == (some.steps, 3)
    np.testing.assert_array_equal(np.asarray(hidden), expected)
    np.testing.assert_array_equal(trace.sequence_of_step[some.rows], some.sequence_of_step)
    if not some.steps:
        return
    key = data.draw(_axis(some.steps) | st.tuples(_axis(some.steps), _slices(3)))
    np.testing.assert_array_equal(hidden[key], expected[key])
    assert b"".join(block.tobytes() for _, block in hidden.blocks(5)) == expected.tobytes()


def test_a_unit_is_read_without_the_others(tmp_path: Path) -> None:
    held = write(tmp_path / "t", Kind(lengths=(5000,) * 8, hidden=(200,), layers=(0,), shard=8192, chunk=1024))
    trace = Trace(tmp_path / "t")
    column = held["layers/0/forward/hidden"][:, 7]
    np.testing.assert_array_equal(trace.unit(7), column)
    np.testing.assert_array_equal(trace.unit(-193), column)
    np.testing.assert_array_equal(
        trace.select(sequences=[2, 1]).hidden()[:, 7], column[[*range(10000, 15000), *range(5000, 10000)]]
    )
    tracemalloc.start()
    try:
        _ = trace.unit(7)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < held["layers/0/forward/hidden"].nbytes * 0.7  # two blocks of 8 MiB of 32


# -- others' arrays -------------------------------------------------------------------------------------------------


def test_named_axes(store: tuple[Trace, dict[str, Array]]) -> None:
    trace, held = store
    data = trace.hidden(1).to_xarray()
    assert (data.dims, data.name, data.dtype) == (("step", "unit"), "hidden", held["layers/1/forward/hidden"].dtype)
    assert not data.variable._in_memory
    values = held["layers/1/forward/hidden"]
    np.testing.assert_array_equal(data.isel(step=slice(5, 20, 3), unit=[2, 0]).values, values[5:20:3][:, [2, 0]])
    np.testing.assert_array_equal(data.isel(step=[9, 1, 1], unit=[0, 2]).values, values[[9, 1, 1]][:, [0, 2]])
    np.testing.assert_array_equal(data.sel(unit=2).isel(step=-1).values, values[-1, 2])
    assert data.sequence.values.tolist() == trace.sequence_of_step.tolist()
    np.testing.assert_array_equal(data.isel(step=data.sequence == 3).values, trace.sequence(3).hidden())
    everything = trace.to_xarray()
    assert everything.attrs["fingerprint"] == "f" * 64
    assert everything["class"].values.tolist() == ["negative", "neutral", "positive"]
    np.testing.assert_array_equal(everything.probabilities.sel({"class": "neutral"}), held["steps/probabilities"][:, 1])
    some = trace.select(sequences=[4, 2]).to_xarray()
    assert some.sizes["step"] == 12
    assert some.sequence.values.tolist() == [4] * 3 + [2] * 9
    assert some.position.values.tolist() == [*range(3), *range(9)]
    xarray.testing.assert_equal(
        some.hidden.drop_vars("sequence"), trace.select(sequences=[4, 2]).hidden().to_xarray().drop_vars("sequence")
    )


def test_dask_gives_the_same(store: tuple[Trace, dict[str, Array]]) -> None:
    pytest.importorskip("dask.array", reason="needs the cluster extra: python -m pip install 'hiddenstate[cluster]'")
    trace, held = store
    values = held["layers/1/forward/hidden"]
    array = trace.hidden(1).to_dask()
    assert array.chunks == ((12, 12, 12, 11), (3,))
    assert array.dtype == values.dtype
    np.testing.assert_array_equal(array.compute(scheduler="threads"), values)
    np.testing.assert_array_equal(array[40:3:-4, [2, 0]].compute(scheduler="synchronous"), values[40:3:-4][:, [2, 0]])
    assert array.name == Trace(trace.path).hidden(1).to_dask().name != trace.hidden(1).to_dask(5).name
    some = trace.select(sequences=[5, 2])
    np.testing.assert_array_equal(some.hidden(1).to_dask(7).compute(scheduler="synchronous"), values[some.rows])
    np.testing.assert_allclose(trace.probabilities().to_dask().sum(axis=1).compute(), 1, atol=1e-6)
    with pytest.raises(InputError, match="at least one row"):
        trace.hidden(1).to_dask(0)


def test_an_extra_that_is_missing_is_named(
    store: tuple[Trace, dict[str, Array]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] in ("dask", "xarray")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hiddenstate\[cluster\]'"):
        store[0].hidden(1).to_dask()
    with pytest.raises(MissingExtraError, match=r"pip install 'hiddenstate\[xarray\]'"):
        store[0].hidden(1).to_xarray()


def test_a_trace_travels_to_other_processes(store: tuple[Trace, dict[str, Array]], tmp_path: Path) -> None:
    # What Dask does: it sends arrays by name of their store.
    trace, held = store
    again = pickle.loads(pickle.dumps(trace.select(label="negative").hidden(1)))  # noqa: S301
    np.testing.assert_array_equal(np.asarray(again), np.asarray(trace.select(label="negative").hidden(1)))
    sent = pickle.dumps(trace.hidden(1))
    assert len(sent) < 1000
    np.testing.assert_array_equal(np.asarray(pickle.loads(sent)), held["layers/1/forward/hidden"])  # noqa: S301
    other = Path(shutil.copytree(trace.path, tmp_path / "other.zarr"))
    sent = pickle.dumps(Trace(other))
    metadata = json.loads((other / "zarr.json").read_text())
    metadata["attributes"]["fingerprint"] = "0" * 64
    (other / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(StoreError, match="another recording"):
        pickle.loads(sent)  # noqa: S301


# -- threads, files, damage ---------------------------------------------------------------------------------------


def test_threads_may_read_one_trace_at_once(plain: tuple[Path, dict[str, Array]]) -> None:
    path, held = plain
    trace = Trace(path)
    trace._files._limit = 2  # files are closed and opened again all the time
    values, rng = held["layers/0/forward/hidden"], np.random.default_rng(0)
    ends = np.sort(rng.integers(0, len(values) + 1, (3000, 2)))

    def read(pair: Array) -> bool:
        a, b = pair
        rows = np.array([a, b, 3, 40]) % len(values)
        same = np.array_equal(trace.hidden()[a:b], values[a:b]) and np.array_equal(trace.hidden()[rows], values[rows])
        return same and np.array_equal(trace.unit(int(a) % 5), values[:, int(a) % 5])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, ends))
    assert len(trace._files) <= 2


def test_open_files_are_few_and_closed(plain: tuple[Path, dict[str, Array]]) -> None:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("counts open files in /proc")

    def held() -> int:
        return sum(str(plain[0]) in str(link.readlink()) for link in folder.iterdir() if link.is_symlink())

    trace = Trace(plain[0])
    _ = trace.hidden()[:], trace.tokens()[:], trace.surface()[:]
    assert 0 < held() <= 64
    del trace
    import gc

    gc.collect()
    assert held() == 0


def test_a_process_out_of_files_goes_on(plain: tuple[Path, dict[str, Array]], monkeypatch: pytest.MonkeyPatch) -> None:
    trace, opened = Trace(plain[0]), os.open
    _ = trace.hidden()[:5]
    refused: list[Any] = []

    def refuse_once(*given: Any) -> int:
        if not refused:
            refused.append(given)
            raise OSError(24, "Too many open files")
        return opened(*given)

    monkeypatch.setattr(os, "open", refuse_once)
    np.testing.assert_array_equal(trace.hidden()[20:25], plain[1]["layers/0/forward/hidden"][20:25])
    assert refused


def test_without_reading_at_a_place(plain: tuple[Path, dict[str, Array]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "preadv", raising=False)
    trace = Trace(plain[0])
    np.testing.assert_array_equal(np.asarray(trace.hidden()), plain[1]["layers/0/forward/hidden"])
    (plain[0] / "layers/0/forward/hidden/c/0/0").unlink()
    with pytest.raises(StoreError, match="is missing"):
        _ = Trace(plain[0]).hidden()[:]


def test_interrupted_reads_go_on(plain: tuple[Path, dict[str, Array]], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: whole(fd, [views[0][: max(1, len(views[0]) // 2)]], at))
    np.testing.assert_array_equal(np.asarray(Trace(plain[0]).hidden()), plain[1]["layers/0/forward/hidden"])


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shard", [0, 1, 3])
def test_every_loss_in_a_shard_is_named(tmp_path: Path, compressed: bool, shard: int) -> None:
    """Cut a shard short anywhere, remove bytes from its middle, change its index, lose it: never wrong numbers."""
    kind = Kind(lengths=(30, 17), hidden=(5,), layers=(0,), compressed=compressed)
    held = write(tmp_path / "t", kind)["layers/0/forward/hidden"]
    file = tmp_path / "t" / "layers/0/forward/hidden/c" / str(shard) / "0"
    listing = {"algorithm": "crc32c", "files": {str(file.relative_to(tmp_path / "t")): {}}}
    (tmp_path / "t" / "checksums.json").write_text(json.dumps(listing))
    rows, whole = slice(shard * 12, shard * 12 + 12), file.read_bytes()
    size = len(whole)
    damages = {f"cut to {n}": whole[:n] for n in (0, 3, size // 3, size // 2, size - 1)}
    damages["a hole"] = whole[:10] + whole[18:]
    damages["index"] = whole[: size - 20] + bytes([whole[size - 20] ^ 1]) + whole[size - 19 :]
    damages["checksum"] = whole[:-1] + bytes([whole[-1] ^ 1])
    for what, content in damages.items():
        file.write_bytes(content)
        if compressed and what == "a hole":
            continue  # Zstandard may or may not notice; checksums.json does
        with pytest.raises(StoreError, match="hidden is damaged") as told:
            _ = Trace(tmp_path / "t").hidden()[rows]
        assert str(tmp_path / "t") in str(told.value), what
        beside = slice(12, 24) if shard != 1 else slice(0, 12)
        np.testing.assert_array_equal(Trace(tmp_path / "t").hidden()[beside], held[beside])
    file.unlink()
    with pytest.raises(StoreError, match=f"its file layers/0/forward/hidden/c/{shard}/0 is missing"):
        _ = Trace(tmp_path / "t").hidden()[rows]
    with pytest.raises(StoreError, match="is missing"):
        _ = Trace(tmp_path / "t").unit(0)


def test_a_store_that_was_replaced_is_not_mixed_with_the_new_one(plain: tuple[Path, dict[str, Array]]) -> None:
    path, _ = plain
    trace = Trace(path)
    _ = trace.hidden()[:5], trace.sequence(0).words
    path.replace(path.with_name("old.zarr"))
    with pytest.raises(StoreError, match="was replaced or removed since it was opened"):
        _ = trace.hidden()[:5]
    write(path, Kind(lengths=(17, 30), hidden=(5,), layers=(0,)), seed=1)
    for call in (lambda: trace.hidden()[:5], lambda: trace.sequence(0).words, lambda: trace.unit(0)):
        with pytest.raises(StoreError, match="was replaced or removed since it was opened; open it again"):
            call()
    assert Trace(path).sequence(0).hidden().shape == (17, 5)


def test_a_shard_cut_short_while_it_is_read_is_named(plain: tuple[Path, dict[str, Array]]) -> None:
    trace = Trace(plain[0])
    _ = trace.hidden()[:]
    file = plain[0] / "layers/0/forward/hidden/c/1/0"
    os.truncate(file, 50)
    with pytest.raises(StoreError, match="was cut short"):
        _ = trace.hidden()[12:24]


def test_another_order_of_chunks_is_left_to_zarr(plain: tuple[Path, dict[str, Array]]) -> None:
    """The index may say anything that is true; only the usual one is read without Zarr."""
    import google_crc32c

    file, held = plain[0] / "layers/0/forward/hidden/c/0/0", plain[1]["layers/0/forward/hidden"]
    whole = file.read_bytes()
    chunks = [whole[i * 80 : (i + 1) * 80] for i in range(3)]
    entries = np.array([[160, 80], [80, 80], [0, 80]], "<u8").tobytes()
    file.write_bytes(b"".join(reversed(chunks)) + entries + google_crc32c.value(entries).to_bytes(4, "little"))
    np.testing.assert_array_equal(np.asarray(Trace(plain[0]).hidden()), held)
    # A chunk of nothing but zeros may be left out.
    entries = np.array([[0, 80], [2**64 - 1, 2**64 - 1], [80, 80]], "<u8").tobytes()
    file.write_bytes(chunks[0] + chunks[2] + entries + google_crc32c.value(entries).to_bytes(4, "little"))
    expected = held.copy()
    expected[4:8] = 0
    np.testing.assert_array_equal(np.asarray(Trace(plain[0]).hidden()), expected)
    np.testing.assert_array_equal(Trace(plain[0]).hidden()[[3, 5, 30]], expected[[3, 5, 30]])


def test_each_index_is_checked_once(plain: tuple[Path, dict[str, Array]], monkeypatch: pytest.MonkeyPatch) -> None:
    trace, size = Trace(plain[0]), ShardFiles.size
    sizes: list[str] = []

    def counted(files: ShardFiles, path: str) -> int:
        sizes.append(path)
        return size(files, path)

    monkeypatch.setattr(ShardFiles, "size", counted)
    for _ in range(5):
        _ = trace.hidden()[:], trace.hidden()[3:20]
    assert len(sizes) == 4
    assert isinstance(trace.hidden()._raw, RawRows)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("record", None),
        ("record", {"layers": [2]}),
        ("record", {"layers": [1, 0]}),
        ("record", {"layers": [0], "gates": "forget"}),
        ("record", {"layers": [0], "every": 0}),
        ("record", {"layers": [0], "dtype": "int8"}),
        ("record", {"layers": [0], "probabilities": 1}),
        ("direction", "up"),
        ("task", None),
        ("cell", 3),
    ],
)
def test_attributes_of_schema_2_are_checked(plain: tuple[Path, dict[str, Array]], key: str, value: object) -> None:
    file = plain[0] / "zarr.json"
    metadata = json.loads(file.read_text())
    metadata["attributes"][key] = value
    file.write_text(json.dumps(metadata))
    with pytest.raises(StoreError, match=f"attribute '{key}"):
        open_trace(plain[0])


def test_opening_reads_little(plain: tuple[Path, dict[str, Array]]) -> None:
    trace = Trace(plain[0])
    _ = trace.sequence(1).hidden()
    assert not {"ids", "lexicon", "vocabulary"} & set(vars(trace))
    assert threading.active_count() < 100
    assert importlib.util.find_spec("zarr") is not None


def test_what_is_no_number_or_name_is_refused_in_a_sentence(plain: tuple[Path, dict[str, Array]]) -> None:
    trace = Trace(plain[0])
    assert trace.sequence(np.int64(-1)).index == 1  # type: ignore[arg-type]
    for index in ("1", 1.5, None):
        with pytest.raises(InputError, match="A sequence is chosen by its number, not"):
            trace.sequence(index)  # type: ignore[arg-type]
    for layer in ("0", 0.0):
        with pytest.raises(InputError, match="A layer is chosen by its number, not"):
            trace.hidden(layer)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"There is no class 1\.5"):
        trace.select(label=1.5)
    with pytest.raises(InputError, match="no sequence with the id 4"):
        trace.select(ids=4)


@pytest.mark.parametrize(
    ("array", "length", "message"),
    [
        ("sequences/offsets", 10**14, "sequences/offsets claims 100,000,000,000,000 entries"),
        ("sequences/ids", 1, r"sequences/ids has shape \(1,\), not 2"),
        ("sequences/split", 3, r"sequences/split has shape \(3,\), not 2"),
    ],
)
def test_a_list_of_another_length_is_named(
    plain: tuple[Path, dict[str, Array]], array: str, length: int, message: str
) -> None:
    description = plain[0] / array / "zarr.json"
    found = json.loads(description.read_text(encoding="utf-8"))
    description.write_text(json.dumps(found | {"shape": [length]}), encoding="utf-8")
    with pytest.raises(StoreError, match=message):
        _ = Trace(plain[0]).ids, Trace(plain[0]).split


def test_a_split_without_a_name_is_damage(plain: tuple[Path, dict[str, Array]]) -> None:
    description = plain[0] / "zarr.json"
    found = json.loads(description.read_text(encoding="utf-8"))
    found["attributes"]["splits"] = []
    description.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(StoreError, match="sequences/split has a split that the store does not name"):
        Trace(plain[0]).select(split="test")
