"""The network part: which finding each trouble makes, and which it does not."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from waguard.agent.routes import Route
from waguard.judge.case import Case, Part
from waguard.judge.parts import network as part
from waguard.observe import Known, Unknown
from waguard.observe.leases import Lease, Leases
from waguard.observe.network import Network, Target
from waguard.observe.probes import Kind
from waguard.settings import Settings

WIRE, PLUGIN, IMDS, STORE = "168.63.129.16:80", "168.63.129.16:32526", "169.254.169.254:80", "acct.blob.core.windows.net"
ADDRESSES = {"wireserver": WIRE, "hostplugin": PLUGIN, "imds": IMDS, "dns": STORE, "storage": STORE}
GOOD = tuple(Target(name, address, True, 0.0012, "", Kind.OK, 900.0) for name, address in ADDRESSES.items())
ROUTE = Route("eth0", "0.0.0.0", 0, "10.0.0.1", 100, False)
NETWORK = Network(GOOD, "", ROUTE, True, (), "")
LEASE = Lease("eth0", "dhclient", "/var/lib/dhcp/dhclient.eth0.leases", "168.63.129.16", None, True)
LEASES = Leases((LEASE,), "168.63.129.16", "WireProtocol", True)
NOTHING = Leases((), "", "", True)


def bad(name: str, kind: str = Kind.DROPPED, success: Optional[bool] = False, reused: bool = False) -> dict[str, Target]:
    return {name: Target(name, ADDRESSES[name], success, 5.0, f"{ADDRESSES[name]} does not answer", kind, 900.0, reused)}


def judge(*changes: dict[str, Target], leases: Leases = LEASES, conf: Any = None, azure: Optional[bool] = True, **more: Any) -> Part:
    targets = {target.name: target for target in GOOD}
    for change in changes:
        targets.update(change)
    network = dataclasses.replace(NETWORK, targets=tuple(targets.values()), **more)
    observed = Known(SimpleNamespace(proxy_url=conf), 1.0) if conf else Unknown("x", 1.0)
    found = part.judge(Case(1.0, 930.0, True, azure, Settings(), network=Known(network, 1.0), leases=Known(leases, 1.0), conf=observed))  # type: ignore[arg-type]
    json.dumps(dict(found.facts))
    return found


def ids(found: Part) -> list[str]:
    return [finding.id for finding in found.findings]


def test_all_is_well() -> None:
    found = judge()
    assert (found.name, found.title, found.ok, found.findings) == ("network", "Network", True, ())
    assert found.says == "all answer (wire server 1.2 ms; host plugin 1.2 ms; metadata 1.2 ms; storage 1.2 ms)"
    assert found.facts["targets"][0] == {"name": "wireserver", "address": WIRE, "success": True, "seconds": 0.0012, "kind": "ok", "problem": None, "age": 30.0}


@pytest.mark.parametrize("azure", [False, None])
def test_off_azure_nothing_is_judged(azure: Optional[bool]) -> None:
    found = judge(bad("wireserver"), azure=azure)
    assert found.ok is None and found.findings == () and found.says == "this machine is not known to be on Azure, so nothing is sent to Azure's addresses"


def test_what_was_not_seen_is_not_judged() -> None:
    found = part.judge(Case(1.0, 1.0, True, True, Settings(), network=Unknown("took longer than 30 s", 1.0)))
    assert (found.ok, found.says, found.findings) == (None, "took longer than 30 s", ())


@pytest.mark.parametrize(("name", "finding"), [("wireserver", "wireserver-unreachable"), ("hostplugin", "hostplugin-unreachable"),
                                               ("imds", "imds-unreachable"), ("storage", "storage-unreachable")])
@pytest.mark.parametrize("kind", [Kind.DROPPED, Kind.REFUSED, Kind.STATUS, Kind.GARBAGE, Kind.SILENT, Kind.SLOW, Kind.CLOSED])
def test_each_address_has_a_finding_of_its_own(name: str, finding: str, kind: str) -> None:
    found = judge(bad(name, kind))
    assert ids(found) == [finding] and found.ok is False
    assert found.findings[0].evidence == f"{ADDRESSES[name]} does not answer" and found.findings[0].evidence in found.says


def test_an_address_of_a_reused_result_says_so() -> None:
    assert judge(bad("imds", reused=True)).findings[0].evidence.endswith("(asked less than a minute ago)")


def test_what_proves_nothing_is_no_finding_and_not_well() -> None:
    found = judge(bad("wireserver", success=None), bad("hostplugin", success=None))
    assert found.ok is None and found.findings == () and "does not answer" in found.says


def test_the_host_of_storage_is_named_for_the_remedy() -> None:
    assert judge(bad("storage", Kind.UNRESOLVED), bad("dns", Kind.UNRESOLVED)).findings[0].values == (("host", STORE),)


class TestNoRoute:
    def test_is_told_instead_of_what_follows_from_it(self) -> None:
        found = judge(bad("wireserver", Kind.NO_ROUTE), bad("hostplugin", Kind.NO_ROUTE), routable=False, route=None)
        assert ids(found) == ["no-route-to-wireserver"] and found.says == "there is no route to the wire server"
        assert found.findings[0].evidence == "there is no route to 168.63.129.16: the kernel knows no way"

    def test_a_host_plugin_elsewhere_is_another_matter(self) -> None:
        other = {"hostplugin": dataclasses.replace(bad("hostplugin")["hostplugin"], address="10.0.0.9:32526")}
        assert ids(judge(bad("wireserver"), other, routable=False)) == ["no-route-to-wireserver", "hostplugin-unreachable"]

    def test_a_route_that_refuses(self) -> None:
        found = judge(bad("wireserver", Kind.NO_ROUTE), routable=False, route=dataclasses.replace(ROUTE, refuses=True))
        assert "a route refuses it" in found.findings[0].evidence

    @pytest.mark.parametrize("routable", [True, None])
    def test_without_one_in_the_main_table_there_may_be_one_elsewhere(self, routable: Optional[bool]) -> None:
        """Policy routing; and on loopback there is none in that table either."""
        assert ids(judge(route=None, routable=routable)) == []
        assert ids(judge(bad("wireserver"), route=None, routable=routable)) == ["wireserver-unreachable"]

    def test_what_answers_has_a_way(self) -> None:
        assert ids(judge(routable=False)) == []


class TestProxy:
    @pytest.mark.parametrize("proxies", [(("https_proxy", "http://proxy:3128"),), (("HTTP_PROXY", "proxy:3128"),)])
    def test_behind_a_proxy_the_direct_way_to_storage_may_be_closed(self, proxies: Any) -> None:
        found = judge(bad("storage"), proxies=proxies)
        assert ids(found) == [] and found.ok is True and found.says.endswith("does not answer, but the agent has a proxy")
        assert found.facts["proxy"] in ("http://proxy:3128", "proxy:3128")

    def test_of_waagent_conf(self) -> None:
        assert ids(judge(bad("storage"), conf="http://proxy:3128")) == []

    @pytest.mark.parametrize("proxies", [None, (), (("no_proxy", "x"),)])
    def test_without_one_it_is_a_finding(self, proxies: Any) -> None:
        assert ids(judge(bad("storage"), proxies=proxies)) == ["storage-unreachable"]

    def test_no_proxy_has_to_do_with_the_wire_server(self) -> None:
        """The agent never uses one for it, whatever no_proxy says: rule 6 is kept by the agent itself."""
        assert ids(judge(proxies=(("http_proxy", "proxy:3128"),))) == []
        assert ids(judge(bad("wireserver"), proxies=(("http_proxy", "proxy:3128"),))) == ["wireserver-unreachable"]


class TestDhcp:
    @pytest.mark.parametrize("kind", [Kind.DROPPED, Kind.NO_ROUTE])
    def test_missing_everywhere_and_nobody_there(self, kind: str) -> None:
        found = judge(bad("wireserver", kind), leases=NOTHING)
        assert ids(found) == ["wireserver-unreachable", "dhcp-option-245-missing"]
        assert found.findings[1].evidence == "there is no DHCP lease, the agent has stored no address of a wire server, and 168.63.129.16 does not answer"

    def test_a_lease_without_it(self) -> None:
        found = judge(bad("wireserver"), leases=Leases((dataclasses.replace(LEASE, option_245=None),), "", "", True))
        assert "the DHCP leases (dhclient on eth0) carry no option 245" in found.findings[1].evidence

    @pytest.mark.parametrize("leases", [
        Leases((LEASE,), "", "", True), Leases((), "168.63.129.16", "", True), Leases((), None, None, True), Leases((), "", "", False),
        Leases((dataclasses.replace(LEASE, option_245=None, client="NetworkManager", telling=False),), "", "", True),
        Leases((dataclasses.replace(LEASE, option_245=None), LEASE), "", "", True)])
    def test_by_itself_it_is_no_fault(self, leases: Leases) -> None:
        """Some lease has it, the agent has the address, or it cannot be told."""
        assert ids(judge(bad("wireserver"), leases=leases)) == ["wireserver-unreachable"]

    def test_never_while_the_wire_server_answers(self) -> None:
        assert ids(judge(leases=NOTHING)) == []

    @pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.STATUS, Kind.SILENT, Kind.GARBAGE, Kind.CLOSED])
    def test_never_when_somebody_is_there(self, kind: str) -> None:
        assert ids(judge(bad("wireserver", kind), leases=NOTHING)) == ["wireserver-unreachable"]

    def test_never_when_it_could_not_be_told(self) -> None:
        assert ids(judge(bad("wireserver", success=None), leases=NOTHING)) == []

    def test_leases_that_were_not_seen(self) -> None:
        network = dataclasses.replace(NETWORK, targets=(bad("wireserver")["wireserver"],))
        found = part.judge(Case(1.0, 1.0, True, True, Settings(), network=Known(network, 1.0), leases=Unknown("x", 1.0)))
        assert ids(found) == ["wireserver-unreachable"] and found.facts["leases"] is None


def test_where_no_storage_is_known_it_is_said() -> None:
    network = dataclasses.replace(NETWORK, targets=GOOD[:3], storage_why="no goal state in /var/lib/waagent names a status blob")
    found = part.judge(Case(1.0, 1.0, True, True, Settings(), network=Known(network, 1.0), leases=Known(LEASES, 1.0)))
    assert found.ok is True and found.says.endswith("; storage not probed: no goal state in /var/lib/waagent names a status blob")
