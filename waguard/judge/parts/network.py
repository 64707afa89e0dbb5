"""Network: do Azure's addresses answer, and is DHCP's option 245 missing where it would have mattered?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from waguard.i18n import message, say
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding
from waguard.observe import Known
from waguard.observe.leases import Leases
from waguard.observe.network import Network, Target
from waguard.observe.probes import Kind, split

_OFF_AZURE = message("this machine is not known to be on Azure, so nothing is sent to Azure's addresses")
_NOBODY = frozenset((Kind.DROPPED, Kind.NO_ROUTE))
_SILENT = {"wireserver": message("wire server: {said}"), "hostplugin": message("host plugin: {said}"),
           "imds": message("metadata: {said}"), "storage": message("storage: {said}")}
_FAST = {"wireserver": message("wire server {milliseconds:.1f} ms"), "hostplugin": message("host plugin {milliseconds:.1f} ms"),
         "imds": message("metadata {milliseconds:.1f} ms"), "storage": message("storage {milliseconds:.1f} ms")}


def judge(case: Case) -> Part:
    """The part of the case about the network."""
    title = say("Network")
    if case.azure is not True:
        return Part("network", title, _OFF_AZURE, None)
    if not isinstance(case.network, Known):
        return Part("network", title, case.network.why, None)
    network = case.network.value
    leases = case.leases.value if isinstance(case.leases, Known) else None
    proxy = _proxy(case, network)
    findings = (*_azure(network), *_storage(network, proxy), *_dhcp(network, leases))
    core = [target.success for target in network.targets if target.name in ("wireserver", "hostplugin")]
    told: Optional[bool] = None if None in core or not core else True
    return Part("network", title, _says(network, proxy), False if findings else told, findings,
                _facts(case, network, leases, proxy))


def _azure(network: Network) -> Iterator[Finding]:
    """The wire server, what shares its address, and the metadata service."""
    wire = {target.address: target for target in network.named("wireserver")}
    for address, target in wire.items():
        host = _host(address)
        if target.success is not False:
            continue
        if network.routable is False:
            route = network.route
            refused = route is not None and route.refuses
            why = (say("there is no route to {host}: a route refuses it (unreachable, prohibit or blackhole)", host=host)
                   if refused else say("there is no route to {host}: the kernel knows no way", host=host))
            yield Finding("no-route-to-wireserver", why, (("address", host),))
        else:
            yield Finding("wireserver-unreachable", _sentence(target), (("address", address),))
    lost = {_host(address) for address in wire} if network.routable is False else set()
    for target in network.named("hostplugin"):
        if target.success is False and _host(target.address) not in lost:
            yield Finding("hostplugin-unreachable", _sentence(target), (("address", target.address),))
    for target in network.named("imds"):
        if target.success is False:
            yield Finding("imds-unreachable", _sentence(target), (("address", target.address),))


def _storage(network: Network, proxy: str) -> Iterator[Finding]:
    """Behind a proxy the direct way, which alone is probed, may well be closed; the agent's storage traffic takes the proxy."""
    for target in network.named("storage"):
        if target.success is False and not (proxy and target.kind != Kind.NO_ADDRESS):
            yield Finding("storage-unreachable", _sentence(target), (("host", _host(target.address)),))


def _dhcp(network: Network, leases: Optional[Leases]) -> Iterator[Finding]:
    """A missing option is a cause only where the agent has stored no address and nobody is met at the one that it knows."""
    wire = network.named("wireserver")
    if leases is None or not wire or any(target.success is not False or target.kind not in _NOBODY for target in wire):
        return
    if leases.endpoint != "" or not leases.complete or any(lease.option_245 or not lease.telling for lease in leases.leases):
        return
    seen = "; ".join(dict.fromkeys(
        say("{client} on {interface}", client=lease.client, interface=lease.interface) if lease.interface else
        say("{client} on an interface", client=lease.client) for lease in leases.leases[:5]))
    host = _host(wire[0].address)
    yield Finding("dhcp-option-245-missing", say(
        "the DHCP leases ({said_leases}) carry no option 245, the agent has stored no address of a wire server, and {host} does "
        "not answer", said_leases=seen, host=host) if seen else say(
        "there is no DHCP lease, the agent has stored no address of a wire server, and {host} does not answer", host=host))


def _proxy(case: Case, network: Network) -> str:
    """The proxy that the agent uses for storage, "" for none that is known. The conf's wins over the environment's."""
    if isinstance(case.conf, Known) and case.conf.value.proxy_url:
        return case.conf.value.proxy_url
    return next((value for name, value in network.proxies or () if name.lower() in ("https_proxy", "http_proxy")), "")


def _says(network: Network, proxy: str) -> str:
    """What does not answer; if all do, how fast."""
    bad = [target for target in network.targets if target.success is not True and target.name != "dns"]
    if network.routable is False and any(target.name == "wireserver" for target in bad):
        return say("there is no route to the wire server")
    if bad:
        return "; ".join(say("storage: {said}, but the agent has a proxy", said=_sentence(target))
                         if target.name == "storage" and proxy else _SILENT[target.name].format(said=_sentence(target))
                         for target in bad)
    times = "; ".join(_FAST[target.name].format(milliseconds=target.duration * 1000)
                      for target in network.targets if target.duration is not None and target.name != "dns")
    if network.named("storage"):
        return say("all answer ({said_times})", said_times=times)
    return say("all answer ({said_times}); storage not probed: {said_why}", said_times=times, said_why=network.storage_why)


def _sentence(target: Target) -> str:
    return say("{said} (asked less than a minute ago)", said=target.problem) if target.reused else target.problem


def _facts(case: Case, network: Network, leases: Optional[Leases], proxy: str) -> dict[str, Any]:
    route = network.route
    return {
        "targets": [{"name": target.name, "address": target.address, "success": target.success, "seconds": target.duration,
                     "kind": target.kind, "problem": target.problem or None, "age": max(0.0, case.wall - target.at)}
                    for target in network.targets],
        "storage_why": network.storage_why or None,
        "routable": network.routable,
        "route": None if route is None else {"interface": route.interface, "network": f"{route.network}/{route.length}",
                                             "gateway": route.gateway or None},
        "proxy": proxy or None,
        "environment_proxies": None if network.proxies is None else dict(network.proxies),
        "environment_why": network.proxies_why or None,
        "leases": None if leases is None else [
            {"interface": lease.interface or None, "client": lease.client, "option_245": lease.option_245,
             "expires": lease.expires, "readable": lease.readable, "telling": lease.telling} for lease in leases.leases],
        "stored_endpoint": leases.endpoint or None if leases is not None else None,
    }


def _host(address: str) -> str:
    found = split(address, 1)
    return found[0] if found is not None else address
