"""What the views show, asked of the Python side: words, charts, map, table, selection, report and picture."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hiddenstate_viewer.colours import hex_of
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.density import density_image
from hiddenstate_viewer.evolution import MAX_ROWS, SequenceCharts, heat_rows
from hiddenstate_viewer.maplegend import MapLegend
from hiddenstate_viewer.page import Page
from hiddenstate_viewer.picture import write_picture
from hiddenstate_viewer.report import write_report
from hiddenstate_viewer.sequencepane import in_sight
from hiddenstate_viewer.serve import start
from hiddenstate_viewer.theme import MORE_CSS
from hiddenstate_viewer.trajectories import Path as Way
from hiddenstate_viewer.words import legend_html, words_html
from PIL import Image

from hiddenstate_core.errors import InputError
from hiddenstate_core.traces import Trace

Make = Callable[[str], ViewData]
ALL = ["binary", "five", "many", "bare", "deep"]


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, hiddenstate_viewer; sys.exit(any(m in sys.modules for m in ('panel', 'bokeh', 'pandas', 'zarr')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_words_are_escaped_and_coloured_by_the_output_after_each(data: Make) -> None:
    view = data("binary")
    index = next(i for i in range(len(view.trace)) if "<b>bold</b>" in view.trace.sequence(i).words)
    reading = view.reading(index)
    text = words_html(reading, "page")
    assert "<b>" not in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    found = re.findall(r'data-step="(\d+)" style="background:(#[0-9a-f]{6});color:#[0-9a-f]{6}">([^<]*)</span>', text)
    assert [int(step) for step, _, _ in found] == list(range(len(reading)))
    assert [html.unescape(word) for _, _, word in found] == list(reading.evolution.words)
    assert [colour for _, colour, _ in found] == hex_of(view.palette.outputs(reading.evolution.probabilities))


def test_state_before_a_step_colours_its_bar(data: Make) -> None:
    view = data("five")
    reading = view.reading(5)
    assert (reading.before[1:] == reading.colours[:-1]).all()
    assert (reading.before[0] == view.palette.outputs(view.trace.initial_probabilities[None])[0]).all()


def marked(page: Page) -> dict[int, str]:
    """Rows of the table's page that bear a mark."""
    given = page.table.widget._data
    return {int(i): mark for i, mark in zip(given["index"], given["mark"], strict=True) if mark}


@pytest.mark.parametrize("name", ["binary", "five", "many"])
def test_heatmap_has_a_row_per_class_and_a_column_per_word(data: Make, name: str) -> None:
    view = data(name)
    reading = view.reading(7)
    names, colours, summary = heat_rows(reading, view.palette)
    assert len(names) == min(len(view.trace.classes), MAX_ROWS)
    assert colours.shape == (len(names), len(reading), 3)
    assert (summary[0] == reading.colours).all()


@pytest.mark.parametrize("name", ALL)
def test_page_follows_the_selection(data: Make, name: str) -> None:
    view = data(name)
    page = Page(view)
    front = page.foregrounds[0]
    for sequence in (7, 0, 1):  # many words, none, one
        page.selection.select(sequence)
        reading = view.reading(sequence)
        assert page.sequence_pane.words.object.count("data-step") == len(reading)
        assert len(page.charts._bars.data["x"]) == len(reading)
        assert len(front.steps.data["word"]) == len(reading)
        assert len(front.segments.data["x0"]) == (max(len(reading) - 1, 0) if view.trace.projections else 0)
        assert marked(page) == {sequence: "read"}
        assert in_sight(page.sequence_pane.view)
        assert not in_sight(page.panes["overview"])
    page.selection.clear()
    assert marked(page) == {}
    assert in_sight(page.panes["overview"])
    assert len(front.steps.data["word"]) == 0
    with pytest.raises(InputError, match=rf"0\.\.{len(view.trace) - 1}"):
        page.selection.select(len(view.trace))


def test_a_wider_line_is_that_of_compared_sequences_too(data: Make) -> None:
    page = Page(data("binary"))
    page.selection.choose([4, 6])
    others = page.foregrounds[0].others
    before = np.asarray(others.data["width"])
    page.selection.options.line_width = 3.6
    assert np.allclose(others.data["width"], 2 * before)


def test_options_set_together_stay_as_they_were_set(data: Make) -> None:
    page = Page(data("binary"))
    options = page.selection.options
    options.param.update(label_after_distance=True, distance_threshold=57)
    page.selection.select(4)
    options.param.update(label_after_distance=False, distance_threshold=40)
    page.selection.step = 3
    assert (options.label_after_distance, options.distance_threshold) == (False, 40)
    assert page.rules.data["distance_threshold"] == [40]
    # What the browser says is taken for a drag of the line.
    page._ruled("data", None, {"distance_threshold": [33]})
    assert (options.label_after_distance, options.distance_threshold) == (True, 33)
    page._ruled("data", None, {"distance_threshold": [101]})
    page._ruled("data", None, {"distance_threshold": ["<b>"]})
    assert options.distance_threshold == 33


def test_what_the_browser_asks_is_checked(data: Make) -> None:
    page = Page(data("binary"))
    page.selection.select(4)
    for name, value in (("step", 99), ("step", -5), ("step", "x"), ("move", 7), ("nonsense", 1), (None, None)):
        page._asked("data", None, {"name": [name], "value": [value]})
        assert (page.selection.sequence, page.selection.step) == (4, None)
    page._asked("data", None, {})
    page._asked("data", None, {"name": ["step"], "value": [3]})
    assert page.selection.step == 3
    assert page.rules.data["own"] == [True]  # no order to the browser, which may have gone on
    page.selection.step = 5
    assert (page.rules.data["step"], page.rules.data["own"]) == ([5], [False])
    page._asked("data", None, {"name": ["clear"], "value": [0]})
    assert page.selection.sequence is None


def test_matrix_cell_filters_the_table(data: Make) -> None:
    view = data("five")
    page = Page(view)
    actual, predicted = (int(i) for i in np.unravel_index(view.overview.confusion.argmax(), (5, 5)))
    page.overview.choose(actual, predicted)
    rows = page.table.shown
    assert len(rows) == view.overview.confusion[actual, predicted]
    assert set(rows["class"]) == {view.trace.classes[actual]}
    assert set(rows["predicted"]) == {view.trace.classes[predicted]}
    page.table.move(1)
    page.table.move(1)
    assert page.selection.sequence == rows.index[min(1, len(rows) - 1)]
    page.overview.choose(actual, predicted)
    assert len(page.table.shown) == len(view.trace)


def test_moving_keeps_to_the_displayed_order(data: Make) -> None:
    page = Page(data("binary"))
    page.table.widget.sorters = [{"field": "confidence", "dir": "desc"}]
    order = page.table.shown.index.tolist()
    seen = []
    for _ in range(4):
        page.table.move(1)
        seen.append(page.selection.sequence)
    assert seen == order[:4]
    page.table.move(-1)
    assert page.selection.sequence == order[2]


def test_layers_have_their_own_distances(data: Make) -> None:
    page = Page(data("deep"))
    page.selection.select(4)
    last = np.array(page.charts._bars.data["top"])
    page.selection.layer = 0
    assert not np.allclose(last, page.charts._bars.data["top"])


@pytest.mark.parametrize("colour_by", ["prediction", "true"])
@pytest.mark.parametrize("name", ["binary", "many"])
def test_density_counts_every_state_in_the_window(data: Make, name: str, colour_by: str) -> None:
    view = data(name)
    points = view.coordinates("tsne")
    x, y = (float(np.median(points[:, 0])), 1e3), (-1e3, 1e3)
    image, inside = density_image(view, "tsne", colour_by, x, y, 60, 40)
    assert image.shape == (40, 60)
    assert inside == int((points[:, 0] >= x[0]).sum())
    assert (image >> 24).any()


def test_nearest_state(data: Make) -> None:
    view = data("binary")
    x, y = view.coordinates("tsne")[17].tolist()
    assert view.order("tsne").nearest(x, y, 1e-3) == 17
    assert view.order("tsne").nearest(1e6, 0.0, 1.0) is None


def test_example_is_deterministic_and_never_empty(data: Make) -> None:
    for name in ALL:
        view = data(name)
        index = view.example()
        assert index is not None
        assert index == data(name).example()
        assert len(view.reading(index)) > 0


def test_the_legend_names_what_is_drawn_beside_states_and_trajectory(data: Make) -> None:
    page = Page(data("five"))
    selection, classes = page.selection, data("five").trace.classes

    def said() -> str:
        return re.sub(r"<[^>]*>", " ", html.unescape(page._legend.object))

    wanted = ("first states", "last states", "mean path of", "your text", "where it parts")
    assert not [name for name in wanted if name in said()]
    selection.options.show_starts = True
    assert "first states" in said()
    assert "last states" not in said()
    selection.options.param.update(show_starts=False, show_lasts=True)
    assert "first states" not in said()
    assert "last states" in said()
    selection.flows = (1, 2)
    assert all(f"mean path of {classes[c]}" in said() for c in (1, 2))
    assert hex_of(page.palette.hues[[1]])[0] in page._legend.object.split("mean path of")[0]
    selection.flows = ()
    assert "mean path" not in said()
    # A text of one's own, as far as it is in the map.
    for typed, parted in ((True, True), (True, False), (False, False)):
        legend = MapLegend(page.data, selection, page.look, trajectory=False, typed=typed, parted=parted).html()
        assert ("your text" in legend, "where it parts" in legend) == (typed, parted)
    count = 4
    way = Way("your text", np.arange(2.0 * count).reshape(count, 2), np.zeros((count, 3), np.uint8))
    page.foregrounds[0].type(way, ["a", "b", "c", "d"], 2)
    page._show_legend()
    assert "your text" in said()
    assert "where it parts" in said()


def test_legend_names_are_escaped(data: Make) -> None:
    from hiddenstate_viewer.colours import Palette

    for count in (2, 3):
        assert "<script>" not in legend_html(Palette.of(["<script>", "b", "c"][:count]))


@pytest.mark.parametrize("name", ALL)
def test_report_is_whole_and_needs_no_network(data: Make, tmp_path: Path, name: str) -> None:
    view = data(name)
    for sequence in (None, 0) if name in ("binary", "bare") else (1,):
        write_report(view, tmp_path / "report.html", sequence=sequence)
        text = (tmp_path / "report.html").read_text("utf-8")
        assert len(text) < 8e6
        markup = re.sub(r"(?s)<script[^>]*>.*?</script>", "", text)
        assert not re.findall(r"(?:src|href)=[\"'](?!data:)", markup)
        assert "<script src" not in text
        body = markup[markup.index("<body>") :]
        shown = view.reading(view.example() or 0 if sequence is None else sequence)
        assert len(re.findall(r'class="hs-word[^"]*" data-step', body)) == len(shown)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("name", ALL)
def test_picture_is_a_png_of_the_stated_size(data: Make, tmp_path: Path, name: str) -> None:
    for sequence in (0, 1) if name == "binary" else (None,):
        write_picture(data(name), tmp_path / "picture.png", sequence=sequence)
        with Image.open(tmp_path / "picture.png") as image:
            assert image.format == "PNG"
            assert image.size == (2160, 1296)
            assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 50
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_report_and_picture_refuse_what_does_not_exist(stores: dict[str, Path], tmp_path: Path) -> None:
    trace = Trace(stores["binary"])
    for write in (write_report, write_picture):
        with pytest.raises(InputError, match="hiddenstate project"):
            write(trace, tmp_path / "out.png", projection="umap")
        with pytest.raises(InputError, match=r"0\.\.59"):
            write(trace, tmp_path / "out.png", sequence=60)
    assert not list(tmp_path.iterdir())


def test_ports(stores: dict[str, Path]) -> None:
    from urllib.request import urlopen

    with start(stores["bare"]) as first, start(stores["bare"], port=first.port) as second:
        assert first.port != second.port
        for server in (first, second):
            with urlopen(server.address, timeout=60) as answer:
                assert answer.status == 200
    with pytest.raises(InputError, match=r"0\.\.65535"):
        start(stores["bare"], port=70_000)


def test_names_beside_low_rows_lie_clear_of_each_other(data: Make) -> None:
    for row in (14, 22):
        charts = SequenceCharts(data("five").palette, row=row)
        middles = sorted(charts.heat.yaxis[0].major_label_overrides)
        assert np.diff(middles).min() * row >= 14 - 1e-9
        assert charts.heat.y_range.end * row <= charts.heat.height


def test_a_typed_text_takes_a_third_of_the_window_and_what_scrolls_says_so(data: Make) -> None:
    page = Page(data("five"))
    assert page.sentence.view.styles["max-height"] == "max(216px, 34vh)"
    for view in (page.sentence.view, page.sequence_pane.view, page.panes["overview"]):
        assert "auto" in view.styles["overflow"]
        assert any(MORE_CSS in str(sheet) for sheet in view.stylesheets)
    assert any(f"background: {MORE_CSS}" in str(sheet) for sheet in page.sequence_pane.words.stylesheets)
