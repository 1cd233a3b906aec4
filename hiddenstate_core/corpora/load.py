"""`load_corpus`: one verb for every corpus that hiddenstate knows by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from hiddenstate_core.corpora import tokenizer as _tokenizer
from hiddenstate_core.corpora.archives import file_digest, find_archive
from hiddenstate_core.corpora.cache import cache_path, keep_words, kept_words
from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.corpora.texts import Sheet, Words, assemble, cut_texts
from hiddenstate_core.errors import InputError
from hiddenstate_core.progress import Advance, progress_bar

__all__ = ["CORPORA", "load_corpus"]

#: Corpora known by name, and the size of the vocabulary each has by default.
CORPORA = {"stdlib": 3_000, "imdb": 12_000, "reuters": 5_000}


def load_corpus(
    name: str,
    *,
    vocabulary: int | None = None,
    topics: int | Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    progress: bool = True,
) -> Corpus:
    """Load a corpus by name.

    Parameters
    ----------
    name : {"stdlib", "imdb", "reuters"}
        Functions of Python's standard library by package (nothing to download); film reviews by sentiment; newswires
        by topic. The archives of the last two are looked for in ``$HIDDENSTATE_DATA``, then in the user cache, then
        downloaded from their official address.
    vocabulary : int, optional
        Number of known words, the unknown word included: the most frequent ones of the train split, ties in
        alphabetical order. By default 3,000 for "stdlib", 12,000 for "imdb", 5,000 for "reuters".
    topics : int or sequence of str, optional
        For "reuters" only: the n most frequent topics of the train split, or these topics; newswires that carry
        exactly one of them are kept. By default the five of the paper: earn, acq, money-fx, crude, grain.
    splits : sequence of str, optional
        For "imdb" only: some of "train", "test" and "unsup" (reviews without a label, -1). By default
        ``("train", "test")``. The vocabulary is always that of the train split.
    progress : bool
        Show progress on standard error where that is a terminal.

    Returns
    -------
    Corpus
        Always the same for the same archive and options, on every machine ("stdlib": for the same Python).

    Raises
    ------
    InputError
        No such corpus, or an option that it does not have.
    ArchiveError
        An archive that is truncated, altered, incomplete or unsafe.
    DownloadError
        An archive that is nowhere to be found and could not be fetched.
    """
    if name not in CORPORA:
        raise InputError(f"There is no corpus {name!r}; the known ones are {', '.join(CORPORA)}.")
    _refuse(name, "topics", topics, "reuters")
    _refuse(name, "splits", splits, "imdb")
    size = CORPORA[name] if vocabulary is None else vocabulary
    if isinstance(size, bool) or not isinstance(size, int) or size < 2:
        raise InputError(f"vocabulary must be a number of words, at least 2, not {vocabulary!r}.")
    if name == "imdb":
        return _load_imdb(size, splits, progress)
    if name == "reuters":
        return _load_reuters(size, topics, progress)
    from hiddenstate_core.corpora.stdlib import load_stdlib

    return load_stdlib(size)


def _refuse(name: str, option: str, value: object, owner: str) -> None:
    if value is not None and name != owner:
        raise InputError(f"Corpus {name!r} has no option {option!r}; only {owner!r} has it.")


def _load_imdb(size: int, splits: Sequence[str] | None, progress: bool) -> Corpus:
    from hiddenstate_core.corpora.imdb import IMDB, check_splits, read_imdb

    wanted = ("train", "test") if splits is None else check_splits(splits)
    # The vocabulary is that of the train split even where only another one is wanted.
    read = ("train", "test", "unsup") if "unsup" in wanted else ("train", "test")
    path = find_archive(IMDB, progress=progress)
    key = {"archive": file_digest(path), "splits": read}
    corpus = _cut_once("imdb", key, lambda: read_imdb(path, read, progress=progress), size, progress)
    return _only(corpus, wanted)


def _only(corpus: Corpus, splits: tuple[str, ...]) -> Corpus:
    """The sequences of these splits, which are then the only ones the corpus knows of."""
    if splits == corpus.splits:
        return corpus
    old = np.array([corpus.splits.index(s) for s in splits], np.int8)
    chosen = corpus.select(np.flatnonzero(np.isin(corpus.split, old)))
    codes = np.zeros(len(corpus.splits), np.int8)
    codes[old] = np.arange(len(splits), dtype=np.int8)
    return dataclasses.replace(chosen, split=codes[chosen.split], splits=splits)


def _load_reuters(size: int, topics: object, progress: bool) -> Corpus:
    from hiddenstate_core.corpora.reuters import PAPER_TOPICS, REUTERS, choose_topics, pick_newswires, read_reuters

    path = find_archive(REUTERS, progress=progress)
    wanted = PAPER_TOPICS if topics is None else topics
    if isinstance(wanted, list):
        wanted = tuple(wanted)

    def read() -> tuple[list[str], Sheet]:
        newswires = read_reuters(path, progress=progress)
        return pick_newswires(newswires, choose_topics(newswires, wanted))

    key = {"archive": file_digest(path), "topics": wanted if isinstance(wanted, (int, tuple)) else repr(wanted)}
    return _cut_once("reuters", key, read, size, progress)


def _cut_once(
    name: str, key: Mapping[str, object], read: Callable[[], tuple[list[str], Sheet]], size: int, progress: bool
) -> Corpus:
    """The corpus from the cache of cut texts, else from `read`, which is then kept."""
    cutting = _tokenizer.word_tokenizer()
    path = cache_path(name, {**key, "tokenizer": cutting, "version": _tokenizer.WORD_TOKENIZER_VERSION})
    kept = kept_words(path)
    if kept is None:
        texts, sheet = read()
        with progress_bar("Cutting texts into words", len(texts), show=progress) as advance:
            words = cut_texts(_told(texts, advance), cutting)
        kept = drop_empty(words, sheet)
        keep_words(path, *kept)
    return assemble(name, *kept, cutting, size)


def _told(texts: list[str], advance: Advance) -> Iterator[str]:
    for text in texts:
        yield text
        advance(1)


def drop_empty(words: Words, sheet: Sheet) -> tuple[Words, Sheet]:
    """Without the texts that have no words, in which there is nothing to read."""
    full = np.diff(words.offsets) > 0
    if full.all():
        return words, sheet
    offsets = np.concatenate([np.zeros(1, np.int64), words.offsets[1:][full]])
    ids = tuple(name for name, keep in zip(sheet.ids, full.tolist(), strict=True) if keep)
    kept = Sheet(sheet.labels[full], sheet.classes, sheet.split[full], sheet.splits, ids)
    return Words(words.surface, offsets, words.lexicon), kept
