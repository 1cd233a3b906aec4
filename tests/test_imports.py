"""The import contract: a room imports only the rooms before it, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "hiddenstate_core"
VIEWER = ROOT / "viewer" / "hiddenstate_viewer"

#: The rooms, each with those it may import (and itself). The order is that in which data flows.
FOUNDATION = {"errors", "options", "atomic", "progress"}
ROOMS: dict[str, set[str]] = {
    "kernels": set(),
    "corpora": {"kernels"},
    "models": {"kernels", "corpora"},
    "traces": {"kernels", "corpora", "models"},
    "neighbors": {"kernels", "traces"},
    "distances": {"kernels", "traces"},
    "projection": {"kernels", "traces", "neighbors", "distances"},
    "analysis": {"kernels", "corpora", "models", "traces", "neighbors", "distances", "projection"},
}
ROOMS["cluster"] = {*ROOMS}
ROOMS["viewing"] = {*ROOMS, "corpora", "models"}
ROOMS["pipeline"] = {*ROOMS}
ROOMS["cli"] = {*ROOMS}

#: Library -> rooms that may import it.
BELONGS = {
    "jax": {"models", "traces", "projection"},
    "flax": {"models", "traces"},
    "optax": {"models"},
    "safetensors": {"models", "corpora"},
    "tokenizers": {"corpora"},
    "pooch": {"corpora"},
    "zarr": {"traces"},
    "numba": {"kernels"},
    "pynndescent": {"neighbors"},
    "typer": {"cli"},
    # Besides, traces/interop.py makes a Dask array, and loads Dask by name, where one is asked for.
    "dask": {"cluster"},
    "distributed": {"cluster"},
}
#: Files of the projection that may import jax: what runs on an accelerator, itself imported only when one is asked for.
ACCELERATED = {"accelerator.py", "device_gradients.py"}
#: Never in the core.
VIEWER_ONLY = {"panel", "holoviews", "datashader", "bokeh", "colorcet", "matplotlib", "pandas"}


def imports(path: Path) -> Iterator[str]:
    """Full name of every module a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module or ""


def room_of(path: Path) -> str:
    """Room of a file of the core."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


CORE_FILES = sorted(p for p in CORE.rglob("*.py") if p != CORE / "__init__.py")


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda p: str(p.relative_to(CORE)))
def test_a_room_imports_only_the_rooms_before_it(path: Path) -> None:
    room = room_of(path)
    assert room in ROOMS or room in FOUNDATION, f"{path} is in no room"
    allowed = FOUNDATION | ROOMS.get(room, set()) | ({room} if room in ROOMS else set())
    if room == "kernels":
        allowed = {"kernels"}
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "hiddenstate_core" and rest:
            assert rest[0] in allowed, f"{room} must not import {name}"
        assert top != "hiddenstate_viewer", "the core reaches the viewer by name only, in viewing"
        assert room in BELONGS.get(top, {room}), f"{top} belongs to {BELONGS[top]}, not to {room}"
        assert top != "jax" or room != "projection" or path.name in ACCELERATED, f"{path} must not import jax"
        assert top not in VIEWER_ONLY, f"{top} belongs to the viewer"
        assert top not in {"pickle", "cPickle", "dill", "cloudpickle", "joblib"}, "no pickle is ever loaded"


def test_every_file_says_what_it_is_for() -> None:
    for folder in (CORE, VIEWER, ROOT / "tests", ROOT / "benchmarks"):
        for path in folder.rglob("*.py"):
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"


def test_the_viewer_computes_with_the_core_only() -> None:
    for path in VIEWER.rglob("*.py"):
        for name in imports(path):
            assert name.split(".")[0] not in {"jax", "flax", "optax", "zarr", "numba", "sklearn", "scipy"}, path


@pytest.mark.parametrize("package", ["hiddenstate_core", "hiddenstate_viewer", "hiddenstate_core.cli.app"])
def test_importing_loads_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    heavy = {
        "jax",
        "flax",
        "optax",
        "numba",
        "zarr",
        "panel",
        "holoviews",
        "datashader",
        "bokeh",
        "pandas",
        "tokenizers",
        "dask",
        "distributed",
    }
    assert not loaded & heavy


def test_every_public_name_can_be_had() -> None:
    import hiddenstate_core as hs

    for name in hs.__all__:
        assert getattr(hs, name) is not None
    assert set(hs.__all__) <= set(dir(hs))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hs.nothing
