"""The benchmark of recording: its figures are of what was run, and its table and picture hold them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import extraction
from benchmarks.__main__ import main


@pytest.fixture(autouse=True)
def _short_reviews(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "review_lengths", lambda: (np.full(500, 20, np.int64), "twenty words each"))


def test_recording_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, picture = tmp_path / "e.json", tmp_path / "e.png"
    given = ["extraction", "--units", "8", "--steps", "4000", "--no-peers", "--repeats", "1", "--folder", str(tmp_path)]
    assert main([*given, "--json", str(target), "--plot", str(picture)]) == 0
    told = json.loads(target.read_text())
    (row,) = told["rows"]
    assert row["hidden"]["steps"] == row["everything"]["steps"] == 4000 - 20
    assert row["hidden"]["flops"] == 2 * (32 + 8) * 32 * (4000 - 20)
    assert row["bytes"] == 3980 * 8 * 4
    assert all(row[job]["seconds"] > 0 for job in ("hidden", "everything", "ready", "memory", "raw", "store"))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in tmp_path.iterdir()} == {"e.json", "e.png"}, "stores are removed"
    out = capsys.readouterr().out
    assert "| 8 | hidden, in memory |" in out
    assert "twenty words each" in out


def test_a_plan_that_makes_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extraction", "--steps", "5", "--no-peers"]) == 2
    assert "--steps at least 1,000" in capsys.readouterr().err
    assert main(["extraction", "--no-peers", "--folder", str(tmp_path / "none")]) == 2
    assert "--folder must be a folder" in capsys.readouterr().err
    assert main(["reviews", str(tmp_path), str(tmp_path)]) == 2
    assert "exists; choose a path" in capsys.readouterr().err
