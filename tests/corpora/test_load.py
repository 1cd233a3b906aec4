"""`load_corpus`: names and options, the cache of cut texts, and the real archives."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from hiddenstate_core.corpora import Corpus, load, load_corpus
from hiddenstate_core.corpora.cache import keep_words, kept_words
from hiddenstate_core.corpora.texts import Sheet, cut_texts
from hiddenstate_core.corpora.tokenizer import tokenize, word_tokenizer
from hiddenstate_core.errors import InputError


def same(a: Corpus, b: Corpus) -> bool:
    return a.fingerprint == b.fingerprint and (a.ids, a.lexicon, a.tokenizer) == (b.ids, b.lexicon, b.tokenizer)


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("mnist", {}, "no corpus 'mnist'; the known ones are stdlib, imdb, reuters"),
    ("stdlib", {"topics": 3}, "'stdlib' has no option 'topics'; only 'reuters' has it"),
    ("imdb", {"topics": 3}, "'imdb' has no option 'topics'"),
    ("reuters", {"splits": ("train",)}, "'reuters' has no option 'splits'; only 'imdb' has it"),
    ("imdb", {"vocabulary": 1}, "at least 2"),
    ("imdb", {"vocabulary": "all"}, "at least 2"),
    ("stdlib", {"vocabulary": True}, "at least 2"),
]


@pytest.mark.parametrize(("name", "options", "message"), BAD)
def test_bad_names_and_options_are_refused(cache: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_corpus(name, **options)


def test_second_load_comes_from_the_cache_and_is_the_same(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_corpus("imdb")
    (file,) = (cache / "corpora").iterdir()
    assert file.name.startswith("imdb-")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the texts were cut again")

    monkeypatch.setattr(load, "cut_texts", refuse)
    assert same(load_corpus("imdb"), first)


@pytest.mark.parametrize("damage", ["empty", "cut", "bit", "foreign", "folder"])
def test_damaged_cache_is_rebuilt(data: Path, cache: Path, damage: str) -> None:
    first = load_corpus("imdb")
    (file,) = (cache / "corpora").iterdir()
    whole = file.read_bytes()
    if damage == "folder":
        file.unlink()
        file.mkdir()
        assert same(load_corpus("imdb"), first)
        return
    changed = {
        "empty": b"",
        "cut": whole[:-7],
        "bit": whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
        "foreign": b"x" * 99,
    }
    file.write_bytes(changed[damage])
    assert same(load_corpus("imdb"), first)
    assert kept_words(file) is not None  # written again, and whole


def test_every_altered_byte_of_a_cache_file_is_noticed(tmp_path: Path) -> None:
    words = cut_texts(["one two", "two three"], word_tokenizer())
    sheet = Sheet(np.array([0, 1], np.int32), ("a", "b"), np.zeros(2, np.int8), ("train",), ("x", "y"))
    path = tmp_path / "kept.safetensors"
    keep_words(path, words, sheet)
    whole = path.read_bytes()
    found = kept_words(path)
    assert found is not None
    assert found[0].lexicon == ("one", "two", "three")
    assert (found[1].classes, found[1].ids) == (("a", "b"), ("x", "y"))
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :])
        again = kept_words(path)
        if again is not None:  # a byte of padding, or the order of names in the header
            assert again[0].lexicon == words.lexicon
            assert np.array_equal(again[0].surface, words.surface)
            assert np.array_equal(again[1].labels, sheet.labels)


def test_other_archive_other_cache(data: Path, cache: Path) -> None:
    from hiddenstate_core.corpora.imdb import IMDB
    from tests.corpora import tiny

    load_corpus("imdb")
    members = tiny.reviews()
    members["aclImdb/test/pos/1_1.txt"] = b"other words"
    tiny.write_tar(data / IMDB.filename, members)
    assert "other" in load_corpus("imdb").lexicon
    assert len(list((cache / "corpora").iterdir())) == 2


def test_unwritable_cache_is_no_error(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HIDDENSTATE_CACHE", str(tmp_path / "file"))
    assert len(load_corpus("imdb")) == 12


def test_importing_the_room_is_cheap() -> None:
    heavy = ("jax", "numba", "zarr", "tokenizers", "pooch", "requests", "safetensors", "panel")
    program = f"import sys, hiddenstate_core.corpora; print([n for n in {heavy!r} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs a system that forks")
def test_forking_after_loading_prints_no_warning(data: Path) -> None:
    program = (
        "import os; from hiddenstate_core.corpora import corpus_from_texts\n"
        "corpus_from_texts(['a b'] * 100, None)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    corpus_from_texts(['a b'] * 100, None)\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TOKENIZERS_PARALLELISM"}
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert found.stderr == ""


@pytest.mark.data
def test_real_reuters_has_the_published_counts(real_data: Path) -> None:
    corpus = load_corpus("reuters", progress=False)
    assert corpus.classes == ("earn", "acq", "money-fx", "crude", "grain")
    assert (len(corpus.train), len(corpus.test)) == (5_787, 2_298)
    assert corpus.lengths.min() > 0
    ten = load_corpus("reuters", topics=10, progress=False)
    assert ten.classes[:5] == ("earn", "acq", "money-fx", "grain", "crude")
    assert ten.ids != corpus.ids


@pytest.mark.data
@pytest.mark.slow
def test_real_imdb_is_whole(real_data: Path) -> None:
    corpus = load_corpus("imdb", progress=False)
    assert np.bincount(corpus.split * 2 + corpus.labels).tolist() == [12_500] * 4
    assert len(corpus.vocabulary) == 12_000
    assert corpus.vocabulary.words[:3] == ("<unk>", "the", "and")
    assert np.bincount(corpus.test.labels[:100]).tolist() == [50, 50]
    assert corpus.lengths.min() > 0
    whole = Tokenizer.from_str(corpus.tokenizer)
    for i in range(0, len(corpus), 997):
        text = " ".join(corpus.text(i))
        assert tokenize(corpus.tokenizer, text) == corpus.text(i)
        assert whole.encode(text).ids == corpus.sequence(i).tolist()
