"""Taking away what is seen: pictures, standalone files and tables, whatever is selected, and the menu in a browser."""

from __future__ import annotations

import base64
import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import pytest
from hiddenstate_viewer import export, frames
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.density import DIM, FADED, FULL, REST, neutral
from hiddenstate_viewer.export import EXPORTS, ExportMenu, file_name, make_export
from hiddenstate_viewer.frames import chosen_states, frame_of, sequence_blocks, state_blocks, write_table
from hiddenstate_viewer.picture import VIEWS, draw, write_picture
from hiddenstate_viewer.report import _background, page_html, write_report
from hiddenstate_viewer.scene import Scene, clean
from hiddenstate_viewer.state import Selection, Stroke
from hiddenstate_viewer.theme import DARK, LIGHT, Look
from PIL import Image

from hiddenstate_core.analysis import Query
from hiddenstate_core.errors import InputError, MissingExtraError
from hiddenstate_core.traces import Trace
from tests.viewer.apps import served

Make = Callable[[str], ViewData]
SVG = "{http://www.w3.org/2000/svg}"


def lasso(data: ViewData, steps: list[int]) -> Stroke:
    """A box round the points of these steps."""
    points = data.coordinates("tsne")[steps]
    (x0, y0), (x1, y1) = (points.min(axis=0) - 1e-3).tolist(), (points.max(axis=0) + 1e-3).tolist()
    return Stroke("tsne", "replace", (x0, x1, x1, x0), (y0, y0, y1, y1))


# -- pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "dark"), [*((view, False) for view in VIEWS if view != "all"), ("map", True), ("all", True)]
)
def test_a_view_is_drawn_as_text_and_shapes(data: Make, tmp_path: Path, view: str, dark: bool) -> None:
    made = data("five")
    sequence = next(i for i in range(len(made.trace)) if "<b>bold</b>" in made.trace.sequence(i).words)
    for kind in ("svg", "png"):
        write_picture(made, tmp_path / f"view.{kind}", view=view, sequence=sequence, dark=dark)
    root = ElementTree.parse(tmp_path / "view.svg").getroot()
    texts = ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]
    if view in ("all", "words"):
        assert "<b>bold</b>" in texts
        assert [t for t in texts if t == "<b>bold</b>"]
    if view in ("probabilities", "classes", "confusion", "map", "words"):
        assert set(made.trace.classes) <= set(texts)
    with Image.open(tmp_path / "view.png") as image:
        assert image.width >= 2_000 or view == "confusion"
        corner = np.asarray(image.convert("RGB"))[1, 1]
        assert corner.tolist() == ([0x1B, 0x1F, 0x25] if dark else [255, 255, 255])


def test_equal_pictures_are_equal_files(data: Make, tmp_path: Path) -> None:
    for kind in ("svg", "pdf"):
        first, second = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
        write_picture(data("binary"), first, view="distances", sequence=9)
        write_picture(data("binary"), second, view="distances", sequence=9)
        assert first.read_bytes() == second.read_bytes()


def test_bars_in_a_picture_are_the_step_distances(data: Make) -> None:
    made = data("binary")
    scene = Scene.chosen(made, sequence=9)
    bars = [patch for axes in draw(scene, "distances").axes for patch in axes.patches]
    assert scene.reading is not None
    assert np.allclose([bar.get_height() for bar in bars], scene.reading.jumps)
    assert (scene.bars(scene.reading) == made.palette.outputs(scene.reading.evolution.before)).all()


@pytest.mark.parametrize("look", [LIGHT, DARK])
@pytest.mark.parametrize("how", ["lasso", "filter", "fade"])
def test_states_that_are_not_selected_are_grey_in_the_picture_as_on_the_page(data: Make, how: str, look: Look) -> None:
    made = data("five")
    selection, trace = Selection(made), made.trace
    expected = np.full(trace.steps, REST)
    if how == "lasso":
        selection.add_stroke(lasso(made, list(range(100, 140))))
        assert selection.steps_mask is not None
        expected[selection.steps_mask] = FULL
    elif how == "filter":
        selection.query = Query(correct=False)
        assert selection.matching is not None
        expected[np.repeat(selection.matching, np.diff(trace.offsets))] = FULL
    else:
        selection.options.fade_wrong = True
        wrong = (trace.labels >= 0) & (trace.labels != made.final)
        expected = np.where(np.repeat(wrong, np.diff(trace.offsets)), DIM, FULL)
    assert len(np.unique(expected)) > 1
    scene = Scene.of(made, selection, look)
    (states,) = (c for axes in draw(scene, "map").axes for c in axes.collections if len(c.get_offsets()) == trace.steps)
    drawn, places = states.get_facecolors(), np.asarray(states.get_offsets())
    order = np.argsort(expected == FULL, kind="stable")  # what is behind is drawn first
    assert np.allclose(places, made.coordinates("tsne")[order])
    layers, own = expected[order], scene.colours(order) / 255
    rest = layers == REST
    assert np.allclose(drawn[rest, :3], neutral(look) / 255)
    assert np.allclose(drawn[~rest, :3], own[~rest])
    assert np.allclose(drawn[layers != FULL, 3], FADED)
    assert (drawn[layers == FULL, 3] > FADED).all()


def test_the_picture_of_a_large_map_greys_what_is_not_selected(data: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from hiddenstate_viewer import mapdrawing

    monkeypatch.setattr(mapdrawing, "POINTS", 100)
    made = data("five")
    pictures = []
    for query in (Query(), Query(correct=False)):
        (image,) = draw(Scene.of(made, Selection(made, query=query), LIGHT), "map").axes[0].images
        pictures.append(np.asarray(image.get_array()))
    all_in_hues, some = ((p[..., :3].astype(int).std(axis=-1) > 12) & (p[..., 3] > 0) for p in pictures)
    assert 0 < some.sum() < 0.8 * all_in_hues.sum()


@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_legend_of_a_picture_says_what_paleness_is(data: Make) -> None:
    def said(name: str, colour_by: str, view: str = "map") -> list[str]:
        scene = Scene.chosen(data(name), colour_by=colour_by)
        return [text.get_text() for text in draw(scene, view).texts]

    for view in ("map", "words", "all"):
        assert {"unsure", "sure", *data("five").trace.classes} <= set(said("five", "prediction", view))
    assert {"unsure", "sure", "start", "end"} <= set(said("many", "prediction"))
    # One scale between two classes, and classes by name alone, say it themselves.
    assert "unsure" not in said("binary", "prediction") + said("five", "class")


@pytest.mark.parametrize("colour_by", ["class", "confidence", "unit:3"])
def test_a_map_in_other_colours(data: Make, tmp_path: Path, colour_by: str) -> None:
    write_picture(data("five"), tmp_path / "a.png", view="map")
    write_picture(data("five"), tmp_path / "b.png", view="map", colour_by=colour_by)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_the_picture_of_a_large_map_has_a_bounded_size(
    data: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hiddenstate_viewer import mapdrawing

    monkeypatch.setattr(mapdrawing, "POINTS", 100)
    write_picture(data("binary"), tmp_path / "map.svg", view="map")
    assert (tmp_path / "map.svg").stat().st_size < 5e6
    text = (tmp_path / "map.svg").read_text("utf-8")
    assert text.count("data:image/png") >= 1


def test_pictures_refuse_what_is_not_there(data: Make, tmp_path: Path) -> None:
    made = data("binary")
    for options, said in (
        ({"view": "maps"}, "no view 'maps'"),
        ({"colour_by": "nonsense"}, "nonsense"),
        ({"projection": "umap"}, "hiddenstate project"),
    ):
        with pytest.raises(InputError, match=said):
            write_picture(made, tmp_path / "x.png", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"\.svg"):
        write_picture(made, tmp_path / "x.gif")
    assert not list(tmp_path.iterdir())


def test_words_lose_what_a_file_cannot_hold() -> None:
    assert clean("a\0b\u202ec\ud800") == "a\ufffdb\ufffdc\ufffd"
    assert clean("  ") == "␣"
    assert clean("x" * 99) == "x" * 39 + "…"
    assert clean("<b>&amp;") == "<b>&amp;"


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", [LIGHT, DARK])
def test_the_page_as_a_file_holds_what_is_selected(data: Make, look: Any) -> None:
    made = data("binary")
    selection = Selection(made, sequence=9, query=Query(correct=False))
    selection.compared = (12, 14)
    selection.add_stroke(lasso(made, [100, 101, 102]))
    text = page_html(made, selection, look)
    assert len(text) < 5e6
    assert look.card in text
    values = json.loads(re.search(r'id="values">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    assert values["read"]["words"] == [clean(word) for word in made.trace.sequence(9).words]
    assert len(values["beside"]) == 2
    rows = selection.rows
    assert rows is not None
    assert text.count("<tr") == 1 + min(len(rows), 200)
    markup = re.sub(r"(?s)<script[^>]*>.*?</script>", "", text)
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", markup)
    assert "<b>bold</b>" not in text


def test_the_page_without_a_selection_shows_the_data_set(data: Make) -> None:
    for name in ("many", "bare"):
        made = data(name)
        text = page_html(made, Selection(made), LIGHT)
        assert "hs-figures" in text
        assert ("hiddenstate project" in text) == (name == "bare")


@pytest.mark.browser
def test_a_report_opens_from_a_file_without_network(
    stores: dict[str, Path], open_tab: Callable[..., Any], tmp_path: Path
) -> None:
    trace = Trace(stores["five"])
    sequence = int(np.diff(trace.offsets).argmax())
    write_report(trace, tmp_path / "report.html", sequence=sequence)
    tab = open_tab((tmp_path / "report.html").as_uri(), offline=True)
    tab.page.locator(".hs-word").nth(2).hover()
    tab.wait("() => window.hiddenstate.marked().step === 2")
    marked = tab.marked()
    assert marked["word"] == "2"
    assert marked["boxes"] == [2, 2]
    assert np.allclose(marked["point"], trace.projection("tsne").coordinates[trace.sequence(sequence).start + 2])
    assert marked["labels"]
    box = tab.page.locator(".hs-bars").bounding_box()
    tab.page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2)
    tab.wait("() => window.hiddenstate.marked().step === 0")
    tab.page.locator("#threshold").fill("100")
    tab.wait("() => window.hiddenstate.marked().labels.length === 0")
    canvas = tab.page.locator("#map")
    before = canvas.screenshot()
    canvas.hover()
    tab.page.mouse.wheel(0, -600)
    tab.page.wait_for_timeout(100)
    assert canvas.screenshot() != before
    assert tab.complaints == []
    assert tab.strangers == []


# -- tables ---------------------------------------------------------------------------------------------------------


def test_states_inside_a_lasso(data: Make, tmp_path: Path) -> None:
    made = data("five")
    selection = Selection(made)
    selection.add_stroke(lasso(made, list(range(100, 140))))
    steps = chosen_states(selection)
    assert set(range(100, 140)) <= set(steps.tolist())
    for kind in ("csv", "parquet"):
        make_export(made, selection, LIGHT, "states", tmp_path / f"t.{kind}")
    pytest.importorskip("pyarrow")
    written = pd.read_parquet(tmp_path / "t.parquet")
    text = pd.read_csv(tmp_path / "t.csv", keep_default_na=False)
    assert written["state"].tolist() == steps.tolist() == text["state"].tolist()
    trace = made.trace
    rows: Any = written.iloc[::7].itertuples()
    for row in rows:
        view = trace.sequence(row.sequence)
        place = row.position - 1
        assert view.start + place == row.state
        assert row.word == view.words[place]
        assert row.id == view.id
        assert row.predicted == trace.classes[int(view.probabilities()[place].argmax())]
        assert row.confidence == view.probabilities()[place].max()
        assert np.array_equal([row.x, row.y], made.coordinates("tsne")[row.state])
    assert text["word"].tolist() == written["word"].tolist()


def test_what_counts_as_selected(data: Make) -> None:
    made = data("binary")
    selection, trace = Selection(made), made.trace
    assert len(chosen_states(selection)) == trace.steps
    selection.query = Query(labels=(1,))
    numbers = np.repeat(np.arange(len(trace)), np.diff(trace.offsets))
    assert (trace.labels[numbers[chosen_states(selection)]] == 1).all()
    selection.choose([12, 9])
    assert set(numbers[chosen_states(selection)].tolist()) == {9, 12}
    selection.add_stroke(lasso(made, [50, 51]))
    found = chosen_states(selection)
    assert selection.steps_mask is not None
    assert (selection.steps_mask[found]).all()
    assert (trace.labels[numbers[found]] == 1).all()


def test_sequences_with_their_whole_text(data: Make, tmp_path: Path) -> None:
    made = data("five")
    selection = Selection(made, query=Query(correct=True))
    frame = frame_of(sequence_blocks(made, frames.chosen_sequences(selection)))
    assert frame["correct"].all()
    rows: Any = frame.itertuples()
    for row in rows:
        view = made.trace.sequence(row.sequence)
        assert row.text == " ".join(view.words)
        assert row.words == len(view.words)
    everything = frame_of(sequence_blocks(made, np.arange(len(made.trace))))
    assert everything["correct"].isna().sum() == 4
    empty = frame_of(sequence_blocks(made, np.zeros(0, np.int64)))
    assert list(empty.columns) == list(frame.columns)


def test_blocks_are_small_and_make_one_file(data: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = data("binary")
    steps = np.arange(made.trace.steps)
    whole = frame_of(state_blocks(made, steps, "tsne"))
    monkeypatch.setattr(frames, "STATE_ROWS", 100)
    sizes = [len(frame) for frame in state_blocks(made, steps, "tsne")]
    assert max(sizes) == 100
    assert sum(sizes) == len(steps)
    assert write_table(tmp_path / "a.csv", lambda safe: state_blocks(made, steps, "tsne", safe=safe)) == len(steps)
    assert len((tmp_path / "a.csv").read_text("utf-8").splitlines()) == len(steps) + 1
    pytest.importorskip("pyarrow")
    write_table(tmp_path / "a.parquet", lambda safe: state_blocks(made, steps, "tsne", safe=safe))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), whole, check_dtype=False)


@pytest.mark.parametrize("word", ["=1+1", "+a", "-a", "@a", "\ta", "=HYPERLINK(1)"])
def test_no_cell_of_a_csv_is_a_formula(data: Make, tmp_path: Path, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = data("binary")
    lexicon = (word, *made.trace.lexicon[1:])
    monkeypatch.setitem(made.trace.__dict__, "lexicon", lexicon)
    monkeypatch.setitem(made.trace.__dict__, "ids", tuple(f"={i}" for i in range(len(made.trace))))
    steps = np.arange(made.trace.steps)
    write_table(tmp_path / "a.csv", lambda safe: state_blocks(made, steps, "tsne", safe=safe))
    write_table(tmp_path / "b.csv", lambda safe: sequence_blocks(made, np.arange(len(made.trace)), safe=safe))
    negative = 0
    for name in ("a.csv", "b.csv"):
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                negative += float(row.get("x") or 0) < 0
                for column in ("id", "word", "class", "text"):
                    assert not row.get(column, "").startswith(("=", "+", "-", "@", "\t", "\r"))
                assert row["id"].startswith("'=")
    assert negative  # numbers stay numbers


def test_parquet_without_pyarrow_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hiddenstate\[parquet\]'"):
        frames.table_kind(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"\.csv or \.parquet"):
        frames.table_kind(tmp_path / "a.xlsx")


# -- the menu -------------------------------------------------------------------------------------------------------


def test_names_of_files_are_plain(data: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = data("binary")
    selection = Selection(made, sequence=9)
    assert file_name(made, selection, "words", "svg") == "binary-9-words.svg"
    assert file_name(made, selection, "states", "csv") == "binary-states.csv"
    for name in ('../../etc/"x\n;rm', "…", "a" * 300 + ".zarr", ".hidden"):
        monkeypatch.setattr(ViewData, "name", name)
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}", file_name(made, selection, "map", "png"))


def test_everything_on_the_menu_can_be_made(data: Make, tmp_path: Path) -> None:
    made = data("deep")
    selection = Selection(made, sequence=5)
    for what, (_, kinds) in EXPORTS.items():
        for kind in kinds if what != "text" else ():  # that needs a model: see the tests of the sentence
            make_export(made, selection, DARK, what, tmp_path / f"{what}.{kind}")
            assert (tmp_path / f"{what}.{kind}").stat().st_size > 100
    for what in ("words", "report"):
        with pytest.raises(InputError, match="select one first"):
            make_export(made, Selection(made), DARK, what, tmp_path / f"x.{EXPORTS[what][1][0]}")
    with pytest.raises(InputError, match=r"\.csv or \.parquet"):
        make_export(made, selection, DARK, "states", tmp_path / "x.png")


@pytest.mark.browser
def test_the_menu_saves_files_in_parts(
    data: Make, open_tab: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_PART", 10_000)
    made = data("five")
    expected = tmp_path / "expected.csv"
    selection = Selection(made)
    make_export(made, selection, LIGHT, "states", expected)

    def app() -> Any:
        return pn.Row(pn.Spacer(width=500), ExportMenu(made, Selection(made), LIGHT).view)

    with served(app) as address:
        tab = open_tab(address)
        tab.page.get_by_role("button", name="Export").click()
        for what, kind, name in (
            ("Selected states", "CSV", "five-states.csv"),
            ("This page", "HTML file", "five-page.html"),
            ("Confusion matrix", "SVG", "five-confusion.svg"),
        ):
            tab.page.get_by_label("What").select_option(label=what)
            tab.page.get_by_label("As").locator("option", has_text=kind).wait_for(state="attached")
            tab.page.get_by_label("As").select_option(label=kind)
            with tab.page.expect_download() as waiting:
                tab.page.get_by_role("button", name="Save").click()
            assert waiting.value.suggested_filename == name
            waiting.value.save_as(tmp_path / name)
            tab.page.get_by_text(name).wait_for()
        assert (tmp_path / "five-states.csv").read_bytes() == expected.read_bytes()
        tab.page.get_by_label("What").select_option(label="Words")
        tab.page.wait_for_timeout(300)
        tab.page.get_by_role("button", name="Save").click()
        tab.page.get_by_text("No sequence is selected").wait_for()
        assert tab.complaints == []


def test_the_map_of_a_page_to_take_away_greys_what_is_not_selected(data: Make) -> None:
    made = data("binary")
    selection = Selection(made, query=Query(labels=(1,)))
    scene = Scene.of(made, selection, LIGHT)
    found = _background(scene)

    def unpacked(name: str) -> tuple[np.ndarray, np.ndarray]:
        raw = {k: base64.b64decode(v) for k, v in found[name].items()}
        return np.frombuffer(raw["places"], "<f4").reshape(-1, 2), np.frombuffer(raw["colours"], np.uint8).reshape(
            -1, 3
        )

    own = np.repeat(made.trace.labels == 1, np.diff(made.trace.offsets))
    places, colours = unpacked("points")
    assert np.array_equal(places, made.coordinates("tsne"))
    assert (colours[~own] == neutral(LIGHT)).all()
    assert np.array_equal(colours[own], scene.colours(np.flatnonzero(own)))
    assert np.array_equal(unpacked("chosen")[0], made.coordinates("tsne")[own])
    assert "chosen" not in _background(Scene.of(made, Selection(made), LIGHT))
