"""Nothing is lost: the writer is killed at fifty random moments, and what it has marked done is done."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from hiddenstate_core.traces import extract, plan, schema, verify
from hiddenstate_core.traces.checksums import read_checksums
from hiddenstate_core.traces.extract import ExtractOptions
from hiddenstate_core.traces.writer import marked_files, partial_of, progress_of
from tests.fakes import make_corpus, make_model

_KILLS = 50


def record(path: str, begun: Any = None) -> None:
    """Record a corpus in some thirty portions of 64 rows."""
    vars(plan)["shard_rows"] = lambda steps, row_bytes: 64
    schema._CHUNK_ROWS = 32
    # Programs are read from disk, as most of a short recording would be compilation otherwise.
    jax.config.update("jax_compilation_cache_dir", str(Path(path).parent / "programs"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    corpus = make_corpus(64)
    model = make_model(corpus)
    if begun is not None:
        begun.set()
    options = ExtractOptions(memory=1, threads=1, progress=False)
    extract(model, corpus, path, record=("hidden", "forget"), options=options)


def tree(path: Path) -> dict[str, str]:
    """Digest of every file of a store."""
    return {
        p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in path.rglob("*")
        if p.is_file()
    }


@pytest.mark.slow
def test_a_writer_killed_at_fifty_random_moments_loses_nothing(tmp_path: Path) -> None:
    # A server that has imported everything but started no thread forks the writers, so that each begins at once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.traces.test_killed"])

    def start(path: Path) -> Any:
        begun = context.Event()
        child = context.Process(target=record, args=(str(path), begun))
        child.start()
        assert begun.wait(120)
        return child

    whole, target = tmp_path / "whole.zarr", tmp_path / "killed.zarr"
    for _ in range(2):  # the first fills the cache of programs
        shutil.rmtree(whole, ignore_errors=True)
        at = time.perf_counter()
        child = start(whole)
        child.join(120)
        assert child.exitcode == 0
        longest = time.perf_counter() - at
    expected = read_checksums(whole)
    assert expected is not None
    rng = np.random.default_rng(0)
    killed, finished, within = 0, 0, 0
    while killed < _KILLS:
        child = start(target)
        child.join(rng.uniform(0.0, longest))
        child.kill()
        child.join()
        killed += child.exitcode == -signal.SIGKILL
        progress = progress_of(target)
        if progress is not None and not target.exists():
            within += 0 < progress.done < progress.shards
            # What is said to be done is done, to the byte.
            found = verify(target)
            assert not found.damage
            marked = marked_files(target)
            assert all(marked[name] == expected[name] for name in marked)
            shards = {name.split("/c/")[1] for name in marked if name.startswith("layers/")}
            assert len(shards) == progress.done
        if target.exists():
            finished += 1
            assert verify(target).intact
            # The last rename is the end of a recording; what a killed one leaves behind it is swept by the next.
            record_again = start(target)
            record_again.join(120)
            assert tree(target) == tree(whole)
            shutil.rmtree(target)
    assert within >= 5, "too few kills came in the middle of a recording"
    last = start(target)
    last.join(120)
    assert last.exitcode == 0
    assert tree(target) == tree(whole)
    assert not partial_of(target).exists()
