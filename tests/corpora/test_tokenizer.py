"""The tokenizers: what they cut, and that words and ids never slip out of step."""

from __future__ import annotations

import io
import string
import tokenize as python_tokenize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from hiddenstate_core.corpora import Vocabulary, code_tokenizer, corpus_from_texts, tokenize, word_tokenizer
from hiddenstate_core.errors import InputError

TEXTS = st.one_of(
    st.text(),
    st.text(alphabet=string.printable + "\x00\x1c\x85\xa0\u2028\ufeffÉİß😀'’<>br/"),
    st.lists(st.sampled_from(["<br />", "it's", "Film", "<unk>", "10/10", "\ud800", " ", "\t", "...", "naïve"])).map(
        " ".join
    ),
)


def keras_words(text: str) -> list[str]:
    """The paper's filter in plain Python, for ASCII texts: lower case, punctuation to spaces, cut at spaces."""
    text = text.replace("<br />", " ").lower()
    filters = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
    return text.translate({ord(c): " " for c in filters}).split()


def test_reviews_are_cut_as_in_the_paper() -> None:
    text = "It's GREAT!<br /><br />Don't miss_it: 10/10 (café)\x00now\ttoo"
    assert " ".join(tokenize(word_tokenizer(), text)) == "it's great don't miss it 10 10 café now too"


@given(
    st.text(alphabet=string.ascii_letters + string.digits + string.punctuation + " \t\n").map(lambda t: t + "<br />")
)
@settings(max_examples=60)
def test_filter_agrees_with_its_plain_description(text: str) -> None:
    assert tokenize(word_tokenizer(), text) == keras_words(text)


@given(TEXTS)
@settings(max_examples=100)
def test_words_are_those_of_the_whole_hugging_face_pipeline(text: str) -> None:
    words = tokenize(word_tokenizer(), text)
    known = Vocabulary(("<unk>", *sorted(set(words))))
    ids = Tokenizer.from_str(word_tokenizer(known)).encode(text.encode("utf-8", "replace").decode()).ids
    assert [known.words[i] for i in ids] == words
    assert all(word and not word.isspace() for word in words)


@given(TEXTS, st.lists(st.text(min_size=1), unique=True).map(lambda w: [x for x in w if x != "<unk>"]))
@settings(max_examples=60)
def test_unknown_words_keep_their_place(text: str, known: list[str]) -> None:
    words = tokenize(word_tokenizer(), text)
    vocabulary = Vocabulary(("<unk>", *known))
    ids = vocabulary.encode(words)
    assert len(ids) == len(words)
    for word, number in zip(words, ids.tolist(), strict=True):
        assert vocabulary.words[number] == (word if word in known else "<unk>")


@given(st.lists(TEXTS.filter(lambda t: bool(tokenize(word_tokenizer(), t))), min_size=1, max_size=6), st.integers(2, 9))
@settings(max_examples=60)
def test_corpus_tokenizer_gives_the_corpus(texts: list[str], size: int) -> None:
    corpus = corpus_from_texts(texts, None, vocabulary=size)
    whole = Tokenizer.from_str(corpus.tokenizer)
    assert whole.token_to_id("<unk>") == 0
    assert whole.get_vocab() == {word: i for i, word in enumerate(corpus.vocabulary.words)}
    for i, text in enumerate(texts):
        words = tokenize(corpus.tokenizer, text)
        assert corpus.text(i) == words
        assert len(corpus.sequence(i)) == len(words)
        assert corpus.sequence(i).tolist() == whole.encode(text.encode("utf-8", "replace").decode()).ids


@pytest.mark.parametrize("make", [word_tokenizer, code_tokenizer])
def test_json_round_trip_is_the_same_tokenizer(make: object) -> None:
    assert callable(make)
    json = make(Vocabulary(("<unk>", "a", "b")))
    again = Tokenizer.from_str(json).to_str()
    assert again == json
    assert tokenize(again, "b 'x' c") == tokenize(json, "b 'x' c")


@pytest.mark.parametrize("make", [word_tokenizer, code_tokenizer])
@pytest.mark.parametrize("text", ["", " \n\t\x00 ", "\ud800"])
def test_texts_of_nothing_have_no_words(make: object, text: str) -> None:
    assert callable(make)
    assert [w for w in tokenize(make(), text) if w != "?"] == []


@pytest.mark.parametrize(
    "text",
    [
        "word " * 200_000,
        '"\\' * 300_000,
        "'''" + "a\n" * 300_000,
        "<br " * 200_000,
        "\x00" * 1_000_000,
        "1_." * 300_000,
    ],
    ids=["words", "quotes", "triple", "breaks", "controls", "numbers"],
)
def test_a_megabyte_of_anything_is_cut(text: str) -> None:
    for json in (word_tokenizer(), code_tokenizer()):
        words = tokenize(json, text)
        assert len(Vocabulary(("<unk>", "word")).encode(words)) == len(words)


CODE = '''def read(self, size=-1.5e3, *, flags=0xFF, name=f"a'b{1}", raw=rb"x"):
    if not self._lines and size != .5:
        self.x1 **= 2
        return self.lines[1:-2], """two
lines""", ..., lambda y: y // 3j
'''


def test_code_is_cut_as_python_cuts_it() -> None:
    expected = (
        "def read ( self , size = - <num> , * , flags = <num> , name = <str> , raw = <str> ) : "
        "if not self . _lines and size != <num> : self . x1 **= <num> "
        "return self . lines [ <num> : - <num> ] , <str> , ... , lambda y : y // <num>"
    )
    assert " ".join(tokenize(code_tokenizer(), CODE)) == expected


@given(st.lists(st.sampled_from(["x", "_y2", "(", ")", "**", "->", ":=", "<str>", "<num>", "if", "λ", "==", ",", "."])))
@settings(max_examples=60)
def test_code_cut_before_stays_cut(words: list[str]) -> None:
    assert tokenize(code_tokenizer(), " ".join(words)) == words


def test_every_operator_of_python_is_one_word() -> None:
    operators = [op for op in python_tokenize.EXACT_TOKEN_TYPES if op not in "!()[]{}"]
    assert len(operators) > 35
    for op in operators:
        found = [t.string for t in python_tokenize.generate_tokens(io.StringIO(f"a {op} b").readline)]
        assert op in found
        assert tokenize(code_tokenizer(), f"a{op}b") == ["a", op, "b"]


def test_without_a_tokenizer_texts_are_cut_at_white_space() -> None:
    assert tokenize("", "A b,  c\n") == ["A", "b,", "c"]


def test_bad_input_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="must be a str, not bytes"):
        tokenize(word_tokenizer(), b"x")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not the JSON of a Hugging Face tokenizer"):
        tokenize("{}", "x")
