"""Reuters-21578: SGML, ModApte split, topics."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate_core.corpora import load_corpus
from hiddenstate_core.corpora.reuters import REUTERS, Newswire, choose_topics, parse_sgml
from hiddenstate_core.errors import ArchiveError, InputError
from tests.corpora import tiny

TWO = ("earn", "acq")


def test_one_topic_newswires_of_modapte_in_file_order(data: Path) -> None:
    corpus = load_corpus("reuters", topics=TWO)
    assert (corpus.classes, corpus.splits) == (TWO, ("train", "test"))
    # 3 carries both topics, 8 has no judged topics, 9 is outside the split. 10 has an empty title and body.
    assert corpus.ids == ("train/1", "train/2", "train/4", "train/5", "train/10", "test/6", "test/7")
    assert corpus.labels.tolist() == [0, 1, 0, 0, 1, 0, 1]
    assert " ".join(corpus.text(0)) == "acme acm o net profit was 5 mln dlrs rising reuter"
    assert corpus.text(corpus.ids.index("train/4")) == ["only", "a", "title"]
    assert corpus.text(corpus.ids.index("train/5")) == ["raw", "profit", "soars"]
    assert corpus.text(corpus.ids.index("test/6")) == ["quarter", "société", "reports", "a", "profit", "reuter"]


def test_number_of_topics_takes_the_most_frequent(data: Path) -> None:
    # In the train split: earn 4, acq 3, gold 1.
    assert load_corpus("reuters", topics=2).classes == ("earn", "acq")
    three = load_corpus("reuters", topics=3)
    assert three.classes == ("earn", "acq", "gold")
    assert "train/2" not in three.ids
    assert load_corpus("reuters", topics=["gold", "earn"]).ids == (
        "train/1",
        "train/2",
        "train/3",
        "train/4",
        "train/5",
        "test/6",
    )


def test_vocabulary_does_not_depend_on_the_cache(data: Path) -> None:
    first = load_corpus("reuters", topics=2, vocabulary=5)
    second = load_corpus("reuters", topics=2, vocabulary=5)
    assert first.vocabulary == second.vocabulary
    assert first.fingerprint == second.fingerprint
    assert len(first.vocabulary) == 5


@pytest.mark.parametrize(
    ("topics", "message"),
    [
        (1, "2 to 3"),
        (4, "2 to 3"),
        (True, "number of topics or a tuple"),
        ("earn", "number of topics or a tuple"),
        (("earn", "wheat"), "no topic 'wheat' to train on; it has earn, acq, gold"),
        (("earn", "earn"), "at least two distinct"),
        (("earn",), "at least two distinct"),
        (("earn", 3), "number of topics or a tuple"),
        (2.0, "number of topics or a tuple"),
    ],
)
def test_bad_topics_are_refused(data: Path, topics: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_corpus("reuters", topics=topics)  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "rest"), [(10, ""), (11, " and 1 more"), (25, " and 15 more")])
def test_at_most_ten_topics_are_named(count: int, rest: str) -> None:
    newswires = [Newswire(i, "train", (f"t{i:02}",), "") for i in range(count)]
    with pytest.raises(InputError) as caught:
        choose_topics(newswires, ("zz",))
    ten = ", ".join(f"t{i:02}" for i in range(10))
    assert str(caught.value) == f"Reuters has no topic 'zz' to train on; it has {ten}{rest}."


def test_missing_file_is_noticed(data: Path) -> None:
    members = tiny.newswires()
    del members["reut2-001.sgm"]
    tiny.write_tar(data / REUTERS.filename, members)
    with pytest.raises(ArchiveError, match="holds 5 distinct newswires instead of 10"):
        load_corpus("reuters", topics=2)


def test_a_newswire_without_number_is_no_official_sgml() -> None:
    with pytest.raises(ArchiveError, match="NEWID"):
        list(parse_sgml('<REUTERS TOPICS="YES"><TEXT></TEXT></REUTERS>'))


@given(st.text())
@settings(max_examples=100)
def test_any_text_in_a_body_is_read(text: str) -> None:
    from html import escape, unescape

    source = tiny.newswire(7, "TRAIN", ["a-b", "c"], tiny.body("T", escape(text, quote=False)))
    (found,) = parse_sgml(source)
    assert (found.number, found.split, found.topics) == (7, "train", ("a-b", "c"))
    assert found.text == "T\n" + unescape(escape(text, quote=False)) + "\n Reuter\n" + unescape("&#3;")


@given(st.text(alphabet='<>/&;#REUTSBODYTITLE \n\x05"=NEWID1'))
@settings(max_examples=200)
def test_garbage_ends_in_newswires_or_a_clear_error(text: str) -> None:
    source = '<REUTERS NEWID="1">' + text + "</REUTERS>"
    try:
        found = list(parse_sgml(source))
    except ArchiveError:
        return
    assert all(isinstance(newswire.text, str) for newswire in found)
