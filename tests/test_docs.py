"""Every Python block in README and docs runs; every file they name exists."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^```python([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *, data: bool) -> list[str]:
    """Python blocks of a page: those that need the archives (marked ``data``), or the others."""
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [code for info, code in found if ("data" in info.split()) == data and "no-run" not in info.split()]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of processes that share what JAX has compiled, so that not each compiles the same again."""
    folder = tmp_path_factory.mktemp("compiled")
    return {"JAX_COMPILATION_CACHE_DIR": str(folder), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def execute(code: str, folder: Path, environment: dict[str, str]) -> None:
    """Run code in a process of its own, in an empty folder, with warnings as errors where they are ours."""
    child = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:hiddenstate_core", "-c", code],
        cwd=folder, capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, **environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'viewer'}"},
    )  # fmt: skip
    assert child.returncode == 0, f"{code}\n{child.stderr[-3000:]}"


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make demo` leaves, for pages that go on from it: the same functions, a model trained in seconds."""
    import hiddenstate_core as hs
    from hiddenstate_core.pipeline import ProjectionOptions, project

    out = tmp_path_factory.mktemp("demo") / "hiddenstate-stdlib"
    corpus = hs.load_corpus("stdlib", vocabulary=3000, progress=False)
    spec = hs.ModelSpec(hidden=(16,), embedding=16, max_length=80)
    model = hs.train(corpus, spec, hs.TrainOptions(epochs=3, learning_rate=0.02, seed=0), progress=False)
    model.save(out / "model")
    trace = hs.extract(model, corpus.test.select(range(150)), out / "trace.zarr", progress=False)
    for name in ("tsne", "pca"):
        project(trace, name, ProjectionOptions(method="pca"), progress=False)
    return out


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, data=False)], ids=lambda p: p.name)
def test_blocks_of_a_page_run_in_order(
    page: Path, tmp_path: Path, compiled: dict[str, str], request: pytest.FixtureRequest
) -> None:
    code = "\n\n".join(blocks(page, data=False))
    if "hiddenstate-stdlib/" in code:
        shutil.copytree(request.getfixturevalue("demonstration"), tmp_path / "hiddenstate-stdlib")
    execute(code, tmp_path, compiled)


@pytest.mark.data
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, data=True)], ids=lambda p: p.name)
def test_blocks_that_need_the_archives_run(
    page: Path, tmp_path: Path, compiled: dict[str, str], real_data: Path
) -> None:
    execute("\n\n".join(blocks(page, data=True)), tmp_path, compiled)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_names_the_commands_that_there_are() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for name in re.findall(r"`?make ([a-z]+)", text):
        assert name in targets
