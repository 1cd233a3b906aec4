"""The Large Movie Review Dataset: film reviews, negative or positive, from its official archive."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np

from hiddenstate_core.corpora.archives import Archive, read_members
from hiddenstate_core.corpora.corpus import UNLABELLED
from hiddenstate_core.corpora.texts import Sheet
from hiddenstate_core.errors import ArchiveError, InputError
from hiddenstate_core.progress import progress_bar

__all__ = ["IMDB", "IMDB_CLASSES", "IMDB_SPLITS", "check_splits", "read_imdb"]

IMDB = Archive(
    title="The Large Movie Review Dataset (IMDB)",
    filename="aclImdb_v1.tar.gz",
    addresses=("https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",),
    sha256="c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
)
IMDB_CLASSES = ("negative", "positive")
IMDB_SPLITS = ("train", "test", "unsup")

#: Folders of the archive: which split and class they hold.
_FOLDERS = {
    "train/neg": ("train", 0),
    "train/pos": ("train", 1),
    "test/neg": ("test", 0),
    "test/pos": ("test", 1),
    "train/unsup": ("unsup", UNLABELLED),
}
#: Reviews in each folder of a whole archive.
_COUNTS = {"train/neg": 12_500, "train/pos": 12_500, "test/neg": 12_500, "test/pos": 12_500, "train/unsup": 50_000}
_REVIEW = re.compile(r"aclImdb/((?:train|test)/(?:neg|pos)|train/unsup)/(\d{1,9}_\d{1,9})\.txt")


def check_splits(splits: object) -> tuple[str, ...]:
    """The wanted splits in canonical order; raises `InputError` where one does not exist or none is named."""
    names = (splits,) if isinstance(splits, str) else splits
    if not isinstance(names, (tuple, list)) or not names or any(n not in IMDB_SPLITS for n in names):
        raise InputError(f"splits of 'imdb' must be some of {', '.join(IMDB_SPLITS)}, not {splits!r}.")
    return tuple(n for n in IMDB_SPLITS if n in names)


def read_imdb(path: Path, splits: tuple[str, ...], *, progress: bool = True) -> tuple[list[str], Sheet]:
    """Texts of the wanted splits, in a fixed order.

    The reviews of each folder are ordered by the SHA-256 of their id, since neighbouring numbers are reviews of one
    film; within a split the classes alternate, so that any stretch of it holds about as many of each.

    Parameters
    ----------
    path : Path
        The archive, official or packed again: it is judged by its content.
    splits : tuple of str
        Some of ``IMDB_SPLITS``.

    Raises
    ------
    ArchiveError
        Damaged, or without all 12,500 reviews of each labelled folder (50,000 of the unlabelled one).
    """
    folders = [f for f, (split, _) in _FOLDERS.items() if split in splits]
    reviews: dict[str, dict[str, str]] = defaultdict(dict)
    with progress_bar("Reading reviews", path.stat().st_size, show=progress) as advance:
        for name, content in read_members(path, _REVIEW, note=advance):
            match = _REVIEW.fullmatch(name)
            if match is not None and match[1] in folders:
                reviews[match[1]][f"{match[1]}/{match[2]}"] = content.decode("utf-8", "replace")
    for folder in folders:
        if len(reviews[folder]) != _COUNTS[folder]:
            raise ArchiveError(
                f"{path} is incomplete: aclImdb/{folder} holds {len(reviews[folder]):,} reviews instead of "
                f"{_COUNTS[folder]:,}; fetch the official archive again."
            )
    ids = [name for split in splits for name in _ordered(reviews, split)]
    texts = [reviews[name.rpartition("/")[0]][name] for name in ids]
    places = [_FOLDERS[name.rpartition("/")[0]] for name in ids]
    sheet = Sheet(
        labels=np.array([label for _, label in places], np.int32),
        classes=IMDB_CLASSES,
        split=np.array([splits.index(split) for split, _ in places], np.int8),
        splits=splits,
        ids=tuple(ids),
    )
    return texts, sheet


def _ordered(reviews: dict[str, dict[str, str]], split: str) -> Iterator[str]:
    folders = [sorted(reviews[f], key=_shuffle) for f, (s, _) in _FOLDERS.items() if s == split]
    for group in zip_longest(*folders):
        yield from (name for name in group if name is not None)


def _shuffle(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
