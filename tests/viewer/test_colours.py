"""Colours: scales, palettes of any number of classes, readable text."""

from __future__ import annotations

import numpy as np
import pytest
from hiddenstate_viewer.colours import (
    BLUE,
    MAX_HUES,
    MIDDLE,
    OTHER,
    PINK,
    UNSURE,
    Palette,
    hex_of,
    mix,
    ramp,
    readable_text,
    rgba32,
)
from hypothesis import given, settings
from hypothesis import strategies as st


def test_mix_ends_are_exact_and_middle_lies_between() -> None:
    assert mix(PINK, BLUE, [0.0, 1.0]).tolist() == [list(PINK), list(BLUE)]
    middle = mix((0, 0, 0), (255, 255, 255), 0.5)
    assert middle[0] == middle[1] == middle[2]
    assert 80 < middle[0] < 120  # half the lightness, which is darker than half the value


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=8))
def test_oklab_round_trip(colours: list[tuple[int, int, int]]) -> None:
    table = np.array(colours)
    assert np.abs(mix(table, table, np.full(len(table), 0.3)).astype(int) - table).max() <= 1


def test_two_classes_share_one_diverging_scale() -> None:
    palette = Palette.of(["no", "yes"])
    assert palette.binary
    low, middle, high = palette.outputs([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    assert tuple(low) == PINK
    assert tuple(high) == BLUE
    assert np.abs(middle.astype(int) - MIDDLE).max() <= 2
    assert (palette.states([0, 1], [0.9, 0.9]) == palette.outputs([[0.9, 0.1], [0.1, 0.9]])).all()


@pytest.mark.parametrize("count", [1, 3, 5, 7, 8, 24, 90])
def test_hue_shows_class_and_paleness_doubt(count: int) -> None:
    counts = np.arange(count)
    palette = Palette.of([f"class {i}" for i in range(count)], counts)
    assert palette.hues.shape == (count, 3)
    hues = {tuple(h) for h in palette.hues[palette.own].tolist()}
    assert len(hues) == int(palette.own.sum()) == min(count, MAX_HUES)
    assert palette.own[-1], "the most frequent class has a hue of its own"
    if count > MAX_HUES:
        assert tuple(palette.hues[0]) == OTHER
    even = palette.outputs(np.full((1, count), 1 / count))
    sure = palette.outputs(np.eye(count))
    if count > 1:
        assert tuple(even[0]) == UNSURE
    assert np.abs(sure.astype(int) - palette.hues).max() <= 1


def test_unknown_class_is_grey() -> None:
    grey = Palette.of(["a", "b", "c"]).labels([-1])[0]
    assert int(grey.max()) - int(grey.min()) < 16


def test_packing_and_names() -> None:
    assert hex_of([[1, 2, 255]]) == ["#0102ff"]
    packed = rgba32(np.array([[[1, 2, 3]]], np.uint8), np.array([[4]]))
    assert packed.dtype == np.uint32
    assert packed.astype("<u4").tobytes() == bytes([1, 2, 3, 4])
    assert ramp((0, 0, 0), (255, 255, 255), count=5).shape == (5, 3)


def test_text_is_readable_on_every_shade() -> None:
    rng = np.random.default_rng(0)
    shades = np.vstack([Palette.of(["a", "b"]).diverging, rng.integers(0, 256, (2_000, 3)).astype(np.uint8)])
    for ground, ink in zip(shades, readable_text(shades), strict=True):
        light, dark = sorted((_luminance(ground), _luminance(np.array([int(ink[i : i + 2], 16) for i in (1, 3, 5)]))))
        assert (dark + 0.05) / (light + 0.05) > 4.5 - 1e-6


def _luminance(colour: np.ndarray) -> float:
    value = colour / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))
