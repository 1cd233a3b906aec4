"""Small arrays inside of Bokeh's messages: nothing is sent after them, and they arrive as they were."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from bokeh.core.serialization import Buffer, Deserializer, Serializer
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.protocol import Protocol
from hiddenstate_viewer.inline import inline_small_arrays
from numpy.typing import NDArray

ARRAYS: tuple[NDArray[Any], ...] = (
    np.arange(300, dtype=np.float32),
    np.arange(600, dtype=np.int32)[::2],
    np.asfortranarray(np.arange(60, dtype=np.uint8).reshape(12, 5)),
    np.array([np.nan, -np.inf, 0.5]),
    np.zeros(0, np.float32),
    np.arange(4_000, dtype=np.float64),
    np.frombuffer(b"\x01\x02\x03\x04", np.uint16),
)


@pytest.fixture(autouse=True)
def as_bokeh_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Serializer._encode_bytes
    monkeypatch.setattr(Serializer, "_encode_bytes", getattr(plain, "plain", plain))


def message(arrays: tuple[NDArray[Any], ...]) -> Any:
    """The message about new arrays of a source."""
    document, source = Document(), ColumnDataSource()
    document.add_root(source)
    events: list[Any] = []
    document.on_change(events.append)
    source.data = {"arrays": list(arrays)}
    return Protocol().create("PATCH-DOC", events)


def test_a_small_array_comes_with_its_message_and_a_large_one_after_it() -> None:
    assert len(message(ARRAYS[:2]).buffers) == 2, "Bokeh writes them in by itself: this module is no longer needed"
    inline_small_arrays()
    inline_small_arrays()
    assert message(ARRAYS[:5]).buffers == []
    [large] = message(ARRAYS).buffers
    assert large.to_bytes() == ARRAYS[5].tobytes()


def test_arrays_arrive_as_they_were() -> None:
    inline_small_arrays()
    for array in ARRAYS:
        serializer = Serializer()
        written = json.loads(json.dumps(serializer.encode(array), default=lambda one: one.ref))
        buffers = [Buffer(one.id, one.to_bytes()) for one in serializer.buffers]
        read = Deserializer().decode(written, buffers)
        assert read.dtype == array.dtype
        assert read.shape == array.shape
        np.testing.assert_array_equal(read, array)
