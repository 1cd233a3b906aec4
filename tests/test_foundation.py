"""Options, atomic writes and progress bars."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate_core.atomic import atomic_directory, atomic_path, write_text
from hiddenstate_core.errors import InputError
from hiddenstate_core.options import Options
from hiddenstate_core.progress import progress_bar


@dataclasses.dataclass(frozen=True)
class Sample(Options):
    """Options of every kind of field."""

    name: str = "a"
    count: int = 1
    rate: float = 0.5
    flag: bool = False
    sizes: tuple[int, ...] = (1, 2)
    limit: int | None = None
    kind: Literal["x", "y"] = "x"


@given(
    st.builds(
        Sample,
        name=st.text(),
        count=st.integers(),
        rate=st.floats(allow_nan=False, allow_infinity=False),
        flag=st.booleans(),
        sizes=st.lists(st.integers()).map(tuple),
        limit=st.none() | st.integers(),
        kind=st.sampled_from(["x", "y"]),
    )
)
def test_options_round_trip_as_json(options: Sample) -> None:
    again = Sample.from_json(options.to_json())
    assert again == options
    assert again.to_json() == options.to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expects JSON text"),
        ("[]", "expects a JSON object, not list"),
        ('{"colour": 1}', "has no option 'colour'; it has count"),
        ('{"count": "1"}', "Sample.count must be int, not '1'"),
        ('{"count": true}', "Sample.count must be int, not True"),
        ('{"rate": "fast"}', "Sample.rate must be float"),
        ('{"sizes": 3}', "Sample.sizes must be a list"),
        ('{"sizes": [1.5]}', "Sample.sizes must be int"),
        ('{"limit": "none"}', "Sample.limit must be"),
        ('{"kind": "z"}', "Sample.kind must be one of 'x', 'y'"),
    ],
)
def test_options_refuse_what_does_not_fit(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sample.from_json(text)


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    write_text(target, "one\u2028two")
    assert target.read_text(encoding="utf-8") == "one\u2028two"
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text(encoding="utf-8") == "one\u2028two"
    assert os.listdir(target.parent) == ["file.txt"]  # noqa: PTH208


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for content in ("first", "second"):
        with atomic_directory(target) as temporary:
            (temporary / "file").write_text(content)
    with pytest.raises(RuntimeError), atomic_directory(target) as temporary:
        (temporary / "file").write_text("half")
        raise RuntimeError
    assert (target / "file").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    code = (
        "import os, sys; from hiddenstate_core.atomic import *\n"
        "with atomic_path(sys.argv[1] + '/file') as a, atomic_directory(sys.argv[1] + '/folder') as b:\n"
        "    (b / 'half').touch(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    write_text(tmp_path / "file", "whole")
    with atomic_directory(tmp_path / "folder") as temporary:
        (temporary / "whole").touch()
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["file", "folder", "folder/whole"]


def test_progress_is_silent_where_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    for show in (True, False):
        with progress_bar("Working", 3, show=show) as advance:
            advance(1, note="halfway")
            advance()
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
