"""Places and names, and the choice among many status files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import conf, layout
from waguard.agent.versions import parse


def test_defaults_agree_with_the_table_of_keys() -> None:
    assert conf.KEYS["Lib.Dir"].default == layout.LIB_DIR
    assert conf.KEYS["Pid.File"].default == layout.PID_FILE
    assert conf.KEYS["Extension.LogDir"].default == layout.EXTENSION_LOG_DIR


def test_units_are_probed_in_upstreams_order() -> None:
    assert layout.UNITS == ("walinuxagent.service", "waagent.service")


@pytest.mark.parametrize(
    ("ids", "first"),
    [
        ((), "/etc/waagent.conf"),
        (("ubuntu", "debian"), "/etc/waagent.conf"),
        (("flatcar", "coreos"), "/usr/share/oem/waagent.conf"),
        (("clear-linux-os",), "/usr/share/defaults/waagent/waagent.conf"),
    ],
)
def test_conf_places(ids: tuple[str, ...], first: str) -> None:
    places = layout.conf_places(ids)
    assert places[0] == first
    assert sorted(places) == sorted(layout.conf_places())


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (("debian",), ("waagent", "walinuxagent")),
        (("ubuntu", "debian"), ("walinuxagent", "waagent")),
        (("linuxmint", "ubuntu", "debian"), ("walinuxagent", "waagent")),
        (("rhel", "fedora"), ("WALinuxAgent",)),
        (("almalinux", "rhel"), ("WALinuxAgent",)),
        (("azurelinux",), ("WALinuxAgent",)),
        (("mariner",), ("WALinuxAgent",)),
        (("sles", "suse"), ("python-azure-agent", "python3-azure-agent", "WALinuxAgent")),
        (("opensuse-leap", "suse", "opensuse"), ("python-azure-agent", "python3-azure-agent", "WALinuxAgent")),
    ],
)
def test_package_names(ids: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert layout.package_names(ids) == expected
    assert set(expected) <= set(layout.package_names())


HISTORY = [
    "2025-11-19T12-41-22__3-1234567",
    "2025-11-19T12-41-22__11",
    "2025-11-19T12-41-23",
    "2025-11-19T12-41-21__9.zip",
    "2025-11-20T00-00-00__12.zip",
    "2025-11-18T01-00-00__2",
    "2018-04-06T08:21:37.142697_incarnation_7",
    "2018-04-06T08:21:37.142697_7-8",
    "2018-04-06T08:21:37.142697",
    "lost+found",
    "",
    "waagent_status.json",
]


def test_history_is_ordered_by_time_then_incarnation_and_zips_are_out() -> None:
    assert layout.history_folders(HISTORY, limit=10) == (
        "2025-11-19T12-41-23",
        "2025-11-19T12-41-22__11",
        "2025-11-19T12-41-22__3-1234567",
        "2025-11-18T01-00-00__2",
        "2018-04-06T08:21:37.142697_incarnation_7",
        "2018-04-06T08:21:37.142697_7-8",
        "2018-04-06T08:21:37.142697",
    )
    assert len(layout.history_folders(HISTORY)) == 3


ROOT = ["waagent_status.9.json", "waagent_status.10.json", "waagent_status.1.json", "waagent_status.8.json",
        "waagent_status.json", "waagent_status.x.json", "event_status.json", "history", "provisioned"]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.15.0.1", ["history/2025-11-19T12-41-23/waagent_status.json",
                      "history/2025-11-19T12-41-22__11/waagent_status.json",
                      "history/2025-11-19T12-41-22__3-1234567/waagent_status.json"]),
        ("2.7.3.0", ["waagent_status.10.json", "waagent_status.9.json", "waagent_status.8.json"]),
        ("2.2.53.1", ["waagent_status.json"]),
        ("2.2.34", []),
    ],
)
def test_status_candidates_of_a_generation(version: str, expected: list[str]) -> None:
    assert list(layout.status_candidates(ROOT, HISTORY, parse(version))) == expected


def test_without_a_version_all_places_are_looked_at() -> None:
    found = layout.status_candidates(iter(ROOT), iter(HISTORY))
    assert [name.count("/") for name in found] == [2, 2, 2, 0, 0, 0, 0]
    assert found[-1] == "waagent_status.json"
    assert layout.status_candidates([]) == ()


@given(st.lists(st.text() | st.from_regex(r"waagent_status\.\d+\.json|\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d__\S*")))
def test_any_names_do(names: list[str]) -> None:
    found = layout.status_candidates(names, names)
    assert len(found) <= 7
    assert all(part in names for name in found for part in [name.split("/")[1] if "/" in name else name])
