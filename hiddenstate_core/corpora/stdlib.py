"""The built-in corpus: functions of Python's standard library as words, labelled by their package."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import io
import sysconfig
import tokenize
import warnings
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.corpora.texts import Sheet, assemble, cut_texts
from hiddenstate_core.corpora.tokenizer import code_tokenizer
from hiddenstate_core.errors import CorpusError

__all__ = ["STDLIB_PACKAGES", "load_stdlib"]

#: Packages with hundreds of functions in several modules in every CPython since 3.11, Debian's included.
STDLIB_PACKAGES = ("asyncio", "email", "importlib", "multiprocessing", "unittest", "xml")
STDLIB_SPLITS = ("train", "test")
#: Shorter functions say nothing of their package (``def f(self): pass`` has seven words).
_SHORTEST = 8
#: Share of a package's functions that its test modules hold.
_TEST_SHARE = 0.25

_SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
#: From 3.12 on, f-strings come in pieces (and t-strings from 3.14 on).
_OPENING = {getattr(tokenize, n) for n in ("FSTRING_START", "TSTRING_START") if hasattr(tokenize, n)}
_CLOSING = {getattr(tokenize, n) for n in ("FSTRING_END", "TSTRING_END") if hasattr(tokenize, n)}

_Position = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class _Function:
    """One function: the file it stands in (relative to the library), line, qualified name and words."""

    file: str
    line: int
    name: str
    words: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.file}:{self.line}:{self.name}"


def load_stdlib(vocabulary: int = 3_000, root: Path | None = None) -> Corpus:
    """Functions of the running Python's standard library, labelled by package.

    The source files are read as text; nothing of them is imported or run. Methods and module-level functions of at
    least 8 words are kept, each distinct sequence of words once. Names, keywords and operators are words; comments,
    docstrings and line structure are cut, string literals become ``<str>``, numbers ``<num>``. No module is in both
    splits; within a split the functions are ordered by the SHA-256 of their id, which mixes the packages.

    Parameters
    ----------
    vocabulary : int
        Number of known words, the unknown word included.
    root : Path, optional
        Folder of the library; the running Python's by default.

    Raises
    ------
    CorpusError
        The library is there without its source files (zipped, or compiled only).
    """
    folder = Path(sysconfig.get_path("stdlib")) if root is None else root
    functions: list[tuple[_Function, int, int]] = []
    seen: set[tuple[str, ...]] = set()  # train comes first, so nothing tested on was trained on
    packages = [_read_package(folder, package) for package in STDLIB_PACKAGES]
    for split in range(len(STDLIB_SPLITS)):
        for label, modules in enumerate(packages):
            tested = _test_modules({file: len(found) for file, found in modules.items()})
            for file, found in modules.items():
                for function in found:
                    if (file in tested) == (split == 1) and function.words not in seen:
                        seen.add(function.words)
                        functions.append((function, label, split))
    functions.sort(key=lambda entry: (entry[2], hashlib.sha256(entry[0].id.encode()).digest()))
    sheet = Sheet(
        labels=np.array([label for _, label, _ in functions], np.int32),
        classes=STDLIB_PACKAGES,
        split=np.array([split for _, _, split in functions], np.int8),
        splits=STDLIB_SPLITS,
        ids=tuple(function.id for function, _, _ in functions),
    )
    cutting = code_tokenizer()
    return assemble(
        "stdlib", cut_texts((" ".join(f.words) for f, _, _ in functions), cutting), sheet, cutting, vocabulary
    )


def _read_package(folder: Path, package: str) -> dict[str, list[_Function]]:
    """Functions of every module of a package, by file, in alphabetical order."""
    files = [
        path
        for path in sorted((folder / package).rglob("*.py"), key=lambda p: p.relative_to(folder).as_posix())
        if not {"test", "tests", "__pycache__"}.intersection(path.relative_to(folder).parts)
    ]
    modules = {path.relative_to(folder).as_posix(): list(_functions(path, folder)) for path in files}
    modules = {file: found for file, found in modules.items() if found}
    if len(modules) < 4:
        raise CorpusError(
            f"The source files of Python's package {package!r} are not in {folder} (its standard library may be zipped "
            "or compiled only); use a Python that was installed with its sources."
        )
    return modules


def _test_modules(sizes: dict[str, int]) -> set[str]:
    """Modules to test on: from the third largest down, each that still fits into the share."""
    most = _TEST_SHARE * sum(sizes.values())
    chosen: set[str] = set()
    taken = 0
    for file in sorted(sizes, key=lambda f: (-sizes[f], f))[2:]:
        if taken + sizes[file] <= most:
            chosen.add(file)
            taken += sizes[file]
    return chosen


def _functions(path: Path, folder: Path) -> Iterator[_Function]:
    file = path.relative_to(folder).as_posix()
    try:
        with tokenize.open(path) as opened:
            source = opened.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as invalid escapes in somebody else's source
            tree = ast.parse(source)
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (OSError, SyntaxError, ValueError, tokenize.TokenError) as error:
        raise CorpusError(f"{path} cannot be read as Python source ({error}); reinstall Python.") from error
    lines = source.splitlines(keepends=True)
    starts = [token.start for token in tokens]
    for node, name in _outermost(tree.body, ""):
        begin, end = bisect_left(starts, (node.lineno, 0)), bisect_left(starts, _characters(lines, node, end=True))
        words = tuple(_words(tokens[begin:end], _docstring(lines, node)))
        if len(words) >= _SHORTEST:
            yield _Function(file, node.lineno, name, words)


_Def = ast.FunctionDef | ast.AsyncFunctionDef


def _outermost(body: list[ast.stmt], prefix: str) -> Iterator[tuple[_Def, str]]:
    """Functions of a module and of its classes with their qualified names, not the functions within functions."""
    for node in body:
        if isinstance(node, _Def):
            yield node, prefix + node.name
        elif isinstance(node, ast.ClassDef):
            yield from _outermost(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            for field in ("body", "orelse", "finalbody"):
                yield from _outermost(getattr(node, field, []), prefix)
            for handler in getattr(node, "handlers", []):
                yield from _outermost(handler.body, prefix)


def _docstring(lines: list[str], node: _Def) -> tuple[_Position, _Position] | None:
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return _characters(lines, first, end=False), _characters(lines, first, end=True)
    return None


def _characters(lines: list[str], node: ast.stmt, *, end: bool) -> _Position:
    """Where a node begins or ends, in characters as tokenize counts; ast counts bytes."""
    line = node.end_lineno or node.lineno if end else node.lineno
    column = (node.end_col_offset or 0) if end else node.col_offset
    return line, len(lines[line - 1].encode()[:column].decode(errors="ignore"))


def _words(tokens: list[tokenize.TokenInfo], docstring: tuple[_Position, _Position] | None) -> Iterator[str]:
    depth = 0
    for token in tokens:
        if docstring is not None and docstring[0] <= token.start < docstring[1]:
            continue
        if token.type in _OPENING:
            depth += 1
            if depth == 1:
                yield "<str>"
        elif token.type in _CLOSING:
            depth -= 1
        elif depth or token.type in _SKIPPED:
            continue
        elif token.type == tokenize.STRING:
            yield "<str>"
        elif token.type == tokenize.NUMBER:
            yield "<num>"
        else:
            yield token.string
