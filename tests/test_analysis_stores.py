"""Analyses, viewer and `info` on stores of other networks and tasks, and on those that lack what they need."""

from __future__ import annotations

import importlib
import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from hiddenstate_core.analysis import PredictionEvolution, confusion_matrix, dataset_overview, prediction_evolution
from hiddenstate_core.cli.app import main
from hiddenstate_core.errors import InputError
from hiddenstate_core.pipeline import ProjectionOptions, project
from hiddenstate_core.traces import Trace
from tests.traces.stores import Kind, write


def test_a_backward_model_is_followed_as_it_reads(tmp_path: Path) -> None:
    held = write(tmp_path / "t", Kind(direction="backward"))
    trace = Trace(tmp_path / "t")
    found = prediction_evolution(trace, 3)
    p = trace.sequence(3).probabilities()
    before = np.vstack([p[1:], [trace.initial_probabilities]])
    np.testing.assert_array_equal(found.before, before)
    np.testing.assert_allclose(found.change, np.abs(p - before).max(axis=1))
    assert found.flips.tolist() == [*(p[:-1].argmax(axis=1) != p[1:].argmax(axis=1)), False]
    assert found.settled is not None
    assert len(set(p[: found.settled + 1].argmax(axis=1))) == 1
    np.testing.assert_array_equal(found.outcome, held["sequences/probabilities"][3])
    assert prediction_evolution(trace, 0).settled is None
    assert prediction_evolution(trace, 0).before.shape == (0, 3)


def test_what_is_read_last_is_the_outcome() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], np.float32)
    initial = np.array([0.5, 0.5], np.float32)
    for direction, final, settled in (("forward", 1, 1), ("backward", 0, 0)):
        found = PredictionEvolution(0, ("a", "b", "c"), p, initial, -1, ("no", "yes"), direction)
        assert (found.final, found.settled) == (final, settled)
    both = PredictionEvolution(0, ("a", "b", "c"), p, initial, 0, ("no", "yes"), "both", p[0])
    assert (both.final, both.correct) == (0, True)


@pytest.mark.parametrize("kind", [Kind(task="language_model"), Kind(probabilities=False)], ids=["language", "without"])
def test_a_store_without_class_probabilities_is_told_in_a_sentence(
    tmp_path: Path, kind: Kind, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "t", kind)
    trace = Trace(tmp_path / "t")
    for call in (
        lambda: confusion_matrix(trace),
        lambda: dataset_overview(trace),
        lambda: prediction_evolution(trace, 1),
    ):
        with pytest.raises(InputError, match="class probabilities"):
            call()
    pytest.importorskip("panel", reason="needs the viewer extra: python -m pip install 'hiddenstate[viewer]'")
    assert main(["report", str(trace.path), "--out", str(tmp_path / "r.html")]) != 0
    told = capfd.readouterr().err
    assert "class probabilities" in told
    assert "Traceback" not in told
    # Alone it is refused before anything is served; beside others these are served, and the list says what is left out.
    serve = importlib.import_module("hiddenstate_viewer.serve")
    with pytest.raises(InputError, match="class probabilities"):
        serve.start(trace.path)
    write(tmp_path / "whole", Kind())
    with serve.start([trace.path, tmp_path / "whole"]) as server:
        deadline = time.monotonic() + 120
        while "class probabilities" not in (page := _text_of(server.address)):
            assert time.monotonic() < deadline, page
            time.sleep(0.2)
    assert "Traceback" not in page


def _text_of(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


def test_states_are_projected_whatever_was_recorded_beside(tmp_path: Path) -> None:
    kind = Kind(task="language_model", dtype="bfloat16", direction="backward", layers=(1,), lengths=(9,) * 6)
    write(tmp_path / "t", kind)
    trace = Trace(tmp_path / "t")
    assert project(trace, options=ProjectionOptions(method="pca"), progress=False)
    assert trace.projection("pca").coordinates.shape == (54, 2)
    with pytest.raises(InputError, match=r"Layer 0 was not recorded in .*; it has hidden of layer 1, backward"):
        project(trace, options=ProjectionOptions(method="pca", layer=0), progress=False)
    write(tmp_path / "u", Kind(recorded=("cell",)))
    with pytest.raises(InputError, match=r"'hidden' was not recorded in .*; it has cell of layers 0, 1, forward"):
        project(Trace(tmp_path / "u"), options=ProjectionOptions(method="pca"), progress=False)


def test_the_viewer_shows_the_layers_that_were_recorded(tmp_path: Path) -> None:
    pytest.importorskip("panel", reason="needs the viewer extra: python -m pip install 'hiddenstate[viewer]'")
    from hiddenstate_viewer.data import ViewData
    from hiddenstate_viewer.state import Selection

    write(tmp_path / "t", Kind(layers=(0,), dtype="float16", every=2, direction="both"))
    data = ViewData(Trace(tmp_path / "t"))
    data.check()
    assert data.layers == (0,)
    assert Selection(data).layer == 0
    assert data.distances(1) is None
    assert len(data.reading(3).jumps) == 7
    assert data.table["words"].tolist() == [0, 1, 9, 14, 3, 20]


def test_info_says_what_was_recorded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kind = Kind(cell="gru", recorded=("hidden", "gates"), gates=("reset",), layers=(0,), dtype="float16", every=4)
    write(tmp_path / "t", kind)
    assert main(["info", str(tmp_path / "t"), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    expected = {
        "schema": 2, "task": "classification", "cell": "gru", "direction": "forward", "every": 4, "dtype": "float16",
        "recorded": ["hidden", "gates", "probabilities"], "recorded_layers": [0], "gates": ["reset"], "layers": [5, 3],
        "steps": 14, "words": 47, "sequences": 6,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert found["bytes"] > 1000
    assert main(["info", str(tmp_path / "t")]) == 0
    assert "every 4 steps have a row" in capfd.readouterr().out
    write(tmp_path / "u", Kind(task="language_model", recorded=()))
    assert main(["info", str(tmp_path / "u")]) == 0
    told = capfd.readouterr().out
    assert "top_tokens, top_probabilities, target_probability" in told
    assert any(line.split() == ["classes", "none"] for line in told.splitlines())
