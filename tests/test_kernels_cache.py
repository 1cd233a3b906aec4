"""A process that compiles the kernels and one that reads them from the cache compute the same bytes."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).parents[1] / "hiddenstate_core" / "kernels"

_MAP = """
import hashlib, numpy as np
from hiddenstate_core.projection import TSNE
states = np.random.default_rng(0).normal(size=(1500, 8)).astype(np.float32).cumsum(axis=0)
tsne = TSNE(perplexity=20, max_iter=60, method="barnes_hut", n_jobs=1).fit(states)
print(hashlib.sha256(tsne.embedding_.tobytes()).hexdigest(), tsne.kl_divergence_)
"""


@pytest.mark.slow
def test_compiled_now_or_before_gives_the_same_bytes(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(KERNELS.parents[1])}
    runs = [
        subprocess.run([sys.executable, "-c", _MAP], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.py")), ids=lambda p: p.name)
def test_a_kernel_called_by_kernels_is_compiled_into_them(path: Path) -> None:
    functions = {f.name: f for f in ast.parse(path.read_text()).body if isinstance(f, ast.FunctionDef)}
    for caller in functions.values():
        for node in ast.walk(caller):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
                decorators = [ast.unparse(d) for d in functions[node.func.id].decorator_list]
                inlined = any("inline=True" in d or d == "intrinsic" for d in decorators)
                assert inlined, f"{node.func.id} is called by {caller.name}"
