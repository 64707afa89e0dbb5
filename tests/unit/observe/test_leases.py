"""DHCP leases of every client in the places where they keep them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from waguard.agent.facts import AgentFacts
from waguard.observe import leases
from waguard.observe.leases import Lease, Leases

from .trees import plant

AGENT = AgentFacts()
WIRE = "168.63.129.16"
NOW = 1763640000.0
DHCLIENT = 'lease {\n  interface "eth0";\n  option unknown-245 a8:3f:81:10;\n  expire never;\n}\n'
UUID = "5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03"


def look(root: Path, agent: AgentFacts = AGENT) -> Leases:
    return leases.look(agent, root, NOW)


@pytest.mark.parametrize(("path", "text", "lease"), [
    ("var/lib/dhcp/dhclient.eth0.leases", DHCLIENT, Lease("eth0", "dhclient", "/var/lib/dhcp/dhclient.eth0.leases", WIRE, None, True)),
    ("var/lib/dhclient/dhclient-eth0.lease", DHCLIENT, Lease("eth0", "dhclient", "/var/lib/dhclient/dhclient-eth0.lease", WIRE, None, True)),
    ("var/lib/dhclient/dhclient-eth0.leases", DHCLIENT, Lease("eth0", "dhclient", "/var/lib/dhclient/dhclient-eth0.leases", WIRE, None, True)),
    (f"var/lib/NetworkManager/dhclient-{UUID}-eth1.lease", DHCLIENT.replace('  interface "eth0";\n', ""),
     Lease("eth1", "dhclient", f"/var/lib/NetworkManager/dhclient-{UUID}-eth1.lease", WIRE, None, True)),
    (f"var/lib/NetworkManager/internal-{UUID}-eth0.lease", "ADDRESS=10.0.0.4\n",
     Lease("eth0", "NetworkManager", f"/var/lib/NetworkManager/internal-{UUID}-eth0.lease", None, None, True, False)),
    ("run/systemd/netif/leases/2", "ADDRESS=10.0.0.4\nOPTION_245=a83f8110\n",
     Lease("enp1s0", "systemd-networkd", "/run/systemd/netif/leases/2", WIRE, None, True)),
    ("run/systemd/netif/leases/9", "ADDRESS=10.0.0.4\n", Lease("", "systemd-networkd", "/run/systemd/netif/leases/9", None, None, True)),
    ("var/lib/wicked/lease-eth0-dhcp-ipv4.xml", "<lease/>", Lease("eth0", "wicked", "/var/lib/wicked/lease-eth0-dhcp-ipv4.xml", None, None, True, False)),
    ("var/lib/dhcpcd/eth0.lease", b"\x63\x82\x53\x63\xf5\x04\xa8\x3f\x81\x10\xff", Lease("eth0", "dhcpcd", "/var/lib/dhcpcd/eth0.lease", WIRE, None, True)),
])
def test_each_client(tmp_path: Path, path: str, text: str, lease: Lease) -> None:
    plant(tmp_path, {path: text, "sys/class/net/lo/ifindex": "1\n", "sys/class/net/enp1s0/ifindex": "2\n"})
    found = look(tmp_path)
    assert found.leases == (lease,) and found.complete


@pytest.mark.parametrize("path", ["var/lib/dhcp/other", "var/lib/wicked/lease-eth0-dhcp-ipv6.xml", f"var/lib/NetworkManager/{UUID}.nmconnection"])
def test_what_is_no_lease_is_not_opened(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / path)
    assert look(tmp_path).leases == ()


def test_an_expired_lease_is_none(tmp_path: Path) -> None:
    plant(tmp_path, {"var/lib/dhcp/dhclient.leases": DHCLIENT.replace("never", "4 2025/11/20 11:59:59")})
    assert look(tmp_path).leases == ()


def test_a_machine_without_any(tmp_path: Path) -> None:
    assert look(tmp_path) == Leases((), "", "", True)


@pytest.mark.parametrize("bad", ["fifo", "folder", "huge", "link"])
def test_a_lease_that_cannot_be_read_is_said(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "run/systemd/netif/leases/2"
    path.parent.mkdir(parents=True)
    if bad == "fifo":
        os.mkfifo(path)
    elif bad == "folder":
        path.mkdir()
    elif bad == "huge":
        path.write_bytes(bytes(300 * 1024))
    else:
        path.symlink_to(path)
    (lease,) = look(tmp_path).leases
    assert not lease.readable and "leases/2" in lease.problem and not look(tmp_path).complete


def test_a_place_that_is_no_folder_does_no_harm(tmp_path: Path) -> None:
    plant(tmp_path, {"var/lib/dhcp": "x", "var/lib/dhcpcd/eth0.lease": b""})
    assert [lease.client for lease in look(tmp_path).leases] == ["dhcpcd"]


class TestStored:
    def test_what_the_agent_found(self, tmp_path: Path) -> None:
        plant(tmp_path, {"var/lib/waagent/WireServerEndpoint": "168.63.129.16", "var/lib/waagent/Protocol": "WireProtocol\n"})
        found = look(tmp_path)
        assert (found.endpoint, found.protocol) == (WIRE, "WireProtocol")

    def test_in_its_own_folder(self, tmp_path: Path) -> None:
        plant(tmp_path, {"shared/x/WireServerEndpoint": "10.0.0.1"})
        assert look(tmp_path, dataclasses.replace(AgentFacts(), lib_dir="/shared/x")).endpoint == "10.0.0.1"

    @pytest.mark.parametrize("text", ["", "\n", "a b", "https://host/?sig=SECRET", "x" * 65, b"\xff\xfe"])
    def test_what_is_no_word_is_nothing(self, tmp_path: Path, text: str | bytes) -> None:
        plant(tmp_path, {"var/lib/waagent/WireServerEndpoint": text})
        assert look(tmp_path).endpoint == ""

    def test_one_that_cannot_be_read_is_not_known(self, tmp_path: Path) -> None:
        (tmp_path / "var/lib/waagent/WireServerEndpoint").mkdir(parents=True)
        assert look(tmp_path).endpoint is None
