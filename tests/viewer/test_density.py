"""Pictures of states: counts and colours against counting by hand, layers, and what sessions share."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hiddenstate_viewer import density
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.density import Emphasis, Request, render
from hiddenstate_viewer.points import SharedCache, Source, points_of
from hiddenstate_viewer.theme import DARK, LIGHT

WINDOW = (-1.0, 1.0, -0.75, 0.75)
SIZE = 40, 30


def pixels(points: np.ndarray) -> np.ndarray:
    """Number of the pixel of each point, -1 outside."""
    column = np.floor((points[:, 0].astype(float) - WINDOW[0]) / (WINDOW[1] - WINDOW[0]) * SIZE[0]).astype(int)
    row = np.floor((points[:, 1].astype(float) - WINDOW[2]) / (WINDOW[3] - WINDOW[2]) * SIZE[1]).astype(int)
    inside = (column >= 0) & (column < SIZE[0]) & (row >= 0) & (row < SIZE[1])
    return np.where(inside, row * SIZE[0] + column, -1)


@pytest.fixture(autouse=True)
def single(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state is one pixel wide."""
    monkeypatch.setattr(density, "_WIDE", 0)
    monkeypatch.setattr(density, "_BROAD", 0)


@pytest.mark.parametrize("name", ["binary", "five"])
@pytest.mark.parametrize("key", ["prediction", "class"])
def test_pixels_hold_the_mean_or_the_most_frequent(data: Callable[[str], ViewData], name: str, key: str) -> None:
    view = data(name)
    image = render(view, Request("tsne", Source(key), WINDOW, *SIZE), density.NOTHING, LIGHT).ravel()
    where = pixels(view.coordinates("tsne"))
    count = np.bincount(where[where >= 0], minlength=SIZE[0] * SIZE[1])
    assert np.array_equal(image >> 24 > 0, count > 0)
    alpha = image >> 24
    assert (np.diff(alpha[np.argsort(count)].astype(int)) >= 0).all()
    labels = np.repeat(view.trace.labels.astype(int), np.diff(view.trace.offsets))
    for pixel in np.flatnonzero(count)[::7].tolist():
        steps = np.flatnonzero(where == pixel)
        rgb = [int(image[pixel]) >> shift & 255 for shift in (0, 8, 16)]
        if key == "prediction" and view.palette.binary:
            p = np.where(view.predicted[steps] == 1, view.confidence[steps], 1 - view.confidence[steps]).mean()
            expected = view.palette.diverging[round(float(p) * 255)]
        else:
            groups = labels[steps] if key == "class" else view.predicted[steps].astype(int)
            groups = np.where(groups < 0, len(view.trace.classes), groups)
            votes = np.bincount(groups)
            best = np.flatnonzero(votes == votes.max())
            if len(best) > 1:
                continue
            sure = 1.0 if key == "class" else float(view.palette.strength(view.confidence[steps]).mean())
            hue = np.array([0xB4, 0xB9, 0xC0]) if best[0] == len(view.trace.classes) else view.palette.hues[best[0]]
            expected = density_mix(view, hue, votes.max() / len(steps) * sure)
        assert np.abs(np.array(rgb) - expected.astype(int)).max() <= 3


def density_mix(view: ViewData, hue: np.ndarray, share: float) -> np.ndarray:
    from hiddenstate_viewer.colours import mix

    return mix(np.asarray(view.palette.unsure), hue, share)


def test_a_number_of_ones_own_is_shown_by_its_mean(data: Callable[[str], ViewData]) -> None:
    view = data("binary")
    image = render(view, Request("tsne", Source("unit:3", 0), WINDOW, *SIZE), density.NOTHING, LIGHT)
    points = points_of(view)
    colouring = points.colouring("tsne", Source("unit:3", 0))
    assert np.allclose(colouring.values, np.asarray(view.trace.hidden())[view.order("tsne").steps, 3])
    table = points.table(Source("unit:3", 0), colouring, LIGHT)
    assert table.shape == (256, 3)
    where = pixels(view.order("tsne").coordinates)
    pixel = int(np.bincount(where[where >= 0]).argmax())
    share = float(colouring.share(colouring.values[where == pixel].mean()))
    rgb = [int(image.ravel()[pixel]) >> shift & 255 for shift in (0, 8, 16)]
    assert np.abs(np.array(rgb) - table[round(share * 255)].astype(int)).max() <= 3


def test_what_is_not_selected_lies_behind_in_grey(data: Callable[[str], ViewData]) -> None:
    view = data("binary")
    steps = np.zeros(view.trace.steps, bool)
    steps[::3] = True
    layers = np.full(len(view.trace), density.FULL, np.uint8)
    layers[5:30] = density.REST
    layers[30:] = density.DIM
    request = Request("tsne", Source("prediction"), WINDOW, *SIZE)
    image = render(view, request, Emphasis("test", layers, steps), LIGHT).ravel()
    where = pixels(view.coordinates("tsne"))
    sequence = np.repeat(np.arange(len(view.trace)), np.diff(view.trace.offsets))
    full = steps & (layers[sequence] == density.FULL)
    dim = steps & (layers[sequence] == density.DIM)
    for pixel in np.unique(where[where >= 0]).tolist():
        here = where == pixel
        alpha, rgb = int(image[pixel]) >> 24, [int(image[pixel]) >> s & 255 for s in (0, 8, 16)]
        if (here & full).any():
            assert alpha >= 120
        elif not (here & dim).any():
            assert 0 < alpha < 100
            assert max(rgb) - min(rgb) < 20
    everything = render(view, request, density.NOTHING, LIGHT).ravel()
    assert np.array_equal(everything >> 24 > 0, image >> 24 > 0)


def test_looks_differ_and_pictures_are_kept(data: Callable[[str], ViewData]) -> None:
    view = data("five")
    request = Request("tsne", Source("class"), WINDOW, *SIZE)
    light = render(view, request, density.NOTHING, LIGHT)
    assert render(view, request, density.NOTHING, LIGHT) is light
    assert not np.array_equal(render(view, request, density.NOTHING, DARK), light)


def test_a_window_without_states_is_empty(data: Callable[[str], ViewData]) -> None:
    for key in ("prediction", "class"):
        for name in ("binary", "five"):
            request = Request("tsne", Source(key), (90.0, 91.0, 90.0, 91.0), *SIZE)
            assert not render(data(name), request, density.NOTHING, LIGHT).any()


def test_a_cache_keeps_to_its_budget_and_makes_each_value_once() -> None:
    cache = SharedCache(250)
    made: list[int] = []
    begin, ready = threading.Event(), threading.Barrier(5)

    def make(number: int) -> bytes:
        begin.wait(5)
        made.append(number)
        return bytes(100)

    def ask() -> None:
        ready.wait(5)
        cache.get(0, lambda: make(0), len)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait(5)
    begin.set()
    for thread in threads:
        thread.join(5)
    assert made == [0]
    for number in (1, 2, 3):
        cache.get(number, functools.partial(make, number), len)
    assert len(cache) == 2
    cache.get(3, lambda: make(3), len)
    assert made == [0, 1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        cache.get("bad", lambda: 1 // 0, len)
    assert cache.get("bad", lambda: b"good", len) == b"good"
