"""Every colour that stands for data: hues of classes, scales of probability and confidence, readable text."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MAX_HUES", "Palette", "hex_of", "mix", "ramp", "readable_text", "rgba32"]

Colours = NDArray[np.uint8]

#: Two classes: deep pink, grey, deep blue (the ends differ in hue for every kind of colour vision).
PINK, MIDDLE, BLUE = (0xC2, 0x14, 0x6E), (0xC3, 0xC6, 0xCA), (0x17, 0x56, 0xB3)
#: The same on a dark ground.
DARK_PINK, DARK_MIDDLE, DARK_BLUE = (0xFF, 0x5F, 0xA8), (0x62, 0x69, 0x72), (0x5E, 0xA2, 0xFF)
#: Okabe and Ito (2008), "Color Universal Design", ordered so that the strongest on white come first.
OKABE_ITO = (
    (0x00, 0x72, 0xB2),
    (0xE6, 0x9F, 0x00),
    (0x00, 0x9E, 0x73),
    (0xCC, 0x79, 0xA7),
    (0xD5, 0x5E, 0x00),
    (0x56, 0xB4, 0xE9),
    (0xE3, 0xD1, 0x1A),
)
UNSURE, DARK_UNSURE = (0xD3, 0xD7, 0xDC), (0x4B, 0x52, 0x5B)
OTHER = (0x8A, 0x90, 0x99)
UNKNOWN = (0xB4, 0xB9, 0xC0)
WHITE, DARK_GROUND = (0xFF, 0xFF, 0xFF), (0x1B, 0x1F, 0x25)
#: Classes beyond this many (the rarest) share one grey, "other".
MAX_HUES = 24


def _linear(rgb: ArrayLike) -> NDArray[np.float64]:
    value = np.asarray(rgb, np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _oklab(rgb: ArrayLike) -> NDArray[np.float64]:
    # Ottosson (2020), "A perceptual color space for image processing".
    cone = _linear(rgb) @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.asarray(
        np.cbrt(cone)
        @ np.array(
            [
                [0.2104542553, 1.9779984951, 0.0259040371],
                [0.7936177850, -2.4285922050, 0.7827717662],
                [-0.0040720468, 0.4505937099, -0.8086757660],
            ]
        )
    )


def _from_oklab(lab: NDArray[np.float64]) -> Colours:
    cone = (
        lab
        @ np.array(
            [[1, 1, 1], [0.3963377774, -0.1055613458, -0.0894841775], [0.2158037573, -0.0638541728, -1.2914855480]]
        )
    ) ** 3
    linear = np.clip(
        cone
        @ np.array(
            [
                [4.0767416621, -1.2684380046, -0.0041960863],
                [-3.3077115913, 2.6097574011, -0.7034186147],
                [0.2309699292, -0.3413193965, 1.7076147010],
            ]
        ),
        0,
        1,
    )
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(np.clip(value, 0, 1) * 255), np.uint8)


def mix(start: ArrayLike, end: ArrayLike, share: ArrayLike) -> Colours:
    """Colours that lie `share` of the way from `start` to `end`, mixed in Oklab so that equal steps look equal.

    Parameters
    ----------
    start, end : (..., 3) array
        Colours, 0 to 255.
    share : (...,) array
        0 gives `start`, 1 gives `end`; values outside are clipped.

    Returns
    -------
    (..., 3) uint8
    """
    weight = np.clip(np.nan_to_num(np.asarray(share, np.float64)), 0, 1)[..., None]
    return _from_oklab(_oklab(start) * (1 - weight) + _oklab(end) * weight)


def ramp(*stops: tuple[int, int, int], count: int = 256) -> Colours:
    """A scale of `count` colours through evenly spaced `stops`, (count, 3) uint8."""
    at = np.linspace(0, len(stops) - 1, count)
    low = np.minimum(at.astype(np.int64), len(stops) - 2)
    table = np.asarray(stops)
    return mix(table[low], table[low + 1], at - low)


def hex_of(colours: ArrayLike) -> list[str]:
    """``#rrggbb`` of each row of an (n, 3) array."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.asarray(colours, np.uint8).reshape(-1, 3).tolist()]


def rgba32(colours: ArrayLike, alpha: ArrayLike = 255) -> NDArray[np.uint32]:
    """Colours packed for an image, red in the lowest byte and alpha in the highest; shape of `colours` but its last."""
    rgb = np.asarray(colours, np.uint32)
    packed = rgb[..., 0] | (rgb[..., 1] << 8) | (rgb[..., 2] << 16) | (np.asarray(alpha).astype(np.uint32) << 24)
    return np.ascontiguousarray(packed, np.uint32)


def readable_text(colours: ArrayLike) -> list[str]:
    """Near-black or white, whichever reads better on each row of an (n, 3) array; black where neither reads well.

    The contrast (WCAG 2.1) is at least 4.5 on every colour.
    """
    luminance = _linear(np.asarray(colours).reshape(-1, 3)) @ np.array([0.2126, 0.7152, 0.0722]) + 0.05
    dark, white = luminance / (0.0134 + 0.05), 1.05 / luminance  # 0.0134 is the luminance of #1b1f24
    found = np.where(white > dark, "#ffffff", "#1b1f24")
    return list(np.where(np.maximum(dark, white) >= 4.5, found, "#000000").tolist())


@dataclasses.dataclass(frozen=True, eq=False)
class Palette:
    """Colours of one trace's classes.

    Two classes share one diverging scale over the probability of class 1. More classes have a hue each, and a state's
    confidence shows as the way from light grey to that hue. Beyond `MAX_HUES` classes the rarest are "other".

    Parameters
    ----------
    classes : tuple of str
        Class names.
    hues : (C, 3) uint8
        Colour of each class at full confidence.
    own : (C,) bool
        Whether a class has a hue of its own.
    dark : bool
        Whether the colours stand on a dark ground.
    """

    classes: tuple[str, ...]
    hues: Colours
    own: NDArray[np.bool_]
    dark: bool = False

    @classmethod
    def of(cls, classes: Sequence[str], counts: ArrayLike | None = None, *, dark: bool = False) -> Palette:
        """Palette of these classes; `counts` (C,) says which are frequent, where not all can have a hue."""
        number = len(classes)
        own = np.ones(number, np.bool_)
        if number <= 2:
            hues = np.array([DARK_PINK, DARK_BLUE] if dark else [PINK, BLUE], np.uint8)[:number]
        elif number <= len(OKABE_ITO):
            hues = np.array(OKABE_ITO[:number], np.uint8)
        else:
            hues = np.tile(np.array(OTHER, np.uint8), (number, 1))
            weight = np.zeros(number) if counts is None else -np.asarray(counts, np.float64)
            frequent = np.argsort(weight, kind="stable")[:MAX_HUES]
            hues[frequent] = _glasbey()[: len(frequent)]
            own[:] = False
            own[frequent] = True
        if dark and number > 2:  # deep hues are lifted, so that they stand out from the ground
            hues = mix(hues, np.array(WHITE), 0.22)
        return cls(tuple(classes), hues, own, dark)

    @property
    def binary(self) -> bool:
        """Whether the one diverging scale of two classes is in use."""
        return len(self.classes) == 2

    @functools.cached_property
    def diverging(self) -> Colours:
        """Scale over the probability of class 1, (256, 3) uint8."""
        return ramp(DARK_PINK, DARK_MIDDLE, DARK_BLUE) if self.dark else ramp(PINK, MIDDLE, BLUE)

    @property
    def unsure(self) -> tuple[int, int, int]:
        """Colour of a state without any confidence."""
        return DARK_UNSURE if self.dark else UNSURE

    @property
    def ground(self) -> tuple[int, int, int]:
        """Colour of the card on which the colours stand: that of probability 0."""
        return DARK_GROUND if self.dark else WHITE

    @property
    def certainty(self) -> Colours:
        """What confidence does to a hue, shown on the first class's, (256, 3) uint8."""
        red, green, blue = (int(v) for v in self.hues[0])
        return ramp(self.unsure, (red, green, blue))

    def strength(self, confidence: ArrayLike) -> NDArray[np.float32]:
        """Confidence on a scale from 0 (all classes equal) to 1 (certain)."""
        even = 1 / max(len(self.classes), 2)
        return np.clip((np.asarray(confidence, np.float32) - even) / (1 - even), 0, 1)

    def states(self, predicted: ArrayLike, confidence: ArrayLike) -> Colours:
        """Colours (n, 3) of states by predicted class and its probability."""
        which, sure = np.asarray(predicted, np.int64), np.asarray(confidence, np.float32)
        if self.binary:
            p = np.where(which == 1, sure, 1 - sure)
            return np.asarray(self.diverging[np.rint(np.clip(p, 0, 1) * 255).astype(np.int64)])
        return mix(np.asarray(self.unsure), self.hues[which], self.strength(sure))

    def outputs(self, probabilities: ArrayLike) -> Colours:
        """Colours (n, 3) of class probabilities (n, C)."""
        p = np.asarray(probabilities, np.float32).reshape(-1, len(self.classes))
        if not len(p):
            return np.zeros((0, 3), np.uint8)
        return self.states(p.argmax(axis=1), p.max(axis=1))

    def labels(self, labels: ArrayLike) -> Colours:
        """Colours (n, 3) of class numbers; -1 (not known) is grey."""
        which = np.asarray(labels, np.int64)
        return np.where((which < 0)[..., None], np.array(UNKNOWN, np.uint8), self.hues[np.maximum(which, 0)])

    def class_scale(self, label: int) -> Colours:
        """White (the ground) to the class's hue, (256, 3) uint8."""
        red, green, blue = (int(v) for v in self.hues[label])
        return ramp(self.ground, (red, green, blue))


@functools.cache
def _glasbey() -> Colours:
    import colorcet

    # A long list's neighbours are far apart; near-white, near-black and grey entries say nothing on a white page.
    rows = np.array([[round(255 * v) for v in row] for row in colorcet.glasbey_bw_minc_20_maxl_70], np.uint8)
    return rows
