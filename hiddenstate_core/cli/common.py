"""What the subcommands share: printing, and reading options that several take."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from hiddenstate_core.errors import InputError

__all__ = [
    "console",
    "corpus_names",
    "existing",
    "fail",
    "is_own",
    "no_topics",
    "parse_topics",
    "parse_units",
    "say",
    "size_of",
    "tested",
]

corpus_names = ("stdlib", "imdb", "reuters")


def console() -> Console:
    """Console for results, on standard output; words are data, so rich's markup is off."""
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a line of progress or result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fail(message: str) -> int:
    """Print one line that says what is wrong; returns the exit code for bad input."""
    line = re.sub(r"\s+", " ", message).strip()
    sys.stderr.write(f"hiddenstate: {line}\n")
    return 2


def parse_topics(text: str | None) -> int | tuple[str, ...] | None:
    """Value of ``--topics``: a number of topics, or names separated by commas."""
    if text is None:
        return None
    if text.strip().isdigit():
        return int(text)
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise InputError(f"--topics takes a number or names separated by commas, not {text!r}.")
    return names


def existing(path: Path, what: str) -> Path:
    """`path` if something is there, else an error that names what was expected."""
    if not path.exists():
        raise InputError(f"There is no {what} at {path}.")
    return path


def is_own(corpus: str) -> bool:
    """Whether a corpus is named by the path of texts of one's own.

    Raises
    ------
    InputError
        It is neither a known name nor the path of something.
    """
    if corpus in corpus_names:
        return False
    if not Path(corpus).exists():
        raise InputError(
            f"There is no corpus {corpus!r}: the known ones are {', '.join(corpus_names)}, and no file or folder of "
            "that name is here (.csv, .tsv, .jsonl, .parquet, or a folder of .txt files)."
        )
    return True


def no_topics(topics: object) -> None:
    """Refuse ``--topics`` where texts of one's own are read."""
    if topics is not None:
        raise InputError("--topics chooses among those of reuters; texts of your own are read from files, not by name.")


def parse_units(text: str | None) -> tuple[int, ...] | None:
    """Value of ``--hidden``: numbers of units separated by commas, one a layer."""
    if text is None:
        return None
    try:
        units = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"--hidden takes numbers of units separated by commas, such as 64,32; not {text!r}."
        ) from error
    if min(units) < 1:
        raise InputError(f"--hidden takes numbers of units from 1 on, such as 64,32; not {text!r}.")
    return units


def size_of(count: int) -> str:
    """A number of bytes in words."""
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.2f} MB"


def tested(metadata: Mapping[str, Any]) -> str:
    """What a model reached on the test split, in words."""
    count = metadata.get("test_sequences") or 0
    if metadata.get("test_accuracy") is None:
        return "no test split to judge it by"
    if metadata.get("test_perplexity") is not None:
        right = f"{metadata['test_accuracy']:.2%} of next words right"
        return f"test perplexity {metadata['test_perplexity']:.2f} and {right} on {count:,} test sequences"
    return f"test accuracy {metadata['test_accuracy']:.2%} on {count:,} test sequences"
