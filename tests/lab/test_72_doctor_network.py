"""The doctor finds what is wrong between the VM and Azure. Each fault is real: it is in the fabric, or in the machine's network."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import pytest

from .agent import LIB, Agent
from .dhcp import Dhcp
from .doctor import Doctor
from .fabric import Fabric, Request
from .goalstate import STORAGE, WIRESERVER
from .lab import Lab

PROBE_TIMEOUT = 2.0  # seconds, as doctor.py sets it
PROBES = 4  # one after the other they would take PROBES * PROBE_TIMEOUT
GOAL_STATE = "the agent does not receive or process the goal state"


@contextmanager
def mood(doctor: Doctor, mode: str, *services: str) -> Iterator[None]:
    """The services behave so, and nobody remembers that they did otherwise."""
    fabric = Fabric(doctor.machine)
    fabric.behave(mode, *services)
    try:
        doctor.forget()
        yield
    finally:
        fabric.behave("well", *services)
        doctor.forget()


@contextmanager
def changed(doctor: Doctor, change: str, back: str) -> Iterator[None]:
    """Between two commands, and nobody remembers what was before."""
    doctor.machine.run(change)
    try:
        doctor.forget()
        yield
    finally:
        doctor.machine.run(back)
        doctor.forget()


def ready(told: dict[str, Any]) -> tuple[Optional[bool], list[str], Optional[str]]:
    """(ready, causes, link) of the backup."""
    backup = told["backup"]
    return backup["ready"], backup["causes"], backup["link"]


def grave(told: dict[str, Any]) -> set[str]:
    """The findings above info."""
    return {one["id"] for one in told["findings"] if one["severity"] != "info"}


def network(told: dict[str, Any]) -> dict[str, Any]:
    """The part of a diagnosis about the network."""
    found: dict[str, Any] = next(part for part in told["parts"] if part["name"] == "network")
    return found


def kinds(told: dict[str, Any]) -> dict[str, str]:
    """How each probe ended."""
    return {target["name"]: target["kind"] for target in network(told)["facts"]["targets"]}


def test_a_healthy_network_has_no_finding(doctor: Doctor) -> None:
    told = doctor.diagnose()

    assert grave(told) == set(), told["findings"]
    assert kinds(told) == dict.fromkeys(("wireserver", "hostplugin", "imds", "dns", "storage"), "ok")
    assert network(told)["ok"] is True and network(told)["says"].startswith("all answer (")
    assert told["backup"]["ready"] is True, told["backup"]
    doctor.forget()
    started = time.monotonic()
    told = doctor.diagnose()
    waited = time.monotonic() - started
    print(f"a healthy VM: took {told['took']:.3f} s, with the waiting {waited:.3f} s")
    assert told["took"] < PROBES * PROBE_TIMEOUT


@pytest.mark.parametrize(("mode", "words", "kind"), [
    ("refused", ("168.63.129.16:80", "refuses the connection"), "refused"),
    ("blackhole", ("168.63.129.16:80", "does not take a connection within 2 s"), "dropped"),
    ("error500", ("168.63.129.16:80", "HTTP status 500"), "status"),
    ("garbage", ("168.63.129.16:80", "not with what was asked for"), "garbage"),
    ("silent", ("168.63.129.16:80", "takes the connection but says nothing within 2 s"), "silent"),
])
def test_the_wire_server_does_not_answer(doctor: Doctor, mode: str, words: tuple[str, ...], kind: str) -> None:
    with doctor.under(mood(doctor, mode, "wireserver"), "wireserver-unreachable", *words):
        told = doctor.diagnose()
        assert kinds(told)["wireserver"] == kind
        assert ready(told) == (False, ["wireserver-unreachable"], GOAL_STATE)
    assert ready(doctor.diagnose()) == (True, [], None)


@pytest.mark.parametrize(("mode", "words"), [
    ("refused", "refuses the connection"),
    ("blackhole", "does not take a connection within 2 s"),
    ("error500", "answers with HTTP status 500"),
])
@pytest.mark.parametrize(("service", "name", "address"), [
    ("hostplugin", "hostplugin-unreachable", "168.63.129.16:32526"),
    ("imds", "imds-unreachable", "169.254.169.254:80"),
])
def test_the_other_addresses_of_azure(doctor: Doctor, service: str, name: str, address: str, mode: str, words: str) -> None:
    with doctor.under(mood(doctor, mode, service), name, f"{address} {words}") as finding:
        told = doctor.diagnose()
        assert finding["severity"] == "warning"
        assert grave(told) == {name}
        assert ready(told) == (True, [], None)  # the wire server answers


@pytest.mark.parametrize(("mode", "words"), [
    ("refused", "refuses the connection"),
    ("blackhole", "does not take a connection within 2 s"),
])
def test_storage_does_not_answer(doctor: Doctor, mode: str, words: str) -> None:
    with doctor.under(mood(doctor, mode, "storage"), "storage-unreachable", STORAGE, words) as finding:
        told = doctor.diagnose()
        assert f"https://{STORAGE}/" in finding["remedy"]
        assert grave(told) == set(), "a snapshot does not need it while the host answers"
        assert kinds(told)["dns"] == "ok"
        assert ready(told) == (True, [], None)


def test_storage_has_no_name_any_more(doctor: Doctor) -> None:
    hosts = changed(doctor, f"cp /etc/hosts /etc/hosts.lab && sed -i /{STORAGE}/d /etc/hosts", "mv /etc/hosts.lab /etc/hosts")
    with doctor.under(hosts, "storage-unreachable", f"{STORAGE} cannot be resolved"):
        told = doctor.diagnose()
        assert grave(told) == set()
        assert kinds(told)["dns"] == "unresolved"


def test_no_route_to_the_wire_server(doctor: Doctor) -> None:
    routes = changed(doctor, "ip route del 168.63.129.16 && ip route del default",
                     "ip route add default via 10.0.0.1; ip route add 168.63.129.16 via 10.0.0.1")
    with doctor.under(routes, "no-route-to-wireserver", "168.63.129.16", "Network is unreachable"):
        told = doctor.diagnose()
        assert ready(told) == (False, ["no-route-to-wireserver"], GOAL_STATE)
        assert network(told)["says"] == "there is no route to the wire server"
    assert ready(doctor.diagnose()) == (True, [], None)


def test_a_route_that_refuses(doctor: Doctor) -> None:
    route = changed(doctor, "ip route replace unreachable 168.63.129.16", "ip route del unreachable 168.63.129.16; "
                    "ip route replace 168.63.129.16 via 10.0.0.1")
    with doctor.under(route, "no-route-to-wireserver", "168.63.129.16", "No route to host"):
        pass


def test_a_network_that_swallows_everything(doctor: Doctor) -> None:
    """Every probe takes its whole time, all of them at once."""
    fault = mood(doctor, "blackhole", "wireserver", "hostplugin", "imds", "storage")
    with doctor.under(fault, "wireserver-unreachable"):
        started = time.monotonic()
        ran = doctor.machine.run(["waguardctl", "doctor", "--local", "--json"], check=False, timeout=60)
        waited = time.monotonic() - started
        told = json.loads(ran.out)["result"]
        print(f"nothing answers: took {told['took']:.3f} s, with the waiting {waited:.3f} s")
        assert grave(told) >= {"wireserver-unreachable", "hostplugin-unreachable", "imds-unreachable"}
        assert told["took"] < PROBES * PROBE_TIMEOUT
        assert kinds(told) == {**dict.fromkeys(("wireserver", "hostplugin", "imds", "storage"), "dropped"), "dns": "ok"}
    assert ready(doctor.diagnose()) == (True, [], None)


def test_an_answer_is_not_asked_for_again_within_a_minute(doctor: Doctor) -> None:
    """Azure throttles who asks too often."""
    def ours(since: float) -> list[Request]:
        # Not the agent's own, which looks after IMDS now and then.
        return [one for one in Fabric(doctor.machine).requests("imds", "/metadata/instance", since) if one.headers["user-agent"] == "waguard"]

    begin = time.time()
    doctor.forget()
    doctor.diagnose()
    since = time.time()
    assert len(ours(begin)) == 1

    told = doctor.diagnose()

    assert ours(since) == []
    assert all(target["age"] > 0 for target in network(told)["facts"]["targets"])


def test_without_option_245_and_without_an_address(lab: Lab) -> None:
    with lab.machine(boot=False) as machine:
        agent, fabric, doctor = Agent(machine), Fabric(machine), Doctor(machine)
        agent.hurry()
        dhcp = Dhcp(machine)
        dhcp.install(option_245=False)
        fabric.behave("blackhole", "wireserver")
        machine.boot()
        dhcp.wait_for_lease()
        doctor.install()
        assert not machine.exists(f"{LIB}/WireServerEndpoint")

        with doctor.finds("dhcp-option-245-missing", "systemd-networkd on eth0", "no option 245", WIRESERVER,
                          also=("wireserver-unreachable",)):
            told = doctor.diagnose()
            blocked, causes, link = ready(told)
            assert (blocked, link) == (False, GOAL_STATE)
            assert set(causes) >= {"dhcp-option-245-missing", "wireserver-unreachable"}
            fabric.behave("well", "wireserver")
            doctor.forget()
