"""Cutting texts into words: Hugging Face word-level tokenizers whose JSON alone reproduces the cut."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hiddenstate_core.corpora.corpus import UNKNOWN_WORD, Vocabulary
from hiddenstate_core.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["WORD_TOKENIZER_VERSION", "code_tokenizer", "tokenize", "with_vocabulary", "word_tokenizer"]

#: Raised whenever a change here would cut some text differently; part of the key of cached corpora.
WORD_TOKENIZER_VERSION = 1

#: HTML line breaks, which IMDB reviews are full of.
_BREAK = r"<br\s*/?>"
#: The punctuation that Keras' text filter removes, white space and control characters. The apostrophe stays.
_FILTER = r"[\s\p{Cc}!-&(-/:-@\[-`{-~]+"

# String literals; an unterminated one ends with its line (in three quotes, with the text), so that no match ever fails
# after a long way and the time stays linear.
_CODE_STRING = (
    r"(?<!\w)(?i:[rbuft]|br|rb|fr|rf|tr|rt)?"
    r'(?:"""(?>(?:[^"\\]|\\[\s\S]|"(?!""))*)(?:""")?'
    r"|\'\'\'(?>(?:[^'\\]|\\[\s\S]|'(?!''))*)(?:\'\'\')?"
    r'|"(?>(?:[^"\\\n]|\\[\s\S])*)"?'
    r"|'(?>(?:[^'\\\n]|\\[\s\S])*)'?)"
)
_CODE_COMMENT = r"#[^\n]*"
_CODE_NUMBER = r"(?<![\w<])(?:0[xXoObB][\da-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?[jJ]?)"
#: What one word of code is: a placeholder, a name, an operator (the longest first), or anything else alone.
_CODE_WORD = (
    r"(<str>|<num>|\w+|\*\*=|//=|>>=|<<=|\.\.\.|->|:=|==|!=|<=|>=|\*\*|//|<<|>>|\+=|-=|\*=|/=|%=|@=|&=|\|=|\^=|[^\w\s])"
)


def word_tokenizer(vocabulary: Vocabulary | None = None) -> str:
    """JSON of the tokenizer for prose, the paper's (Keras') filter.

    HTML line breaks are removed, letters lower-cased, the punctuation ``!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~`` and control
    characters replaced by spaces (apostrophes stay inside words), and the rest cut at white space.

    Parameters
    ----------
    vocabulary : Vocabulary, optional
        Words that get an id; none by default.

    Returns
    -------
    str
        JSON that ``tokenizers.Tokenizer.from_str`` reads.
    """
    from tokenizers import Regex, normalizers

    filters = normalizers.Sequence(
        [
            normalizers.Replace(Regex(_BREAK), " "),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(_FILTER), " "),
        ]
    )
    return _word_level(filters, vocabulary)


def code_tokenizer(vocabulary: Vocabulary | None = None) -> str:
    """JSON of the tokenizer for Python code: names, keywords and operators are words.

    String literals become ``<str>``, numbers ``<num>``, comments vanish; letters keep their case. The cut of a text
    that was cut before and joined by spaces is the same. Patterns stand in for Python's own tokenizer here: an
    apostrophe in a comment begins a string.
    """
    from tokenizers import Regex, normalizers

    filters = normalizers.Sequence(
        [
            normalizers.Replace(Regex(_CODE_STRING), " <str> "),
            normalizers.Replace(Regex(_CODE_COMMENT), " "),
            normalizers.Replace(Regex(_CODE_NUMBER), " <num> "),
            normalizers.Replace(Regex(r"[\s\p{Cc}]+"), " "),
        ]
    )
    return _word_level(filters, vocabulary, split=_CODE_WORD)


def with_vocabulary(tokenizer: str, vocabulary: Vocabulary) -> str:
    """The same tokenizer with the words of `vocabulary`, by the same ids; raises `InputError` on damaged JSON."""
    from tokenizers import Tokenizer, models

    changed: Tokenizer = Tokenizer.from_str(_load(tokenizer).to_str())
    changed.model = models.WordLevel({w: i for i, w in enumerate(vocabulary.words)}, unk_token=UNKNOWN_WORD)
    return str(changed.to_str())


def tokenize(tokenizer: str, text: str) -> list[str]:
    """Cut a text into words as written; unknown words keep their place.

    ``Vocabulary.encode`` of the result has exactly one id a word.

    Parameters
    ----------
    tokenizer : str
        JSON of a Hugging Face tokenizer, such as ``Corpus.tokenizer``; its normaliser and pre-tokeniser are applied.
        Empty for a plain cut at white space.
    text : str
        Any text; unpaired surrogates count as punctuation.

    Raises
    ------
    InputError
        `text` is not a string, or `tokenizer` is not a tokenizer's JSON.
    """
    if not isinstance(text, str):
        raise InputError(f"A text must be a str, not {type(text).__name__}.")
    return cutter(tokenizer)(text)


def cutter(tokenizer: str) -> Callable[[str], list[str]]:
    """The function that cuts one text with `tokenizer` (for many texts); O(length of the text)."""
    if not tokenizer:
        return str.split
    from tokenizers import pre_tokenizers

    loaded = _load(tokenizer)
    normalizer, pre_tokenizer = loaded.normalizer, loaded.pre_tokenizer
    at_spaces = isinstance(pre_tokenizer, pre_tokenizers.WhitespaceSplit)

    def cut(text: str) -> list[str]:
        clean = _encodable(text)
        if normalizer is not None:
            clean = normalizer.normalize_str(clean)
        if at_spaces and not _PYTHON_ONLY_SPACES.intersection(clean):
            # str.split cuts where WhitespaceSplit does and skips its bookkeeping of positions.
            return clean.split()
        if pre_tokenizer is None:
            return [clean] if clean else []
        return [word for word, _ in pre_tokenizer.pre_tokenize_str(clean)]

    return cut


#: White space to Python's str.split, but not to Unicode, hence not to the tokenizers library.
_PYTHON_ONLY_SPACES = frozenset("\x1c\x1d\x1e\x1f")


def _encodable(text: str) -> str:
    """`text`, or a copy whose unpaired surrogates are question marks: the library accepts valid Unicode only."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


@functools.lru_cache(maxsize=8)
def _load(tokenizer: str) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(tokenizer)
    except Exception as error:  # the library raises a bare Exception for damaged JSON
        raise InputError(f"This is not the JSON of a Hugging Face tokenizer ({error}); save it again.") from error


def _word_level(normalizer: Any, vocabulary: Vocabulary | None, split: str | None = None) -> str:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    words: Sequence[str] = vocabulary.words if vocabulary is not None else (UNKNOWN_WORD,)
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token=UNKNOWN_WORD))
    made.normalizer = normalizer
    steps: list[Any] = [pre_tokenizers.WhitespaceSplit()]
    if split is not None:
        steps.append(pre_tokenizers.Split(Regex(split), "isolated"))
    made.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(steps)
    return str(made.to_str())
