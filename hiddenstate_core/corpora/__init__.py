"""Corpora: from archives and folders to ragged token ids."""

from hiddenstate_core.corpora.corpus import UNKNOWN, UNKNOWN_WORD, UNLABELLED, Corpus, Vocabulary

__all__ = ["UNKNOWN", "UNKNOWN_WORD", "UNLABELLED", "Corpus", "Vocabulary"]
