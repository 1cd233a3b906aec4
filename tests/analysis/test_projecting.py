"""Projections of any recorded quantity, as the pipeline and the command make them, with the quality of their points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hiddenstate_core.analysis import SentencePlacer, read_quality, step_values
from hiddenstate_core.cli.app import main
from hiddenstate_core.errors import InputError
from hiddenstate_core.pipeline import ProjectionOptions, project
from hiddenstate_core.projection import pca
from hiddenstate_core.traces import Trace
from tests.fakes import make_trace
from tests.traces.stores import Kind, write


@pytest.mark.parametrize("quantity", ["hidden", "cell", "gate:forget"])
def test_any_quantity_is_projected_and_noted(tmp_path: Path, quantity: str, capfd: pytest.CaptureFixture[str]) -> None:
    trace = make_trace(tmp_path / "t.zarr", 10, hidden=(12, 8), projections=())
    command = ["project", str(trace.path), "--method", "pca", "--quantity", quantity, "--layer", "0"]
    assert main(command) == 0
    assert capfd.readouterr().out.startswith("made projection 'pca'")
    found = trace.projection("pca")
    states = {"hidden": trace.hidden(0), "cell": trace.cell(0), "gate:forget": trace.gate("forget", 0)}[quantity]
    np.testing.assert_array_equal(found.coordinates, pca(states).coordinates)
    noted = {name: found.attributes[name] for name in ("quantity", "layer", "direction")}
    assert noted == {"quantity": quantity, "layer": 0, "direction": "forward"}
    assert SentencePlacer(trace, "pca").quantity == quantity
    assert np.isfinite(step_values(trace, "trust:pca").full()).all()
    assert main([*command, "--direction", "forward"]) == 0
    assert capfd.readouterr().out.startswith("kept projection 'pca'")


def test_a_store_of_before_keeps_its_projection(tmp_path: Path) -> None:
    trace = make_trace(tmp_path / "t.zarr", 6, projections=())
    options = ProjectionOptions(method="pca", layer=0)
    made = pca(trace.hidden())
    named = {name: value for name, value in options.to_dict().items() if name not in ("quantity", "direction")}
    trace.add_projection("pca", made, attributes={"options": named})
    assert not project(trace, options=options, progress=False)
    assert project(trace, options=options.replace(quantity="cell"), progress=False)
    trace.add_projection("pca", made, attributes={"options": {"method": "of a later version"}}, overwrite=True)
    assert project(trace, options=options, progress=False)


def test_a_backward_direction_is_noted(tmp_path: Path) -> None:
    write(tmp_path / "t", Kind(direction="both", lengths=(9,) * 6))
    trace = Trace(tmp_path / "t")
    options = ProjectionOptions(method="pca", direction="backward")
    assert project(trace, options=options, progress=False)
    assert trace.projection("pca").attributes["direction"] == "backward"
    assert not project(trace, options=options, progress=False)
    assert project(trace, options=options.replace(direction="forward"), progress=False)
    assert not project(trace, options=options.replace(direction=None), progress=False)


def test_quality_is_measured_where_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = make_trace(tmp_path / "t.zarr", 6, projections=())
    options = ProjectionOptions(method="pca")
    project(trace, options=options, progress=False, quality=False)
    assert read_quality(trace, "pca") is None
    monkeypatch.setattr("hiddenstate_core.pipeline._QUALITY_STATES", trace.steps - 1)
    project(trace, options=options, progress=False)
    assert read_quality(trace, "pca") is None
    assert main(["project", str(trace.path), "--method", "pca", "--quality"]) == 0  # measured of what is kept
    assert read_quality(trace, "pca") is not None


def test_a_map_too_small_for_neighbours_is_stored_all_the_same(tmp_path: Path) -> None:
    trace = make_trace(tmp_path / "t.zarr", 2, projections=())
    assert trace.steps == 1
    assert project(trace, options=ProjectionOptions(method="pca"), progress=False, quality=True)
    assert read_quality(trace, "pca") is None


def test_quantities_that_are_not_there_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trace = make_trace(tmp_path / "t.zarr", 4, projections=())
    for quantity, message in (("gates", "A quantity is"), ("gate:reset", "no gate 'reset'")):
        assert main(["project", str(trace.path), "--quantity", quantity]) != 0
        assert message in capfd.readouterr().err
    assert main(["project", str(trace.path), "--direction", "backward"]) != 0
    assert "does not read backwards" in capfd.readouterr().err
    with pytest.raises(InputError, match="A quantity is"):
        ProjectionOptions(quantity="forget")
