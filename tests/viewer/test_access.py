"""Tokens, hosts, origins and paths: what is let in, what is refused, and what is said about it."""

from __future__ import annotations

import errno
import string
import unicodedata

import pytest
from hiddenstate_viewer.access import (
    Access,
    check_origin,
    check_prefix,
    choose_token,
    plain_path,
    public_origins,
    split_netloc,
)
from hiddenstate_viewer.limits import (
    MAX_CHARACTERS,
    MAX_WORDS,
    RateLimit,
    TooOftenError,
    check_arguments,
    check_text,
)
from hiddenstate_viewer.listening import UnreachableError, bind, bracketed, is_loopback, own_names, shown_host
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate_core.errors import InputError
from hiddenstate_core.viewing import ServeOptions

TOKEN = "a-token-of-some-length"
ACCESS = Access(5006, frozenset({"127.0.0.1", "localhost", "::1"}), check_origin("states.example.org"), TOKEN)


@pytest.fixture(autouse=True)
def no_token_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIDDENSTATE_TOKEN", raising=False)


# -- tokens ---------------------------------------------------------------------------------------------------------


def test_no_token_is_needed_where_only_this_machine_can_ask() -> None:
    assert choose_token(ServeOptions(), public=False) is None


def test_a_random_token_is_made_where_others_can_ask_and_never_the_same() -> None:
    found = {choose_token(ServeOptions(), public=True) for _ in range(20)}
    assert len(found) == 20
    assert all(token is not None and len(token) >= 43 for token in found)


def test_a_given_token_is_taken_on_any_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_token(ServeOptions(token=TOKEN), public=True) == TOKEN
    assert choose_token(ServeOptions(token=TOKEN), public=False) == TOKEN
    monkeypatch.setenv("HIDDENSTATE_TOKEN", "from-the-environment")
    assert choose_token(ServeOptions(), public=False) == "from-the-environment"
    assert choose_token(ServeOptions(token=TOKEN), public=False) == TOKEN
    assert choose_token(ServeOptions(no_token=True), public=True) is None


@pytest.mark.parametrize("bad", ["", "short", "x" * 15, "with space " * 3, "ü" * 20, "a/b?c=d&e#f-g-h-i"])
def test_a_token_that_is_short_or_does_not_fit_an_address_is_refused_without_repeating_it(bad: str) -> None:
    with pytest.raises(InputError, match="at least 16") as caught:
        choose_token(ServeOptions(token=bad), public=True)
    assert not bad or bad not in str(caught.value)


def test_a_token_both_given_and_declined_is_refused() -> None:
    with pytest.raises(InputError, match="not both"):
        choose_token(ServeOptions(token=TOKEN, no_token=True), public=True)


@given(st.one_of(st.none(), st.text(), st.binary()))
def test_only_the_right_token_is_right(other: str | bytes | None) -> None:
    assert ACCESS.right_token(TOKEN)
    assert ACCESS.right_token(TOKEN.encode())
    assert ACCESS.right_token(other) == (other in (TOKEN, TOKEN.encode()))
    assert not Access(5006, frozenset()).right_token(other)


def test_the_cookie_is_neither_the_token_nor_that_of_another_token_or_port() -> None:
    value = ACCESS.pass_value
    assert TOKEN not in value
    assert ACCESS.right_pass(value)
    assert not ACCESS.right_pass(TOKEN)
    assert not Access(5006, frozenset(), token=TOKEN + "x").right_pass(value)
    assert not Access(5006, frozenset()).right_pass(Access(5006, frozenset()).pass_value)
    assert ACCESS.cookie != Access(5007, frozenset()).cookie


def test_scripts_may_send_the_token_in_a_header() -> None:
    assert ACCESS.right_header(f"Bearer {TOKEN}")
    assert ACCESS.right_header(f"bearer  {TOKEN}")
    for bad in (None, "", TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x"):
        assert not ACCESS.right_header(bad)


def test_the_token_is_in_no_text_that_might_be_logged() -> None:
    assert TOKEN not in repr(ACCESS)
    assert TOKEN not in repr(ServeOptions(token=TOKEN))


# -- hosts and origins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:5006", "localhost:5006", "LOCALHOST:5006", "[::1]:5006"])
def test_own_names_with_the_own_port_are_known(host: str) -> None:
    assert ACCESS.knows_host(host)
    assert ACCESS.knows_origin(f"http://{host}")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:5007", "evil.example", "evil.example:5006", "localhost.evil.example:5006", "", ":5006",
     "a@127.0.0.1:5006", "127.0.0.1:5006@evil.example", "127.0.0.1:x", "[::1", "10.1.2.3:5006", "127.0.0.1:5006/"],
)  # fmt: skip
def test_other_names_and_ports_are_not(host: str) -> None:
    assert not ACCESS.knows_host(host)
    assert not ACCESS.knows_origin(f"http://{host}")


@pytest.mark.parametrize("origin", ["", "null", "file://", "127.0.0.1:5006", "ftp://127.0.0.1:5006", "http:127.0.0.1"])
def test_an_origin_that_is_no_web_page_is_not_known(origin: str) -> None:
    assert not ACCESS.knows_origin(origin)


def test_the_address_on_which_a_request_came_in_is_known_by_number_only() -> None:
    assert ACCESS.knows_host("10.1.2.3:5006", local="10.1.2.3")
    assert ACCESS.knows_host("10.1.2.3:5006", local="::ffff:10.1.2.3")
    assert not ACCESS.knows_host("10.1.2.3:80", local="10.1.2.3")
    assert not ACCESS.knows_host("10.1.2.4:5006", local="10.1.2.3")
    assert not ACCESS.knows_host("evil.example:5006", local="10.1.2.3")


def test_a_proxy_is_known_by_the_ports_of_the_web_or_by_its_own() -> None:
    assert ACCESS.knows_host("states.example.org")
    assert ACCESS.knows_origin("https://states.example.org")
    assert ACCESS.knows_origin("http://states.example.org:80")
    assert not ACCESS.knows_origin("https://states.example.org:8443")
    assert check_origin("https://Other.example:8443/") == {("other.example", 8443)}


@pytest.mark.parametrize("bad", ["", "*", "*.example.org", "a b", "host:port", "host:99999", "a@b", "host/path"])
def test_a_proxy_that_is_no_host_is_refused(bad: str) -> None:
    with pytest.raises(InputError, match="--origin takes"):
        check_origin(bad)


def test_only_a_proxy_that_others_can_reach_counts_as_public() -> None:
    assert public_origins(check_origin("states.example.org"))
    assert not public_origins(check_origin("localhost:8080") | check_origin("127.0.0.1:8080") | check_origin("[::1]:1"))
    assert not public_origins([])


@given(st.text())
def test_any_host_header_is_split_or_refused(text: str) -> None:
    found = split_netloc(text)
    assert found is None or (isinstance(found[0], str) and 0 <= found[1] <= 65_535)


# -- paths ----------------------------------------------------------------------------------------------------------

GOOD_PATHS = [
    "/",
    "/s/imdb",
    "/s/imdb/ws",
    "/tools/states/s/a.b-c_d/",
    "/static/js/bokeh.min.js",
    "/static/a@%5E1/x.js",
]
BAD_PATHS = [
    "", "s/imdb", "//", "//evil.example/", "/s//imdb", "/../etc/passwd", "/s/..", "/s/./imdb", "/.../x", "/s/%2e%2e/x",
    "/s/%252e%252e/x", "/s/..%2f..%2fetc", "/s\\imdb", "/s/%5c..", "/s/imdb%00", "/s/im\0db", "/s/im db", "/s/ïmdb",
    "/" + "a" * 600, "/s/<script>", "http://evil.example/", "/s/imdb?x", "/s/imdb;x", "/s/imdb\n",
]  # fmt: skip


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_paths_of_this_server_are_plain(path: str) -> None:
    assert plain_path(path) == path


@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_that_could_lead_elsewhere_are_none_of_this_server(path: str) -> None:
    assert plain_path(path) is None


@given(st.text(alphabet=string.printable + "\0é"))
def test_a_plain_path_never_climbs(path: str) -> None:
    found = plain_path(path)
    if found is not None:
        assert found.startswith("/")
        assert "//" not in found
        assert not {".", ".."} & set(found.split("/"))
        assert not set(found) & set("\\\0\n\r ?#<>\"'&;")


@pytest.mark.parametrize(("given", "taken"), [("", ""), ("/", ""), ("tools", "/tools"), ("/tools/hs/", "/tools/hs")])
def test_a_prefix_is_taken_with_or_without_slashes(given: str, taken: str) -> None:
    assert check_prefix(given) == taken


@pytest.mark.parametrize("bad", ["/a//b", "/../x", "/a b", "/a?b", "/ä", "/a/./b", "/a%20b", "/(.*)"])
def test_a_prefix_that_is_no_plain_path_is_refused(bad: str) -> None:
    with pytest.raises(InputError, match="--prefix takes"):
        check_prefix(bad)


# -- listening ------------------------------------------------------------------------------------------------------


def test_loopback_is_told_from_what_others_can_reach() -> None:
    for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost"):
        assert is_loopback(host), host
    for host in ("0.0.0.0", "::", "", "10.1.2.3", "192.0.2.7", "fe80::1", "::ffff:10.1.2.3"):
        assert not is_loopback(host), host
    assert is_loopback("::ffff:127.0.0.1")


def test_a_name_of_no_machine_is_refused_in_one_sentence() -> None:
    for host in ("no-such-machine.invalid", "a..b", "x" * 300):
        with pytest.raises(UnreachableError, match=r"--host 127\.0\.0\.1"):
            is_loopback(host)


def test_an_address_of_another_machine_is_refused_in_one_sentence() -> None:
    with pytest.raises(UnreachableError, match=r"192\.0\.2\.7 is not an address of this machine"):
        bind("192.0.2.7", 0)
    with pytest.raises(InputError, match=r"0\.\.65535"):
        bind("127.0.0.1", 70_000)


def test_a_reserved_port_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hiddenstate_viewer.listening._listen", denied)
    with pytest.raises(UnreachableError, match="Port 80 is kept for the administrator"):
        bind("127.0.0.1", 80)


def test_the_next_free_port_is_taken_and_twenty_taken_ones_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    first, port = bind("127.0.0.1", 0)
    try:
        second, other = bind("127.0.0.1", min(port, 65_500))
        try:
            assert other != port
        finally:
            for one in second:
                one.close()
    finally:
        for one in first:
            one.close()

    def busy(*_: object, **__: object) -> None:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr("hiddenstate_viewer.listening._listen", busy)
    with pytest.raises(UnreachableError, match="Ports 5006 to 5025 are all in use"):
        bind("127.0.0.1", 5006)


def test_names_of_the_server_include_the_machine_only_for_a_wildcard() -> None:
    sockets, _ = bind("127.0.0.1", 0)
    try:
        assert own_names("127.0.0.1", sockets) == {"127.0.0.1", "localhost", "::1"}
        assert own_names("0.0.0.0", sockets) > {"127.0.0.1", "localhost"}
        assert not own_names("0.0.0.0", sockets) & {"", "0.0.0.0", "::"}
    finally:
        for one in sockets:
            one.close()
    assert shown_host("localhost") == "localhost"
    assert shown_host("0.0.0.0") != "0.0.0.0"
    assert bracketed("::1") == "[::1]"


# -- limits ---------------------------------------------------------------------------------------------------------


def test_a_text_is_data_and_comes_back_as_it_was() -> None:
    assert check_text("  it was <b>not</b>\n\tbad & {{ 7 * 7 }}  ") == "it was <b>not</b> bad & {{ 7 * 7 }}"
    assert check_text("日本語 e\u0301 👩\u200d🔬") == "日本語 é 👩\u200d🔬"


@pytest.mark.parametrize("bad", ["", "   \n\t", "nul\0", "bell\a", "escape\x1b[2J", "\ud800 alone", "del\x7f"])
def test_what_is_no_text_is_refused(bad: str) -> None:
    with pytest.raises(InputError):
        check_text(bad)


def test_a_long_text_is_refused_by_characters_and_by_words() -> None:
    assert len(check_text("x" * MAX_CHARACTERS)) == MAX_CHARACTERS
    with pytest.raises(InputError, match="10,001 characters; at most 10,000"):
        check_text("x" * (MAX_CHARACTERS + 1))
    assert len(check_text("x " * MAX_WORDS).split()) == MAX_WORDS
    with pytest.raises(InputError, match="2,001 words; at most 2,000"):
        check_text("x " * (MAX_WORDS + 1))


@given(st.text())
def test_any_text_is_refused_by_name_or_comes_back_with_the_same_words(text: str) -> None:
    try:
        found = check_text(text)
    except InputError:
        assert not text.strip() or any(unicodedata.category(c) in ("Cc", "Cs") for c in text)
    else:
        assert len(found.split()) == len(text.split())
        assert check_text(found) == found


def test_the_rate_is_limited_after_a_burst_and_recovers() -> None:
    now = [0.0]
    limit = RateLimit(5, 10, clock=lambda: now[0])
    assert [limit.allow() for _ in range(12)] == [True] * 10 + [False] * 2
    now[0] += 0.21
    assert [limit.allow() for _ in range(2)] == [True, False]
    now[0] += 1_000
    assert sum(limit.allow() for _ in range(30)) == 10
    now[0] -= 500  # a clock that goes back gives nothing
    with pytest.raises(TooOftenError, match="5 requests a second"):
        limit.check()


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.1, 20), st.integers(1, 20))
def test_no_more_pass_than_burst_and_rate_allow(pauses: list[float], rate: float, burst: int) -> None:
    now = [0.0]
    limit = RateLimit(rate, burst, clock=lambda: now[0])
    passed = 0
    for pause in pauses:
        now[0] += pause
        passed += limit.allow()
    assert passed <= burst + rate * now[0] + 1e-6


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, 0)])
def test_a_rate_that_cannot_be_meant_is_refused(rate: float, burst: int) -> None:
    with pytest.raises(InputError, match="positive rate"):
        RateLimit(rate, burst)


def test_arguments_of_an_address_are_text_of_bounded_length_and_never_the_token() -> None:
    given = {"a": [b"1", "zwei ü".encode()], "token": [TOKEN.encode()], "bad": [b"\xff"], "nul": [b"a\0"], "none": []}
    assert check_arguments(given) == {"a": "zwei ü"}
    assert check_arguments({"long": [b"x" * 9_000], "x" * 65: [b"1"], "n\n": [b"1"]}) == {}
    assert len(check_arguments({f"n{i}": [b"1"] for i in range(500)})) == 64
