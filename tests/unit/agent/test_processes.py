"""Command lines: every shape of the agent's own processes, and what must never pass for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import processes
from waguard.agent.processes import Role, role
from waguard.agent.versions import parse

EGG = "bin/WALinuxAgent-2.15.0.1-py3.12.egg"

DAEMONS = [
    "/usr/bin/python3 -u /usr/sbin/waagent -daemon",
    "/usr/bin/python -u /usr/sbin/waagent -daemon",
    "/usr/bin/python3 /usr/sbin/waagent -daemon",
    "/usr/bin/python3 -u /usr/bin/waagent -daemon",
    "/usr/libexec/platform-python -u /usr/sbin/waagent -daemon",
    "/usr/libexec/platform-python3.6 -u /usr/sbin/waagent -daemon",
    "/usr/share/oem/python/bin/python /usr/share/oem/bin/waagent -daemon",
    "python3.12 -u waagent -daemon",
    "python2.7 /usr/sbin/waagent -daemon",
    "python3-dbg /usr/sbin/waagent -daemon",
    "/nix/store/x-python3/bin/python3.12 /nix/store/y/bin/.waagent-wrapped -daemon",
    "waagent -daemon",
    "/usr/bin/waagent -daemon",
    "python3 /usr/sbin/waagent --daemon",
    "python3 /usr/sbin/waagent /daemon",
    "python3 /usr/sbin/waagent -/-daemon",
    "python3 /usr/sbin/waagent daemon",
    "python3 /usr/sbin/waagent -daemon -verbose",
    "python3 /usr/sbin/waagent -verbose -daemon -force",
    "python3 /usr/sbin/waagent -daemon -configuration-path:/etc/other.conf",
    "python3 /usr/sbin/waagent -version -daemon",
    "python3 -W ignore -X utf8 -u /usr/sbin/waagent -daemon",
    "python3 -Wignore::DeprecationWarning -Ximporttime -Es /usr/sbin/waagent -daemon",
]
HANDLERS = [
    "/usr/bin/python3 -u /usr/sbin/waagent -run-exthandlers",
    "python3 -u /usr/sbin/waagent -run-exthandlers -configuration-path:/etc/other.conf",
    f"/usr/bin/python3 -u {EGG} -run-exthandlers",
    f"python3 -u {EGG} --run-exthandlers",
    "python -u bin/WALinuxAgent-2.2.46-py2.7.egg -run-exthandlers",
    "/usr/bin/python3 -u /var/lib/waagent/WALinuxAgent-2.15.0.1/bin/WALinuxAgent-2.15.0.1-py3.9.egg -run-exthandlers",
    "python3 -u /usr/sbin/waagent /run-exthandlers -debug",
]
NEITHER = [
    "",
    "vim /usr/sbin/waagent -daemon",
    "vim /etc/waagent.conf",
    "emacs -nw /usr/sbin/waagent",
    "grep -r waagent -daemon",
    "grep -- -run-exthandlers /var/log/waagent.log",
    "tail -f /var/log/waagent.log",
    "pgrep -f python3 -u /usr/sbin/waagent -daemon",
    "sudo python3 -u /usr/sbin/waagent -daemon",
    "sh -c waagent -daemon",
    "bash /usr/sbin/waagent -daemon",
    "strace -f python3 /usr/sbin/waagent -daemon",
    "systemd-run --unit=collect-logs.scope --scope python3 /usr/sbin/waagent -collect-logs",
    "python3 -c import time /usr/sbin/waagent -daemon",
    "python3 -m pdb /usr/sbin/waagent -daemon",
    "python3 -um trace /usr/sbin/waagent -daemon",
    "python3 - /usr/sbin/waagent -daemon",
    "python3 /usr/bin/waguardd -daemon",
    "python3 /usr/bin/cat /usr/sbin/waagent -daemon",
    "python3 /usr/sbin/waagent.py -daemon",
    "python3 /usr/sbin/mywaagent -daemon",
    "python3 /usr/sbin/waagent2.0 -daemon",
    "python3",
    "python3 -u",
    "python3 -X",
    "pythonista /usr/sbin/waagent -daemon!",
    "/opt/python3/bin/editor /usr/sbin/waagent -daemon",
    "python3 -u bin/Microsoft.Ext-1.0.egg -run-exthandlers",
    "python3 main/handle.py -enable",
    "dpkg --configure waagent",
]


def split(line: str) -> list[str]:
    return line.split(" ") if line else []


@pytest.mark.parametrize("line", DAEMONS)
def test_daemons(line: str) -> None:
    assert processes.is_daemon(split(line))
    assert not processes.is_handler(split(line))


@pytest.mark.parametrize("line", HANDLERS)
def test_handlers(line: str) -> None:
    assert processes.is_handler(split(line))
    assert not processes.is_daemon(split(line))


@pytest.mark.parametrize("line", NEITHER)
def test_what_is_no_process_of_the_agent(line: str) -> None:
    assert role(split(line)) is None
    assert processes.configuration_path([*split(line), "-configuration-path:/x"]) is None
    assert processes.handler_version(split(line), "/var/lib/waagent/WALinuxAgent-2.15.0.1") is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-collect-logs", Role.LOG_COLLECTOR),
        ("-collect-logs -full", Role.LOG_COLLECTOR),
        ("--setup-firewall=168.63.129.16", Role.FIREWALL),
        ("--setup-firewall --dst_ip=168.63.129.16 --uid=0 -w", Role.FIREWALL),
        ("-version", Role.OTHER),
        ("-start", Role.OTHER),
        ("-verbose -start", Role.OTHER),
        ("-deprovision+user -force", Role.OTHER),
        ("-register-service", Role.OTHER),
        ("-show-configuration", Role.OTHER),
        ("-help", Role.OTHER),
        ("-?", Role.OTHER),
        ("", Role.OTHER),
        ("-daemon -version", Role.OTHER),
        ("-daemon -run-exthandlers", Role.HANDLER),
        ("-daemon -nonsense", Role.OTHER),
        ("-Daemon", Role.OTHER),
        ("-configuration-path:/etc/daemon.conf -daemon", Role.DAEMON),
    ],
)
def test_verbs(words: str, expected: Role) -> None:
    for program in ("python3 -u /usr/sbin/waagent", f"python3 -u {EGG}", "/usr/sbin/waagent"):
        assert role(split(f"{program} {words}".rstrip())) is expected


def test_a_trailing_empty_word_of_proc_does_no_harm() -> None:
    assert processes.is_daemon(["python3", "/usr/sbin/waagent", "-daemon", ""])
    assert processes.is_handler(["python3", "", "/usr/sbin/waagent", "-run-exthandlers"]) is False


@pytest.mark.parametrize(
    ("line", "cwd", "expected"),
    [
        (f"python3 -u {EGG} -run-exthandlers", "/var/lib/waagent/WALinuxAgent-2.15.0.1", "2.15.0.1"),
        (f"python3 -u {EGG} -run-exthandlers", "/var/lib/waagent/WALinuxAgent-2.15.0.1 (deleted)", "2.15.0.1"),
        (f"python3 -u {EGG} -run-exthandlers", "/shared/vadc/azure/waagent/WALinuxAgent-2.14.0.1", "2.14.0.1"),
        (f"python3 -u {EGG} -run-exthandlers", "", "2.15.0.1"),
        (f"python3 -u {EGG} -run-exthandlers", "/", "2.15.0.1"),
        (HANDLERS[5], "/", "2.15.0.1"),
        ("python -u bin/WALinuxAgent-2.2.46-py2.7.egg -run-exthandlers", "", "2.2.46"),
        ("python -u bin/WALinuxAgent-2.2.46.egg -run-exthandlers", "", "2.2.46"),
        ("python3 -u /usr/sbin/waagent -run-exthandlers", "/var/lib/waagent", None),
        ("python3 -u /usr/sbin/waagent -run-exthandlers", "/var/lib/waagent/WALinuxAgent-2.15.0.1", None),
    ],
)
def test_handler_version(line: str, cwd: str, expected: str | None) -> None:
    assert processes.handler_version(split(line), cwd) == (parse(expected) if expected else None)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("-configuration-path:/etc/other.conf", "/etc/other.conf"),
        ("--configuration-path:/etc/o-t_h.er.conf", "/etc/o-t_h.er.conf"),
        ("/configuration-path:relative.conf", "relative.conf"),
        ("configuration-path:/a b", "/a"),
        ("-configuration-path:", None),
        ("-configuration-path=/etc/x", None),
        ("-conf:/etc/x", None),
    ],
)
def test_configuration_path(word: str, expected: str | None) -> None:
    assert processes.configuration_path(["python3", "-u", "/usr/sbin/waagent", "-daemon", word]) == expected


def test_the_last_configuration_path_counts() -> None:
    argv = ["waagent", "-configuration-path:/a", "-daemon", "-configuration-path:/b"]
    assert processes.configuration_path(argv) == "/b"
    assert processes.configuration_path(["waagent", "-daemon"]) is None


@given(st.lists(st.text()), st.text())
def test_nothing_raises(argv: list[str], cwd: str) -> None:
    for line in (argv, ["python3", *argv], ["/usr/sbin/waagent", *argv], ["python3", EGG, *argv]):
        role(line)
        processes.handler_version(line, cwd)
        processes.configuration_path(line)
