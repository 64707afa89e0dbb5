"""All targets at once, against real peers on loopback; where storage is; what is kept from one look to the next."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from waguard.agent.facts import AgentFacts
from waguard.observe import network, probes
from waguard.observe.network import Network, Target
from waguard.observe.probes import Kind
from waguard.settings import NetworkSettings

from . import peers
from .peers import Peer, peer
from .trees import plant, program

AGENT = AgentFacts()
NOW = 1763640000.0
XML = "<Extensions><StatusUploadBlob statusBlobType=\"BlockBlob\">https://{host}/$system/x.status?sig=SECRET</StatusUploadBlob></Extensions>"
ROUTE = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\nlo\t0000007F\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"


class Azure:
    """A wire server, a host plugin and a metadata service, all well."""

    def __init__(self, wire: Peer, plugin: Peer, imds: Peer) -> None:
        self.wire, self.plugin, self.imds = wire, plugin, imds

    def settings(self, **changes: Any) -> NetworkSettings:
        return dataclasses.replace(NetworkSettings(wireserver=self.wire.address, hostplugin=self.plugin.address, imds=self.imds.address,
                                                   probe_timeout=20.0), **changes)


@pytest.fixture
def azure() -> Iterator[Azure]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(peer(behaviour)) for behaviour in (
            peers.http("200 OK", b"<?xml?><Versions/>"), peers.http("200 OK", b'["2015-09-01"]'), peers.http("200 OK", b'{"secret": 1}'))]
        yield Azure(*found)


def look(settings: NetworkSettings, root: Path, privileged: bool = True, state: Optional[Any] = None, wall: float = NOW,
         agent: AgentFacts = AGENT, systemctl: str = "/nowhere/systemctl") -> Network:
    return network.look(settings, agent, privileged, root, state, wall, systemctl)


def one(found: Network, name: str) -> Target:
    (target,) = found.named(name)
    return target


class TestAllWell:
    def test_each_is_asked_what_the_agent_asks(self, azure: Azure, tmp_path: Path) -> None:
        found = look(azure.settings(), tmp_path)
        assert [(target.name, target.success, target.kind, target.problem, target.reused) for target in found.targets] == [
            ("wireserver", True, "ok", "", False), ("hostplugin", True, "ok", "", False), ("imds", True, "ok", "", False)]
        assert all(target.duration is not None and target.duration > 0 and target.at == NOW for target in found.targets)
        assert [asked.asked[0].split(b"\r\n")[0] for asked in (azure.wire, azure.plugin, azure.imds)] == [
            b"GET /?comp=versions HTTP/1.1", b"GET /versions HTTP/1.1", b"GET /metadata/instance?api-version=2018-02-01 HTTP/1.1"]
        assert [b"\r\nMetadata: true\r\n" in asked.asked[0] for asked in (azure.wire, azure.plugin, azure.imds)] == [False, False, True]

    def test_nothing_of_an_answer_is_kept(self, azure: Azure, tmp_path: Path) -> None:
        assert "secret" not in repr(look(azure.settings(), tmp_path)) and "2015" not in repr(look(azure.settings(), tmp_path).targets)

    def test_a_throttled_metadata_service_is_there(self, azure: Azure, tmp_path: Path) -> None:
        with peer(peers.http("429 Too Many Requests")) as busy:
            assert one(look(azure.settings(imds=busy.address), tmp_path), "imds").success is True
            assert one(look(azure.settings(hostplugin=busy.address), tmp_path), "hostplugin").success is False


class TestTroubles:
    def test_one_that_fails_is_named_and_harms_no_other(self, azure: Azure, tmp_path: Path) -> None:
        with peer(peers.http("500 Internal Server Error")) as bad:
            found = look(azure.settings(wireserver=bad.address), tmp_path)
        target = one(found, "wireserver")
        assert (target.success, target.kind, target.problem) == (False, Kind.STATUS, f"{bad.address} answers with HTTP status 500")
        assert one(found, "hostplugin").success is True

    def test_all_are_waited_for_at_the_same_time(self, tmp_path: Path) -> None:
        """Each answers only when all three have asked."""
        met = threading.Barrier(3, timeout=30)

        def together(connection: Any, over: threading.Event) -> None:
            met.wait()
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n<Versions/>")

        with peer(together) as all_three:
            host = all_three.address
            settings = NetworkSettings(wireserver=host, hostplugin=host, imds=host, probe_timeout=20.0)
            assert [target.success for target in look(settings, tmp_path).targets] == [True, True, True]

    @pytest.mark.parametrize(("privileged", "success"), [(True, False), (False, None)])
    def test_dropped_packets_prove_nothing_to_an_ordinary_user(self, azure: Azure, tmp_path: Path, privileged: bool, success: Optional[bool]) -> None:
        """The agent's firewall drops what is not root's, to the wire server and the host plugin; not to the metadata service."""
        with peers.dropping() as address:
            settings = azure.settings(wireserver=address, hostplugin=address, imds=address, probe_timeout=0.4)
            found = look(settings, tmp_path, privileged)
        assert [target.success for target in found.targets] == [success, success, False]
        assert ("proves nothing" in one(found, "wireserver").problem) is not privileged and "proves" not in one(found, "imds").problem

    def test_refused_proves_something_to_everybody(self, azure: Azure, tmp_path: Path) -> None:
        assert one(look(azure.settings(wireserver="127.0.0.1:1"), tmp_path, False), "wireserver").success is False

    @pytest.mark.parametrize("address", ["", "x", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:80", "a:80"])
    def test_what_is_no_address_is_a_problem(self, azure: Azure, tmp_path: Path, address: str) -> None:
        target = one(look(azure.settings(wireserver=address), tmp_path), "wireserver")
        assert target.success is False and target.kind == Kind.NO_ADDRESS

    def test_a_resolver_that_never_comes_back_is_left_behind(self, azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        over = threading.Event()
        monkeypatch.setattr(probes, "resolve", lambda host, port: over.wait(600) and ([], ""))
        try:
            found = look(azure.settings(storage=("a.example",), probe_timeout=0.3), tmp_path)
        finally:
            over.set()
        for name in ("dns", "storage"):
            target = one(found, name)
            assert (target.success, target.kind, target.problem) == (False, Kind.UNRESOLVED, "a.example cannot be resolved: no answer within 0.3 s")


class TestStorage:
    @pytest.fixture
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
        both = peers.certificate(tmp_path, "localhost")
        monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(both.parent / "certificate"))
        with peer(peers.shakes(both), reads=False) as found:
            yield found

    def test_by_the_settings(self, azure: Azure, tmp_path: Path, store: Peer) -> None:
        found = look(azure.settings(storage=(f"localhost:{store.port}", store.address)), tmp_path)
        assert [(target.name, target.address, target.success) for target in found.targets[3:]] == [
            ("dns", f"localhost:{store.port}", True), ("storage", f"localhost:{store.port}", True), ("storage", store.address, True)]

    @pytest.mark.parametrize("place", ["history/2025-11-19T12-41-22__3-123/ExtensionsConfig.xml", "ExtensionsConfig.7.xml"])
    def test_by_the_goal_state(self, azure: Azure, tmp_path: Path, store: Peer, place: str) -> None:
        plant(tmp_path, {f"var/lib/waagent/{place}": XML.format(host=f"localhost:{store.port}")})
        found = look(azure.settings(), tmp_path)
        assert one(found, "storage").success is True and found.storage_why == ""
        assert "SECRET" not in repr(found) and "$system" not in repr(found)

    def test_a_name_that_cannot_be_resolved(self, azure: Azure, tmp_path: Path) -> None:
        found = look(azure.settings(storage=("a..b",)), tmp_path)
        assert [one(found, name).kind for name in ("dns", "storage")] == [Kind.UNRESOLVED, Kind.UNRESOLVED]

    @pytest.mark.parametrize(("planted", "why"), [
        ({}, "does not exist"), ({"var/lib/waagent/provisioned": ""}, "names a status blob"),
        ({"var/lib/waagent/ExtensionsConfig.7.xml": "<x/>"}, "names a status blob"), ({"var/lib/waagent": "x"}, "Not a directory")])
    def test_where_none_is_known_none_is_probed(self, azure: Azure, tmp_path: Path, planted: dict[str, str], why: str) -> None:
        found = look(azure.settings(), plant(tmp_path, planted))
        assert found.named("storage") == () and found.named("dns") == () and why in found.storage_why

    def test_a_fifo_in_its_place_does_not_hold_it_up(self, azure: Azure, tmp_path: Path) -> None:
        (tmp_path / "var/lib/waagent").mkdir(parents=True)
        os.mkfifo(tmp_path / "var/lib/waagent/ExtensionsConfig.9.xml")
        assert look(azure.settings(), tmp_path).named("storage") == ()


class TestOnceAMinute:
    def test_a_young_result_is_used_again_and_marked(self, azure: Azure, tmp_path: Path) -> None:
        first = look(azure.settings(), tmp_path)
        again = look(azure.settings(), tmp_path, state=json.loads(json.dumps(first.state)), wall=NOW + 59)
        assert [dataclasses.replace(target, reused=False) for target in again.targets] == list(first.targets)
        assert all(target.reused for target in again.targets) and [len(one.asked) for one in (azure.wire, azure.plugin, azure.imds)] == [1, 1, 1]

    def test_using_it_again_does_not_make_it_younger(self, azure: Azure, tmp_path: Path) -> None:
        state = look(azure.settings(), tmp_path).state
        state = look(azure.settings(), tmp_path, state=state, wall=NOW + 40).state
        assert not any(target.reused for target in look(azure.settings(), tmp_path, state=state, wall=NOW + 80).targets)

    @pytest.mark.parametrize("wall", [NOW + 60, NOW - 1])
    def test_an_old_one_or_one_of_the_future_is_not(self, azure: Azure, tmp_path: Path, wall: float) -> None:
        state = look(azure.settings(), tmp_path).state
        assert not any(target.reused for target in look(azure.settings(), tmp_path, state=state, wall=wall).targets)

    def test_another_address_is_asked_at_once(self, azure: Azure, tmp_path: Path) -> None:
        state = look(azure.settings(), tmp_path).state
        found = look(azure.settings(wireserver="127.0.0.1:1"), tmp_path, state=state)
        assert [(target.name, target.reused) for target in found.targets] == [("wireserver", False), ("hostplugin", True), ("imds", True)]

    @pytest.mark.parametrize("state", [{}, {"targets": 1}, {"targets": [1, None, {}, {"name": "wireserver"}]},
                                       {"targets": [{"name": "wireserver", "address": "x", "success": 1, "duration": "y", "problem": "", "kind": "", "at": None}]}])
    def test_a_state_that_makes_no_sense_is_none(self, azure: Azure, tmp_path: Path, state: Any) -> None:
        assert [target.success for target in look(azure.settings(), tmp_path, state=state).targets] == [True, True, True]


class TestRoute:
    def test_of_the_wire_server(self, azure: Azure, tmp_path: Path) -> None:
        found = look(azure.settings(), plant(tmp_path, {"proc/net/route": ROUTE}))
        assert found.route is not None and found.route.interface == "lo" and found.routable is True

    def test_without_the_file(self, azure: Azure, tmp_path: Path) -> None:
        assert look(azure.settings(), tmp_path).route is None


class TestProxies:
    AGENT = dataclasses.replace(AgentFacts(), daemon_pid=77, unit="waagent.service")

    def look(self, azure: Azure, root: Path, environ: bytes, **changes: Any) -> Network:
        return look(azure.settings(), plant(root, {"proc/77/environ": environ}), agent=self.AGENT, **changes)

    @pytest.mark.parametrize(("environ", "told"), [
        (b"PATH=/bin\0http_proxy=http://proxy:3128/\0HTTPS_PROXY=proxy.example:8080\0", (("HTTPS_PROXY", "proxy.example:8080"), ("http_proxy", "http://proxy:3128"))),
        (b"https_proxy=http://user:SECRET@proxy:3128\0", (("https_proxy", "http://proxy:3128"),)),
        (b"https_proxy=user:SEC@RET@[fd00::1]:3128/x?SECRET\0", (("https_proxy", "[fd00::1]:3128"),)),
        (b"https_proxy=SECRET SECRET\0", (("https_proxy", "set, but no address"),)),
        (b"no_proxy=168.63.129.16,.local\0", (("no_proxy", "168.63.129.16,.local"),)),
        (b"http_proxy=\0PASSWORD=SECRET\0my_http_proxy=SECRET\0", ()), (b"", ()), (b"\xff\0=\0http_proxy", ())])
    def test_of_the_agents_daemon(self, azure: Azure, tmp_path: Path, environ: bytes, told: tuple[tuple[str, str], ...]) -> None:
        found = self.look(azure, tmp_path, environ)
        assert found.proxies == told and found.proxies_why == "" and "SECRET" not in repr(found)

    def test_without_an_agent(self, azure: Azure, tmp_path: Path) -> None:
        found = look(azure.settings(), tmp_path)
        assert found.proxies is None and found.proxies_why == "the agent does not run"

    @pytest.mark.parametrize(("said", "told"), [
        ("Environment=A=b \"https_proxy=http://u:SECRET@proxy:3128\" no_proxy=x\nEnvironmentFiles=\n", (("https_proxy", "http://proxy:3128"), ("no_proxy", "x"))),
        ("Environment=\n", ()), ("Environment=\nEnvironmentFiles=/etc/default/waagent (ignore_errors=yes)\n", None), ("", None), ("Environment=\"\n", None)])
    def test_where_it_may_not_be_read_the_units_stand_in(self, azure: Azure, tmp_path: Path, said: str, told: Optional[tuple[tuple[str, str], ...]]) -> None:
        systemctl = program(tmp_path / "systemctl", f"cat <<'END'\n{said}END")
        (tmp_path / "proc/77/environ").mkdir(parents=True)
        found = look(azure.settings(), tmp_path, agent=self.AGENT, systemctl=systemctl)
        assert found.proxies == told and "cannot be read" in found.proxies_why and "SECRET" not in repr(found)


def test_the_state_is_plain_json(azure: Azure, tmp_path: Path) -> None:
    state = look(azure.settings(storage=("a..b",)), tmp_path).state
    assert json.loads(json.dumps(state)) == state
