"""Corpora: from archives, folders and arrays to ragged token ids or feature vectors."""

from hiddenstate_core.corpora.corpus import UNKNOWN, UNKNOWN_WORD, UNLABELLED, Corpus, Vocabulary
from hiddenstate_core.corpora.features import corpus_from_features
from hiddenstate_core.corpora.files import read_corpus
from hiddenstate_core.corpora.load import CORPORA, load_corpus
from hiddenstate_core.corpora.texts import corpus_from_texts
from hiddenstate_core.corpora.tokenizer import code_tokenizer, tokenize, word_tokenizer

__all__ = [
    "CORPORA",
    "UNKNOWN",
    "UNKNOWN_WORD",
    "UNLABELLED",
    "Corpus",
    "Vocabulary",
    "code_tokenizer",
    "corpus_from_features",
    "corpus_from_texts",
    "load_corpus",
    "read_corpus",
    "tokenize",
    "word_tokenizer",
]
