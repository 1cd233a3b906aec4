"""Jobs on a Dask cluster of real processes: equal to those in one process, whoever dies meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import jax.numpy as jnp
import numpy as np
import pytest
from distributed import Client, LocalCluster, WorkerPlugin

import hiddenstate_core as hs
from hiddenstate_core import cluster
from hiddenstate_core.cli.app import main
from hiddenstate_core.cluster import client as clients
from hiddenstate_core.cluster import extraction
from hiddenstate_core.cluster.client import ClusterError, Held, run_tasks
from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.errors import InputError, MissingExtraError, StoreError
from hiddenstate_core.models import Model, ModelSpec
from hiddenstate_core.models.network import parameter_shapes
from hiddenstate_core.neighbors import nearest_neighbors
from hiddenstate_core.projection import perplexity_affinities
from hiddenstate_core.traces import ExtractOptions, Record, Trace, plan, schema
from hiddenstate_core.traces import extract as extract_here
from hiddenstate_core.traces.extract import record_missing
from hiddenstate_core.traces.writer import Writer, partial_of, progress_of
from tests.fakes import make_corpus

#: Portions of one shard of 64 rows each, so that there are many.
OPTIONS = ExtractOptions(memory=1, progress=False)


def rows_of_shard(steps: int, row_bytes: int) -> int:
    """Instead of 32 MiB."""
    return 64


class SmallShards(WorkerPlugin):
    """On every worker, also one that is started in the place of another: small shards, and death on request."""

    def __init__(self, order: Path) -> None:
        self.order = order

    def setup(self, worker: Any) -> None:
        setattr(plan, "shard_rows", rows_of_shard)  # noqa: B010
        schema._CHUNK_ROWS = 32
        write, order = Writer.write, self.order

        def write_or_die(writer: Writer, *arguments: Any) -> None:
            with contextlib.suppress(FileNotFoundError):
                order.unlink()
                # In the middle of the first shard: all of it is written aside, and not yet in its place.
                os.fsync = die  # type: ignore[assignment]
            write(writer, *arguments)

        setattr(Writer, "write", write_or_die)  # noqa: B010


def die(*arguments: Any) -> None:
    """Die at once, as by ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that makes the worker which removes it die as it begins to write."""
    return tmp_path_factory.mktemp("order") / "die"


@contextlib.contextmanager
def cluster_of_two() -> Iterator[Client]:
    """A cluster of two processes of one thread, of which none is left behind."""
    settings = {
        "distributed.scheduler.allowed-failures": 2,
        # So long after a worker's death Dask looks whether it is back, and gives up its place for good where it just
        # then is not: because it died a second time, or because the machine is busy.
        "distributed.deploy.lost-worker-timeout": "1 hour",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            processes=True, n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=":0"
        ) as processes,
        Client(processes, set_as_default=False) as found,
    ):
        yield found
        pids = found.run(os.getpid, on_error="ignore").values()
    until = time.monotonic() + 120
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids), "the cluster leaves no process behind"


@pytest.fixture(scope="module")
def client(order: Path) -> Iterator[Client]:
    """The cluster that these tests share."""
    with cluster_of_two() as found:
        found.register_plugin(SmallShards(order))
        yield found


@pytest.fixture
def mortal() -> Iterator[Client]:
    """A cluster for one test whose workers die: a nanny may give up one that died as it started."""
    with cluster_of_two() as found:
        yield found


def alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same shards here as on the workers."""
    monkeypatch.setattr(plan, "shard_rows", rows_of_shard)
    monkeypatch.setattr(schema, "_CHUNK_ROWS", 32)


def model_for(corpus: Corpus, **spec: Any) -> Model:
    """Random weights for any architecture."""
    rng = np.random.default_rng(0)
    made = ModelSpec(embedding=4, **spec)
    classes = () if made.task == "language_model" else corpus.classes
    shapes = parameter_shapes(made, len(corpus.vocabulary), len(classes) or len(corpus.vocabulary))
    params = {name: jnp.asarray(rng.normal(size=shape) * 0.7, np.float32) for name, shape in shapes.items()}
    return Model(made, corpus.vocabulary, classes, params)


def tree(path: Path) -> dict[str, bytes]:
    """Every file of a store."""
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def job_folders(target: Path) -> list[Path]:
    """What a run on a cluster has put into the partial store."""
    return list((partial_of(target) / ".done").glob("job-*"))


# -- extraction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "record", "compression"),
    [
        ({"cell": "lstm", "hidden": (6, 5)}, None, "none"),
        ({"cell": "gru", "hidden": (6,), "direction": "both"}, Record(dtype="bfloat16", every=3), "zstd"),
        ({"cell": "lstm", "hidden": (6,), "task": "language_model"}, Record(top=3), "none"),
    ],
)
@pytest.mark.usefixtures("small_shards")
def test_a_cluster_writes_the_bytes_that_one_process_writes(
    client: Client, tmp_path: Path, spec: dict[str, Any], record: Record | None, compression: Any
) -> None:
    corpus = make_corpus(40)
    if "task" in spec:
        corpus = dataclasses.replace(corpus, classes=(), labels=np.full(40, -1, np.int32))
    model, options = model_for(corpus, **spec), dataclasses.replace(OPTIONS, compression=compression)
    alone = extract_here(model, corpus, tmp_path / "alone.zarr", record=record, options=options)
    shared = hs.extract(model, corpus, tmp_path / "shared.zarr", record=record, options=options, client=client)
    assert alone.steps > 5 * rows_of_shard(0, 0)
    assert tree(shared.path) == tree(alone.path)
    assert "checksums.json" in tree(shared.path)
    assert hs.verify(shared.path).intact
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alone.zarr", "shared.zarr"]
    again = hs.extract(model, corpus, tmp_path / "shared.zarr", record=record, options=options, client=client)
    assert tree(again.path) == tree(alone.path)


@pytest.mark.usefixtures("small_shards")
def test_a_worker_that_is_killed_while_it_writes_loses_nothing(client: Client, order: Path, tmp_path: Path) -> None:
    corpus = make_corpus(80)
    model = model_for(corpus, hidden=(6,))
    alone = extract_here(model, corpus, tmp_path / "alone.zarr", options=OPTIONS)
    client.wait_for_workers(2, timeout=300)
    before = set(client.run(os.getpid).values())
    order.touch()
    shared = hs.extract(model, corpus, tmp_path / "shared.zarr", options=OPTIONS, client=client)
    assert not order.exists()
    assert tree(shared.path) == tree(alone.path)
    client.wait_for_workers(2, timeout=300)
    assert len(before & set(client.run(os.getpid).values())) == 1, "one worker was killed"


@pytest.mark.usefixtures("small_shards")
def test_what_was_begun_here_is_finished_there_and_only_what_is_missing(client: Client, tmp_path: Path) -> None:
    corpus = make_corpus(40)
    model = model_for(corpus, hidden=(6,))
    alone = extract_here(model, corpus, tmp_path / "alone.zarr", options=OPTIONS)
    target = tmp_path / "shared.zarr"
    made = plan.make_plan(model, corpus, Record(cell=True, gates=("input", "forget", "candidate", "output")))
    writer = Writer(made, target, memory=1)
    done = [0, 3]
    record_missing(writer, model.params, done)
    shards = [writer.partial / "layers/0/forward/hidden/c" / f"{number}/0" for number in done]
    times = [shard.stat().st_mtime_ns for shard in shards]
    hs.extract(model, corpus, target, options=OPTIONS, client=client)
    assert tree(target) == tree(alone.path)
    assert [(target / shard.relative_to(writer.partial)).stat().st_mtime_ns for shard in shards] == times


@pytest.mark.usefixtures("small_shards")
def test_an_interrupt_leaves_what_is_done_and_nothing_else(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus(60)
    model, target = model_for(corpus, hidden=(6,)), tmp_path / "shared.zarr"

    def interrupted(client: Client, function: Any, held: Held, tasks: Any, arrived: Any, *, stop: Any) -> None:
        def interrupt(number: int, result: Any) -> None:
            raise KeyboardInterrupt

        run_tasks(client, function, held, tasks, interrupt, stop=stop)

    with monkeypatch.context() as patch:
        patch.setattr(extraction, "run_tasks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hs.extract(model, corpus, target, options=OPTIONS, client=client)
    progress = progress_of(target)
    assert progress is not None
    assert 0 < progress.done < progress.shards
    assert not job_folders(target)
    assert not (tmp_path / ".shared.zarr.lock").exists()
    hs.extract(model, corpus, target, options=OPTIONS, client=client)
    alone = extract_here(model, corpus, tmp_path / "alone.zarr", options=OPTIONS)
    assert tree(target) == tree(alone.path)


def limit_files(size: int) -> None:
    """Let no file grow beyond `size`, -1 for any: as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.usefixtures("small_shards")
def test_a_full_disk_is_one_sentence_and_the_rest_is_done_later(client: Client, tmp_path: Path) -> None:
    corpus = make_corpus(40)
    model, target = model_for(corpus, hidden=(6,)), tmp_path / "shared.zarr"
    client.wait_for_workers(2, timeout=300)
    client.run(limit_files, 1000)
    try:
        with pytest.raises(StoreError, match=r"File too large \(on worker tcp://.* is kept; run the same again"):
            hs.extract(model, corpus, target, options=OPTIONS, client=client)
    finally:
        client.run(limit_files, -1)
    assert not job_folders(target)
    hs.extract(model, corpus, target, options=OPTIONS, client=client)
    alone = extract_here(model, corpus, tmp_path / "alone.zarr", options=OPTIONS)
    assert tree(target) == tree(alone.path)


@pytest.mark.usefixtures("small_shards")
def test_a_state_that_is_not_finite_is_named(client: Client, tmp_path: Path) -> None:
    corpus = make_corpus(40)
    model = model_for(corpus, cell="rnn", hidden=(6,))
    # Finite themselves; the inputs' part of the second step is infinite, the state's part infinite the other way, and
    # their sum is not a number, however a processor adds up products.
    model.params["embedding"] = jnp.full((len(corpus.vocabulary), 4), 1e30, np.float32)
    model.params["layers.0.forward.input_kernel"] = jnp.full((4, 6), 1e30, np.float32)
    model.params["layers.0.forward.recurrent_kernel"] = jnp.full((6, 6), -1e38, np.float32)
    with pytest.raises(StoreError, match=r"is not finite: step \d+ of sequence \d+ \(made-up/\d+\)"):
        hs.extract(model, corpus, tmp_path / "shared.zarr", options=OPTIONS, client=client)


def test_a_worker_that_does_not_see_the_store_says_so(client: Client, tmp_path: Path) -> None:
    job = extraction._Job(tmp_path / "a.zarr.partial" / ".done" / "job-1", tmp_path / "a.zarr", None)
    with pytest.raises(StoreError, match=r"worker tcp://.* does not see .*a\.zarr\.partial; .* every worker shares"):
        run_tasks(client, extraction._record_portion, job, [0], lambda number, result: None)


def test_other_versions_are_refused(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = make_corpus(10)
    monkeypatch.setattr(plan, "_versions", lambda: {"hiddenstate": "0", "jax": "0.1", "zarr": "0", "numpy": "0"})
    with pytest.raises(StoreError, match=r"worker .* has hiddenstate .*, the client 0; install the same version"):
        hs.extract(model_for(corpus, hidden=(4,)), corpus, tmp_path / "a.zarr", options=OPTIONS, client=client)


# -- distances, quality, placement ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Some 1,200 states."""
    corpus = make_corpus(40)
    return extract_here(
        model_for(corpus, hidden=(6,)), corpus, tmp_path_factory.mktemp("states") / "a.zarr", options=OPTIONS
    )


Choice = Callable[[Trace], Any]
SOURCES: list[Choice] = [lambda t: t.hidden(), lambda t: np.asarray(t.hidden()), lambda t: t.select(split=0).hidden()]
NAMES = ["stored", "array", "selected"]


def test_a_worker_that_leaves_while_it_is_sent_something(
    client: Client, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = np.asarray(trace.hidden())
    one = hs.distance_histogram(states, 40)
    scatter, failures = client.scatter, [Exception("RuntimeError('ConnectionPool is closed')")]

    def flaky(*given: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return scatter(*given, **options)

    monkeypatch.setattr(client, "scatter", flaky)
    other = cluster.distance_histogram(client, states, 40)
    np.testing.assert_array_equal(other.counts, one.counts)
    failures += [Exception("RuntimeError('ConnectionPool is closed')")] * 20
    monkeypatch.setattr("hiddenstate_core.cluster.client._UNSENT", 1)
    with pytest.raises(cluster.ClusterError, match="cannot be sent what their tasks need"):
        cluster.distance_histogram(client, states, 40)


@pytest.mark.parametrize("choice", SOURCES, ids=NAMES)
def test_distances_are_counted_as_in_one_process(client: Client, trace: Trace, choice: Choice) -> None:
    states = choice(trace)
    labels = np.arange(len(states)) % 3
    offsets = np.array([0, 5, 5, len(states)])
    one = hs.distance_histogram(np.asarray(states), 40, labels=labels, offsets=offsets)
    other = cluster.distance_histogram(client, states, 40, labels=labels, offsets=offsets)
    np.testing.assert_array_equal(other.edges, one.edges)
    np.testing.assert_array_equal(other.counts, one.counts)
    assert other.counts.sum() == len(states) * (len(states) - 1) // 2
    assert not other.sampled
    for row, same in zip(one.matrix, other.matrix, strict=True):
        for a, b in zip(row, same, strict=True):
            np.testing.assert_array_equal(a.counts, b.counts)
    assert one.sequence is not None
    assert other.sequence is not None
    np.testing.assert_array_equal(one.sequence.counts, other.sequence.counts)


@pytest.mark.parametrize("choice", SOURCES, ids=NAMES)
def test_quality_is_measured_as_in_one_process(client: Client, trace: Trace, choice: Choice) -> None:
    states = choice(trace)
    values = np.asarray(states)
    positions = np.random.default_rng(0).normal(size=(len(values), 2)).astype(np.float32) + 3 * values[:, :2]
    graph = nearest_neighbors(values, 30)
    more: dict[str, Any] = {"affinities": perplexity_affinities(graph, 10), "classes": np.arange(len(values)) % 2}
    for sample in (150, len(values)):
        more["graph"] = graph if sample == 150 else None
        one = hs.quality(values, positions, sample=sample, seed=3, **more)
        other = cluster.quality(client, states, positions, sample=sample, seed=3, **more)
        for field in dataclasses.fields(one):
            np.testing.assert_equal(getattr(other, field.name), getattr(one, field.name), err_msg=field.name)


@pytest.mark.parametrize("choice", SOURCES, ids=NAMES)
def test_new_states_find_the_same_places(client: Client, trace: Trace, choice: Choice) -> None:
    states = choice(trace)
    known = np.asarray(trace.hidden())[:600]
    placement = hs.Placement(known, known[:, :2] * 20, perplexity=10)
    found = cluster.place(client, placement, states)
    np.testing.assert_array_equal(found, placement.place(np.asarray(states)))
    assert cluster.place(client, placement, np.asarray(states)[:0]).shape == (0, 2)


def test_bad_states_are_refused_as_in_one_process(client: Client, trace: Trace) -> None:
    values = np.array(trace.hidden())
    placement = hs.Placement(values, values[:, :2])
    bad = values.copy()
    bad[700, 2] = np.nan
    for call in (
        lambda: cluster.place(client, placement, bad),
        lambda: cluster.distance_histogram(client, bad),
        lambda: cluster.quality(client, bad, values[:, :2]),
    ):
        with pytest.raises(InputError, match="State 700 holds nan in feature 2"):
            call()
    with pytest.raises(InputError, match="must have 6 features like the others, not 5"):
        cluster.place(client, placement, values[:, :5])
    with pytest.raises(InputError, match=r"n_neighbors must be below half"):
        cluster.quality(client, values, values[:, :2], n_neighbors=len(values))


def test_a_store_that_workers_do_not_see_is_named(client: Client, trace: Trace, tmp_path: Path) -> None:
    sent = clients_states(trace)
    sent._where = (str(tmp_path / "gone.zarr"), *sent._where[1:])
    with pytest.raises(StoreError, match=r"worker tcp://.* cannot read .*gone\.zarr .* all of them share"):
        run_tasks(client, _width, _Sent(sent), [0], lambda number, result: None)


def clients_states(trace: Trace) -> Any:
    """A trace's states as they are sent."""
    from hiddenstate_core.cluster.states import SentStates

    return SentStates(trace.hidden())


class _Sent(Held):
    def __init__(self, states: Any) -> None:
        self.states = states


def _width(job: _Sent, task: int) -> int:
    return int(job.states.array().shape[1])


# -- the cluster ------------------------------------------------------------------------------------------------------


class _Folder(Held):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values = np.arange(100)


def _die_once(job: _Folder, task: int) -> int:
    with contextlib.suppress(FileExistsError):
        os.close(os.open(job.folder / str(task), os.O_CREAT | os.O_EXCL))
        if task < 2:
            time.sleep(2)  # as in `_die`
            die()
    return int(job.values[task])


def _die(job: _Folder, task: int) -> None:
    time.sleep(2)  # until the nanny knows that the worker has started: one that dies before is not replaced
    die()


def _fail(job: _Folder, task: int) -> None:
    raise ZeroDivisionError("nobody thought of it")


def test_tasks_are_done_though_both_workers_die_with_what_they_were_sent(mortal: Client, tmp_path: Path) -> None:
    found: dict[int, int] = {}
    run_tasks(mortal, _die_once, _Folder(tmp_path), range(20), lambda number, result: found.update({number: result}))
    assert found == {number: number for number in range(20)}


def test_workers_that_die_again_and_again_are_an_error(mortal: Client, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="died again and again"):
        run_tasks(mortal, _die, _Folder(tmp_path), [0], lambda number, result: None)


def test_what_nobody_thought_of_is_one_sentence(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"ZeroDivisionError: nobody thought of it\. The scheduler and every worker"):
        run_tasks(client, _fail, _Folder(tmp_path), [0], lambda number, result: None)


def test_a_cluster_without_workers_and_a_closed_client_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "PATIENCE", 0.5)
    with LocalCluster(processes=True, n_workers=0, dashboard_address=":0") as empty:
        with (
            pytest.raises(ClusterError, match="has no worker; start some with: dask worker"),
            cluster.connect(empty.scheduler_address, timeout=0.2),
        ):
            pass
        with Client(empty, set_as_default=False) as found, pytest.raises(ClusterError, match="no worker for"):
            run_tasks(found, _fail, _Folder(tmp_path), [0], lambda number, result: None)
    with pytest.raises(ClusterError, match="connection to its scheduler is closed"):
        cluster.distance_histogram(found, np.zeros((3, 2)))


def test_only_a_client_that_waits_will_do(tmp_path: Path) -> None:
    corpus = make_corpus(4)
    with pytest.raises(InputError, match=r"must be a distributed\.Client, not str"):
        hs.extract(model_for(corpus, hidden=(4,)), corpus, tmp_path / "a.zarr", client="tcp://x:1")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("address", ["", "nonsense", "http://x:1", "tcp://x:99999", "tls://127.0.0.1:1"])
def test_what_is_no_address_is_refused(address: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "model", str(tmp_path / "a.zarr"), "--scheduler", address]) == 2
    error = capfd.readouterr().err
    assert error.startswith(f"hiddenstate: {address!r} ")
    assert error.count("\n") == 1


def test_a_scheduler_that_does_not_answer_is_one_sentence() -> None:
    with (
        pytest.raises(ClusterError, match=r"No Dask scheduler answers at 'tcp://127\.0\.0\.1:1' .* such as tcp://"),
        cluster.connect("tcp://127.0.0.1:1", timeout=0.3),
    ):
        pass


def test_without_the_extra_the_command_to_install_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"python -m pip install 'hiddenstate\[cluster\]'"):
        cluster.distance_histogram(None, np.zeros((3, 2)))  # type: ignore[arg-type]
    assert main(["extract", "model", "a.zarr", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("small_shards")
def test_the_command_records_on_a_cluster(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from hiddenstate_core.cli import extract as command

    corpus = make_corpus(40)
    model = model_for(corpus, hidden=(6,))
    model.save(tmp_path / "model")
    monkeypatch.setattr(command, "_corpus", lambda *arguments: corpus)
    address = str(client.scheduler_info(n_workers=0)["address"])
    arguments = ["extract", str(tmp_path / "model"), str(tmp_path / "shared.zarr"), "--memory", "1"]
    assert main([*arguments, "--scheduler", address]) == 0
    assert "states of 40 sequences" in capfd.readouterr().out
    alone = extract_here(model, corpus, tmp_path / "alone.zarr", options=ExtractOptions(memory=2**20, progress=False))
    assert tree(tmp_path / "shared.zarr") == tree(alone.path)


# -- devices ----------------------------------------------------------------------------------------------------------

_SHARDED = """
import jax, numpy as np
from hiddenstate_core.traces.engine import Engine
from hiddenstate_core.traces.plan import make_plan
from hiddenstate_core.traces.record import as_record
from tests.fakes import make_corpus
from tests.test_cluster import model_for

assert len(jax.devices()) == 3
corpus = make_corpus(40)
for spec in (
    {"cell": "lstm", "hidden": (6, 5), "direction": "both"},
    {"cell": "gru", "hidden": (6, 5), "direction": "backward"},
    {"cell": "lstm", "hidden": (6,), "task": "language_model"},
):
    model = model_for(corpus, **spec)
    made = make_plan(model, corpus, as_record(None, model.spec.cell))
    portion = made.portion(0, made.shards)
    found = []
    for threads, sharded in ((1, False), (3, False), (None, True)):
        engine = Engine(made, model.params, threads=threads, sharded=sharded)
        used = [set(lane.everywhere.device_set) for lane in engine._lanes]
        assert used == ([set(jax.devices())] if sharded else [{d} for d in jax.devices()[:threads]])
        rows = engine.rows(portion)
        found.append((engine.run(portion, rows), rows))
    for final, rows in found[1:]:
        np.testing.assert_allclose(final, found[0][0], rtol=0, atol=1e-6)
        for path, values in rows.items():
            np.testing.assert_allclose(values, found[0][1][path], rtol=0, atol=1e-6, err_msg=f"{spec} {path}")
"""


def test_columns_shared_out_to_devices_give_the_same_states() -> None:
    flags = "--xla_force_host_platform_device_count=3"
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", _SHARDED], capture_output=True, text=True, check=False, timeout=300,
        cwd=Path(__file__).parents[1], env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-3000:]
