"""The benchmark of reading: its figures are of what it says it reads, and its command ends with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from tests.traces.stores import Kind, write


@pytest.mark.parametrize("compressed", [False, True])
def test_reading_beside_others(tmp_path: Path, compressed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "t.zarr", Kind(compressed=compressed))
    target = tmp_path / "reading.json"
    given = ["reading", str(tmp_path / "t.zarr"), "--n", "20", "--repeats", "1", "--json", str(target)]
    assert main(given) == 0
    told = json.loads(target.read_text())
    assert (told["steps"], told["sequences"], told["units"], told["straight"]) == (47, 6, 3, not compressed)
    systems = {(row["job"], row["system"]) for row in told["rows"]}
    assert ("everything", "zarr") in systems
    assert (("everything", "memmap") in systems) is not compressed
    assert all(row["p50"] > 0 for row in told["rows"])
    assert all(row["bytes"] == 47 * 3 * 4 for row in told["rows"] if row["job"] == "everything")
    assert "a random sequence" in capsys.readouterr().out


def test_what_cannot_be_read_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "t.zarr", Kind(lengths=(0, 0)))
    assert main(["reading", str(tmp_path / "t.zarr")]) == 2
    assert "no sequence with a word" in capsys.readouterr().err
    assert main(["reading", str(tmp_path / "nowhere")]) == 2
