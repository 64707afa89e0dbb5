"""The event of a changed waagent.conf: which keys, from what to what, and only when that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from waguard.agent import conf as grammar
from waguard.guard import confnews
from waguard.observe import conf
from waguard.observe.conf import ConfFacts

PATH = Path("/etc/waagent.conf")


def facts(text: Optional[str], path: Path = PATH) -> ConfFacts:
    """None: the file is missing."""
    return conf.facts(path, grammar.parse((text or "").encode("utf-8", "surrogateescape")), "" if text is not None else f"{path} is missing")


def test_keys_with_old_and_new_value() -> None:
    message, fields = confnews.tell(facts("Logs.Verbose=n\n"), facts("Logs.Verbose=y\nOS.EnableFIPS=y\n"))
    assert message == ("/etc/waagent.conf was changed: Logs.Verbose: n -> y; OS.EnableFIPS: n (default) -> y; "
                       "the agent reads it at its next start")
    assert fields == {"path": "/etc/waagent.conf", "changed": 2, "keys": "Logs.Verbose, OS.EnableFIPS",
                      "changes": "Logs.Verbose: n -> y; OS.EnableFIPS: n (default) -> y"}


def test_five_are_named_and_the_rest_counted() -> None:
    after = facts("".join(f"{key}=77\n" for key in sorted(grammar.KEYS) if grammar.KEYS[key].kind is grammar.Kind.INTEGER))
    message, fields = confnews.tell(facts("\n"), after)
    assert fields["changed"] > 10
    assert len(fields["keys"].split(", ")) == 5 and message.count(" -> ") == 5
    assert f"; and {fields['changed'] - 5} more; the agent reads it" in message


def test_an_edit_of_nothing_but_comments() -> None:
    message, fields = confnews.tell(facts("Logs.Verbose=n\n"), facts("# quiet\nLogs.Verbose=n\n"))
    assert message == "/etc/waagent.conf was changed, but every setting in it is what it was"
    assert fields == {"path": "/etc/waagent.conf", "changed": 0}


@pytest.mark.parametrize("before", [None, facts("Logs.Verbose=n\n", Path("/etc/other.conf"))], ids=["after the guard's start", "another file"])
def test_what_was_there_before_is_not_known(before: Optional[ConfFacts]) -> None:
    assert confnews.tell(before, facts("Logs.Verbose=y\n")) == (
        "/etc/waagent.conf was changed; the agent reads it at its next start", {"path": "/etc/waagent.conf"})


@pytest.mark.parametrize(("text", "message"), [
    (None, "/etc/waagent.conf is missing"),
    ("", "/etc/waagent.conf: the file is empty, and the agent refuses to start without a configuration"),
    ("x=\udcff", "/etc/waagent.conf: the file is not valid UTF-8, and the agent refuses to start with it")])
def test_a_file_that_is_of_no_use_is_not_twenty_changes(text: Optional[str], message: str) -> None:
    good, bad = facts("Logs.Verbose=y\n"), facts(text)
    assert confnews.tell(good, bad) == (message, {"path": "/etc/waagent.conf"})
    assert confnews.tell(None, bad) == (message, {"path": "/etc/waagent.conf"})
    assert confnews.tell(bad, good) == (
        "/etc/waagent.conf was changed and can be used again; the agent reads it at its next start", {"path": "/etc/waagent.conf"})


def test_a_proxys_login_stays_inside() -> None:
    before, after = facts("HttpProxy.Host=user:hunter1@proxy\n"), facts("HttpProxy.Host=user:hunter2@proxy\nMy.Key=hunter3\n")
    assert "hunter" not in repr((confnews.tell(before, after), before, after))
    assert confnews.tell(before, after)[1]["changed"] == 2
