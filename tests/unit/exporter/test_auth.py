"""waguard.exporter.auth: passwords, the rate, and the order in which a request is let through."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.exporter import auth
from waguard.exporter.auth import Bucket, Busy, Gate, Passwords, credentials
from waguard.exporter.messages import Limits, Request, Response
from waguard.exporter.webconfig import Rate
from waguard.exporter.webfile import WebFile


def hashed(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


USERS = {"prometheus": hashed("secret")}


class Library:
    """The real bcrypt, watched: what it was asked, how many at once, and held up where a test wants that."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes]] = []
        self.most = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self.entered = threading.Semaphore(0)
        self._now = 0

    def checkpw(self, password: bytes, target: bytes) -> bool:
        self._now += 1
        self.most = max(self.most, self._now)
        self.asked.append((password, target))
        self.entered.release()
        assert self.go_on.wait(30)
        try:
            return bcrypt.checkpw(password, target)
        finally:
            self._now -= 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setattr(auth, "library", lambda: library)
    return library


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Basic dTpw", (b"u", b"p")),
        ("basic   dTpw  ", (b"u", b"p")),
        ("Basic dTpwOnE=", (b"u", b"p:q")),
        ("Basic Og==", (b"", b"")),
        ("Basic dQ==", None),
        ("Basic dTp", None),
        ("Basic", None),
        ("", None),
        ("Basicd TpwOnE=", None),
        ("Bearer dTpw", None),
        ("Basic \xfc", None),
    ],
)
def test_credentials(header: str, found: Optional[tuple[bytes, bytes]]) -> None:
    assert credentials(header) == found


@given(st.text(max_size=50), st.binary(max_size=50))
def test_any_header_is_credentials_or_none(text: str, data: bytes) -> None:
    for header in (text, f"Basic {text}", f"Basic {base64.b64encode(data).decode()}"):
        found = credentials(header)
        assert found is None or len(found) == 2


def test_a_password_is_hashed_once_whether_right_or_wrong(library: Library) -> None:
    passwords = Passwords()
    for _ in range(3):
        assert passwords.good(b"prometheus", b"secret", USERS, "") is True
        assert passwords.good(b"prometheus", b"Secret", USERS, "") is False
        assert passwords.good(b"nobody", b"secret", USERS, "") is False
    assert len(library.asked) == 3


def test_an_unknown_user_costs_what_the_costliest_known_one_does(library: Library) -> None:
    users = {"a": hashed("x", 4), "b": hashed("y", 6)}
    assert Passwords().good(b"nobody", b"x", users, "") is False
    ((_, target),) = library.asked
    assert target.startswith(b"$2b$06$")
    bcrypt.checkpw(b"x", target)  # A hash in earnest: bcrypt finds no fault with it.


def test_another_hash_for_a_user_is_another_question(library: Library) -> None:
    passwords = Passwords()
    assert passwords.good(b"a", b"x", {"a": hashed("x")}, "")
    assert not passwords.good(b"a", b"x", {"a": hashed("y")}, "")
    assert not passwords.good(b"a", b"x", {"b": hashed("x")}, "")


def test_what_is_joined_differently_is_another_question(library: Library) -> None:
    passwords = Passwords()
    same = hashed("b")
    users = {"a": same, "ab": same}
    assert passwords.good(b"a", b"b", users, "")
    assert not passwords.good(b"ab", b"", users, "")


def test_neither_passwords_nor_plain_digests_of_them_are_kept() -> None:
    passwords = Passwords()
    passwords.good(b"prometheus", b"secret", USERS, "")
    other = Passwords()
    other.good(b"prometheus", b"secret", USERS, "")
    assert len(passwords._good) == 1
    assert passwords._good.keys().isdisjoint(other._good)  # each process with a key of its own
    assert b"secret" not in b"".join([*passwords._good, *passwords._bad])


def test_guesses_do_not_drive_out_who_is_known(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_REMEMBERED", 4)
    passwords = Passwords()
    assert passwords.good(b"prometheus", b"secret", USERS, "")
    for number in range(10):
        assert not passwords.good(b"prometheus", b"%d" % number, USERS, "")
    asked = len(library.asked)
    assert passwords.good(b"prometheus", b"secret", USERS, "")
    assert len(library.asked) == asked
    assert len(passwords._bad) == 4


def guess(passwords: Passwords, number: int, peer: str) -> str:
    try:
        return str(passwords.good(b"prometheus", b"%d" % number, USERS, peer))
    except Busy:
        return "busy"


def test_few_wait_for_a_hash_fewer_of_one_address_and_who_is_known_does_not(library: Library) -> None:
    passwords = Passwords()
    assert passwords.good(b"prometheus", b"secret", USERS, "1.1.1.1")
    assert library.entered.acquire(timeout=30)
    library.go_on.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(guess, passwords, number, "1.1.1.1") for number in range(2)]
        assert library.entered.acquire(timeout=30)
        while len(passwords._inside) < 2:
            threading.Event().wait(0.001)
        assert guess(passwords, 2, "1.1.1.1") == "busy"
        waiting.append(pool.submit(guess, passwords, 3, "2.2.2.2"))
        while len(passwords._inside) < 3:
            threading.Event().wait(0.001)
        assert guess(passwords, 4, "3.3.3.3") == "busy"
        assert passwords.good(b"prometheus", b"secret", USERS, "1.1.1.1")
        library.go_on.set()
        assert [each.result(30) for each in waiting] == ["False"] * 3
    assert library.most == 1
    assert passwords._inside == []
    assert guess(passwords, 5, "3.3.3.3") == "False"


def test_workers_are_left_for_who_is_known() -> None:
    assert Limits().workers > auth.WAITING


def test_two_with_the_same_password_cost_one_hash(library: Library) -> None:
    passwords = Passwords()
    library.go_on.clear()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(passwords.good, b"prometheus", b"secret", USERS, "") for _ in range(2)]
        while len(passwords._inside) < 2:
            threading.Event().wait(0.001)
        library.go_on.set()
        assert all(each.result(30) for each in both)
    assert len(library.asked) == 1


def test_a_failing_library_is_a_wrong_password_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords()

    def refuse(*_: object) -> bool:
        raise ValueError("NUL bytes")

    monkeypatch.setattr(auth, "library", lambda: type("Library", (), {"checkpw": staticmethod(refuse)}))
    assert not passwords.good(b"prometheus", b"secret", USERS, "")
    assert passwords._inside == []


@pytest.mark.parametrize(
    ("rate", "moments", "passed"),
    [
        (None, [0, 0, 0], [True, True, True]),
        (Rate(1.0, 2), [0, 0, 0, 0.9, 1.0, 1.1, 9, 9, 9], [True, True, False, False, True, False, True, True, False]),
        (Rate(10.0, 1), [0, 5, 10, 15, 20], [True, False, True, False, True]),
        (Rate(1.0, 0), [0, 1, 100], [False, False, False]),
        (Rate(1e-9, 1), [0, 0, 1, 1], [True, False, True, False]),
    ],
)
def test_the_bucket(rate: Optional[Rate], moments: list[float], passed: list[bool]) -> None:
    now = [0.0]
    bucket = Bucket(lambda: now[0])
    for now[0], expected in zip(moments, passed):
        assert bucket.take(rate) is expected, now


def test_another_rate_starts_anew() -> None:
    bucket = Bucket(lambda: 7.0)
    assert [bucket.take(Rate(1.0, 1)) for _ in range(2)] == [True, False]
    assert [bucket.take(Rate(1.0, 2)) for _ in range(3)] == [True, True, False]


def asking(password: Optional[str]) -> Request:
    headers = {} if password is None else {"authorization": "Basic " + base64.b64encode(f"a:{password}".encode()).decode()}
    return Request("GET", "/", headers=headers, peer="1.1.1.1:7")


def test_the_order_of_the_gate(tmp_path: Path, library: Library) -> None:
    file = tmp_path / "web.yml"
    asked: list[Any] = []

    def page(request: Request) -> Response:
        asked.append(request)
        return Response(200, b"page", headers=(("X-Frame-Options", "sameorigin"), ("X-A", "b")))

    def write(text: str) -> None:
        file.with_suffix(".new").write_text(text)
        file.with_suffix(".new").replace(file)

    users = f"basic_auth_users: {{a: {hashed('x')}}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n"
    write(users)
    gate = Gate(WebFile(str(file)), page, lambda: 0.0)
    for password, status in ((None, 401), ("y", 401), ("x", 200)):
        response = gate.respond(asking(password))
        assert response.status == status
        assert dict(response.headers)["X-Frame-Options"] == "deny"  # the operator's word is the last
    assert len(asked) == 1
    write(users + "rate_limit: {interval: 1s, burst: 1}")
    hashes = len(library.asked)
    assert [gate.respond(asking(password)).status for password in ("z", "w", "x")] == [401, 429, 429]
    assert len(library.asked) == hashes + 1  # over the rate there is no hash to be had
    write(users + "rate_limit: nonsense")
    assert gate.respond(asking("x")).status == 500
    assert len(asked) == 1


def test_too_many_checks_are_a_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{a: {hashed('x')}}}\n")
    monkeypatch.setattr(auth, "WAITING", 0)
    response = Gate(WebFile(str(file)), lambda _: Response(200)).respond(asking("x"))
    assert response.status == 503
    assert "Retry-After" in dict(response.headers)
