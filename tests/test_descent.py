"""The optimiser on many points: order in memory, checkpoints, late exaggeration."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels import order as kernels
from hiddenstate_core.kernels.jit import plain
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors import nearest_neighbors
from hiddenstate_core.projection import (
    TSNE,
    Affinities,
    BarnesHut,
    Checkpoint,
    Exact,
    Interpolation,
    OptimizerOptions,
    Progress,
    Repulsion,
    optimize,
    perplexity_affinities,
)
from hiddenstate_core.projection import descent as descents


@pytest.fixture(scope="module")
def states() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return (6 * rng.normal(size=(5, 8))[rng.integers(0, 5, 600)] + rng.normal(size=(600, 8))).astype(np.float32)


@pytest.fixture(scope="module")
def affinities(states: NDArray[np.float32]) -> Affinities:
    return perplexity_affinities(nearest_neighbors(states, 30), 10)


def _start(n: int, dims: int = 2) -> NDArray[np.float32]:
    return np.asarray(1e-4 * np.random.default_rng(1).normal(size=(n, dims)), np.float32)


def test_the_order_in_memory_changes_nothing(affinities: Affinities, monkeypatch: pytest.MonkeyPatch) -> None:
    # exact forces summed in another order differ in the last bits, which few iterations do not amplify
    options = OptimizerOptions(max_iter=30, early_iterations=10)
    plain_order = optimize(affinities, _start(600), Exact(), options)
    monkeypatch.setattr(descents, "_ORDERED_POINTS", 10)
    ordered = optimize(affinities, _start(600), Exact(), options)
    spread = plain_order.positions.std()
    np.testing.assert_allclose(ordered.positions, plain_order.positions, atol=1e-2 * spread)
    assert ordered.kl_divergence == pytest.approx(plain_order.kl_divergence, rel=1e-3)


@pytest.mark.parametrize("ordered_points", [10, 10**9])
@pytest.mark.parametrize("method", [BarnesHut(), Interpolation()], ids=["barnes_hut", "interpolation"])
def test_resumed_is_uninterrupted_to_the_bit(
    affinities: Affinities,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: BarnesHut | Interpolation,
    ordered_points: int,
) -> None:
    monkeypatch.setattr(descents, "_ORDERED_POINTS", ordered_points)
    options = OptimizerOptions(max_iter=400)
    whole = optimize(affinities, _start(600), method, options)
    file = Checkpoint(tmp_path / "run.npz", seconds=0)

    def stop(progress: Progress) -> bool:
        return progress.iteration == 300

    cut = optimize(affinities, _start(600), method, options, callback=stop, checkpoint=file)
    assert (cut.iteration, cut.interrupted) == (300, True)
    resumed = optimize(affinities, _start(600), method, options, checkpoint=Checkpoint(tmp_path / "run.npz"))
    assert resumed.iteration == 400
    assert resumed.positions.tobytes() == whole.positions.tobytes()
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]


@pytest.mark.parametrize(
    "ends", [{"patience": 50}, {"patience": None, "min_gradient": 1e-3}], ids=["patience", "gradient"]
)
def test_what_has_come_to_its_end_does_not_go_on(tmp_path: Path, ends: dict[str, Any]) -> None:
    states = np.random.default_rng(2).normal(size=(40, 5)).astype(np.float32)
    affinities = perplexity_affinities(nearest_neighbors(states, 15), 5)
    options = OptimizerOptions(max_iter=5000, **ends)
    whole = optimize(affinities, _start(40), Exact(), options)
    assert 300 <= whole.iteration < 5000
    for cut in (300, whole.iteration - 50, whole.iteration, 5000):
        file = tmp_path / f"{cut}.npz"

        def stop(progress: Progress, cut: int = cut) -> bool:
            return progress.iteration == cut

        optimize(affinities, _start(40), Exact(), options, callback=stop, checkpoint=Checkpoint(file))
        for _ in range(2):
            again = optimize(affinities, _start(40), Exact(), options, checkpoint=Checkpoint(file))
            assert (again.iteration, again.interrupted) == (whole.iteration, False)
            assert again.positions.tobytes() == whole.positions.tobytes()


def _pressing(function: Callable[..., Any], at: int) -> Callable[..., Any]:
    """A function that does what another does, with Ctrl-C at the end of one call."""
    calls = iter(range(1, 10**9))

    def pressed(*arguments: Any) -> Any:
        result = function(*arguments)
        if next(calls) == at:
            signal.raise_signal(signal.SIGINT)
        return result

    return pressed


@pytest.mark.parametrize(("place", "at"), [("step", 130), ("permute_points", 5)])
def test_ctrl_c_cuts_no_iteration_in_half(
    affinities: Affinities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, at: int
) -> None:
    monkeypatch.setattr(descents, "_ORDERED_POINTS", 10)
    options = OptimizerOptions(max_iter=300)
    whole = optimize(affinities, _start(600), BarnesHut(), options)
    usual = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(descents, place, _pressing(getattr(descents, place), at))
        cut = optimize(affinities, _start(600), BarnesHut(), options, checkpoint=Checkpoint(tmp_path / "run.npz"))
    assert (cut.iteration < 300, cut.interrupted) == (True, True)
    assert signal.getsignal(signal.SIGINT) is usual
    told = optimize(affinities, _start(600), BarnesHut(), options.replace(max_iter=cut.iteration))
    assert cut.positions.tobytes() == told.positions.tobytes()
    resumed = optimize(affinities, _start(600), BarnesHut(), options, checkpoint=Checkpoint(tmp_path / "run.npz"))
    assert resumed.positions.tobytes() == whole.positions.tobytes()


def test_a_finished_run_can_be_made_longer(affinities: Affinities, tmp_path: Path) -> None:
    first = OptimizerOptions(max_iter=60, patience=None)
    optimize(affinities, _start(600), Exact(), first, checkpoint=Checkpoint(tmp_path / "run.npz"))
    seen: list[int] = []
    longer = optimize(
        affinities,
        _start(600),
        Exact(),
        first.replace(max_iter=110),
        callback=lambda p: seen.append(p.iteration),
        checkpoint=Checkpoint(tmp_path / "run.npz"),
    )
    assert seen == [100, 110]
    assert longer.positions.tobytes() == optimize(affinities, _start(600), Exact(), first.replace(max_iter=110)).positions.tobytes()  # fmt: skip  # noqa: E501


def test_a_checkpoint_of_another_run_is_refused(affinities: Affinities, tmp_path: Path) -> None:
    file = tmp_path / "run.npz"
    options = OptimizerOptions(max_iter=20)
    optimize(affinities, _start(600), Exact(), options, checkpoint=Checkpoint(file))
    others: dict[str, tuple[Affinities, NDArray[np.float32], Repulsion, OptimizerOptions]] = {
        "options": (affinities, _start(600), Exact(), options.replace(momentum=0.7)),
        "method": (affinities, _start(600), BarnesHut(), options),
        "shape, start": (affinities, _start(600, 3), Exact(), options),
        "start": (affinities, 2 * _start(600), Exact(), options),
        "affinities": (
            perplexity_affinities(nearest_neighbors(_start(600), 30), 10), _start(600), Exact(), options
        ),
    }  # fmt: skip
    for name, other in others.items():
        with pytest.raises(InputError, match=rf"another run \({name} differ\)"):
            optimize(*other, checkpoint=Checkpoint(file))


def test_a_damaged_checkpoint_is_refused(affinities: Affinities, tmp_path: Path) -> None:
    file = tmp_path / "run.npz"
    options = OptimizerOptions(max_iter=20)
    optimize(affinities, _start(600), Exact(), options, checkpoint=Checkpoint(file))
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"nonsense", whole[:-600] + bytes(600)):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="delete it to start anew"):
            optimize(affinities, _start(600), Exact(), options, checkpoint=Checkpoint(file))
    file.write_bytes(whole)
    with np.load(file) as saved:
        arrays = dict(saved)
    for name, bad in (
        ("positions", np.full((600, 2), np.nan, np.float32)),
        ("velocity", np.zeros((2, 2), np.float32)),
        ("order", np.zeros(600, np.int32)),
        ("told", np.frombuffer(json.dumps({}).encode(), np.uint8)),
    ):
        np.savez(file, **(arrays | {name: bad}))
        with pytest.raises(InputError, match="delete it to start anew"):
            optimize(affinities, _start(600), Exact(), options, checkpoint=Checkpoint(file))


def test_tsne_goes_on_from_its_folder(states: NDArray[np.float32], tmp_path: Path) -> None:
    common = {"perplexity": 10, "method": "barnes_hut"}
    whole = TSNE(**common, max_iter=120).fit(states)  # type: ignore[arg-type]

    def press(progress: Progress) -> None:
        if progress.iteration == 50:
            raise KeyboardInterrupt

    cut = TSNE(**common, max_iter=120, checkpoint=tmp_path / "run", callback=press).fit(states)  # type: ignore[arg-type]
    assert (cut.n_iter_, cut.embedding().interrupted) == (50, True)
    resumed = TSNE(**common, max_iter=120, checkpoint=tmp_path / "run").fit(states)  # type: ignore[arg-type]
    assert resumed.embedding_.tobytes() == whole.embedding_.tobytes()
    assert resumed.recall_ == whole.recall_
    with pytest.raises(InputError, match=r"another run \(points differ\)"):
        TSNE(**common, max_iter=120, checkpoint=tmp_path / "run").fit(states[:-1])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"another run \(recipe differ\)"):
        TSNE(perplexity=9, method="barnes_hut", checkpoint=tmp_path / "run").fit(states)
    (tmp_path / "run" / "affinities.npz").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="delete it to start anew"):
        TSNE(**common, checkpoint=tmp_path / "run").fit(states)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["exact", "barnes_hut", "interpolation"])
def test_equal_states_part(method: str) -> None:
    rng = np.random.default_rng(3)
    states = np.concatenate([rng.normal(size=(1200, 8)), np.tile(rng.normal(size=(1, 8)), (60, 1))])
    made = TSNE(perplexity=15, max_iter=500, method=method).fit(states)
    copies = made.embedding_[1200:]
    assert len(np.unique(copies, axis=0)) == 60
    gaps = np.linalg.norm(copies[:, None] - copies[None], axis=2) + 1e9 * np.eye(60)
    assert np.median(gaps.min(axis=1)) > 1e-3 * made.embedding_.std()


def test_late_exaggeration_tightens_clusters(states: NDArray[np.float32]) -> None:
    usual = TSNE(perplexity=10, max_iter=600).fit(states).embedding_
    late = TSNE(perplexity=10, max_iter=600, late_exaggeration=4).fit(states).embedding_
    assert late.std() < 0.8 * usual.std()


def test_graph_and_affinities_in_the_place_of_states(states: NDArray[np.float32], affinities: Affinities) -> None:
    common = {"perplexity": 10.0, "init": _start(600), "max_iter": 60}
    from_states = TSNE(**common).fit(states)  # type: ignore[arg-type]
    from_graph = TSNE(**common).fit(nearest_neighbors(states, 30))  # type: ignore[arg-type]
    from_affinities = TSNE(**common).fit(affinities)  # type: ignore[arg-type]
    np.testing.assert_array_equal(from_graph.embedding_, from_states.embedding_)
    np.testing.assert_array_equal(from_affinities.embedding_, from_states.embedding_)
    similar = TSNE(**common, affinity="precomputed").fit(affinities.dense())  # type: ignore[arg-type]
    np.testing.assert_allclose(similar.affinities_.dense(), affinities.dense(), atol=1e-9)
    with pytest.raises(InputError, match="no principal components"):
        TSNE(perplexity=10).fit(affinities)


def test_what_was_fitted_stays(states: NDArray[np.float32]) -> None:
    tsne = TSNE(perplexity=10, max_iter=60).fit(states)
    made, placed = tsne.embedding(), tsne.transform(states[:5])
    kept = made.coordinates.copy()
    tsne.embedding_ *= 0
    tsne.set_params(perplexity=11)
    np.testing.assert_array_equal(made.coordinates, kept)
    np.testing.assert_array_equal(tsne.transform(states[:5]), placed)
    assert tsne.embedding().parameters["perplexity"] == 10


def test_places_too_far_apart_are_refused(states: NDArray[np.float32]) -> None:
    with pytest.raises(InputError, match="init must lie within"):
        TSNE(perplexity=10, init=np.full((600, 2), 1e7)).fit(states)
    for method in ("exact", "barnes_hut", "interpolation"):
        wide = TSNE(perplexity=10, init=_start(600) * 1e9, method=method, max_iter=20).fit(states)
        assert np.isfinite(wide.embedding_).all()


def test_uniform_and_several_perplexities(states: NDArray[np.float32]) -> None:
    uniform = TSNE(perplexity=12, affinity="uniform", max_iter=60).fit(states)
    assert len(np.unique(uniform.affinities_.values)) == 2  # once or twice 1 / (2 n k)
    with pytest.raises(InputError, match="one number of neighbours"):
        TSNE(perplexity=(5, 40), affinity="uniform").fit(states)
    several = TSNE(perplexity=(5, 40), max_iter=60).fit(states)
    assert np.isfinite(several.kl_divergence_)
    assert several.embedding().parameters["perplexity"] == [5, 40]


def test_permuted_rows_with_the_jit_off(affinities: Affinities) -> None:
    order = np.random.default_rng(0).permutation(600).astype(np.int32)
    rank = np.empty_like(order)
    rank[order] = np.arange(600)
    offsets = np.concatenate([[0], np.cumsum(np.diff(affinities.offsets)[order])])
    results = []
    for permute in (kernels.permute_rows, plain(kernels.permute_rows)):
        columns, values = np.empty_like(affinities.columns), np.empty_like(affinities.values)
        a = affinities
        permute(0, 600, order, rank, a.offsets, a.columns, a.values, offsets, columns, values)
        results.append(Affinities(offsets, columns, values).dense())
        np.testing.assert_array_equal(results[-1], a.dense()[np.ix_(order, order)])


def test_points_go_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    y = _start(97, 3)
    order = np.random.default_rng(0).permutation(97).astype(np.int32)
    for permute in (kernels.permute_points, plain(kernels.permute_points)):
        there, back = np.empty_like(y), np.empty_like(y)
        permute(0, 97, order, False, y, there)
        permute(0, 97, order, True, there, back)
        np.testing.assert_array_equal(there, y[order])
        np.testing.assert_array_equal(back, y)
    for measure in (kernels.block_bounds, plain(kernels.block_bounds)):
        bounds = np.empty((4, 6), np.float32)
        measure(0, 4, 25, y, bounds)
        np.testing.assert_array_equal(bounds[3], [*y[75:].min(axis=0), *y[75:].max(axis=0)])


def test_three_dimensions_and_many_threads(states: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descents, "_ORDERED_POINTS", 10)
    made = [
        TSNE(3, perplexity=10, max_iter=60, method="barnes_hut", n_jobs=threads).fit(states).embedding_.tobytes()
        for threads in (1, 2, 3)
    ]
    assert made[0] == made[1] == made[2]


def test_progress_needs_workers_only_once(affinities: Affinities) -> None:
    with Workers(1) as workers:
        descent = descents.Descent(affinities, _start(600), Exact())
        np.testing.assert_array_equal(descent.places(workers), _start(600))
        assert descent.unfold() == pytest.approx(1e-4, rel=0.1)
