"""No secret that may stand in waagent.conf gets into a message, and no control character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import shown


@pytest.mark.parametrize("text", ["", "y", "300", "/var/lib/waagent", "proxy.example:3128", "http://proxy:3128/", "[fe80::1]:80", "root@localhost",
                                  "a b", "it's", "caf\u00e9", "ext4,nofail", "key=value"])
def test_ordinary_values_are_left_alone(text: str) -> None:
    assert shown.shown(text) == text


@pytest.mark.parametrize(("text", "expected"), [
    ("user:hunter2@proxy", "<redacted>@proxy"),
    ("http://user:hunter2@proxy:80/", "http://<redacted>@proxy:80/"),
    ("http://hunter2@proxy", "http://<redacted>@proxy"),
    ("user:hunter2@x@hunter2@proxy", "<redacted>@proxy"),
    ("user:hunter2 hunter2@proxy", "<redacted>@proxy"),
    ("user:/hunter2/@proxy", "<redacted>@proxy"),
    ("a=user:hunter2@proxy", "a=<redacted>@proxy"),
    ("'user:hunter2@proxy'", "'<redacted>@proxy'"),
    ("https://x.blob.core.windows.net/c?sv=1&sig=hunter2", "https://x.blob.core.windows.net/c?<redacted>"),
    ("https://x/?hunter2 and more", "https://x/?<redacted>"),
    ("sv=1&sig=hunter2&se=2", "sv=1&sig=<redacted>&se=2"),
    ("AccountName=a;AccountKey=hunter2==", "AccountName=a;AccountKey=<redacted>"),
    ("password=hunter2", "password=<redacted>"),
    ("0123456789ABCDEF" * 2 + "01234567", "<redacted>"),
])
def test_secrets_are_masked(text: str, expected: str) -> None:
    assert shown.shown(text, 200) == expected
    assert "hunter2" not in shown.mask(text)


def test_a_secret_is_not_saved_by_being_far_off() -> None:
    """The login ends at an @ that is beyond all that is shown."""
    assert shown.shown("user:hunter2" + "x" * 10_000 + "@proxy") == "<redacted>@proxy"


def test_text_is_safe_for_a_terminal_and_short() -> None:
    assert shown.shown("\x1b[31m\n\u202e\x00") == "\\x1b[31m\\n\\u202e\\x00"
    assert shown.shown("\udcff") == "\\udcff", "what was no UTF-8"
    assert shown.shown("x" * 61) == "x" * 57 + "..."
    assert shown.shown("x" * 60) == "x" * 60


@given(st.text(), st.text(alphabet="ab:/ ?=&\"'", max_size=8))
def test_a_password_in_a_url_never_shows(head: str, tail: str) -> None:
    assert "hunter2" not in shown.shown(f"{head}http://user:hunter2{tail}@proxy", 1000)


@given(st.text())
def test_any_text_can_be_shown(text: str) -> None:
    found = shown.shown(text)
    assert found.isprintable() and len(found) <= 60
