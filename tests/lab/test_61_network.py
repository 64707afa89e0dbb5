"""Proves the network side of the lab: what can go wrong between a VM and Azure, and an address from Azure's DHCP."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from .agent import UNIT, Agent
from .dhcp import Dhcp
from .fabric import Fabric
from .goalstate import STORAGE
from .lab import Lab
from .machine import Machine

URLS = {
    "wireserver": "http://168.63.129.16/?comp=versions",
    "hostplugin": "http://168.63.129.16:32526/versions",
    "imds": "http://169.254.169.254/metadata/instance?api-version=2018-02-01",
    "storage": f"https://{STORAGE}/a/blob",
}
REFUSED, TIMED_OUT = 7, 28  # curl's exit status


def get(machine: Machine, service: str) -> tuple[int, str]:
    """curl's exit status, and that of the answer."""
    ran = machine.run(["curl", "--silent", "--max-time", "2", "--header", "Metadata: true", "--output", "/dev/null",
                       "--write-out", "%{http_code}", URLS[service]], check=False)
    return ran.rc, ran.out


@pytest.fixture(scope="module")
def quiet(lab: Lab) -> Iterator[Machine]:
    """A machine with a fabric and nobody who talks to it but the test."""
    with lab.machine(agent=False) as machine:
        machine.run(["curl", "--silent", "--fail", "--upload-file", "/etc/hostname", URLS["storage"]])
        yield machine


@pytest.mark.parametrize(("mode", "seen"), [
    ("well", (0, "200")),
    ("error500", (0, "500")),
    ("notfound", (0, "404")),
    ("garbage", (0, "200")),
    ("silent", (TIMED_OUT, "000")),
    ("blackhole", (TIMED_OUT, "000")),
    ("refused", (REFUSED, "000")),
])
@pytest.mark.parametrize("service", URLS)
def test_one_service_has_a_mood_and_the_others_are_well(quiet: Machine, service: str, mode: str, seen: tuple[int, str]) -> None:
    fabric = Fabric(quiet)
    fabric.behave("well")
    fabric.behave(mode, service)

    assert {name: get(quiet, name) for name in URLS} == {**dict.fromkeys(URLS, (0, "200")), service: seen}


def test_the_storage_is_trusted_for_its_own_name_only(quiet: Machine) -> None:
    Fabric(quiet).behave("well")
    assert get(quiet, "storage") == (0, "200")
    stranger = "https://stranger.invalid/"
    ran = quiet.run(["curl", "--silent", "--resolve", "stranger.invalid:443:192.0.2.16", stranger], check=False)
    assert ran.rc == 60  # the certificate does not fit


# -- DHCP


@pytest.fixture(scope="module")
def leased(lab: Lab) -> Iterator[Machine]:
    """A machine with a turning agent that has its address from DHCP."""
    with lab.machine(boot=False) as machine:
        Dhcp(machine).install()
        machine.boot()
        Agent(machine).wait_for_turn(since=0)
        yield machine


@pytest.fixture
def dhcp(leased: Machine) -> Iterator[Dhcp]:
    """As on Azure, before and after."""
    yield Dhcp(leased)
    dhcp = Dhcp(leased)
    dhcp.behave()
    dhcp.renew()
    dhcp.wait_for_lease()
    Agent(leased).wait_for_turn(timeout=90)


def renewed(dhcp: Dhcp, **mood: bool) -> dict[str, str]:
    dhcp.behave(**mood)
    dhcp.renew()
    return dhcp.wait_for_lease()


def routed(machine: Machine) -> bool:
    """Whether there is a route to the wire server, besides the default one."""
    return "168.63.129.16 " in machine.run(["ip", "route"]).out


def test_a_lease_as_azure_gives_it(leased: Machine) -> None:
    lease = Dhcp(leased).lease()

    assert (lease["ADDRESS"], lease["SERVER_ADDRESS"], lease["OPTION_245"]) == ("10.0.0.4", "168.63.129.16", "a83f8110")
    assert "168.63.129.16/32,10.0.0.1" in lease["CLASSLESS_ROUTES"]
    assert routed(leased)
    assert "dynamic" not in leased.run(["ip", "address", "show", "eth0"]).out  # the lease is for ever


def test_an_agent_that_starts_after_the_lease_needs_no_dhcp_of_its_own(leased: Machine) -> None:
    # Not told by the first start: networkd may well have its lease a moment after the agent has looked.
    agent = Agent(leased)
    before, since = len(agent.log()), time.time()
    leased.run(["systemctl", "restart", UNIT])
    agent.wait_for_turn(since)

    said = agent.log()[before:]
    assert "Route to 168.63.129.16 exists" in said
    assert "Send dhcp request" not in said


def test_without_245_and_routes_that_to_the_name_server_remains(leased: Machine, dhcp: Dhcp) -> None:
    lease = renewed(dhcp, option_245=False, routes=False)

    assert "OPTION_245" not in lease
    assert routed(leased)


def test_without_a_route_the_agent_asks_for_245_itself(leased: Machine, dhcp: Dhcp) -> None:
    renewed(dhcp, routes=False, dns=False)
    assert not routed(leased)
    agent = Agent(leased)
    before, since = len(agent.log()), time.time()
    leased.run(["systemctl", "restart", UNIT])

    agent.wait_for_turn(since)
    assert "Send dhcp request" in agent.log()[before:]


def test_with_neither_the_agent_never_begins_though_the_wire_server_answers(leased: Machine, dhcp: Dhcp) -> None:
    renewed(dhcp, routes=False, dns=False, option_245=False)
    since = time.time()
    leased.run(["systemctl", "restart", UNIT])

    leased.wait_until(lambda: "WireProtocol endpoint is None" in Agent(leased).log(), 30, "the agent to find no endpoint")
    assert get(leased, "wireserver") == (0, "200")
    assert Agent(leased).handler_pids() == []
    assert Fabric(leased).requests("wireserver", "comp=goalstate", since) == []


def test_without_an_answer_there_is_no_address(leased: Machine, dhcp: Dhcp) -> None:
    dhcp.behave(answers=False)
    dhcp.renew()

    leased.wait_until(lambda: "10.0.0.4" not in leased.run(["ip", "address"]).out, 10, "the address to go")
    assert dhcp.lease() == {}
