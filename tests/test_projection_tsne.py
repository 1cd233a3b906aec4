"""`TSNE` as its users meet it: scikit-learn's conventions, the same bytes every time, every bad input by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import hiddenstate_core as hs
from hiddenstate_core.errors import InputError, MissingExtraError
from hiddenstate_core.neighbors import nearest_neighbors
from hiddenstate_core.projection import (
    TSNE,
    Embedding,
    Exact,
    OptimizerOptions,
    Progress,
    kl_divergence,
    optimize,
    perplexity_affinities,
)


def _blobs(n: int, d: int = 10, seed: int = 0) -> NDArray[np.float32]:
    """Five clusters of states."""
    rng = np.random.default_rng(seed)
    return (4 * rng.normal(size=(5, d))[rng.integers(0, 5, n)] + rng.normal(size=(n, d))).astype(np.float32)


def _quick(**changes: Any) -> TSNE:
    options: dict[str, Any] = {"perplexity": 10, "max_iter": 300, "method": "barnes_hut"}
    return TSNE(**(options | changes))


def test_it_is_the_public_class() -> None:
    assert hs.TSNE is TSNE
    assert hs.Embedding is Embedding


def test_fit_gives_everything_promised() -> None:
    x = _blobs(200)
    tsne = TSNE(perplexity=15, max_iter=350)
    assert tsne.fit(x) is tsne
    assert tsne.embedding_.shape == (200, 2)
    assert tsne.embedding_.dtype == np.float32
    assert (tsne.n_iter_, tsne.n_features_in_, tsne.learning_rate_, tsne.seed_) == (350, 10, 200.0, 0)
    assert tsne.method_ == "exact"
    assert tsne.kl_divergence_ == pytest.approx(kl_divergence(tsne.affinities_, tsne.embedding_))
    np.testing.assert_array_equal(tsne.fit_transform(x), tsne.embedding_)


def test_clusters_come_out_as_clusters() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 1500)
    x = 8 * rng.normal(size=(5, 10))[labels] + rng.normal(size=(1500, 10))
    y = TSNE(perplexity=20, max_iter=500).fit_transform(x)
    centres = np.array([y[labels == c].mean(axis=0) for c in range(5)])
    nearest = ((y[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.99


def test_as_good_as_scikit_learn_on_the_same_affinities() -> None:
    manifold = pytest.importorskip("sklearn.manifold")
    threadpoolctl = pytest.importorskip("threadpoolctl")
    x = _blobs(400, 12)
    ours = TSNE(perplexity=20, method="barnes_hut").fit(x)
    with threadpoolctl.threadpool_limits(1):  # its threads spin, which takes minutes on a busy machine
        theirs = manifold.TSNE(perplexity=20, init="pca", random_state=0).fit_transform(x)
    wanted = kl_divergence(ours.affinities_, theirs)
    assert kl_divergence(ours.affinities_, ours.embedding_) <= 1.02 * wanted


def test_scikit_learn_takes_it_for_one_of_its_own() -> None:
    base = pytest.importorskip("sklearn.base")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    tsne = _quick(random_state=3)
    copy = base.clone(tsne)
    assert copy is not tsne
    assert copy.get_params() == tsne.get_params()
    x = _blobs(120)
    y = make_pipeline(StandardScaler(), copy).fit_transform(x)
    assert y.shape == (120, 2)
    assert tsne.set_params(perplexity=7, init="random").perplexity == 7
    with pytest.raises(InputError, match="no option 'perplexty'"):
        tsne.set_params(perplexty=7)
    assert repr(TSNE(perplexity=7)) == "TSNE(perplexity=7)"


@pytest.mark.parametrize("method", ["exact", "barnes_hut", "interpolation"])
def test_same_bytes_for_any_number_of_threads(method: str) -> None:
    x = _blobs(2500)
    results = set()
    before = numba.get_num_threads()
    for threads in (1, min(2, before)):
        numba.set_num_threads(threads)
        try:
            tsne = _quick(method=method, max_iter=120).fit(x)
        finally:
            numba.set_num_threads(before)
        results.add((tsne.embedding_.tobytes(), tsne.kl_divergence_))
    for jobs in (1, 3, -1):
        tsne = _quick(method=method, max_iter=120, n_jobs=jobs).fit(x)
        results.add((tsne.embedding_.tobytes(), tsne.kl_divergence_))
    assert len(results) == 1


def test_same_bytes_for_any_number_of_blas_threads(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np, hiddenstate_core as hs\n"
        "x = np.random.default_rng(0).normal(size=(2000, 64))\n"
        "np.save(sys.argv[1], hs.TSNE(perplexity=10, max_iter=60).fit_transform(x))"
    )
    for threads in ("1", "2"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        subprocess.run([sys.executable, "-c", script, str(tmp_path / threads)], check=True, env=environment)
    assert (tmp_path / "1.npy").read_bytes() == (tmp_path / "2.npy").read_bytes()


def test_half_precision_gives_the_same_as_its_single_precision_copy(tmp_path: Path) -> None:
    half = _blobs(300).astype(np.float16)
    np.save(tmp_path / "half.npy", half)
    mapped = np.load(tmp_path / "half.npy", mmap_mode="r")
    one, other = (_quick().fit_transform(x) for x in (mapped, half.astype(np.float32)))
    assert one.tobytes() == other.tobytes()


def test_the_seed_matters_and_can_be_drawn() -> None:
    x = _blobs(150)
    one, other = (_quick(init="random", random_state=s).fit_transform(x) for s in (0, 1))
    assert (one != other).any()
    drawn = _quick(init="random", random_state=None).fit(x)
    again = _quick(init="random", random_state=drawn.seed_).fit_transform(x)
    assert drawn.embedding_.tobytes() == again.tobytes()


def test_states_are_not_changed() -> None:
    x = _blobs(100)
    x.flags.writeable = False
    before = x.copy()
    _quick().fit(x)
    np.testing.assert_array_equal(x, before)


def test_three_dimensions() -> None:
    tsne = TSNE(3, perplexity=10, max_iter=300).fit(_blobs(200))
    assert tsne.embedding_.shape == (200, 3)
    assert tsne.method_ == "exact"


@pytest.mark.parametrize("n", [2, 3, 4, 10])
@pytest.mark.parametrize("method", ["exact", "barnes_hut", "interpolation"])
def test_very_few_states(n: int, method: str) -> None:
    tsne = TSNE(perplexity=1 if n < 5 else 5, method=method).fit(_blobs(n))
    assert np.isfinite(tsne.embedding_).all()
    assert np.isfinite(tsne.kl_divergence_)
    assert np.abs(tsne.embedding_).max() < 1e5


@pytest.mark.parametrize("method", ["exact", "barnes_hut", "interpolation"])
@pytest.mark.parametrize("init", ["pca", "random"])
def test_all_states_equal(method: str, init: str) -> None:
    y = TSNE(perplexity=5, method=method, init=init, max_iter=400).fit_transform(np.full((100, 4), 2.5))
    assert np.isfinite(y).all()


def test_copies_by_the_thousand() -> None:
    x = _blobs(2000)
    x[:1500] = x[0]
    tsne = TSNE(perplexity=10, max_iter=500).fit(x)
    assert np.isfinite(tsne.embedding_).all()
    assert np.isfinite(tsne.kl_divergence_)


def test_constant_columns_change_nothing() -> None:
    x = _blobs(200)
    wide = np.column_stack([np.full(200, 3.0, np.float32), x, np.zeros(200, np.float32)])
    one, other = (_quick(max_iter=20).fit_transform(a) for a in (x, wide))
    np.testing.assert_allclose(one, other, atol=1e-3 * np.abs(one).max())


def test_one_feature_and_more_features_than_states() -> None:
    rng = np.random.default_rng(0)
    for shape in [(100, 1), (40, 300)]:
        assert np.isfinite(_quick().fit_transform(rng.normal(size=shape))).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"perplexity": 0}, "perplexity must be at least 1"),
        ({"perplexity": 0.5}, "perplexity must be at least 1"),
        ({"perplexity": 50}, "needs more than 50 states; there are 50"),
        ({"perplexity": float("nan")}, "perplexity must be finite"),
        ({"perplexity": "big"}, "perplexity must be a number"),
        ({"n_components": 4}, "n_components must be 2 or 3"),
        ({"n_components": 1}, "n_components must be 2 or 3"),
        ({"n_components": 2.0}, "whole number"),
        ({"n_components": 3, "method": "interpolation"}, "2 dimensions"),
        ({"late_exaggeration": 0.5}, "late_exaggeration must be at least 1"),
        ({"perplexity": ()}, "not an empty list"),
        ({"perplexity": (10, 60)}, "needs more than 60 states; there are 50"),
        ({"affinity": "cosine"}, "affinity must be 'gaussian', 'uniform' or 'precomputed', not 'cosine'"),
        ({"device": "abacus"}, "device must be 'cpu', 'gpu' or 'jax', not 'abacus'"),
        ({"method": "fourier"}, "'fourier'"),
        ({"neighbors": "guess"}, "'guess'"),
        ({"init": "spectral"}, "'spectral'"),
        ({"init": np.zeros((3, 2))}, "init must have shape"),
        ({"angle": -0.1}, "angle"),
        ({"angle": 2}, "angle"),
        ({"angle": 2, "method": "exact"}, r"angle must lie in 0\.\.1, not 2"),
        ({"angle": -0.1, "method": "auto"}, "angle must lie"),
        ({"angle": "wide", "method": "exact"}, "angle must be a number"),
        ({"learning_rate": "fast"}, "'fast'"),
        ({"learning_rate": 0}, "learning_rate must be above 0"),
        ({"early_exaggeration": 0}, "early_exaggeration"),
        ({"early_exaggeration": 0.9, "method": "exact"}, "early_exaggeration must be at least 1"),
        ({"max_iter": 0}, "max_iter must be at least 1, not 0"),
        ({"max_iter": -5}, "max_iter"),
        ({"max_iter": 1e3}, "whole number"),
        ({"n_iter_without_progress": 0}, "n_iter_without_progress"),
        ({"random_state": -1}, "random_state"),
        ({"random_state": "seven"}, "random_state must be a whole number"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"n_jobs": "all"}, "n_jobs"),
        ({"perplexity": "30"}, "perplexity must be a number"),
        ({"callback": 3}, "callback must be a function or None, not 3"),
        ({"checkpoint": 5}, "checkpoint must be the path of a folder or None, not 5"),
        ({"checkpoint": ""}, "checkpoint must be the path"),
    ],
)
def test_bad_options_are_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        _quick(**changes).fit(_blobs(50))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((1, 4)), "at least 2 states"),
        (np.zeros((0, 4)), "no states"),
        (np.zeros(9), "shape"),
        (np.where(np.eye(9) > 0, np.nan, 0), "State 0 holds nan"),
        (np.full((9, 2), 1e300), "1e\\+300"),
        (np.full((9, 2), 1e300, object), "State 0 holds inf"),
        (np.array([[1, None]] * 9, object), "State 0 holds nan in feature 1"),
        (np.array([[1, "one"]] * 9, object), "must be real numbers; .*'one'"),
        (np.array([[1, {}]] * 9, object), "must be real numbers"),
        (np.full((9, 2), "1"), "must be real numbers, not <U1"),
    ],
)
def test_bad_states_are_refused_by_name(bad: NDArray[Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TSNE(perplexity=2).fit(bad)


def test_the_embedding_tells_how_it_was_made() -> None:
    with pytest.raises(InputError, match="call fit first"):
        TSNE().embedding()
    tsne = _quick(perplexity=np.float32(10), max_iter=260, method="auto", init=_blobs(80)[:, :2]).fit(_blobs(80))
    made = tsne.embedding()
    np.testing.assert_array_equal(made.coordinates, tsne.embedding_)
    assert (made.method, made.seed, made.n_iter, made.kl_divergence) == ("tsne", 0, 260, tsne.kl_divergence_)
    told = json.loads(json.dumps(dict(made.parameters)))
    assert told["perplexity"] == 10
    assert told["init"] == "array"
    assert told["method"] == "exact"
    assert (told["neighbors"], told["recall"]) == ("exact", 1.0)
    assert made.seconds > 0
    assert "KL" in repr(made)


def test_interrupt_keeps_the_map_so_far() -> None:
    def press(progress: Progress) -> None:
        if progress.iteration == 100:
            raise KeyboardInterrupt

    tsne = _quick(callback=press).fit(_blobs(100))
    assert tsne.n_iter_ == 100
    assert tsne.embedding().interrupted


def test_no_iterations_gives_the_start() -> None:
    places, affinities = _blobs(60)[:, :2], perplexity_affinities(nearest_neighbors(_blobs(60), 30), 10)
    done = optimize(affinities, places, Exact(), OptimizerOptions(max_iter=0))
    np.testing.assert_array_equal(done.positions, places)
    assert np.isfinite(done.kl_divergence)


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng], ids=["RandomState", "Generator"])
def test_a_generator_gives_the_seed(make: Callable[[int], Any]) -> None:
    x, shared = _blobs(60), make(1)
    first = _quick(init="random", max_iter=20, random_state=make(1)).fit(x)
    again = _quick(init="random", max_iter=20, random_state=shared).fit(x)
    later = _quick(init="random", max_iter=20, random_state=shared).fit(x)
    assert first.seed_ == again.seed_ != later.seed_
    assert first.embedding_.tobytes() == again.embedding_.tobytes()
    seeded = _quick(init="random", max_iter=20, random_state=first.seed_).fit(x)
    assert seeded.embedding_.tobytes() == first.embedding_.tobytes()
    assert json.loads(json.dumps(dict(first.embedding().parameters)))["random_state"] == first.seed_


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array", "coo_matrix"])
def test_sparse_states_are_refused_by_name(kind: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(InputError, match=rf"sparse {kind}; pass X\.toarray\(\)"):
        _quick().fit(getattr(sparse, kind)(_blobs(60)))


def test_objects_that_are_numbers_are_converted() -> None:
    x = _blobs(60)
    wanted = _quick(max_iter=20).fit_transform(x)
    for objects in (
        x.astype(object),
        [[Decimal(float(v)) for v in row] for row in x],
        pd.DataFrame(x).astype("Float32"),
    ):
        np.testing.assert_array_equal(_quick(max_iter=20).fit_transform(objects), wanted)


def test_output_as_a_data_frame() -> None:
    x = pd.DataFrame(_blobs(60), index=[f"s{i}" for i in range(60)])
    tsne = _quick(max_iter=20)
    with pytest.raises(InputError, match="call fit first"):
        tsne.get_feature_names_out()
    plain = tsne.fit_transform(x)
    assert isinstance(plain, np.ndarray)
    assert tsne.set_output(transform="pandas") is tsne
    frame = tsne.set_output().fit_transform(x)
    assert list(frame.columns) == list(tsne.get_feature_names_out()) == ["tsne0", "tsne1"]
    assert list(frame.index) == list(x.index)
    np.testing.assert_array_equal(frame.to_numpy(), plain)
    assert list(tsne.fit_transform(x.to_numpy()).index) == list(range(60))
    assert isinstance(tsne.set_output(transform="default").fit_transform(x), np.ndarray)
    with pytest.raises(InputError, match="'polars'"):
        tsne.set_output(transform="polars")


def test_a_pipeline_and_a_clone_keep_the_output() -> None:
    base = pytest.importorskip("sklearn.base")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = base.clone(make_pipeline(StandardScaler(), _quick(max_iter=20)).set_output(transform="pandas"))
    assert list(pipeline.fit_transform(_blobs(60)).columns) == ["tsne0", "tsne1"]


def test_a_data_frame_needs_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="needs pandas"):
        TSNE().set_output(transform="pandas")


def test_affinities_serve_to_judge_other_maps() -> None:
    x = _blobs(150)
    tsne = _quick().fit(x)
    same = perplexity_affinities(nearest_neighbors(x, 30), 10)
    assert same.values.tobytes() == tsne.affinities_.values.tobytes()
    shuffled = np.random.default_rng(0).permutation(tsne.embedding_)
    assert kl_divergence(same, shuffled) > kl_divergence(same, tsne.embedding_)


def test_silent_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    _quick(verbose=1).fit(_blobs(60))  # not a terminal: silent too
    assert capfd.readouterr() == ("", "")
