"""IMDB: from the archive's folders to sequences."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from hiddenstate_core.corpora import UNLABELLED, load_corpus
from hiddenstate_core.corpora.imdb import IMDB, read_imdb
from hiddenstate_core.errors import ArchiveError, InputError
from tests.corpora import tiny


def test_folders_become_splits_and_classes(data: Path) -> None:
    corpus = load_corpus("imdb")
    assert (corpus.name, corpus.classes, corpus.splits) == ("imdb", ("negative", "positive"), ("train", "test"))
    assert [len(corpus.train), len(corpus.test)] == [6, 6]
    for i, name in enumerate(corpus.ids):
        split, folder, number = name.split("/")
        assert corpus.splits[corpus.split[i]] == split
        assert corpus.labels[i] == (folder == "pos")
        mood = "fine" if folder == "pos" else "dull"
        digits = number.split("_")[0]
        assert " ".join(corpus.text(i)) == f"a {mood} film number {digits} isn't it café"


def test_classes_alternate_in_an_order_that_depends_on_ids_alone(data: Path) -> None:
    test = load_corpus("imdb").test
    assert test.labels.tolist() == [0, 1, 0, 1, 0, 1]
    for folder in ("neg", "pos"):
        digests = [hashlib.sha256(name.encode()).hexdigest() for name in test.ids if f"/{folder}/" in name]
        assert len(digests) == 3
        assert digests == sorted(digests)


def test_archive_order_does_not_matter(data: Path, tmp_path: Path) -> None:
    members = tiny.reviews()
    turned = tiny.write_tar(tmp_path / "turned.tar.gz", dict(reversed(list(members.items()))))
    splits = ("train", "test")
    first, sheet = read_imdb(data / IMDB.filename, splits, progress=False)
    second, turned_sheet = read_imdb(turned, splits, progress=False)
    assert first == second
    assert sheet.ids == turned_sheet.ids


def test_unlabelled_reviews_on_request(data: Path) -> None:
    corpus = load_corpus("imdb", splits=["unsup", "test"])
    assert corpus.splits == ("test", "unsup")
    unsup = corpus.take_split("unsup")
    assert len(unsup) == 6
    assert (unsup.labels == UNLABELLED).all()
    assert all(name.startswith("train/unsup/") for name in unsup.ids)


def test_vocabulary_is_that_of_the_train_split_whatever_is_asked_for(data: Path) -> None:
    whole = load_corpus("imdb", vocabulary=6)
    test = load_corpus("imdb", vocabulary=6, splits=("test",))
    assert test.vocabulary == whole.vocabulary
    assert test.splits == ("test",)
    assert test.ids == whole.test.ids
    assert np.array_equal(test.tokens, whole.test.tokens)


@pytest.mark.parametrize("splits", [(), ("valid",), ("train", 3), 7, {"train"}])
def test_unknown_splits_are_refused(data: Path, splits: object) -> None:
    with pytest.raises(InputError, match="must be some of train, test, unsup"):
        load_corpus("imdb", splits=splits)  # type: ignore[arg-type]


def test_incomplete_archive_is_refused_by_folder(data: Path, cache: Path) -> None:
    members = tiny.reviews()
    del members["aclImdb/test/pos/1_1.txt"]
    tiny.write_tar(data / IMDB.filename, members)
    with pytest.raises(ArchiveError, match=r"aclImdb/test/pos holds 2 reviews instead of 3"):
        load_corpus("imdb")
    assert not cache.exists()


def test_truncated_archive_leaves_nothing(data: Path, cache: Path) -> None:
    path = data / IMDB.filename
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArchiveError, match="damaged or truncated"):
        load_corpus("imdb")
    assert not cache.exists()


def test_reviews_without_words_are_left_out(data: Path) -> None:
    members = tiny.reviews()
    members["aclImdb/test/pos/1_1.txt"] = b"... <br />"
    members["aclImdb/train/neg/0_0.txt"] = b""
    tiny.write_tar(data / IMDB.filename, members)
    corpus = load_corpus("imdb")
    assert len(corpus) == 10
    assert not {"test/pos/1_1", "train/neg/0_0"}.intersection(corpus.ids)
    assert corpus.lengths.min() > 0
    assert load_corpus("imdb").ids == corpus.ids


def test_bytes_that_are_no_utf8_do_not_stop_the_reading(data: Path) -> None:
    members = tiny.reviews()
    members["aclImdb/test/pos/1_1.txt"] = b"caf\xe9 noir"
    tiny.write_tar(data / IMDB.filename, members)
    test = load_corpus("imdb").test
    assert test.text(test.ids.index("test/pos/1_1")) == ["caf\ufffd", "noir"]
