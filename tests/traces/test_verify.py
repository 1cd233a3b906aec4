"""Verification: a flipped bit, a lost file and a short file are found, and the sequences that they hit are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hiddenstate_core.cli.app import main
from hiddenstate_core.errors import StoreError, StoreNotFoundError
from hiddenstate_core.traces import Trace, extract, verify
from hiddenstate_core.traces.checksums import checksum_of_file, checksum_of_rows
from hiddenstate_core.traces.extract import ExtractOptions
from tests.fakes import make_corpus, make_model
from tests.traces.test_extract import small_shards


def make(path: Path, compression: str = "none") -> Trace:
    corpus = make_corpus(40)
    with small_shards(64):
        options = ExtractOptions(progress=False, compression=compression)  # type: ignore[arg-type]
        return extract(make_model(corpus), corpus, path, options=options)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def holding(trace: Trace, low: int, high: int) -> tuple[int, ...]:
    """Sequences with a row in ``low .. high - 1``."""
    return tuple(
        s
        for s in range(len(trace))
        if trace.offsets[s] < high and trace.offsets[s + 1] > low and len(trace.sequence(s))
    )


def test_a_store_as_it_was_written(tmp_path: Path) -> None:
    trace = make(tmp_path / "t.zarr")
    trace.add_projection("pca", np.zeros((trace.steps, 2), np.float32))
    found = verify(trace.path)
    assert found.intact
    assert found.checksums
    listed = json.loads((trace.path / "checksums.json").read_text())["files"]
    there = {p.relative_to(trace.path).as_posix() for p in trace.path.rglob("*") if p.is_file()}
    assert {n for n in there if not n.startswith("projections")} == {*listed, "checksums.json"}
    assert found.size == sum(entry["bytes"] for entry in listed.values())


@pytest.mark.parametrize("row", [0, 70, 127])
def test_a_flipped_bit_is_placed_to_the_chunk(tmp_path: Path, row: int) -> None:
    trace = make(tmp_path / "t.zarr")
    shard = row // 64
    flip(trace.path / f"layers/0/forward/hidden/c/{shard}/0", (row % 64) * 12 * 4 + 5)
    found = verify(trace.path)
    (damage,) = found.damage
    low = row // 8 * 8
    assert damage.path == f"layers/0/forward/hidden/c/{shard}/0"
    assert damage.reason == "was changed"
    assert damage.steps == ((low, low + 8),)
    assert found.sequences == holding(trace, low, low + 8)
    assert not found.intact


def test_a_missing_a_short_and_a_long_file(tmp_path: Path) -> None:
    trace = make(tmp_path / "t.zarr")
    cell, gate = trace.path / "layers/0/forward/cell/c/1/0", trace.path / "layers/0/forward/gates/input/c/2/0"
    cell.unlink()
    gate.write_bytes(gate.read_bytes()[:-1])
    tokens = trace.path / "steps/tokens/c/0"
    tokens.write_bytes(tokens.read_bytes() + b"x")
    found = {damage.path: damage for damage in verify(trace.path).damage}
    assert found["layers/0/forward/cell/c/1/0"].reason == "is missing"
    assert found["layers/0/forward/cell/c/1/0"].steps == ((64, 128),)
    # The end of a shard is its index, without which no row is found.
    assert found["layers/0/forward/gates/input/c/2/0"].steps == ((128, 192),)
    assert "bytes instead of" in found["layers/0/forward/gates/input/c/2/0"].reason
    assert found["steps/tokens/c/0"].sequences == holding(trace, 0, 64)


def test_damage_in_what_is_no_row(tmp_path: Path) -> None:
    trace = make(tmp_path / "t.zarr", "zstd")
    for name in ("zarr.json", "sequences/offsets/c/0"):
        flip(trace.path / name, 20)
    flip(trace.path / "layers/0/forward/hidden/c/0/0", 20)
    found = verify(trace.path)
    assert {damage.path for damage in found.damage} == {
        "zarr.json", "sequences/offsets/c/0", "layers/0/forward/hidden/c/0/0"
    }  # fmt: skip
    assert found.sequences == (), "without offsets nothing can be placed"


def test_a_compressed_shard_is_in_doubt_as_a_whole(tmp_path: Path) -> None:
    trace = make(tmp_path / "t.zarr", "zstd")
    flip(trace.path / "layers/0/forward/hidden/c/1/0", 9)
    (damage,) = verify(trace.path).damage
    assert damage.steps == ((64, 128),)
    assert damage.sequences == holding(trace, 64, 128)


def test_a_damaged_list_and_a_store_without_one(tmp_path: Path) -> None:
    trace = make(tmp_path / "t.zarr")
    path = trace.path / "checksums.json"
    text = path.read_text()
    for wrong in (
        text[:-9],
        text.replace('"bytes":', '"size":', 1),
        text.replace("zarr.json", "../zarr.json", 1),
        "[]",
    ):
        path.write_text(wrong)
        with pytest.raises(StoreError, match=r"checksums\.json is damaged"):
            verify(trace.path)
    path.unlink()
    found = verify(trace.path)
    assert found.intact
    assert not found.checksums
    shard = trace.path / "layers/0/forward/hidden/c/1/0"
    shard.write_bytes(shard.read_bytes()[:100])
    (damage,) = verify(trace.path).damage
    assert damage.path == "layers/0/forward/hidden"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = make(tmp_path / "t.zarr")
    assert main(["verify", str(trace.path)]) == 0
    assert "files are as they were written" in capsys.readouterr().out
    flip(trace.path / "layers/0/forward/hidden/c/1/0", 5)
    assert main(["verify", str(trace.path)]) == 1
    out = capsys.readouterr().out
    assert "layers/0/forward/hidden/c/1/0 was changed: steps 64-71" in out
    assert "Damaged sequences (" in out
    assert main(["verify", str(tmp_path / "nothing.zarr")]) == 2
    with pytest.raises(StoreNotFoundError):
        verify(tmp_path / "nothing.zarr")


def test_checksums_of_rows_are_those_of_their_file(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(21, 5)).astype(np.float32)
    for tail, block in ((b"", 60), (b"end", 60), (b"x" * 200, 7), (b"end", 10_000)):
        (tmp_path / "f").write_bytes(rows.tobytes() + tail)
        assert checksum_of_rows(rows, tail, block) == checksum_of_file(tmp_path / "f", block)


def test_a_file_that_was_added_is_named(tmp_path: Path) -> None:
    trace = make(tmp_path / "t.zarr")
    trace.add_projection("pca", np.zeros((trace.steps, 2), np.float32))
    (trace.path / "steps/tokens/c/99").write_bytes(b"\0" * 8)
    (damage,) = verify(trace.path).damage
    assert (damage.path, damage.reason) == ("steps/tokens/c/99", "was added after the recording")


def test_what_a_killed_writer_leaves_behind_is_no_damage(tmp_path: Path) -> None:
    trace = make(tmp_path / "t.zarr")
    (trace.path / ".done").mkdir()
    for name in (".recording", ".done/9.json", ".done/12.json"):
        (trace.path / name).write_bytes(b"0")
    assert verify(trace.path).intact
    for name in (".done/9.npz", ".done/x.json", ".recordings", "layers/.recording"):
        (trace.path / name).write_bytes(b"0")
    assert sorted(d.path for d in verify(trace.path).damage) == [
        ".done/9.npz", ".done/x.json", ".recordings", "layers/.recording"
    ]  # fmt: skip


def test_a_recording_that_was_not_finished_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "t.zarr.partial").mkdir()
    with pytest.raises(StoreError, match="not finished; run the same `hiddenstate extract` again"):
        Trace(tmp_path / "t.zarr.partial")


def test_from_within_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    trace = make(tmp_path / "t.zarr")
    monkeypatch.chdir(trace.path)
    assert verify(".").intact
    assert main(["verify", "."]) == 0
    assert "files are as they were written" in capfd.readouterr().out
    monkeypatch.chdir(trace.path / "steps")
    assert verify("..").intact
    with pytest.raises(StoreError, match="not a"):
        verify("/")
