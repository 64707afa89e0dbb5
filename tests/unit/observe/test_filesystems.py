"""The filesystems that the agent needs, in fake trees: flags from the host's mounts, numbers from real children."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from waguard.agent.facts import AgentFacts
from waguard.observe import filesystems
from waguard.observe.files import Unusable
from waguard.observe.filesystems import Filesystems, Place
from waguard.settings import ResourceSettings

from .trees import plant

AGENT = AgentFacts()
SETTINGS = ResourceSettings(mount_timeout=20.0)
HOST = """27 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro
30 27 8:17 / /var rw,nosuid,noexec - xfs /dev/sdb1 rw
31 30 8:33 / /var/log rw - ext4 /dev/sdc1 ro,errors=remount-ro
32 27 0:40 / /tmp rw - tmpfs tmpfs rw
"""
SANDBOX = """90 1 8:1 / / ro,relatime - ext4 /dev/sda1 rw,errors=remount-ro
91 90 8:17 / /var ro,nosuid,noexec - xfs /dev/sdb1 rw
92 91 8:33 / /var/log ro - ext4 /dev/sdc1 ro,errors=remount-ro
93 90 0:40 /systemd-private-x/tmp /tmp rw - tmpfs tmpfs rw
94 90 8:1 /etc /etc rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro
"""


def look(root: Path, agent: AgentFacts = AGENT) -> Filesystems:
    for folder in ("var/lib/waagent", "var/log/azure", "etc/azure", "tmp"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    return filesystems.look(SETTINGS, agent, root)


def by_path(found: Filesystems) -> dict[str, Place]:
    return {place.path: place for place in found.places}


def test_in_a_sandbox_the_flags_are_the_hosts(tmp_path: Path) -> None:
    """With ProtectSystem=strict everything is read-only for us, which says nothing about the agent."""
    found = look(plant(tmp_path, {"proc/1/mountinfo": HOST, "proc/self/mountinfo": SANDBOX}))
    places = by_path(found)
    assert found.host and found.source.endswith("/proc/1/mountinfo")
    assert {path: (place.mount, place.type, place.read_only, place.noexec) for path, place in places.items()} == {
        "/var/lib/waagent": ("/var", "xfs", False, True), "/var/log": ("/var/log", "ext4", True, False),
        "/var/log/azure": ("/var/log", "ext4", True, False), "/etc": ("/", "ext4", False, False),
        "/etc/azure": ("/", "ext4", False, False), "/tmp": ("/tmp", "tmpfs", False, False)}
    assert all(place.space is not None and place.problem == "" for place in found.places)


def test_by_our_own_mounts_only_what_the_filesystem_itself_says_is_read_only(tmp_path: Path) -> None:
    found = look(plant(tmp_path, {"proc/self/mountinfo": SANDBOX}))
    places = by_path(found)
    assert not found.host and found.source.endswith("/proc/self/mountinfo")
    assert [places[path].read_only for path in ("/var/lib/waagent", "/var/log", "/etc", "/tmp")] == [None, True, False, False]


def test_a_mount_that_is_read_only_by_itself(tmp_path: Path) -> None:
    found = look(plant(tmp_path, {"proc/1/mountinfo": HOST.replace("/var rw,", "/var ro,"), "proc/self/mountinfo": SANDBOX}))
    assert by_path(found)["/var/lib/waagent"].read_only is True


def test_ext4_of_today_says_it_in_another_word(tmp_path: Path) -> None:
    place = by_path(look(plant(tmp_path, {"proc/1/mountinfo": HOST.replace("ro,errors", "rw,emergency_ro,errors")})))["/var/log"]
    assert place.read_only is True and place.error


def test_a_place_that_is_hidden_from_us_has_no_numbers(tmp_path: Path) -> None:
    """Ours would be those of another filesystem."""
    found = look(plant(tmp_path, {"proc/1/mountinfo": HOST, "proc/self/mountinfo": SANDBOX.replace("0:40 /systemd-private-x/tmp", "0:99 /")}))
    place = by_path(found)["/tmp"]
    assert place.space is None and place.problem == "waguard's sandbox has another filesystem there" and place.read_only is False


def test_the_numbers_are_real(tmp_path: Path) -> None:
    space = by_path(look(plant(tmp_path, {"proc/1/mountinfo": HOST})))["/tmp"].space
    info = os.statvfs(tmp_path)
    assert space is not None and space.size == info.f_frsize * info.f_blocks


def test_a_folder_behind_a_link_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "var/lib/waagent").symlink_to("../../tmp")
    plant(tmp_path, {"proc/1/mountinfo": HOST})
    assert by_path(filesystems.look(SETTINGS, AgentFacts(), tmp_path))["/var/lib/waagent"].mount == "/tmp"


def test_a_folder_that_is_not_there_counts_as_the_one_it_would_be_made_in(tmp_path: Path) -> None:
    (tmp_path / "var/lib").mkdir(parents=True)
    plant(tmp_path, {"proc/1/mountinfo": HOST})
    places = by_path(filesystems.look(SETTINGS, AgentFacts(), tmp_path))
    assert (places["/var/lib/waagent"].mount, places["/etc/azure"].mount) == ("/var", "/")


def test_the_agents_own_places(tmp_path: Path) -> None:
    agent = dataclasses.replace(AgentFacts(), lib_dir="/shared/waagent", log="/logs/waagent.log", extension_log_dir="/logs/azure")
    assert set(by_path(look(plant(tmp_path, {"proc/1/mountinfo": HOST}), agent))) == {"/shared/waagent", "/logs", "/logs/azure", "/etc", "/etc/azure", "/tmp"}


def test_one_that_hangs(tmp_path: Path) -> None:
    plant(tmp_path, {"proc/1/mountinfo": HOST})
    slow = "import time\ndef look(path):\n    time.sleep(600 if 'log' in path else 0)\n    return [path, 1, 2, 1, 1, 0, 0]\n"
    places = by_path(filesystems.look(ResourceSettings(mount_timeout=1.0), AgentFacts(), tmp_path, slow))
    assert places["/var/log"].space is None and places["/var/log"].problem == "no answer within 1 s"
    assert places["/var/log"].mount == "/var/log" and places["/tmp"].space is not None


def test_a_filesystem_without_a_size(tmp_path: Path) -> None:
    plant(tmp_path, {"proc/1/mountinfo": HOST})
    none = "def look(path):\n    return [path, 4096, 0, 0, 0, 0, 0]\n"
    place = by_path(filesystems.look(SETTINGS, AgentFacts(), tmp_path, none))["/tmp"]
    assert place.space is None and place.problem == "tmpfs tells no size"


@pytest.mark.parametrize("text", ["", "\n", "garbage\n"])
def test_without_any_list_of_mounts_it_cannot_be_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unusable, match="mounts are not known"):
        look(plant(tmp_path, {"proc/1/mountinfo": text}))


def test_this_machine() -> None:
    found = filesystems.look(SETTINGS, AgentFacts())
    assert all(place.mount for place in found.places)
