"""Checksums: many blocks at once are the CRC-32C of each, whatever their number and size, kernel or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate_core.kernels.crc32c import has_crc32c
from hiddenstate_core.traces import checksums
from hiddenstate_core.traces.checksums import checksum_of_file, checksum_of_rows


def slow(data: bytes) -> int:
    """CRC-32C bit by bit: the reflected polynomial 0x82F63B78."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def test_the_oracle_is_crc32c() -> None:
    assert slow(b"123456789") == 0xE3069283, "the check value of the standard"


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 70),
    width=st.integers(1, 5),
    block=st.sampled_from([1, 7, 8, 12, 16, 40, 64]),
    tail=st.binary(max_size=30),
    shift=st.integers(0, 1),
)
def test_every_block_has_its_checksum(rows: int, width: int, block: int, tail: bytes, shift: int) -> None:
    rng = np.random.default_rng(rows + 71 * width)
    values = rng.normal(size=(rows * width + 1)).astype(np.float32)[shift : shift + rows * width].reshape(rows, width)
    whole = values.tobytes() + tail
    found = checksum_of_rows(values, tail, block)
    assert (found.size, found.block) == (len(whole), block)
    assert found.values == tuple(slow(whole[at : at + block]) for at in range(0, len(whole), block))


def test_with_and_without_the_kernel_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(1003, 20)).astype(np.float32)
    with_kernel = checksum_of_rows(values, b"index", 8 * 80)
    monkeypatch.setattr(checksums, "_together", lambda: None)
    assert checksum_of_rows(values, b"index", 8 * 80) == with_kernel
    (tmp_path / "shard").write_bytes(values.tobytes() + b"index")
    assert checksum_of_file(tmp_path / "shard", 8 * 80) == with_kernel


def test_the_kernel_is_asked_for_only_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert not has_crc32c()
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    assert not has_crc32c()
