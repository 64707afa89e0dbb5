"""New releases: a feed from real servers on loopback, good, odd and hostile ones, and when it is asked."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent.versions import LATEST_KNOWN
from waguard.observe import releases
from waguard.observe.releases import NotFetched, Upstream, look, newest
from waguard.settings import VersionSettings

NOW = 1.8e9
DAY = 86400.0
TABLE = str(LATEST_KNOWN.version)


def release(tag: Any, **more: Any) -> dict[str, Any]:
    return {"tag_name": tag, "draft": False, "prerelease": False, "published_at": "2026-03-05T19:04:05Z", **more}


FEED = json.dumps([release("pre-v2.17.0.1", prerelease=True), release("v2.16.0.1"), release("v2.15.0.1")]).encode()


@pytest.fixture(autouse=True)
def no_proxy_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Web:
    """A server; ``answer`` does what a test wants with a request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: say(handler, 200, FEED, ETag='"one"')
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                web.asked.append((self.path, dict(self.headers)))
                with contextlib.suppress(OSError):
                    web.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/releases"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def look(self, state: Optional[Any] = None, now: float = NOW, proxy: Optional[str] = None, allowed: bool = True,
             url: str = "") -> Upstream:
        return look(VersionSettings(feed=url or self.url), state, now, proxy, allowed)


def say(handler: BaseHTTPRequestHandler, code: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    yield made
    made.close()


class TestNewest:
    @pytest.mark.parametrize(("feed", "found"), [
        ([release("v2.16.0.1")], ("2.16.0.1", "2026-03-05")),
        ([release("2.16.0.1")], ("2.16.0.1", "2026-03-05")),
        ([release("v2.9.0.4"), release("v2.16.0.1", published_at="2026-01-01T00:00:00Z"), release("v2.10.0.8")], ("2.16.0.1", "2026-01-01")),
        ([release("v2.17.0.1", draft=True), release("v2.18.0.1", prerelease=True), release("v2.16.0.1")], ("2.16.0.1", "2026-03-05")),
        ([release("pre-v2.17.0.1"), release("v2.16.0.1-rc1"), release("v2.15.0.1")], ("2.15.0.1", "2026-03-05")),
        ([release("v9.9.9.9"), release("v2.15.0.1")], ("2.15.0.1", "2026-03-05")),
        ([{"tag_name": "v2.16.0.1"}], ("2.16.0.1", "")),
        ([release("v2.16.0.1", published_at="yesterday")], ("2.16.0.1", "")),
        ([None, 7, "x", [], {}, release(None), release(["v3.0"]), release("v2.16.0.1", published_at=7)], ("2.16.0.1", "")),
    ])
    def test_is_the_newest_full_release(self, feed: Any, found: tuple[str, str]) -> None:
        assert newest(json.dumps(feed).encode()) == found

    @pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"{}", b"7", b"[]", b"[" * 100000, b"[" + b"9" * 9999 + b"]",
                                      json.dumps([release("v9.9.9.9")]).encode(), json.dumps([release("pre-v2.17.0.1")]).encode()])
    def test_of_a_feed_without_one_it_is_said(self, body: bytes) -> None:
        with pytest.raises(NotFetched, match="^the feed "):
            newest(body)

    @given(st.binary() | st.recursive(st.none() | st.text() | st.integers() | st.booleans(),
                                      lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["tag_name", "draft"]), inner))
           .map(lambda value: json.dumps(value).encode()))
    def test_any_bytes_are_read_or_refused(self, body: bytes) -> None:
        with contextlib.suppress(NotFetched):
            newest(body)


class TestAnswers:
    def test_a_good_one(self, web: Web) -> None:
        seen = web.look()
        assert seen == Upstream("2.16.0.1", "2026-03-05", "feed", NOW, "")
        path, headers = web.asked[0]
        assert path == "/releases" and headers["User-Agent"].startswith("waguard/") and "json" in headers["Accept"]
        assert "If-None-Match" not in headers
        assert json.loads(json.dumps(seen.state)) == seen.state

    def test_nothing_changed(self, web: Web) -> None:
        first = web.look()
        web.answer = lambda handler: say(handler, 304 if handler.headers["If-None-Match"] == '"one"' else 500)
        second = web.look(first.state, NOW + 2 * DAY)
        assert second == Upstream("2.16.0.1", "2026-03-05", "feed", NOW + 2 * DAY, "")
        assert web.look(second.state, NOW + 4 * DAY).fetched_at == NOW + 4 * DAY, "the mark is kept although 304 did not repeat it"

    def test_by_the_date_where_there_is_no_etag(self, web: Web) -> None:
        web.answer = lambda handler: say(handler, 200, FEED, Last_Modified="Thu, 05 Mar 2026 19:04:05 GMT")
        web.look(web.look().state, NOW + 2 * DAY)
        assert web.asked[1][1]["If-Modified-Since"] == "Thu, 05 Mar 2026 19:04:05 GMT"

    def test_nothing_changed_although_nothing_was_known(self, web: Web) -> None:
        web.answer = lambda handler: say(handler, 304)
        assert "nothing to have changed" in web.look().problem

    @pytest.mark.parametrize(("code", "body", "problem"), [
        (404, b"", "127.0.0.1:{port}: HTTP 404"), (500, b"x" * 100000, "127.0.0.1:{port}: HTTP 500"),
        (200, b"<html>log in</html>", "the feed is not JSON"), (200, b"{}", "the feed is not a list of releases"),
        (204, b"", "the feed is not JSON"),
    ])
    def test_a_bad_one_is_told_and_the_table_stands_in(self, web: Web, code: int, body: bytes, problem: str) -> None:
        web.answer = lambda handler: say(handler, code, body)
        seen = web.look()
        assert (seen.newest, seen.source, seen.fetched_at) == (TABLE, "table", None)
        assert seen.problem == problem.format(port=web.port)

    def test_what_was_known_outlives_a_failure(self, web: Web) -> None:
        first = web.look()
        web.answer = lambda handler: say(handler, 500)
        seen = web.look(first.state, NOW + 2 * DAY)
        assert (seen.newest, seen.source, seen.fetched_at) == ("2.16.0.1", "feed", NOW)
        assert "HTTP 500" in seen.problem
        web.answer = lambda handler: say(handler, 304 if handler.headers["If-None-Match"] == '"one"' else 500)
        assert web.look(seen.state, NOW + 4 * DAY).problem == ""

    @pytest.mark.parametrize("told", [True, False])
    def test_ten_megabytes_are_not_read(self, web: Web, told: bool) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            if told:
                handler.send_header("Content-Length", str(10 << 20))
            handler.end_headers()
            for _ in range(160):
                handler.wfile.write(b" " * 65536)

        web.answer = answer
        assert web.look().problem == f"127.0.0.1:{web.port}: an answer larger than 2048 KiB"

    def test_a_cut_one_is_not_taken_for_whole(self, web: Web) -> None:
        """The rest of it may hold the newest release."""
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(FEED) + 100))
            handler.end_headers()
            handler.wfile.write(FEED)

        web.answer = answer
        assert web.look().problem.endswith("hung up within its answer")

    @pytest.mark.parametrize("where", ["headers", "body", "nowhere"])
    def test_a_slow_drip_ends_with_the_time(self, web: Web, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        monkeypatch.setattr(releases, "DEADLINE", 0.5)
        stop = threading.Event()

        def answer(handler: BaseHTTPRequestHandler) -> None:
            if where == "body":
                handler.send_response(200)
                handler.end_headers()
            while where != "nowhere" and not stop.wait(0.05):
                handler.wfile.write(b"x")
                handler.wfile.flush()
            stop.wait(30)

        web.answer = answer
        problem = web.look().problem
        stop.set()
        assert problem in (f"127.0.0.1:{web.port}: no whole answer within 0.5 s", f"127.0.0.1:{web.port}: no whole answer in time",
                           f"127.0.0.1:{web.port}: no answer in time")

    @pytest.mark.parametrize(("raw", "problem"), [
        (b"", "hung up"), (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"), (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", ""),
        (b"HTTP/1.1 200 OK\r\na: " + b"x" * 70000 + b"\r\n\r\n", "sends too long headers"), (b"HTTP/1.1 999999 x\r\n\r\n", "does not speak HTTP"),
    ])
    def test_what_is_no_web_server(self, web: Web, raw: bytes, problem: str) -> None:
        web.answer = lambda handler: handler.connection.sendall(raw)
        assert web.look().problem.startswith(f"127.0.0.1:{web.port}: {problem}")

    def test_nobody_there(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            seen = look(VersionSettings(feed=f"http://127.0.0.1:{port}/"), None, NOW, None, True)
        assert seen.problem == f"127.0.0.1:{port}: Connection refused"

    def test_tls_where_there_is_none(self, web: Web) -> None:
        problem = web.look(url=web.url.replace("http:", "https:")).problem
        assert problem.startswith(f"127.0.0.1:{web.port}: ") and "\n" not in problem

    def test_a_url_keeps_its_secrets(self, web: Web) -> None:
        web.answer = lambda handler: say(handler, 404)
        seen = web.look(url=web.url + "?token=secret")
        assert seen.problem == f"127.0.0.1:{web.port}: HTTP 404" and web.asked[0][0] == "/releases?token=secret"
        assert "secret" not in json.dumps(dict(seen.state))

    def test_a_login_in_a_url_is_refused_without_repeating_it(self, web: Web) -> None:
        seen = web.look(url=f"http://user:password@127.0.0.1:{web.port}/")
        assert seen.problem == f"127.0.0.1:{web.port}: a login in the feed's URL is not supported"
        assert "password" not in json.dumps(dict(seen.state)) and web.asked == []

    def test_a_mark_that_would_break_a_header_is_not_kept(self, web: Web) -> None:
        web.answer = lambda handler: say(handler, 200, FEED, ETag='"' + "x" * 1000 + '"')
        assert web.look().state["etag"] == ""


class TestRedirects:
    def test_on_the_same_host_are_followed(self, web: Web) -> None:
        web.answer = lambda handler: (say(handler, 301, Location="/repositories/1/releases") if handler.path == "/releases"
                                      else say(handler, 200, FEED))
        assert web.look().newest == "2.16.0.1"
        assert [path for path, _ in web.asked] == ["/releases", "/repositories/1/releases"]

    @pytest.mark.parametrize(("location", "problem"), [
        ("http://localhost:1/", "redirects to where it may not, localhost:1 by http"),
        ("file:///etc/shadow", "redirects to where it may not, the feed by file"),
        ("ftp://127.0.0.1/", "redirects to where it may not, 127.0.0.1 by ftp"),
        ("http://[::1/", "redirects to what is not a URL"),
    ])
    def test_elsewhere_are_not(self, web: Web, location: str, problem: str) -> None:
        web.answer = lambda handler: say(handler, 302, Location=location)
        assert web.look().problem == f"127.0.0.1:{web.port}: {problem}"
        assert len(web.asked) == 1

    def test_to_https_are_followed_and_away_from_it_never(self) -> None:
        from waguard.observe.webfetch import _redirected

        assert _redirected("http://a/x", "https://b/y") == "https://b/y"
        assert _redirected("https://a/x", "https://b/y") == "https://b/y"
        with pytest.raises(NotFetched):
            _redirected("https://a/x", "http://a/x")

    @pytest.mark.parametrize("where", ["/releases", "/%d"])
    def test_without_end_are_bounded(self, web: Web, where: str) -> None:
        web.answer = lambda handler: say(handler, 302, Location=where.replace("%d", str(len(web.asked))))
        assert web.look().problem == f"127.0.0.1:{web.port}: redirects without end"
        assert len(web.asked) == 6

    def test_the_body_of_one_is_not_read(self, web: Web) -> None:
        """It may be without end, and then so would be the memory."""
        ended = threading.Event()

        def answer(handler: BaseHTTPRequestHandler) -> None:
            if handler.path != "/releases":
                say(handler, 200, FEED)
                return
            handler.send_response(302)
            handler.send_header("Location", "/next")
            handler.end_headers()
            try:
                while True:
                    handler.wfile.write(b"x" * 65536)
            except OSError:
                ended.set()

        web.answer = answer
        assert web.look().newest == "2.16.0.1"
        assert ended.wait(20)


class TestProxy:
    @pytest.mark.parametrize("form", ["127.0.0.1:{}", "http://127.0.0.1:{}"])
    def test_the_agents_is_used(self, web: Web, form: str) -> None:
        assert web.look(proxy=form.format(web.port), url="http://feed.example/releases").newest == "2.16.0.1"
        assert web.asked[0][0] == "http://feed.example/releases"

    def test_of_the_environment_where_the_agent_has_none(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{web.port}")
        assert web.look(url="http://feed.example/releases").newest == "2.16.0.1"

    @pytest.mark.parametrize("given", [True, False])
    def test_no_proxy_counts(self, web: Web, monkeypatch: pytest.MonkeyPatch, given: bool) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert web.look(proxy="127.0.0.1:9" if given else None).newest == "2.16.0.1"
        assert web.asked[0][0] == "/releases"

    def test_https_goes_through_a_tunnel_and_a_refusal_is_told(self, web: Web) -> None:
        problem = web.look(proxy=f"127.0.0.1:{web.port}", url="https://feed.example/releases").problem
        assert problem == "feed.example: the proxy refuses the connection"

    def test_one_that_is_down_is_told(self) -> None:
        seen = look(VersionSettings(feed="http://feed.example/"), None, NOW, "127.0.0.1:9", True)
        assert seen.problem == "feed.example: Connection refused"


class TestOtherFeeds:
    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "releases.json").write_bytes(FEED)
        seen = look(VersionSettings(feed=f"file://{tmp_path}/releases.json"), None, NOW, None, True)
        assert (seen.newest, seen.source, seen.problem) == ("2.16.0.1", "feed", "")

    @pytest.mark.parametrize(("name", "problem"), [("missing", "the feed's file does not exist"), ("", "not a regular file"),
                                                   ("fifo", "not a regular file"), ("large", "larger than 2048 KiB")])
    def test_a_file_that_is_none(self, tmp_path: Path, name: str, problem: str) -> None:
        os.mkfifo(tmp_path / "fifo")
        os.truncate(os.open(tmp_path / "large", os.O_CREAT | os.O_RDWR), 3 << 20)
        assert problem in look(VersionSettings(feed=f"file://{tmp_path}/{name}"), None, NOW, None, True).problem

    @pytest.mark.parametrize("feed", ["ftp://example/", "example", "/etc/passwd", "://", "javascript:1"])
    def test_what_is_no_url(self, feed: str) -> None:
        assert "has to begin with" in look(VersionSettings(feed=feed), None, NOW, None, True).problem

    @pytest.mark.parametrize("feed", ["http://", "http://[", "http://a b/", "http://x:99999/", "http://\n/"])
    def test_odd_urls_raise_nothing(self, feed: str) -> None:
        assert look(VersionSettings(feed=feed), None, NOW, "127.0.0.1:9", True).problem

    def test_off_is_the_table_and_no_problem(self, web: Web) -> None:
        known = web.look().state
        assert look(VersionSettings(feed="off"), known, NOW, None, True) == Upstream(
            TABLE, LATEST_KNOWN.tagged.isoformat(), "table", None, "")


class TestWhen:
    def test_not_allowed_it_is_not_asked_and_what_is_known_is_told(self, web: Web) -> None:
        assert web.look(allowed=False) == Upstream(TABLE, LATEST_KNOWN.tagged.isoformat(), "table", None, "")
        assert web.asked == []
        known = web.look().state
        assert web.look(known, NOW + 9 * DAY, allowed=False) == Upstream("2.16.0.1", "2026-03-05", "feed", NOW, "")
        assert len(web.asked) == 1

    def test_once_an_interval_give_or_take_a_quarter(self, web: Web) -> None:
        nexts = {web.look().state["next"] for _ in range(8)}
        assert len(nexts) > 1
        assert all(NOW + 0.75 * DAY <= at <= NOW + 1.25 * DAY for at in nexts)
        state = web.look().state
        asked = len(web.asked)
        assert web.look(state, state["next"] - 1).state == state and len(web.asked) == asked
        web.look(state, state["next"] + 1)
        assert len(web.asked) == asked + 1

    def test_after_failures_later_and_later(self, web: Web) -> None:
        web.answer = lambda handler: say(handler, 500)
        state, now, waits = None, NOW, []
        for _ in range(12):
            state = web.look(state, now).state
            waits.append(state["next"] - now)
            now = state["next"] + 1
        assert 600 < waits[0] < 1200 and 1200 < waits[1] < 2400
        assert max(waits) <= 1.25 * DAY and min(waits[-3:]) >= 0.75 * DAY
        web.answer = lambda handler: say(handler, 200, FEED)
        assert web.look(state, now).state["failures"] == 0

    @pytest.mark.parametrize(("code", "headers", "least", "most"), [
        (429, {"Retry-After": "7200"}, 7200, 7201),
        (503, {"Retry-After": formatdate(NOW + 7200, usegmt=True)}, 7199, 7201),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 3600)}, 3600, 3601),
        (403, {"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": str(int(NOW) + 3600)}, 600, 1200),
        (429, {"Retry-After": "99999999999999999999"}, DAY, DAY),
        (429, {"Retry-After": "-5"}, 600, 1200),
        (429, {"Retry-After": "soon"}, 600, 1200),
        (429, {"Retry-After": "1"}, 600, 1200),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9" * 400}, DAY, DAY),
    ])
    def test_not_before_the_server_wants_it(self, web: Web, code: int, headers: dict[str, str], least: float, most: float) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(code)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.end_headers()

        web.answer = answer
        assert least <= web.look().state["next"] - NOW <= most

    def test_a_clock_that_was_set_back_does_not_stop_it(self, web: Web) -> None:
        state = web.look(now=NOW + 365 * DAY).state
        assert web.look(state, NOW).fetched_at == NOW

    def test_another_feed_begins_anew(self, web: Web) -> None:
        state = web.look().state
        web.look(state, NOW + 1, url=web.url + "/other")
        assert "If-None-Match" not in web.asked[1][1]

    @given(st.one_of(st.none(), st.integers(), st.text(), st.fixed_dictionaries({}, optional={
        name: st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(), st.lists(st.integers()))
        for name in ("next", "problem", "failures", "version", "released", "etag", "last_modified", "fetched_at")})))
    def test_a_state_of_any_form_is_lived_with(self, state: Any) -> None:
        feed = "file:///nonexistent/feed"
        if isinstance(state, dict):
            state["feed"] = releases._mark(feed)
        for allowed in (True, False):
            seen = look(VersionSettings(feed=feed), state, NOW, None, allowed)
            assert isinstance(seen.newest, str) and isinstance(seen.problem, str) and seen.source in ("feed", "table")


def test_the_library_for_the_web_is_only_paid_for_when_it_is_asked() -> None:
    code = ("import sys; from waguard.observe import releases; from waguard.settings import VersionSettings; "
            "releases.look(VersionSettings(), None, 0.0, None, False); print({'ssl', 'http.client', 'urllib.request', 'email'} & set(sys.modules))")
    ran = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True,
                         cwd=Path(__file__).parents[3])
    assert ran.stdout == "set()\n"


def test_a_thread_that_is_late_ends_by_itself(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "DEADLINE", 0.2)
    release_it = threading.Event()
    web.answer = lambda handler: release_it.wait(30) and None  # type: ignore[func-returns-value]
    assert web.look().problem
    release_it.set()
    end = time.monotonic() + 20
    while any(thread.name == "webfetch" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.02)
