"""What people would use instead, out of Debian's packages, each set up for the work that waguard does, else as shipped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.beside.figures import NotDone
from bench.beside.vm import GUARD, METRICS, UNIT, VM

PACKAGES = {"monit": "monit", "node_exporter": "prometheus-node-exporter", "process-exporter": "prometheus-process-exporter",
            "mtail": "mtail", "Prometheus": "prometheus", "waagent": "waagent", "systemd": "systemd", "Python": "python3"}

MONIT = "bench-monit"
NODE = "bench-node-exporter"
SYSTEMD_ONLY = "bench-node-exporter-systemd"
PROCESS = "bench-process-exporter"
MONITRC = "/etc/bench-monitrc"
MONIT_LOG = "/var/log/bench-monit.log"
MONIT_DEFAULT = 120
"""Seconds of a cycle as Debian ships it (/etc/monit/monitrc)."""

URLS = {
    "waguard": METRICS,
    "node_exporter": "http://127.0.0.1:9100/metrics",
    "node_exporter, systemd only": "http://127.0.0.1:9101/metrics",
    "process-exporter": "http://127.0.0.1:9256/metrics",
}
SAYS = {
    "waguard": "waguard_agent_up 1",
    "node_exporter": "node_cpu_seconds_total{",
    "node_exporter, systemd only": f'node_systemd_unit_state{{name="{UNIT}",state="active",',
    "process-exporter": 'namedprocess_namegroup_num_procs{groupname="waagent"} ',
}
"""What an answer has to hold to be one."""
UNITS = {
    "waguard": (GUARD, "waguard-exporter.service"),
    "node_exporter": (NODE,),
    "node_exporter, systemd only": (SYSTEMD_ONLY,),
    "process-exporter": (PROCESS,),
}
"""Whose CPU time an answer costs."""
_USER = ("User=prometheus",)


def versions(vm: VM) -> dict[str, str]:
    """Of the peers, as packaged."""
    told = vm.run("dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *PACKAGES.values()).out
    known = dict(line.split() for line in told.splitlines())
    return {name: known[package] for name, package in PACKAGES.items()}


@contextmanager
def monit(vm: VM, cycle: int) -> Iterator[None]:
    """monit, told to keep the agent up by its pid file, as monit's manual has it."""
    vm.machine.write(MONITRC, f"""\
set daemon {cycle}
set log {MONIT_LOG}
set pidfile /run/bench-monit.pid
set idfile /run/bench-monit.id
set statefile /run/bench-monit.state
set httpd unixsocket /run/bench-monit.sock permission 600 allow localhost
check process waagent with pidfile /run/waagent.pid
  start program = "/usr/bin/systemctl start {UNIT}"
  stop program = "/usr/bin/systemctl stop {UNIT}"
  if does not exist then start
""", mode=0o600)
    vm.unit(MONIT, "/usr/bin/monit", "-I", "-c", MONITRC)
    try:
        vm.wait(lambda: "OK" in vm.run("monit", "-c", MONITRC, "summary", check=False).out, 30, "monit to watch the agent")
        yield
    finally:
        vm.stop(MONIT)


def node_exporter(vm: VM) -> None:
    """As shipped, but for loopback."""
    vm.unit(NODE, "/usr/bin/prometheus-node-exporter", "--web.listen-address=127.0.0.1:9100", properties=_USER)


@contextmanager
def exporters(vm: VM) -> Iterator[None]:
    """node_exporter as shipped, a second one with the systemd collector alone, and process-exporter for the agent alone."""
    vm.machine.write("/etc/bench-process.yml", "process_names:\n- {name: waagent, cmdline: ['waagent']}\n")
    node_exporter(vm)
    vm.unit(SYSTEMD_ONLY, "/usr/bin/prometheus-node-exporter", "--collector.disable-defaults", "--collector.systemd",
            "--web.listen-address=127.0.0.1:9101", properties=_USER)
    vm.unit(PROCESS, "/usr/bin/prometheus-process-exporter", "-config.path=/etc/bench-process.yml",
            "-web.listen-address=127.0.0.1:9256", properties=_USER)
    try:
        for who in URLS:
            vm.wait(lambda who=who: check(vm, who), 30, f"{who} to answer")  # type: ignore[misc]
        yield
    finally:
        vm.stop(NODE, SYSTEMD_ONLY, PROCESS)


def check(vm: VM, who: str) -> bool:
    """One scrape that has to be an answer."""
    return SAYS[who] in vm.run("curl", "-sS", "--max-time", "10", URLS[who], check=False).out


def demand(who: str, text: str) -> None:
    """Raises NotDone for a scrape that is no answer."""
    if SAYS[who] not in text:
        raise NotDone(f"{who} answered without {SAYS[who]!r}: {text[:200]!r}")
