"""The command line: what it prints and writes, and how it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hiddenstate_core.cli.app import main
from hiddenstate_core.traces import Trace
from tests.fakes import make_corpus, make_model, make_trace

COMMANDS = ("demo", "data", "train", "extract", "project", "view", "report", "info")


def refused(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run with bad input; returns the one line that was printed."""
    assert main([str(a) for a in arguments]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    assert captured.err.startswith("hiddenstate: ")
    return captured.err


def test_help_names_every_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert main(["--help"]) == 0
    out = capfd.readouterr().out
    assert all(out.count(f"\n  {name} ") == 2 for name in COMMANDS)
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
    assert main(["--version"]) == 0
    assert capfd.readouterr().out.endswith("hiddenstate 0.1.0\n")


def test_info(small_trace: Trace, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(small_trace.path), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["sequences"] == 40
    assert found["steps"] == small_trace.steps
    assert found["classes"] == ["negative", "positive"]
    assert found["layers"] == [12, 8]
    assert found["recorded"] == ["hidden", "cell", "gates", "probabilities"]
    assert set(found["projections"]) == {"tsne", "pca"}
    assert found["test_accuracy"] == 0.5
    assert found["seed"] == 0
    assert found["schema"] == 2
    assert main(["info", str(small_trace.path)]) == 0
    out = capfd.readouterr().out
    assert "negative, positive" in out
    assert "units by layer   12, 8\n" in out
    assert "layers recorded  no. 0, no. 1 (counted from 0)\n" in out


def test_classes_with_commas_are_told_apart() -> None:
    from hiddenstate_core.cli.info import _text

    assert _text("classes", ["a, b", "c"]) == '"a, b", "c"'


def test_the_list_of_commands_cuts_no_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = " ".join(capfd.readouterr().out.partition("Commands:")[2].split())
    assert "..." not in out
    assert "Record hidden states, cell states, gates and predictions at every step into a Zarr store." in out


def test_the_address_behind_a_proxy_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    from hiddenstate_core.viewing import _say_address

    _say_address("http://127.0.0.1:5006/tools/states/?token=abc", ("states.example.org", "https://b.example.org/"))
    assert capfd.readouterr().out.splitlines()[1:] == [
        "Through the proxy: states.example.org/tools/states/?token=abc",
        "Through the proxy: https://b.example.org/tools/states/?token=abc",
    ]


def test_bad_arguments_get_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("no store")
    assert "No such command 'explode'" in refused(capfd, "explode")
    assert "--colour" in refused(capfd, "info", "--colour")
    assert "Missing argument" in refused(capfd, "info")
    assert "no trace store at" in refused(capfd, "info", tmp_path / "nowhere")
    assert "is a file" in refused(capfd, "info", tmp_path / "text")
    assert "no trace store at" in refused(capfd, "project", tmp_path / "nowhere")
    assert "no trace store at" in refused(capfd, "view", tmp_path / "nowhere")
    assert "no trace store at" in refused(capfd, "report", tmp_path / "nowhere")
    assert "no demonstration 'mnist'" in refused(capfd, "demo", "mnist", "--out", tmp_path / "d")
    assert "no corpus 'mnist'" in refused(capfd, "data", "mnist")
    assert "are read from files, not by name" in refused(capfd, "data", tmp_path, "--topics", "3")
    assert "no file or folder of that name is here (.csv," in refused(capfd, "train", "mine.csv")
    assert "no file or folder of that name is here (.csv," in refused(capfd, "data", "mine.csv")
    assert "Did you mean 'train'? See" in refused(capfd, "tarin")
    assert "--hidden takes numbers of units from 1" in refused(capfd, "train", "stdlib", "--hidden", "8,0")
    assert "no model at" in refused(capfd, "extract", tmp_path / "nowhere", tmp_path / "t.zarr")
    assert "--topics" in refused(capfd, "data", "reuters", "--topics", ",")
    assert "--hidden" in refused(capfd, "train", "stdlib", "--hidden", "many")
    assert "port" in refused(capfd, "view", tmp_path, "--port", "99999").lower()
    # Told before the training, not after.
    assert "no model checkpoint" in refused(capfd, "train", "stdlib", "--out", tmp_path / "text")
    assert "in the way" in refused(capfd, "demo", "stdlib", "--no-serve", "--out", tmp_path / "text")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text"]


def test_bad_values_for_a_store(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trace = make_trace(tmp_path / "t.zarr", 6)
    assert "not 'umap'" in refused(capfd, "project", trace.path, "--method", "umap")
    assert "not 'cosine'" in refused(capfd, "project", trace.path, "--affinity", "cosine")
    assert "perplexity" in refused(capfd, "project", trace.path, "--perplexity", "-1")
    assert "perplexity" in refused(capfd, "project", trace.path, "--perplexity", "100000")
    assert "Layer 7" in refused(capfd, "project", trace.path, "--layer", "7")
    assert "name is" in refused(capfd, "project", trace.path, "--method", "pca", "--name", "../x")
    assert ".html, .png, .svg or .pdf" in refused(capfd, "report", trace.path, "--out", tmp_path / "r.gif")
    assert "no view 'maps'" in refused(capfd, "report", trace.path, "--view", "maps", "--out", tmp_path / "r.svg")
    assert "Sequence 99" in refused(capfd, "report", trace.path, "--sequence", "99", "--out", tmp_path / "r.html")
    assert "no folder" in refused(capfd, "report", trace.path, "--out", tmp_path / "nowhere" / "r.html")
    assert not (tmp_path / "nowhere").exists()
    metadata = json.loads((trace.path / "zarr.json").read_text())
    metadata["attributes"]["schema"] = 7
    (trace.path / "zarr.json").write_text(json.dumps(metadata))
    assert "schema 7" in refused(capfd, "info", trace.path)
    (trace.path / "zarr.json").write_text("{ broken")
    assert "Copy the store again, or record it again" in refused(capfd, "info", trace.path)


def test_a_model_of_no_known_corpus_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    corpus = make_corpus()
    make_model(corpus).save(tmp_path / "model")
    told = tmp_path / "model", tmp_path / "t.zarr"
    assert "not a corpus known by name" in refused(capfd, "extract", *told)
    # What cannot be recorded is said before a corpus is looked for.
    assert "Layer 7 cannot be recorded" in refused(capfd, "extract", *told, "--layers", "7")
    assert "no 'reset' to record" in refused(capfd, "extract", *told, "--record", "reset")
    assert "Record.dtype must be" in refused(capfd, "extract", *told, "--dtype", "int8")


def test_project_keeps_what_is_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trace = make_trace(tmp_path / "t.zarr", 8, projections=())
    options = [str(trace.path), "--perplexity", "5", "--iterations", "50"]
    assert main(["project", *options]) == 0
    assert capfd.readouterr().out.startswith("made projection 'tsne'")
    first = trace.projection("tsne")
    assert first.attributes["kl_divergence"] > 0
    assert main(["project", *options]) == 0
    assert capfd.readouterr().out.startswith("kept projection 'tsne'")
    assert main(["project", *options, "--seed", "1"]) == 0
    assert capfd.readouterr().out.startswith("made projection 'tsne'")
    assert main(["project", str(trace.path), "--method", "pca", "--layer", "0"]) == 0
    assert trace.projections == ("pca", "tsne")
    folder = tmp_path / "run"
    long = ["--name", "even", "--affinity", "uniform", "--checkpoint", str(folder)]
    assert main(["project", *options, *long]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["affinities.npz", "descent.npz"]
    assert trace.projection("pca").attributes["layer"] == 0


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hiddenstate_core.cli.app", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip


def test_errors_of_the_real_process(tmp_path: Path) -> None:
    child = run("info", tmp_path / "nowhere")
    out, err = child.communicate(timeout=120)
    assert (child.returncode, out) == (2, "")
    assert err.count("\n") == 1


_WITHOUT = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "{library}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Finder())
from hiddenstate_core.cli.app import run
sys.argv = ["hiddenstate", *{arguments!r}]
run()
"""


@pytest.mark.parametrize("library", ["panel", "holoviews", "matplotlib"])
def test_a_missing_extra_is_named_with_its_command(small_trace: Trace, tmp_path: Path, library: str) -> None:
    for arguments in (["view", str(small_trace.path)], ["demo", "stdlib", "--no-serve", "--out", str(tmp_path / "d")]):
        code = _WITHOUT.format(library=library, arguments=arguments)
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
        assert (child.returncode, child.stdout) == (2, "")
        assert child.stderr.count("\n") == 1
        assert f"needs '{library}'" in child.stderr
        assert "pip install 'hiddenstate[viewer]'" in child.stderr
    assert not (tmp_path / "d" / "model").exists()


@pytest.mark.slow
def test_train_extract_project_report(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The commands in a row, on the built-in corpus, killed on the way and run again."""
    training = run("train", "stdlib", "--epochs", "2", "--out", tmp_path / "model")
    time.sleep(6)
    training.send_signal(signal.SIGKILL)
    training.communicate(timeout=60)
    assert main(["train", "stdlib", "--epochs", "1", "--hidden", "8,8", "--out", str(tmp_path / "model")]) == 0
    assert "test accuracy" in capfd.readouterr().out
    store = tmp_path / "trace.zarr"
    recording = run("extract", tmp_path / "model", store, "--limit", "40")
    time.sleep(4)
    recording.send_signal(signal.SIGKILL)
    recording.communicate(timeout=60)
    for _ in range(2):
        assert main(["extract", str(tmp_path / "model"), str(store), "--limit", "40"]) == 0
    mapping = run("project", store, "--perplexity", "10")
    time.sleep(4)
    mapping.send_signal(signal.SIGKILL)
    mapping.communicate(timeout=60)
    assert main(["project", str(store), "--perplexity", "10"]) == 0
    trace = Trace(store)
    assert (len(trace), trace.layers, trace.projections) == (40, (8, 8), ("tsne",))
    for name in ("report.html", "report.png"):
        assert main(["report", str(store), "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 10_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "report.html", "report.png", "trace.zarr"]


def test_texts_of_ones_own_from_a_file_to_a_trace(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = ["body,mood", *(f"{'so good' if n % 2 else 'very dull'} number {n},{'ab'[n % 2]}" for n in range(60))]
    Path("reviews.csv").write_text("\n".join(rows) + "\n", "utf-8")
    columns = ["--text", "body", "--label", "mood"]
    assert main(["data", "reviews.csv", *columns]) == 0
    assert "reviews: 60 sequences" in capfd.readouterr().out
    assert "has no column 'text'" in refused(capfd, "train", "reviews.csv")
    assert main(["train", "reviews.csv", *columns, "--hidden", "8", "--epochs", "2"]) == 0
    assert "saved in reviews-model" in capfd.readouterr().out
    assert "say with --corpus what to read" in refused(capfd, "extract", "reviews-model", "t.zarr")
    assert main(["extract", "reviews-model", "t.zarr", "--corpus", "reviews.csv", *columns]) == 0
    trace = Trace("t.zarr")
    assert trace.classes == ("a", "b")
    assert len(trace) == 12  # the share that was kept to test on
    assert {trace.sequence(k).words[0] for k in range(len(trace))} <= {"so", "very"}
    Path("new.jsonl").write_text(json.dumps({"text": "so dull"}) + "\n", "utf-8")
    new = ["--corpus", "new.jsonl", "--split", "train"]
    assert main(["extract", "reviews-model", "u.zarr", *new]) == 0
    assert Trace("u.zarr").labels.tolist() == [-1]
