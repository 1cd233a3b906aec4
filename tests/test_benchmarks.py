"""The benchmark harness: it runs from the command line, keeps what it measured, resumes, and fills the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import judge, process, results, states, systems, tables
from benchmarks.__main__ import main
from hiddenstate_core.errors import InputError

PAGE = "# Page\n\n<!-- {0}: begin -->\n\nNot yet.\n\n<!-- {0}: end -->\n\nAfter.\n"


def row(system: str = "hiddenstate", n: int = 1000, **more: Any) -> dict[str, Any]:
    """A row of the t-SNE benchmark, as if measured."""
    return {
        "system": system, "variant": None, "version": "1.0", "source": None, "n": n, "states": "ab", "threads": 2,
        "start": "warm", "settings": {"perplexity": 30.0}, "repeats": 3, "seconds": 2.0, "seconds_spread": [1.9, 2.5],
        "fit_seconds": 1.5, "fit_seconds_spread": [1.4, 2.0], "cpu_seconds": 3.0, "peak_megabytes": 200.0,
        "iterations": 1000, "kl_divergence": 1.5, "judge": {"neighbors": "exact", "recall": 1.0, "k": 90},
    } | more  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]], benchmark: str = "tsne") -> Path:
    """A results file."""
    kept = results.Results(benchmark, "some states", path)
    for one in rows:
        kept.add(one)
    return path


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with states and the results of a small run beside scikit-learn."""
    folder = tmp_path_factory.mktemp("bench")
    np.save(folder / "states.npy", states.stand_in(250, units=6))
    assert main(small(folder)) == 0
    return folder


def small(folder: Path, *more: str) -> list[str]:
    """Arguments of the small run."""
    return [
        "tsne", "--n", "120", "--perplexity", "8", "--repeats", "1", "--threads", "1", "--peers", "sklearn",
        "--states", str(folder / "states.npy"), "--json", str(folder / "report.json"), *more,
    ]  # fmt: skip


def test_a_small_run_writes_its_figures(measured: Path) -> None:
    told = json.loads((measured / "report.json").read_text())
    assert told["machine"]["versions"]["numba"]
    assert told["states"] == "states.npy"
    assert [one["system"] for one in told["rows"]] == ["hiddenstate", "sklearn"]
    for one in told["rows"]:
        assert one["n"] == 120
        assert one["threads"] == 1
        assert one["iterations"] >= 250
        assert one["repeats"] == 1
        assert one["start"] == "warm"
        assert 0 < one["kl_divergence"] < 2
        assert 0 < one["fit_seconds"] < one["seconds"], "the whole process takes longer than the fit"
        assert one["seconds_spread"][0] <= one["seconds"] <= one["seconds_spread"][1]
        assert one["peak_megabytes"] > 10
        assert one["judge"] == {"neighbors": "exact", "recall": 1.0, "k": 24, "kl_error": 0.0}
    assert told["rows"][0]["source"]


def test_the_judges_affinities_are_kept_and_runs_leave_nothing_else(measured: Path) -> None:
    kept = {path.name.split("-")[0] for path in (measured / ".hiddenstate-benchmarks").iterdir()}
    assert kept == {"affinities", "states", "numba"} or kept == {"affinities", "states"}
    assert not list((measured / ".hiddenstate-benchmarks").glob("run-*"))


def test_resume_skips_what_is_there(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is to be measured again")

    before = (measured / "report.json").read_bytes()
    source = json.loads(before)["rows"][0]["source"]  # the code may be edited while its tests run
    monkeypatch.setattr("benchmarks.machine.source_of_hiddenstate", lambda: source)
    monkeypatch.setattr("benchmarks.runner.launch", refused)
    monkeypatch.setattr("benchmarks.catalogue.launch", refused)
    assert main(small(measured, "--resume")) == 0
    assert "measured already" in capsys.readouterr().err
    assert (measured / "report.json").read_bytes() == before
    monkeypatch.undo()
    other = small(measured, "--resume")
    other[other.index("--states") + 1] = str(measured / "report.json")
    assert main(other) == 2


def test_resume_refuses_another_machine(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", [row()])
    told = json.loads(path.read_text())
    told["machine"]["processor"] = "an abacus"
    path.write_text(json.dumps(told))
    with pytest.raises(InputError, match="another machine"):
        results.Results("tsne", "some states", path).resume()


def test_a_failed_row_is_measured_again_and_a_newer_version_takes_its_place(tmp_path: Path) -> None:
    kept = results.Results("tsne", "some states", tmp_path / "r.json")
    kept.add({**row(), "error": "killed by signal 9"})
    assert kept.find(row()) is None
    kept.add(row())
    assert kept.find(row()) == row()
    assert kept.find(row(version="1.1")) is None
    kept.add(row(version="1.1"))
    assert [one["version"] for one in kept.rows] == ["1.1"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tsne", "--states", "no.npy"], "no states at"),
        (["tsne", "--n", "ten"], "invalid int"),
        (["tsne", "--repeats", "0"], "--repeats"),
        (["tsne", "--threads", "99999"], "--threads"),
        (["tsne", "--n", "3", "--perplexity", "2"], "--n must be"),
        (["tsne", "--perplexity", "20000"], "--perplexity"),
        (["tsne", "--peers", "faiss"], "--peers of tsne are"),
        (["tsne", "--resume"], "--json"),
        (["tsne", "--plot", "picture.gif"], "--plot"),
        (["tsne", "--options", "max_iter"], "NAME=VALUE"),
        (["tsne", "--options", "speed=9"], "no option 'speed'"),
        (["tsne", "--options", "perplexity=9"], "use --perplexity"),
        (["neighbors", "--k", "0"], "--k"),
        (["placement", "--new", "0"], "--new"),
        (["report", "no.json"], "cannot be read"),
        (["unknown"], "invalid choice"),
        ([], "required"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments)
    except SystemExit as stop:  # from argparse
        status = int(str(stop.code))
    assert status == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "busy" not in line]
    assert len(lines) == 1
    assert told in lines[0]


def test_a_peer_that_is_not_installed_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.machine.version", lambda name: None)
    assert main(["tsne", "--n", "100", "--peers", "opentsne"]) == 2
    assert "hiddenstate[bench]" in capsys.readouterr().err


def test_a_system_that_fails_leaves_its_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    np.save(tmp_path / "states.npy", states.stand_in(250, units=6))
    report = tmp_path / "report.json"
    arguments = ["neighbors", "--n", "100", "--k", "5", "--repeats", "1", "--threads", "1", "--peers", "sklearn"]
    stop = ["--limit", "0.01", "--json", str(report), "--states", str(tmp_path / "states.npy")]
    assert main([*arguments, *stop]) == 1
    assert {one["error"] for one in json.loads(report.read_text())["rows"]} == {"stopped after 0.01 s"}


def test_a_process_that_ends_badly_gives_its_last_line(tmp_path: Path) -> None:
    task = {"kind": "tsne", "system": "sklearn", "input": str(tmp_path / "gone.npy")}
    with pytest.raises(process.TaskError, match=r"gone\.npy"):
        process.launch(task, threads=1, numba_cache=tmp_path)


def test_states_come_from_several_files_in_a_row(tmp_path: Path) -> None:
    whole = states.stand_in(130, units=5)
    np.save(tmp_path / "a.npy", whole[:60])
    np.save(tmp_path / "b.npy", whole[60:].astype(np.float64))
    sources = (tmp_path / "a.npy", tmp_path / "b.npy")
    for low, high in ((0, 130), (0, 40), (20, 100), (60, 61), (70, 130)):
        got = states.prepare(sources, low, high, tmp_path / "cache")
        np.testing.assert_array_equal(np.load(got.path), whole[low:high])
    assert states.prepare(sources, 0, 50, tmp_path / "x").digest == states.prepare(sources[:1], 0, 50, tmp_path).digest
    with pytest.raises(InputError, match="holds 130 states"):
        states.prepare(sources, 0, 131, tmp_path / "cache")
    np.save(tmp_path / "wide.npy", np.zeros((10, 6), np.float32))
    with pytest.raises(InputError, match="differ in width"):
        states.prepare((*sources, tmp_path / "wide.npy"), 0, 5, tmp_path / "cache")


def test_stand_in_repeats_itself() -> None:
    one, other = states.stand_in(130, units=5), states.stand_in(130, units=5)
    assert one.shape == (130, 5)
    assert one.tobytes() == other.tobytes()


def test_the_judge_finds_the_nearest_and_counts_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "_BLOCK", 37)
    rng = np.random.default_rng(1)
    points = rng.normal(size=(150, 4)).astype(np.float32) + 100
    points[30:80] = points[7]  # more copies than neighbours sought
    rows = np.arange(0, 150, 3)
    distances = np.sqrt(((points[rows, None].astype(float) - points[None]) ** 2).sum(axis=2))
    distances[np.arange(len(rows)), rows] = np.inf
    found = judge.closest(points, points[rows], 6, own=rows)
    assert (found != rows[:, None]).all()
    np.testing.assert_array_equal(
        np.take_along_axis(distances, found, axis=1), np.sort(distances, axis=1)[:, :6]
    )  # fmt: skip
    assert judge.hits(points, points[rows], np.argsort(distances, axis=1)[:, :6], found).min() == 1.0
    wrong = np.argsort(-np.where(np.isinf(distances), -1, distances), axis=1)[:, :6]
    assert judge.hits(points, points[rows], wrong, found).max() == 0.0
    assert judge.hits(points, points[rows], np.full_like(found, -1), found).max() == 0.0


def test_placements_are_judged_by_their_neighbourhoods(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 2)).astype(np.float32)
    new = rng.normal(size=(30, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "new.npy", new)
    task = {"input": str(tmp_path / "x.npy"), "new": str(tmp_path / "new.npy"), "output": str(tmp_path / "o")}
    np.save(tmp_path / "o-map.npy", 3 * x)  # a map that keeps every neighbourhood
    np.save(tmp_path / "o-30.npy", 3 * new)
    np.save(tmp_path / "o-20.npy", 3 * new[:20] + 100)
    told = judge.KINDS["placed"](task | {"batches": [20, 30]})
    assert told["map_recall"] == 1.0
    assert told["batches"]["30"]["recall"] == 1.0
    assert told["batches"]["20"]["recall"] < 0.5
    np.save(tmp_path / "o-30.npy", np.full((30, 2), np.nan))
    with pytest.raises(InputError, match="not finite"):
        judge.KINDS["placed"](task | {"batches": [30]})


def test_a_row_leaves_its_own_neighbours() -> None:
    ids = np.array([[0, 2, 1], [2, 1, 0], [0, 1, 3], [3, 0, 1]])
    np.testing.assert_array_equal(systems._without_self(ids), [[2, 1], [2, 0], [0, 1], [0, 1]])


def test_ratios_compare_what_is_alike() -> None:
    ours = row(seconds=2.0, kl_divergence=1.5)
    ours["settings"] = {"perplexity": 30.0, "options": {}}
    peers = [row("opentsne", seconds=8.0, kl_divergence=1.6), row("opentsne", n=2000), row("sklearn", threads=1)]
    (line,) = tables.ratios("tsne", [ours, *peers])
    assert "4.0 times faster (2.00 s against 8.00 s)" in line
    assert "1.00 of the memory" in line
    assert "KL 6.2 % lower" in line
    assert "4.0 times slower" in tables.ratios("tsne", [ours | {"seconds": 32.0}, peers[0]])[0]


def test_the_page_is_filled_and_filling_it_again_changes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.md"
    page.write_text(PAGE.format("tsne"))
    rows = [row(n=n, seconds=n / 500) for n in (1000, 2000)] + [row("opentsne"), {**row("sklearn"), "error": "x"}]
    path = write(tmp_path / "r.json", rows)
    assert main(["report", str(path), "--docs", str(page)]) == 0
    once = page.read_bytes(), (tmp_path / "pictures" / "performance-tsne.svg").read_bytes()
    assert main(["report", str(path), "--docs", str(page)]) == 0
    assert (page.read_bytes(), (tmp_path / "pictures" / "performance-tsne.svg").read_bytes()) == once
    text = page.read_text()
    assert "Not yet." not in text
    assert "pictures/performance-tsne.svg" in text
    assert "| 2,000 | hiddenstate 1.0 |" in text
    assert "| failed |" in text
    assert text.endswith("After.\n")
    assert len(once[1]) < 100_000
    page.write_text("no markers")
    assert main(["report", str(path), "--docs", str(page)]) == 2


def test_graphs_and_placements_have_their_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    graphs = [row("faiss", variant="8", recall=0.8), row(variant="auto", recall=1.0)]
    placed = [row(s, first_seconds=3.0, map_recall=0.5, batches={"200": {"seconds": 0.5, "recall": 0.25}}) for s in
              ("hiddenstate", "opentsne")]  # fmt: skip
    for benchmark, rows, told in (("neighbors", graphs, "0.8000"), ("placement", placed, "0.250")):
        page = tmp_path / f"{benchmark}.md"
        page.write_text(PAGE.format(benchmark))
        path = write(tmp_path / f"{benchmark}.json", rows, benchmark)
        assert main(["report", str(path), "--docs", str(page)]) == 0
        assert told in page.read_text()
        tables.show(benchmark, "title", rows)
        assert told in capsys.readouterr().out


def test_one_map_of_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, start in (("a", 0), ("b", 300)):
        np.save(tmp_path / f"{name}.npy", states.stand_in(600, units=12)[start : start + 300])
    out = tmp_path / "out"
    given = ["whole", "--states", str(tmp_path / "a.npy"), str(tmp_path / "b.npy"), "--out", str(out)]
    given += ["--k", "12", "--iterations", "60", "--sample", "50"]
    assert main(given) == 0
    told = json.loads((out / "whole.json").read_text(encoding="utf-8"))
    assert (told["n"], told["settings"]) == (600, {"neighbours": 12, "iterations": 60})
    assert set(told["seconds"]) == {"prepared", "read", "graph", "affinities", "iterations", "quality"}
    assert 0.9 <= told["graph_recall"] <= 1
    assert told["quality"]["kl_divergence"]["value"] > 0
    assert np.load(out / "map.npy").shape == (600, 2)
    assert (out / "whole.png").stat().st_size > 500
    graph = (out / "indices.npy").stat().st_mtime_ns
    places = np.load(out / "map.npy").tobytes()
    assert main(given) == 0  # goes on from what is there
    assert (out / "indices.npy").stat().st_mtime_ns == graph
    assert np.load(out / "map.npy").tobytes() == places
    capsys.readouterr()
    page = tmp_path / "page.md"
    page.write_text("<!-- whole: begin -->\n\nold\n\n<!-- whole: end -->\n", encoding="utf-8")
    assert main(["report", str(out / "whole.json"), "--docs", str(page)]) == 0
    assert "600 states of a.npy + b.npy in one map" in page.read_text(encoding="utf-8")


def test_stages_beside_their_floors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", states.stand_in(1500, units=12))
    target = tmp_path / "stages.json"
    given = ["stages", "--states", str(tmp_path / "x.npy"), "--n", "1500", "--json", str(target)]
    assert main([*given, "--threads", "1"]) == 0
    told = json.loads(target.read_text(encoding="utf-8"))
    names = [row["name"] for row in told["rows"]]
    assert names[:4] == ["states read and checked", "principal components", "neighbours", "affinities"]
    assert "repulsion by interpolation" in names
    assert all(row["seconds"] > 0 and row["floor"] > 0 for row in told["rows"])
    assert "| whole iteration |" in capsys.readouterr().out
    assert main([*given[:-4], "--n", "9999"]) == 2
    assert "9999 were asked for" in capsys.readouterr().err
