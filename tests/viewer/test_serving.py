"""Serving: several stores, who is let in, what a request may reach, stores that go bad, and how it all ends."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hiddenstate_viewer import routes
from hiddenstate_viewer.catalogue import unique_names
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.serve import ServeOptions, ViewerServer, start

from hiddenstate_core.cli.app import main
from hiddenstate_core.errors import HiddenStateError, InputError, StoreNotFoundError
from tests.fakes import make_corpus, make_model, make_trace
from tests.viewer.serving import Answer, ask, handshake, page_token, proxy, until

TOKEN = "a-token-of-some-length"
ROWS = ".hs-table .tabulator-row"
STATIC = "/static/js/bokeh.min.js"


@pytest.fixture(autouse=True)
def no_token_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIDDENSTATE_TOKEN", raising=False)


@pytest.fixture(scope="module")
def several(stores: dict[str, Path]) -> Iterator[ViewerServer]:
    with start([stores["binary"], stores["many"]]) as running:
        until(lambda: running.ready)
        yield running


@pytest.fixture(scope="module")
def guarded(stores: dict[str, Path]) -> Iterator[ViewerServer]:
    with start(stores["binary"], options=ServeOptions(token=TOKEN)) as running:
        until(lambda: running.ready)
        yield running


@pytest.fixture(scope="module")
def cookie(guarded: ViewerServer) -> str:
    found = ask(guarded.port, f"/?token={TOKEN}").headers["set-cookie"]
    return found.split(";")[0]


def opened(server: ViewerServer, path: str, **headers: str) -> Answer:
    """A page, once its store is open."""
    answer = until(lambda: None if "is being opened" in (got := ask(server.port, path, **headers)).text else got)
    assert isinstance(answer, Answer)
    return answer


def plain(answer: Answer) -> None:
    """An answer in the house's style that tells nothing of the server's inside."""
    assert "<h1>hiddenstate</h1>" in answer.text
    assert "Traceback" not in answer.text
    assert not re.search(r"File \"|site-packages|tornado", answer.text)


# -- several stores -------------------------------------------------------------------------------------------------


def test_the_start_page_lists_every_store_with_size_classes_and_projections(several: ViewerServer) -> None:
    text = ask(several.port, "/").text
    assert 'href="/s/binary"' in text
    assert 'href="/s/many"' in text
    assert "60 sequences" in text
    assert "negative, positive" in text
    assert "90 classes" in text
    assert "and 85 more" in text
    assert "projections: pca, tsne" in text
    for name in ("binary", "many"):
        assert opened(several, f"/s/{name}").status == 200
    assert ask(several.port, "/s/other").status == 404


def test_one_store_is_at_the_root_and_under_its_name(guarded: ViewerServer, cookie: str) -> None:
    for path in ("/", "/s/binary"):
        answer = opened(guarded, path, Cookie=cookie)
        assert answer.status == 200
        assert "binary.zarr · hiddenstate" in answer.text
    assert ask(guarded.port, "/s/binary/?sequence=3", Cookie=cookie).headers["location"] == "/s/binary?sequence=3"


def test_names_are_unique_and_plain_whatever_the_folders_are_called() -> None:
    paths = ["a/x.zarr", "b/x.zarr", "c/X", "d/ü ä?.zarr", "e/..zarr", "f/x-2.zarr", "g/" + "y" * 200]
    names = unique_names([Path(path) for path in paths])
    assert len({name.lower() for name in names}) == len(names)
    assert names[:2] == ["x", "x-2"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", name) for name in names)


def test_the_name_of_a_store_is_text_never_markup(tmp_path: Path) -> None:
    path = tmp_path / 'a<b>{{7*7}}%}"&.zarr'
    make_trace(path, 4)
    with start([path, path]) as running:
        listing = ask(running.port, "/").text
        until(lambda: running.ready)
        page = opened(running, "/s/a-b-7-7")
    assert page.status == 200
    assert "a&lt;b&gt;{{7*7}}%}&#34;&amp;.zarr" in page.text
    assert "<b>{{" not in page.text + listing


def test_nothing_to_serve_and_stores_that_are_not_there_are_refused_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one store"):
        start([])
    with pytest.raises(StoreNotFoundError, match="no trace store"):
        start([tmp_path / "nowhere.zarr"])
    with pytest.raises(InputError, match="--prefix"):
        start([tmp_path], options=ServeOptions(prefix="/a b"))


def test_a_checkpoint_goes_to_the_store_it_recorded_and_another_is_refused(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    make_model(make_corpus(60)).save(tmp_path / "right")
    make_model(make_corpus(60), seed=9).save(tmp_path / "wrong")
    with pytest.raises(InputError, match=r"wrong recorded none of the stores .*binary\.zarr"):
        start([stores["binary"]], models=[tmp_path / "wrong"])
    with start([stores["binary"], stores["many"]], models=[tmp_path / "right"]) as running:
        until(lambda: running.ready)
        assert ask(running.port, "/").text.count("reads typed sentences") == 1


# -- who is let in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/s/binary", STATIC, "/static/extensions/panel/panel.min.js", "/s/other", "/ws"])
def test_without_the_token_nothing_is_served(guarded: ViewerServer, path: str) -> None:
    for headers in ({}, {"Cookie": f"hiddenstate-{guarded.port}={TOKEN}"}, {"Authorization": f"Bearer {TOKEN}x"}):
        answer = ask(guarded.port, path, **headers)
        assert answer.status == 403
        assert "needs a token" in answer.text
        plain(answer)
    assert "set-cookie" not in answer.headers


def test_a_wrong_token_is_refused_and_not_repeated(guarded: ViewerServer) -> None:
    for wrong in ("", "x" * 30, TOKEN[:-1], TOKEN + "x", "%00", "%ff", TOKEN.upper()):
        answer = ask(guarded.port, f"/?token={wrong}")
        assert answer.status == 403
        assert "is not right" in answer.text
        assert "set-cookie" not in answer.headers
        assert not wrong or f">{wrong}<" not in answer.text


def test_the_right_token_goes_into_a_cookie_that_no_script_reads_and_out_of_the_address(guarded: ViewerServer) -> None:
    answer = ask(guarded.port, f"/s/binary?sequence=3&token={TOKEN}&theme=dark")
    assert answer.status == 200
    assert {"HttpOnly", "Path=/", "SameSite=Strict"} <= set(answer.headers["set-cookie"].split("; "))
    assert TOKEN not in answer.headers["set-cookie"] + answer.text
    assert "url=/s/binary?sequence=3&amp;theme=dark" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_cookie_or_a_header_lets_in(guarded: ViewerServer, cookie: str) -> None:
    assert opened(guarded, "/", Cookie=cookie).status == 200
    assert opened(guarded, "/", Authorization=f"Bearer {TOKEN}").status == 200
    static = ask(guarded.port, f"{STATIC}?v=1", Cookie=cookie)
    assert static.status == 200
    assert static.headers["cache-control"].startswith("private")


def test_a_link_on_another_site_is_asked_for_again_by_our_own_page(guarded: ViewerServer) -> None:
    assert 'http-equiv="refresh"' in ask(guarded.port, "/?a=1", Sec_Fetch_Site="cross-site").text
    assert 'http-equiv="refresh"' not in ask(guarded.port, "/?a=1", Sec_Fetch_Site="same-origin").text


def test_other_machines_need_a_token_unless_it_is_declined(stores: dict[str, Path]) -> None:
    with start(stores["binary"], host="0.0.0.0") as running:
        assert running.token is not None
        assert running.address.endswith(f"/?token={running.token}")
        assert "//0.0.0.0" not in running.address
        assert ask(running.port, "/").status == 403
        assert ask(running.port, f"/?token={running.token}").status == 200
    with start(stores["binary"], host="0.0.0.0", options=ServeOptions(no_token=True)) as running:
        assert running.token is None
        assert opened(running, "/").status == 200
    with start(stores["binary"], options=ServeOptions(origins=("states.example.org",))) as running:
        assert running.token is not None
    with start(stores["binary"]) as running:
        assert running.token is None


def test_a_foreign_name_that_points_here_is_refused(several: ViewerServer) -> None:
    answer = ask(several.port, "/s/binary", Host=f"evil.example:{several.port}")
    assert answer.status == 421
    assert "--origin evil.example" in answer.text
    plain(answer)
    assert ask(several.port, "/", Host=f"localhost:{several.port}").status == 200
    assert ask(several.port, "/ready", Host="probe").status == 200


def test_a_websocket_needs_token_and_origin(guarded: ViewerServer, cookie: str) -> None:
    token = page_token(opened(guarded, "/", Cookie=cookie).text)
    address, own = f"ws://127.0.0.1:{guarded.port}/ws", f"http://127.0.0.1:{guarded.port}"
    assert handshake(address, token, Origin=own) == 403
    for foreign in ("https://evil.example", "null", f"http://127.0.0.1:{guarded.port + 1}", f"{own}.evil.example"):
        assert handshake(address, token, Origin=foreign, Cookie=cookie) == 403, foreign
    assert handshake(f"{address}?token={TOKEN}", token, Origin=own) == 403
    assert handshake(address, token, Origin=own, Cookie=cookie) == 101


def test_a_proxys_origin_is_let_in_when_named(stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOKEH_ALLOW_WS_ORIGIN", "evil.example")  # Bokeh's own list is not asked
    options = ServeOptions(no_token=True, origins=("states.example.org",))
    with start(stores["binary"], options=options) as running:
        token = page_token(opened(running, "/", Host="states.example.org").text)
        address = f"ws://127.0.0.1:{running.port}/ws"
        assert handshake(address, token, Origin="https://states.example.org") == 101
        assert handshake(address, token, Origin="https://evil.example") == 403


def test_a_session_that_this_server_did_not_begin_is_refused(several: ViewerServer) -> None:
    payload = base64.urlsafe_b64encode(json.dumps({"session_id": "mine", "session_expiry": 9_999_999_999}).encode())
    made_up = payload.decode().rstrip("=")
    for token in ("garbage", made_up, f"{made_up}.{'A' * 43}", "x" * 4_000):
        assert handshake(f"ws://127.0.0.1:{several.port}/s/binary/ws", token) != 101
    first = page_token(opened(several, "/s/binary?bokeh-session-id=mine").text)
    body = first.split(".")[0]
    assert json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["session_id"] != "mine"
    assert ask(several.port, "/alive").status == 200


def test_a_page_holds_neither_cookies_nor_headers(guarded: ViewerServer, cookie: str) -> None:
    token = page_token(opened(guarded, "/", Cookie=cookie, User_Agent="a-secret-browser").text)
    body = token.split(".")[0]
    inside = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode("utf-8", "replace")
    assert "a-secret-browser" not in inside
    assert cookie.split("=")[1] not in inside
    packed = json.loads(inside).get("__bk__zlib_")
    if packed is not None:
        import zlib

        unpacked = zlib.decompress(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))).decode()
        assert "a-secret-browser" not in unpacked
        assert cookie.split("=")[1] not in unpacked


# -- what a request may reach ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/%252e%252e/etc/passwd", "/s/..%2f..%2fetc%2fpasswd",
     "/static/../../../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/static//etc/passwd", "/static/js/%00",
     "/static/extensions/panel/../../../../../etc/passwd", "/static/extensions/panel//etc/passwd", "//etc/passwd",
     "/s/binary/../../..", "/s\\..\\..", "/s/binary%00.zarr", "/s/" + "a" * 5_000, "/s/binary/zarr.json",
     "/s/binary/steps/tokens/zarr.json", "/static/extensions/none/x.js", "/static/js/none.js", "/static/",
     "/s/binary/metadata", "/metadata", "/s/binary/autoload.js?bokeh-autoload-element=x", "/favicon.ico", "/none",
     "/components/os/path/__file__/x", "/components/this/x/_css/y", "/login", "/admin", "/rest/x", "/%s%n", "/;a=1"],
)  # fmt: skip
def test_no_path_leads_out_of_what_is_served(several: ViewerServer, path: str) -> None:
    answer = ask(several.port, path)
    assert answer.status in (403, 404)
    assert "root:x" not in answer.text
    assert "zarr_format" not in answer.text
    assert "set-cookie" not in answer.headers
    plain(answer)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_pages_can_be_looked_at_only(several: ViewerServer, method: str) -> None:
    for path in ("/", "/s/binary", STATIC):
        answer = ask(several.port, path, method=method)
        assert answer.status == 405
        plain(answer)


@pytest.mark.parametrize("path", ["/", "/alive", "/ready", "/s/binary", "/s/binary/", "/none", STATIC])
def test_head_is_answered_as_get_is_without_a_body(several: ViewerServer, path: str) -> None:
    whole = opened(several, path)
    before = several.sessions
    bare = ask(several.port, path, method="HEAD")
    assert bare.status == whole.status
    assert bare.text == ""
    varying = ("date", "content-length", "etag")  # a page is another one each time
    assert {n: v for n, v in bare.headers.items() if n not in varying} == {
        n: v for n, v in whole.headers.items() if n not in varying
    }
    assert bare.headers.get("content-length") in (whole.headers.get("content-length"), None)
    assert several.sessions <= before  # nobody would come for one


def test_a_request_that_is_too_large_ends_without_the_server(several: ViewerServer) -> None:
    with pytest.raises((ConnectionError, OSError, __import__("http.client").client.HTTPException)):
        assert ask(several.port, "/", Padding="x" * 100_000).status == 431
        raise ConnectionError  # either answer will do
    assert ask(several.port, "/alive").status == 200


def test_every_answer_keeps_to_itself(several: ViewerServer) -> None:
    for path in ("/", "/s/binary", "/none", STATIC, "/ready"):
        headers = opened(several, path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "connect-src 'self'" in headers["content-security-policy"] or path in ("/", "/none", "/ready")
        assert "tornado" not in headers["server"].lower()
        assert "access-control-allow-origin" not in headers
        assert headers["cache-control"] == ("public, max-age=3600" if path == STATIC else "no-store")


# -- stores that go bad ---------------------------------------------------------------------------------------------


def test_a_vanished_store_gives_a_page_that_says_so_and_comes_back_without_a_restart(tmp_path: Path) -> None:
    first, second = tmp_path / "first.zarr", tmp_path / "second.zarr"
    make_trace(first, 8)
    make_trace(second, 8, seed=1)
    with start([first, second]) as running:
        until(lambda: running.ready)
        token = page_token(opened(running, "/s/first").text)
        first.rename(tmp_path / "elsewhere")
        answer = ask(running.port, "/s/first")
        assert answer.status == 503
        assert "first.zarr is not there any more" in answer.text
        assert str(tmp_path) not in answer.text
        plain(answer)
        assert "first.zarr is not there any more" in ask(running.port, "/").text
        assert opened(running, "/s/second").status == 200
        # A browser that comes back to a session which was freed meanwhile.
        assert handshake(f"ws://127.0.0.1:{running.port}/s/first/ws", token) == 101
        (tmp_path / "elsewhere").rename(first)
        assert opened(running, "/s/first").status == 200
        assert "not there any more" not in ask(running.port, "/").text


@pytest.mark.parametrize("part", ["zarr.json", "sequences/offsets/c/0", "steps/probabilities/c/0/0"])
def test_a_damaged_store_gives_a_page_that_says_so_until_it_is_whole(tmp_path: Path, part: str) -> None:
    path = make_trace(tmp_path / "t.zarr", 8).path
    whole = (path / part).read_bytes()
    with start(path) as running:
        assert opened(running, "/").status == 200
        (path / part).write_bytes(whole[: len(whole) // 2])
        answer = opened(running, "/")
        assert answer.status == 503
        assert "t cannot be shown" in answer.text
        assert str(tmp_path) not in answer.text
        plain(answer)
        (path / part).write_bytes(whole)
        assert opened(running, "/").status == 200


def test_another_recording_at_the_same_place_is_shown_as_it_is(tmp_path: Path) -> None:
    path = make_trace(tmp_path / "t.zarr", 8).path
    make_trace(tmp_path / "other.zarr", 12, classes=5)
    with start([path, tmp_path / "other.zarr"]) as running:
        until(lambda: running.ready)
        assert "8 sequences" in ask(running.port, "/").text
        shutil.rmtree(path)
        shutil.copytree(tmp_path / "other.zarr", path)
        until(lambda: ask(running.port, "/").text.count("12 sequences") == 2)


def test_a_page_that_cannot_be_built_says_so_and_keeps_the_reason_to_the_log(
    stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr("hiddenstate_viewer.serve._session_page", broken)
    with start(stores["binary"]) as running:
        answer = opened(running, "/")
        assert answer.status == 200
        assert "secret" not in answer.text
        assert ask(running.port, "/alive").status == 200
    assert "cannot be built" in caplog.text


# -- readiness, sessions, ends --------------------------------------------------------------------------------------


def test_the_server_answers_while_a_store_is_being_read_and_says_when_it_is_ready(
    stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    check = ViewData.check

    def slow(self: ViewData) -> None:
        assert go.wait(60)
        check(self)

    monkeypatch.setattr(ViewData, "check", slow)
    monkeypatch.setattr(routes, "PATIENCE", 0.05)
    with start(stores["binary"], options=ServeOptions(token=TOKEN)) as running:
        try:
            ready = ask(running.port, "/ready")
            assert (ready.status, json.loads(ready.text)) == (503, {"ready": False})
            assert json.loads(ask(running.port, "/alive").text) == {"alive": True}
            answer = ask(running.port, "/", Authorization=f"Bearer {TOKEN}")
            assert answer.status == 503
            assert answer.headers["retry-after"] == "2"
            assert "binary is being opened" in answer.text
        finally:
            go.set()
        until(lambda: ask(running.port, "/ready").status == 200)
        assert json.loads(ask(running.port, "/ready").text) == {"ready": True}
        assert opened(running, "/", Authorization=f"Bearer {TOKEN}").status == 200


def test_no_more_sessions_begin_than_are_allowed(stores: dict[str, Path]) -> None:
    with start(stores["binary"], options=ServeOptions(max_sessions=2)) as running:
        for _ in range(2):
            assert opened(running, "/").status == 200
        assert running.sessions == 2
        answer = ask(running.port, "/")
        assert answer.status == 503
        assert "No place is free" in answer.text
        assert running.sessions == 2
    with pytest.raises(InputError, match="At least one page"):
        ServeOptions(max_sessions=0)


def test_a_closed_tab_is_freed_soon_and_a_page_that_never_connects_in_the_end(
    stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "LINGER", 200)
    monkeypatch.setattr(routes, "SWEEP", 50)
    monkeypatch.setattr(routes, "GRACE", 3.0)
    with start(stores["binary"]) as running:
        tokens = [page_token(opened(running, "/").text) for _ in range(3)]
        for token in tokens[:2]:
            assert handshake(f"ws://127.0.0.1:{running.port}/ws", token) == 101
        until(lambda: running.sessions == 1)
        until(lambda: running.sessions == 0)


def test_two_servers_stand_beside_each_other(stores: dict[str, Path]) -> None:
    with start(stores["binary"]) as one, start(stores["binary"], port=one.port) as other:
        assert one.port != other.port
        assert ask(one.port, "/alive").status == ask(other.port, "/alive").status == 200
        one.stop()
        one.stop()
        assert ask(other.port, "/alive").status == 200


def test_ipv6_is_served_in_brackets(stores: dict[str, Path]) -> None:
    try:
        running = start(stores["binary"], host="::1")
    except HiddenStateError:
        pytest.skip("this machine has no IPv6")
    with running:
        assert running.address == f"http://[::1]:{running.port}/"
        assert ask(running.port, "/alive", host="::1").status == 200
        assert opened_status(running, "::1") == 200


def opened_status(server: ViewerServer, host: str) -> int:
    return int(until(lambda: (got := ask(server.port, "/", host=host).status) != 503 and got))


def test_the_command_line_refuses_in_one_line(stores: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    store = str(stores["binary"])
    for arguments, said in [
        (["--host", "no-such-machine.invalid"], "no machine called"),
        (["--host", "192.0.2.7"], "not an address of this machine"),
        (["--token", "short"], "at least 16"),
        (["--token", TOKEN, "--no-token"], "not both"),
        (["--origin", "*"], "--origin takes"),
        (["--prefix", "/../x"], "--prefix takes"),
        (["--model", store], "lacks model.json"),
    ]:
        assert main(["view", store, "--port", "0", *arguments]) == 2, arguments
        error = capfd.readouterr().err
        assert error.count("\n") == 1, error
        assert said in error, error


def test_ctrl_c_ends_the_command_without_a_word(stores: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "hiddenstate_core.cli.app", "view", str(stores["binary"]), str(stores["many"])]
    child = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert address is not None, line
        assert ask(int(address[1]), "/").status == 200
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0
    assert "Traceback" not in error


# -- in a browser ---------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_a_browser_trades_the_token_for_a_cookie_and_keeps_it(
    guarded: ViewerServer, open_tab: Callable[..., Any]
) -> None:
    tab = open_tab(guarded.address + "&theme=light")
    tab.page.locator(ROWS).first.wait_for()
    assert "token" not in tab.page.url
    assert "theme=light" in tab.page.url
    assert tab.page.evaluate("() => document.cookie") == ""
    tab.page.goto(f"http://127.0.0.1:{guarded.port}/s/binary")
    tab.page.locator(ROWS).first.wait_for()
    assert tab.page.evaluate("() => performance.getEntriesByType('navigation')[0].name").find(TOKEN) == -1
    assert tab.complaints == []
    assert tab.strangers == []
    stranger = open_tab(f"http://127.0.0.1:{guarded.port}/")
    assert "needs a token" in stranger.page.locator("main").inner_text()


@pytest.mark.browser
def test_a_browser_shows_one_sentence_for_a_vanished_store_and_the_page_once_it_is_back(
    tmp_path: Path, open_tab: Callable[..., Any]
) -> None:
    path = make_trace(tmp_path / "t.zarr", 8).path
    with start(path) as running:
        until(lambda: running.ready)
        path.rename(tmp_path / "elsewhere")
        tab = open_tab(running.address)
        assert "t.zarr is not there any more" in tab.page.locator("main").inner_text()
        (tmp_path / "elsewhere").rename(path)
        tab.page.get_by_text("Try again").click()
        tab.page.locator(ROWS).first.wait_for()


@pytest.mark.browser
@pytest.mark.parametrize("strip", [False, True])
def test_a_browser_works_behind_a_proxy_with_a_prefix_that_is_kept_or_taken_away(
    stores: dict[str, Path], open_tab: Callable[..., Any], strip: bool
) -> None:
    prefix = "/tools/hs"
    options = ServeOptions(token=TOKEN, prefix=prefix, origins=("127.0.0.1:1",))
    with start([stores["binary"], stores["five"]], options=options) as first:
        until(lambda: first.ready)
        with proxy(first.port, prefix, strip=strip) as front:
            # The proxy's port is known only now; a second server knows it from the start.
            options = ServeOptions(token=TOKEN, prefix=prefix, origins=(f"127.0.0.1:{front}",))
            first.stop()
            with start([stores["binary"], stores["five"]], port=first.port, options=options) as running:
                assert running.port == first.port
                until(lambda: running.ready)
                tab = open_tab(f"http://127.0.0.1:{front}{prefix}?token={TOKEN}")
                tab.page.get_by_role("link", name="five").click()
                tab.page.locator(ROWS).first.wait_for()
                assert tab.page.url.startswith(f"http://127.0.0.1:{front}{prefix}/s/five")
                tab.page.locator(ROWS).nth(4).click()
                tab.page.locator(".hs-word").first.wait_for()
                assert tab.complaints == []
