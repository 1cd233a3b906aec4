"""The benchmark harness: it runs from the command line and writes what it measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import states
from benchmarks.__main__ import main


def test_a_small_run_writes_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "states.npy", states.stand_in(250, units=6))
    report = tmp_path / "report.json"
    arguments = ["tsne", "--n", "250", "--perplexity", "8", "--repeats", "1", "--json", str(report)]
    assert main([*arguments, "--states", str(tmp_path / "states.npy")]) == 0
    assert "hiddenstate" in capsys.readouterr().out
    told = json.loads(report.read_text())
    (row,) = told["rows"]
    assert row["system"] == "hiddenstate"
    assert row["iterations"] == 1000
    assert 0 < row["kl_divergence"] < 2
    assert row["seconds"] > 0
    assert row["peak_megabytes"] > 10
    assert told["machine"]["versions"]["numba"]


def test_missing_or_short_states_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tsne", "--states", str(tmp_path / "no.npy")]) == 2
    assert "no states at" in capsys.readouterr().err
    np.save(tmp_path / "few.npy", np.zeros((5, 2)))
    assert main(["tsne", "--states", str(tmp_path / "few.npy")]) == 2
    assert "holds 5 states" in capsys.readouterr().err


def test_stand_in_repeats_itself() -> None:
    one, other = states.stand_in(130, units=5), states.stand_in(130, units=5)
    assert one.shape == (130, 5)
    assert one.tobytes() == other.tobytes()
