"""Fixtures of the corpora's tests: an empty cache, and tiny archives that pass for whole ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from hiddenstate_core.corpora import imdb, reuters
from tests.corpora import tiny


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no folder of the user's."""
    monkeypatch.setenv("HIDDENSTATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HIDDENSTATE_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def data(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with both tiny archives, whose counts pass for whole."""
    folder = tmp_path / "data"
    tiny.write_tar(folder / imdb.IMDB.filename, tiny.reviews())
    tiny.write_tar(folder / reuters.REUTERS.filename, tiny.newswires())
    monkeypatch.setenv("HIDDENSTATE_DATA", str(folder))
    monkeypatch.setattr(imdb, "_COUNTS", {f: 6 if f.endswith("unsup") else 3 for f in tiny.FOLDERS})
    monkeypatch.setattr(reuters, "_COUNT", 10)
    return folder
