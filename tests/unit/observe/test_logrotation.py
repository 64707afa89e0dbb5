"""What logrotate's files say of waagent.log, in fake roots."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.observe.trees import plant
from waguard.observe import logrotation
from waguard.observe.logrotation import Rotation

LOG = "/var/log/waagent.log"
RULE = LOG + " {\n  size 20M\n  rotate 50\n}\n"


def look(root: Path) -> Rotation:
    return logrotation.look(LOG, 5, 1, root)


@pytest.mark.parametrize("name", ["waagent", "waagent.logrotate", "walinuxagent", "zz"])
def test_a_rule_of_any_name(tmp_path: Path, name: str) -> None:
    plant(tmp_path, {"etc/logrotate.conf": "weekly\ninclude /etc/logrotate.d\n", f"etc/logrotate.d/{name}": RULE, "etc/logrotate.d/apt": "/x {}"})
    assert look(tmp_path) == Rotation((f"/etc/logrotate.d/{name}",), "", 20 << 20, 5, 1)


def test_suse_has_its_own_place(tmp_path: Path) -> None:
    plant(tmp_path, {"usr/etc/logrotate.conf": "size 7M\n", "usr/etc/logrotate.d/waagent": LOG + " {}"})
    assert (look(tmp_path).rules, look(tmp_path).size) == (("/usr/etc/logrotate.d/waagent",), 7 << 20)


def test_two_rules_are_both_named(tmp_path: Path) -> None:
    """docker-archive/for-azure and azure-linux-extensions #1045: logrotate refuses the second."""
    plant(tmp_path, {"etc/logrotate.d/a": RULE, "etc/logrotate.d/b": "/var/log/*.log { weekly }"})
    assert look(tmp_path).rules == ("/etc/logrotate.d/a", "/etc/logrotate.d/b")


def test_no_rule_for_it(tmp_path: Path) -> None:
    plant(tmp_path, {"etc/logrotate.d/waagent.rpmsave": RULE, "etc/logrotate.d/waagent-extn.logrotate": "/var/log/azure/*/*.log { size 10M }"})
    assert look(tmp_path).rules == ()


def test_no_logrotate_at_all_is_not_no_rule(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert found.rules is None and found.why == "there is no logrotate here"


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    plant(tmp_path, {"etc/logrotate.d/huge": b"x" * 300_000})
    found = look(tmp_path)
    assert found.rules is None and "huge: larger than" in found.why


def test_a_fifo_among_the_rules_is_passed_over(tmp_path: Path) -> None:
    plant(tmp_path, {"etc/logrotate.d/waagent": RULE})
    os.mkfifo(tmp_path / "etc/logrotate.d/fifo")
    (tmp_path / "etc/logrotate.d/folder").mkdir()
    assert look(tmp_path).rules == ("/etc/logrotate.d/waagent",)


@pytest.mark.parametrize("name", ["var/lib/logrotate/status", "var/lib/logrotate.status", "var/lib/logrotate/logrotate.status"])
def test_the_last_run(tmp_path: Path, name: str) -> None:
    plant(tmp_path, {name: f'logrotate state -- version 2\n"{LOG}" 2025-11-19-6:25:1\n'})
    os.utime(tmp_path / name, (1763600000, 1763600000))
    found = look(tmp_path)
    assert found.ran == 1763600000 and found.done is not None and abs(found.done - 1763533501) < 86400


def test_it_never_ran(tmp_path: Path) -> None:
    assert (look(tmp_path).ran, look(tmp_path).done) == (None, None)


def test_a_date_that_is_none(tmp_path: Path) -> None:
    plant(tmp_path, {"var/lib/logrotate/status": f'"{LOG}" 9999-99-99\n'})
    assert look(tmp_path).ran is not None
