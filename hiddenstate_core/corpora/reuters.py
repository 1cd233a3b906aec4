"""Reuters-21578: newswires of 1987 by topic, from the official SGML, in the ModApte split."""

from __future__ import annotations

import dataclasses
import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from hiddenstate_core.corpora.archives import Archive, read_members
from hiddenstate_core.corpora.texts import Sheet
from hiddenstate_core.errors import ArchiveError, InputError
from hiddenstate_core.progress import progress_bar

__all__ = ["PAPER_TOPICS", "REUTERS", "Newswire", "choose_topics", "parse_sgml", "pick_newswires", "read_reuters"]

REUTERS = Archive(
    title="Reuters-21578",
    filename="reuters21578.tar.gz",
    addresses=(
        "https://kdd.ics.uci.edu/databases/reuters21578/reuters21578.tar.gz",
        "http://kdd.ics.uci.edu/databases/reuters21578/reuters21578.tar.gz",
    ),
    sha256="3bae43c9b14e387f76a61b6d82bf98a4fb5d3ef99ef7e7075ff2ccbcf59f9d30",
)
#: The five topics of the paper.
PAPER_TOPICS = ("earn", "acq", "money-fx", "crude", "grain")
REUTERS_SPLITS = ("train", "test")
#: Newswires in a whole archive.
_COUNT = 21_578
#: Topics named in an error before the rest is only counted.
_NAMED = 10

_FILE = re.compile(r"(?:[^/]+/)?(reut2-\d{3}\.sgm)")
_NEWSWIRE = re.compile(r"<REUTERS\b([^>]*)>(.*?)</REUTERS>", re.DOTALL)
_ATTRIBUTE = re.compile(r'([A-Z]+)\s*=\s*"([^"]*)"')
_TOPICS = re.compile(r"<TOPICS>(.*?)</TOPICS>", re.DOTALL)
_ITEM = re.compile(r"<D>(.*?)</D>", re.DOTALL)
_TEXT = re.compile(r"<TEXT\b[^>]*>(.*?)</TEXT>", re.DOTALL)
_TITLE = re.compile(r"<TITLE>(.*?)</TITLE>", re.DOTALL)
_BODY = re.compile(r"<BODY>(.*?)</BODY>", re.DOTALL)
_AUTHOR = re.compile(r"<(TITLE|AUTHOR|DATELINE)>.*?</\1>", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Newswire:
    """One document: its number (NEWID), split of ModApte ("train", "test" or "" for neither), topics and text."""

    number: int
    split: str
    topics: tuple[str, ...]
    text: str


def parse_sgml(source: str) -> Iterator[Newswire]:
    """Newswires of one file.

    The files are SGML that no XML parser takes (control characters as ``&#5;``, text outside elements), and regular
    enough for patterns. The text is title and body; where there is no body (TYPE "BRIEF" or "UNPROC"), title and
    whatever else stands in the text element but author and dateline.

    Raises
    ------
    ArchiveError
        A newswire without its number.
    """
    for attributes, inside in _NEWSWIRE.findall(source):
        named = dict(_ATTRIBUTE.findall(attributes))
        if not named.get("NEWID", "").isdigit():
            raise ArchiveError("A newswire without its number (NEWID): this is not the official Reuters-21578 SGML.")
        split = ""
        if named.get("TOPICS") == "YES":
            split = {"TRAIN": "train", "TEST": "test"}.get(named.get("LEWISSPLIT", ""), "")
        topics = _TOPICS.search(inside)
        names = tuple(dict.fromkeys(html.unescape(t).strip() for t in _ITEM.findall(topics[1]))) if topics else ()
        yield Newswire(int(named["NEWID"]), split, names, _text(inside))


def _text(inside: str) -> str:
    text = _TEXT.search(inside)
    if text is None:
        return ""
    title, body = _TITLE.search(text[1]), _BODY.search(text[1])
    rest = body[1] if body else re.sub(r"<[A-Z/][^>]*>", " ", _AUTHOR.sub(" ", text[1]))
    return html.unescape(f"{title[1]}\n{rest}" if title else rest)


def read_reuters(path: Path, *, progress: bool = True) -> list[Newswire]:
    """All newswires of the archive in the order of their files.

    Raises
    ------
    ArchiveError
        Damaged, or without all 21,578 newswires.
    """
    files: dict[str, str] = {}
    with progress_bar("Reading newswires", path.stat().st_size, show=progress) as advance:
        for name, content in read_members(path, _FILE, note=advance):
            files[name.rpartition("/")[2]] = content.decode("latin-1")
    newswires = [newswire for name in sorted(files) for newswire in parse_sgml(files[name])]
    distinct = len({newswire.number for newswire in newswires})
    if distinct != len(newswires) or distinct != _COUNT:
        raise ArchiveError(
            f"{path} is incomplete: it holds {distinct:,} distinct newswires instead of {_COUNT:,}; "
            "fetch the official archive again."
        )
    return newswires


def choose_topics(newswires: Iterable[Newswire], topics: object) -> tuple[str, ...]:
    """Names of the wanted topics: given, or the n most frequent among the newswires to train on (ties by name).

    Raises
    ------
    InputError
        Neither a number of topics nor names that occur in the train split.
    """
    counts = Counter(t for newswire in newswires if newswire.split == "train" for t in newswire.topics)
    ranked = sorted(counts, key=lambda t: (-counts[t], t))
    if isinstance(topics, int) and not isinstance(topics, bool):
        if not 2 <= topics <= len(ranked):
            raise InputError(f"topics must be 2 to {len(ranked)} (as many have newswires to train on), not {topics}.")
        return tuple(ranked[:topics])
    if not isinstance(topics, (tuple, list)) or not all(isinstance(t, str) for t in topics):
        raise InputError(f"topics must be a number of topics or a tuple of their names, not {topics!r}.")
    unknown = [t for t in topics if t not in counts]
    if unknown:
        others = f" and {len(ranked) - _NAMED} more" if len(ranked) > _NAMED else ""
        raise InputError(
            f"Reuters has no topic {unknown[0]!r} to train on; it has {', '.join(ranked[:_NAMED])}{others}."
        )  # fmt: skip
    if len(set(topics)) != len(topics) or len(topics) < 2:
        raise InputError(f"topics must be at least two distinct names, not {topics!r}.")
    return tuple(topics)


def pick_newswires(newswires: Iterable[Newswire], topics: tuple[str, ...]) -> tuple[list[str], Sheet]:
    """Texts of the ModApte newswires that carry exactly one of `topics` (others besides are allowed), train first."""
    index = {topic: i for i, topic in enumerate(topics)}
    picked: list[tuple[Newswire, int]] = []
    for newswire in newswires:
        found = [index[t] for t in newswire.topics if t in index]
        if newswire.split and len(found) == 1:
            picked.append((newswire, found[0]))
    picked.sort(key=lambda pair: REUTERS_SPLITS.index(pair[0].split))  # stable: file order within a split
    sheet = Sheet(
        labels=np.array([label for _, label in picked], np.int32),
        classes=topics,
        split=np.array([REUTERS_SPLITS.index(n.split) for n, _ in picked], np.int8),
        splits=REUTERS_SPLITS,
        ids=tuple(f"{n.split}/{n.number}" for n, _ in picked),
    )
    return [n.text for n, _ in picked], sheet
