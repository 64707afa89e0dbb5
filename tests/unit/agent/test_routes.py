"""The kernel's IPv4 routes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import routes

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT = "eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
LOCAL = "eth0\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
WIRE = "eth1\t10813FA8\t0100000A\t0007\t0\t0\t100\tFFFFFFFF\t0\t0\t0\n"


def test_the_host_route_that_dhcp_gave() -> None:
    """10813FA8 is what the agent itself looks for (common/osutil/default.py)."""
    found = routes.to(routes.parse(HEAD + DEFAULT + LOCAL + WIRE), "168.63.129.16")
    assert found == routes.Route("eth1", "168.63.129.16", 32, "10.0.0.1", 100, False)


def test_else_the_default_route() -> None:
    found = routes.to(routes.parse(HEAD + LOCAL + DEFAULT), "168.63.129.16")
    assert found is not None and (found.interface, found.length, found.gateway) == ("eth0", 0, "10.0.0.1")


def test_a_network_at_hand_has_no_gateway() -> None:
    found = routes.to(routes.parse(HEAD + DEFAULT + LOCAL), "10.0.0.77")
    assert found is not None and (found.length, found.gateway) == (24, "")


def test_no_route() -> None:
    assert routes.to(routes.parse(HEAD + LOCAL), "168.63.129.16") is None


def test_of_two_alike_the_smaller_metric() -> None:
    better = DEFAULT.replace("eth0", "eth9").replace("\t100\t", "\t50\t")
    for text in (DEFAULT + better, better + DEFAULT):
        found = routes.to(routes.parse(HEAD + text), "1.2.3.4")
        assert found is not None and found.interface == "eth9"


@pytest.mark.parametrize("flags", ["0205", "0005"])
def test_unreachable_and_blackhole_routes_refuse(flags: str) -> None:
    found = routes.to(routes.parse(HEAD + DEFAULT + f"*\t10813FA8\t00000000\t{flags}\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n"), "168.63.129.16")
    assert found is not None and found.refuses


@pytest.mark.parametrize("line", [
    "", "eth0", DEFAULT.replace("0003", "0002"), DEFAULT.replace("\t00000000\t0100", "\t0000\t0100"), DEFAULT.replace("0003", "zz"),
    DEFAULT.replace("\t100\t", "\tx\t"), "eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00FF00FF\t0\t0\t0\n"])
def test_what_is_down_or_no_route_is_left_out(line: str) -> None:
    assert routes.parse(HEAD + line) == ()


@pytest.mark.parametrize("address", ["", "x", "1.2.3", "1.2.3.256", "1.2.3.4.5", "²", "::1", "1.2.3.0004"])
def test_what_is_no_address_has_no_route(address: str) -> None:
    assert routes.to(routes.parse(HEAD + DEFAULT), address) is None


@given(st.text(), st.text())
def test_nothing_raises(text: str, address: str) -> None:
    routes.to(routes.parse(HEAD + text), address)
    routes.parse(text)
