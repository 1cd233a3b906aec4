"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hiddenstate_core.traces import Trace
from tests.fakes import make_trace


@pytest.fixture(scope="session")
def small_trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """A two-class trace with two layers and two projections; not to be written to."""
    path = tmp_path_factory.mktemp("small") / "trace.zarr"
    return make_trace(path, hidden=(12, 8), projections=("tsne", "pca"), unlabelled=2)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real IMDB and Reuters archives."""
    folder = os.environ.get("HIDDENSTATE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the IMDB and Reuters archives: set HIDDENSTATE_DATA to their folder")
    return Path(folder)
