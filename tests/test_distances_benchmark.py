"""The benchmark of distances: every system counts the same, and its figures are written and printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import distances
from benchmarks.__main__ import main


def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32))
    target = tmp_path / "told.json"
    given = ["distances", "--states", str(tmp_path / "x.npy"), "--n", "300", "--most", "200", "--bins", "20"]
    assert main([*given, "--peers", "scipy", "--repeats", "1", "--json", str(target)]) == 0
    told = json.loads(target.read_text(encoding="utf-8"))
    assert [(row["n"], row["system"], row["elsewhere"]) for row in told["rows"]] == [
        (200, "hiddenstate", 0),
        (200, "scipy", 0),
        (300, "hiddenstate", 0),
    ]
    assert all(row["cpu_seconds"] > 0 and row["peak_megabytes"] > 10 for row in told["rows"])
    printed = capsys.readouterr().out
    assert "SciPy pdist + numpy.histogram" in printed
    assert "from 200 states" in printed
    assert printed.strip() == distances.section(told).strip()


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "manhattan"])
def test_the_systems_count_alike(metric: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(1).normal(size=(150, 5)).astype(np.float32))
    counts = {}
    for system in ("hiddenstate", "scipy", "sklearn"):
        task = {"system": system, "metric": metric, "bins": 15, "range": [0.0, 60.0], "threads": 1}
        done = distances.KINDS["distances"](
            task | {"input": str(tmp_path / "x.npy"), "output": str(tmp_path / "counts.npy")}
        )
        assert done["fit_seconds"] > 0
        counts[system] = np.load(tmp_path / "counts.npy")
    np.testing.assert_array_equal(counts["hiddenstate"], counts["scipy"])
    assert np.abs(counts["sklearn"] - counts["scipy"]).sum() <= 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--n", "3"], "at least 10, not 3"),
        (["--peers", "faiss"], "scipy, sklearn or all, not faiss"),
        (["--repeats", "0"], "--repeats"),
        (["--bins", "0"], "--bins"),
        (["--threads", "9999"], "--threads"),
    ],
)
def test_bad_arguments_are_one_line(given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distances", *given]) == 2
    assert said in capsys.readouterr().err
