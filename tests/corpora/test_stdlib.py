"""The built-in corpus, on the Python that runs the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hiddenstate_core.corpora import Corpus, load_corpus, tokenize
from hiddenstate_core.corpora import stdlib as module
from hiddenstate_core.corpora.stdlib import STDLIB_PACKAGES, load_stdlib
from hiddenstate_core.errors import CorpusError


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus("stdlib")


def test_hundreds_of_functions_a_class(corpus: Corpus) -> None:
    assert corpus.classes == STDLIB_PACKAGES
    assert len(corpus.classes) >= 5
    for split, least in (("train", 200), ("test", 60)):
        counts = np.bincount(corpus.take_split(split).labels, minlength=len(corpus.classes))
        assert counts.min() >= least
        assert counts.max() <= 3 * counts.min()
    assert len(corpus.vocabulary) == 3_000
    assert corpus.lengths.min() >= 8


def test_no_module_is_in_both_splits_and_no_function_twice(corpus: Corpus) -> None:
    files = [{name.split(":")[0] for name in part.ids} for part in (corpus.train, corpus.test)]
    assert not files[0] & files[1]
    assert len(set(corpus.ids)) == len(corpus)
    assert len({tuple(corpus.text(i)) for i in range(len(corpus))}) == len(corpus)
    for i, name in enumerate(corpus.ids):
        assert name.split("/")[0] == corpus.classes[corpus.labels[i]]


def test_first_sequences_hold_every_class(corpus: Corpus) -> None:
    assert set(corpus.test.labels[:100].tolist()) == set(range(len(corpus.classes)))


def test_functions_start_with_def_and_hold_no_docstring_or_comment(corpus: Corpus) -> None:
    for i in range(len(corpus)):
        words = corpus.text(i)
        assert words[0] in ("def", "async")
        assert not any(w[0] in "#\"'" or w[-1] in "\"'" for w in words)
        assert tokenize(corpus.tokenizer, " ".join(words)) == words


def test_same_corpus_again(corpus: Corpus) -> None:
    assert load_stdlib().fingerprint == corpus.fingerprint


def package(folder: Path, name: str, module_source: str) -> None:
    (folder / name / "test").mkdir(parents=True)
    (folder / name / "test" / "skipped.py").write_text("raise SystemExit")
    for i in range(4):
        (folder / name / f"m{i}.py").write_text(module_source.replace("NAME", f"{name}{i}"), encoding="utf-8")


SOURCE = '''"""Module."""
import no_such_module  # nothing is imported
raise SystemExit("nothing is run")
class Café:
    @property
    def NAME_one(self, é="ü", b=f"{'x'!r:>{3}}"):
        "é docstring"; return self.é + 12.5e3  # comment
    if True:
        async def NAME_two(self):
            """Docstring."""
            def inner(): return await_(None)
            return {"a": -1, 'b': [..., lambda *a: a[1:2]]}
    def short(self): pass
try:
    def NAME_three(a, /, b, *, c) -> int: return a <<= b if c else "é" "x"
except ImportError:
    def NAME_three(a, b): return not (yield a)
'''.replace("a <<= b", "a << b")


def test_words_of_made_up_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STDLIB_PACKAGES:
        package(tmp_path, name, SOURCE)
    made = load_stdlib(vocabulary=10, root=tmp_path)
    texts = {name: " ".join(made.text(i)) for i, name in enumerate(made.ids) if name.startswith("asyncio/m0.py")}
    assert texts == {
        "asyncio/m0.py:6:Café.asyncio0_one": (
            "def asyncio0_one ( self , é = <str> , b = <str> ) : ; return self . é + <num>"
        ),
        "asyncio/m0.py:9:Café.asyncio0_two": (
            "async def asyncio0_two ( self ) : def inner ( ) : return await_ ( None ) "
            "return { <str> : - <num> , <str> : [ ... , lambda * a : a [ <num> : <num> ] ] }"
        ),
        "asyncio/m0.py:15:asyncio0_three": (
            "def asyncio0_three ( a , / , b , * , c ) -> int : return a << b if c else <str> <str>"
        ),
        "asyncio/m0.py:17:asyncio0_three": "def asyncio0_three ( a , b ) : return not ( yield a )",
    }
    assert {name.split(":")[0] for name in made.test.ids} == {f"{p}/m2.py" for p in STDLIB_PACKAGES}


def test_missing_sources_are_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="zipped or compiled only"):
        load_stdlib(root=tmp_path)
    with pytest.raises(CorpusError, match="zipped or compiled only"):
        load_stdlib(root=tmp_path / "python.zip")


def test_damaged_source_is_a_clear_error(tmp_path: Path) -> None:
    for name in STDLIB_PACKAGES:
        package(tmp_path, name, SOURCE)
    (tmp_path / STDLIB_PACKAGES[0] / "m1.py").write_text("def broken(")
    with pytest.raises(CorpusError, match=r"m1\.py cannot be read as Python source"):
        load_stdlib(root=tmp_path)


def test_nothing_is_imported() -> None:
    program = (
        "import sys; from hiddenstate_core.corpora.stdlib import load_stdlib; load_stdlib(); "
        "names = ('multiprocessing.pool', 'xml.dom.minidom', 'unittest.mock', 'asyncio'); "
        "print([n for n in names if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert found.stderr == ""


def test_share_of_the_test_split_is_never_exceeded() -> None:
    sizes = {"a": 50, "b": 40, "c": 30, "d": 20, "e": 10, "f": 10}
    assert module._test_modules(sizes) == {"c", "e"}
