"""logrotate's files, as distributions ship them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import rotation

UPSTREAM = """\
/var/log/waagent.log {
    # Old versions of log files are compressed with gzip by default { or so }
    compress
    size 20M
    rotate 50
    dateext
    dateformat -%Y-%m-%d-%s
    notifempty
    missingok
}
"""
LOG = "/var/log/waagent.log"


@pytest.mark.parametrize(("text", "size", "period"), [
    (UPSTREAM, 20 << 20, ""),
    ("/var/log/waagent.log {\n monthly\n rotate 6\n}", None, "monthly"),
    ("/var/log/waagent*.log\n/var/log/other {\n maxsize 5k\n weekly\n}\n", 5 << 10, "weekly"),
    ('"/var/log/waagent.log" /x { daily\nsize=1G\n}', 1 << 30, "daily"),
    ("/var/log/*.log { size 100 }", 100, ""),
    ("weekly\nsize 3M\n/var/log/waagent.log {\n}", 3 << 20, "weekly"),
    ("/a {\npostrotate\n  x() { y; }\n  /var/log/waagent.log {\nendscript\n}\n/var/log/waagent.log\n{\nsize nonsense\n}", None, ""),
])
def test_the_rule_for_a_log(text: str, size: object, period: str) -> None:
    (found,) = [rule for rule in rotation.rules(text) if rule.matches(LOG)]
    assert (found.size, found.period) == (size, period)


@pytest.mark.parametrize("text", ["", "/var/log/azure/*/*.log { size 10M }", "/var/*.log {}", "/var/log/waagent.log", "# /var/log/waagent.log {\n}", "*.log {}"])
def test_no_rule_for_it(text: str) -> None:
    assert [rule for rule in rotation.rules(text) if rule.matches(LOG)] == []


def test_a_default_size() -> None:
    assert rotation.default_size("weekly\nsize 7k\n\n/x {\nsize 9k\n}") == 7 << 10 and rotation.default_size("/x {\nsize 9k\n}") is None
    assert rotation.rules("/var/log/waagent.log {}", 5)[0].size == 5


@pytest.mark.parametrize(("name", "taboo"), [("waagent", False), ("waagent.logrotate", False), ("waagent.rpmsave", True), ("waagent~", True), (".x", True), ("x.dpkg-dist", True)])
def test_files_that_logrotate_passes_over(name: str, taboo: bool) -> None:
    assert rotation.taboo(name) is taboo


@pytest.mark.parametrize(("text", "done"), [
    ('logrotate state -- version 2\n"/var/log/x" 2025-1-2-3:4:5\n"/var/log/waagent.log" 2025-11-19-6:25:1\n', (2025, 11, 19, 6, 25, 1)),
    ("logrotate state -- version 1\n/var/log/waagent.log 2015-1-2\n", (2015, 1, 2, 0, 0, 0)),
    ('"/var/log/waagent.log.1" 2025-11-19-6:25:1', None), ("", None), ('"/var/log/waagent.log" soon', None),
])
def test_when_it_was_done_last(text: str, done: object) -> None:
    assert rotation.last_done(text, LOG) == done


_WORDS = st.sampled_from(["{", "}", "\n", " ", "#", "size", "5M", '"', "'", "postrotate", "endscript", "/var/log/waagent.log", "/var/log/[a", "*", "\\", "daily", "\x00"])


@given(st.one_of(st.text(max_size=80), st.lists(_WORDS, max_size=20).map("".join), st.lists(_WORDS, max_size=20).map(" ".join)))
def test_any_text_is_read(text: str) -> None:
    for rule in rotation.rules(text):
        rule.matches(LOG)
    rotation.default_size(text)
    rotation.last_done(text, LOG)


@pytest.mark.parametrize("piece", ["{", "}", "/x ", '"', "size ", "postrotate\n", "/" + "*a" * 100 + "{}"])
def test_a_large_file_takes_no_time_out_of_proportion(piece: str) -> None:
    """It ends at all."""
    for rule in rotation.rules(piece * (250_000 // len(piece))):
        rule.matches(LOG)
