"""Limits on what visitors send: the length of a typed text, how often they may ask, what an address may carry."""

from __future__ import annotations

import math
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from hiddenstate_core.errors import HiddenStateError, InputError

__all__ = ["MAX_CHARACTERS", "MAX_WORDS", "RateLimit", "TooOftenError", "check_arguments", "check_text"]

#: Of a typed text.
MAX_CHARACTERS = 10_000
MAX_WORDS = 2_000
#: Of the query of an address.
MAX_ARGUMENTS = 64
MAX_ARGUMENT = 8_192


class TooOftenError(HiddenStateError, RuntimeError):
    """More requests than a session may make in the time."""


def check_text(text: str) -> str:
    """A typed text as it may go on to the model: data, never markup; whoever shows it escapes it.

    Line ends and tabs become spaces; Unicode's composed form (NFC) is taken, as corpora are written in it.

    Parameters
    ----------
    text : str
        At most 10,000 characters and 2,000 words.

    Returns
    -------
    str
        Without space around it; at least one word.

    Raises
    ------
    InputError
        Nothing but space, too long, or with characters that are no text: control characters, lone surrogates.
    """
    if not isinstance(text, str):
        raise InputError(f"A text is expected, not {type(text).__name__}.")
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"The text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read: shorten it.")
    words = text.split()
    plain = unicodedata.normalize("NFC", " ".join(words))
    if not words:
        raise InputError("The text has no word; type at least one.")
    if len(words) > MAX_WORDS:
        raise InputError(f"The text has {len(words):,} words; at most {MAX_WORDS:,} are read: shorten it.")
    for at, character in enumerate(plain):
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InputError(
                f"Character {at + 1} of the text (U+{ord(character):04X}) is not one that can be typed; take it out."
            )
    if len(plain) > MAX_CHARACTERS:
        raise InputError(f"The text has {len(plain):,} characters; at most {MAX_CHARACTERS:,} are read: shorten it.")
    return plain


class RateLimit:
    """A token bucket: `burst` requests at once, then `rate` a second; one for each session.

    Parameters
    ----------
    rate : float
        Requests a second in the long run.
    burst : int
        Requests that may come at once after a rest.
    clock : callable
        Monotonic time in seconds.

    Raises
    ------
    InputError
        A rate that is not positive and finite, or a burst below 1.
    """

    def __init__(self, rate: float = 5.0, burst: int = 10, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not (math.isfinite(rate) and rate > 0 and burst >= 1):
            raise InputError(
                f"A rate limit needs a positive rate and a burst of at least 1, not {rate!r} and {burst!r}."
            )
        self.rate, self.burst = float(rate), int(burst)
        self._clock = clock
        self._lock = threading.Lock()
        self._left = float(burst)
        self._at = clock()

    def allow(self) -> bool:
        """Whether one more request may be answered now; it counts if so."""
        with self._lock:
            now = self._clock()
            self._left = min(float(self.burst), self._left + max(0.0, now - self._at) * self.rate)
            self._at = now
            if self._left < 1.0:
                return False
            self._left -= 1.0
            return True

    def check(self) -> None:
        """As `allow`, with an error for a refusal.

        Raises
        ------
        TooOftenError
            The bucket is empty.
        """
        if not self.allow():
            raise TooOftenError(f"That is more than {self.rate:g} requests a second; wait a moment and try again.")


def check_arguments(arguments: Mapping[str, Sequence[bytes]]) -> dict[str, str]:
    """What the query of an address says, as text: the last value of each name; what is no text is left out.

    Parameters
    ----------
    arguments : mapping
        Names and values as the server has decoded them from the address.

    Returns
    -------
    dict
        At most 64 names, each value at most 8,192 characters; never the token.
    """
    found: dict[str, str] = {}
    for name, values in arguments.items():
        if len(found) >= MAX_ARGUMENTS:
            break
        if not values or name == "token" or not name.isprintable() or len(name) > 64:
            continue
        try:
            value = values[-1].decode("utf-8")
        except UnicodeDecodeError:
            continue
        if len(value) <= MAX_ARGUMENT and "\0" not in value:
            found[name] = value
    return found
