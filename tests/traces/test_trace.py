"""Reading traces: lazily, by others' tools too, and a damaged or foreign store by name."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from hiddenstate_core.cli.info import describe
from hiddenstate_core.errors import InputError, StoreError, StoreNotFoundError
from hiddenstate_core.traces import Trace, open_trace
from tests.fakes import make_trace


@pytest.fixture
def copy(small_trace: Trace, tmp_path: Path) -> Path:
    """A store that may be damaged."""
    return Path(shutil.copytree(small_trace.path, tmp_path / "copy.zarr"))


def test_sequences_are_slices_of_the_whole(small_trace: Trace) -> None:
    hidden = np.asarray(small_trace.hidden())
    for s in (0, 1, 7, -1):
        view = small_trace.sequence(s)
        assert len(view) == len(view.words) == len(view.hidden()) == len(view.probabilities()) == len(view.known)
        np.testing.assert_array_equal(view.hidden(), hidden[view.start : view.stop])
    assert small_trace.sequence(-1).index == len(small_trace) - 1
    np.testing.assert_array_equal(
        np.bincount(small_trace.sequence_of_step, minlength=len(small_trace)), np.diff(small_trace.offsets)
    )
    # The empty sequence is predicted from the initial state.
    np.testing.assert_allclose(small_trace.final_probabilities[0], small_trace.initial_probabilities, atol=1e-7)


def test_layers_and_gates(small_trace: Trace) -> None:
    assert small_trace.layers == (12, 8)
    assert small_trace.hidden(0).shape[1] == 12
    assert small_trace.hidden().shape[1] == small_trace.gate("forget").shape[1] == 8
    gate, cell = np.asarray(small_trace.gate("output")), np.asarray(small_trace.cell())
    np.testing.assert_allclose(np.asarray(small_trace.hidden()), gate * np.tanh(cell), atol=1e-6)
    with pytest.raises(InputError, match="Layer 2 does not exist"):
        small_trace.hidden(2)
    with pytest.raises(InputError, match="no gate 'reset'"):
        small_trace.gate("reset")
    with pytest.raises(InputError, match="Sequence 40 does not exist"):
        small_trace.sequence(40)


def test_xarray_shows_named_axes(small_trace: Trace) -> None:
    expected: dict[str, dict[str, tuple[str, ...]]] = {
        "steps": {"tokens": ("step",), "surface": ("step",), "probabilities": ("step", "class")},
        "sequences": {"offsets": ("boundary",), "labels": ("sequence",), "ids": ("sequence",)},
        "layers/0/forward": {"hidden": ("step", "unit"), "cell": ("step", "unit")},
        "layers/1/forward/gates": dict.fromkeys(("input", "forget", "candidate", "output"), ("step", "unit")),
        "projections/tsne": {"coordinates": ("step", "axis")},
    }
    for group, arrays in expected.items():
        data = xarray.open_zarr(small_trace.path, group=group, consolidated=False)
        for name, dimensions in arrays.items():
            assert data[name].dims == dimensions


def test_every_array_names_its_axes(small_trace: Trace) -> None:
    names = 0
    for path in small_trace.path.rglob("zarr.json"):
        metadata = json.loads(path.read_text())
        if metadata["node_type"] == "array":
            names += 1
            assert all(metadata["dimension_names"]), path
    assert names > 15


def test_reading_is_safe_in_threads(small_trace: Trace) -> None:
    fresh = open_trace(small_trace.path)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda s: fresh.sequence(s).hidden().sum(), list(range(len(fresh))) * 3))
    np.testing.assert_allclose(found, [small_trace.sequence(s).hidden().sum() for s in range(len(fresh))] * 3)


def test_projections_are_checked_and_kept(copy: Path) -> None:
    trace = Trace(copy)
    points = np.random.default_rng(0).normal(size=(trace.steps, 2))
    stored = trace.add_projection("mine", points, attributes={"method": "random"})
    np.testing.assert_array_equal(stored.coordinates, points.astype(np.float32))
    assert stored.attributes["method"] == "random"
    assert Trace(copy).projections == ("mine", "pca", "tsne")
    with pytest.raises(InputError, match="already has"):
        trace.add_projection("mine", points)
    trace.add_projection("mine", points + 1, overwrite=True)
    assert trace.projection("mine").coordinates[0, 0] == np.float32(points[0, 0] + 1)
    for bad, message in (
        (points[:-1], "has shape"),
        (points * np.nan, "finite"),
        (points[:, :1], "has shape"),
        ("?", "array of numbers"),
    ):
        with pytest.raises(InputError, match=message):
            trace.add_projection("other", bad)
    for name in ("", "../escape", "a/b", ".hidden", "x" * 65):
        with pytest.raises(InputError, match="name is"):
            trace.add_projection(name, points)
    with pytest.raises(StoreNotFoundError, match="no projection 'umap'"):
        trace.projection("umap")


def test_a_half_written_projection_is_not_seen(copy: Path) -> None:
    (copy / "projections" / ".broken.1.abc.tmp").mkdir()
    (copy / "projections" / "empty").mkdir()
    assert Trace(copy).projections == ("pca", "tsne")


def test_another_schema_is_refused(copy: Path) -> None:
    metadata = json.loads((copy / "zarr.json").read_text())
    metadata["attributes"]["schema"] = 99
    (copy / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(StoreError, match="schema 99; this version of hiddenstate reads schema 1"):
        Trace(copy)


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="no trace store at"):
        Trace(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="not a Zarr v3 group"):
        Trace(tmp_path)
    (tmp_path / "file").write_text("text")
    with pytest.raises(StoreError, match="is a file; a trace store is a folder"):
        Trace(tmp_path / "file")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    with pytest.raises(StoreError, match="is a model, not a trace"):
        Trace(tmp_path / "model")
    zarr.create_group(tmp_path / "foreign.zarr", zarr_format=3)
    with pytest.raises(StoreError, match="not a hiddenstate trace"):
        Trace(tmp_path / "foreign.zarr")


@pytest.mark.parametrize(
    "part", ["steps/probabilities", "sequences/offsets", "sequences/labels", "steps/tokens", "sequences"]
)
def test_a_missing_part_is_named(copy: Path, part: str) -> None:
    shutil.rmtree(copy / part)
    with pytest.raises(StoreError, match="damaged"):
        Trace(copy)


@pytest.mark.parametrize("key", ["classes", "layers", "recorded", "fingerprint"])
def test_a_missing_attribute_is_named(copy: Path, key: str) -> None:
    metadata = json.loads((copy / "zarr.json").read_text())
    del metadata["attributes"][key]
    (copy / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(StoreError, match=key):
        Trace(copy)


def parts(store: Path) -> list[str]:
    """Every metadata file below the root and every chunk of a store."""
    return sorted(str(p.relative_to(store)) for p in store.rglob("*") if p.is_file() and p.parent != store)


def touch_everything(path: Path) -> None:
    """Read all that a trace can give."""
    trace = Trace(path)
    for layer in range(len(trace.layers)):
        _ = trace.hidden(layer)[:], trace.cell(layer)[:]
        _ = [trace.gate(gate, layer)[:] for gate in ("input", "forget", "candidate", "output")]
    _ = trace.vocabulary, trace.ids, trace.split, trace.final_probabilities, trace.probabilities()[:], trace.tokens()[:]
    _ = [trace.sequence(s).words for s in range(len(trace))]
    _ = [trace.projection(name) for name in trace.projections]


def test_every_damage_is_named(small_trace: Trace, tmp_path: Path) -> None:
    """Cut short any file of the store: reading it says so, and nothing else is ever raised."""
    copy = Path(shutil.copytree(small_trace.path, tmp_path / "copy.zarr"))
    touch_everything(copy)
    damaged = parts(copy)
    assert len(damaged) > 40
    groups = 0
    for part in damaged:
        whole = (copy / part).read_bytes()
        for size in (5, len(whole) // 2):
            (copy / part).write_bytes(whole[:size])
            try:
                touch_everything(copy)
            except (StoreError, StoreNotFoundError) as error:
                assert str(copy) in str(error)  # noqa: PT017
            else:
                # The description of a group in between is not needed to read what is below it.
                assert part.endswith("zarr.json"), part
                assert json.loads(whole)["node_type"] == "group", part
                groups += 1
        (copy / part).write_bytes(whole)
    assert groups < len(damaged)
    touch_everything(copy)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", "x"),
        ("layers", [0]),
        ("classes", []),
        ("classes", [1, 2]),
        ("recorded", None),
        ("splits", {"a": 1}),
        ("fingerprint", 3),
        ("initial_probabilities", [1.0]),
        ("seed", "zero"),
        ("test_accuracy", [1]),
    ],
)
def test_an_attribute_of_another_type_is_named(copy: Path, key: str, value: object) -> None:
    metadata = json.loads((copy / "zarr.json").read_text())
    metadata["attributes"][key] = value
    (copy / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(StoreError, match=key):
        Trace(copy)


def test_what_a_reader_need_not_find(copy: Path) -> None:
    metadata = json.loads((copy / "zarr.json").read_text())
    for key in ("corpus", "model", "versions", "gates"):
        del metadata["attributes"][key]
    (copy / "zarr.json").write_text(json.dumps(metadata))
    assert describe(copy)["corpus"] is None
    touch_everything(copy)


def test_torn_metadata_is_refused(copy: Path) -> None:
    (copy / "zarr.json").write_text('{"zarr_format": 3, "node_ty')
    with pytest.raises(StoreError, match="not a readable Zarr"):
        Trace(copy)


def test_a_read_only_store_can_be_read(tmp_path: Path) -> None:
    trace = make_trace(tmp_path / "t.zarr", 6)
    for path in [trace.path, *trace.path.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert Trace(trace.path).sequence(3).hidden().shape[1] == 12
    finally:
        for path in [trace.path, *trace.path.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
