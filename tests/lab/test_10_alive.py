"""The guard keeps a real agent alive. Each test is one promise, seen from outside the guard."""

from __future__ import annotations

import json
import time

from .agent import CONF, DROP_INS, UNIT, Agent
from .fabric import Fabric
from .guard import Guard
from .machine import Machine

QUICK = "restart:\n  reset_after: 3s\n  backoff_first: 1s\n"


def kill_and_time(machine: Machine, pid: int) -> float:
    """Kills the daemon and waits in the machine itself for the next one. Returns the seconds, for the record only."""
    script = (
        "import os,sys,time,subprocess\n"
        "pid=int(sys.argv[1]); os.kill(pid,9); t=time.monotonic()\n"
        "while time.monotonic()-t < 30:\n"
        f"  argv=['systemctl','show','{UNIT}','-p','MainPID','-p','ActiveState']\n"
        "  out=subprocess.run(argv,capture_output=True,text=True).stdout\n"
        "  now=dict(line.split('=') for line in out.split())\n"
        "  if now['ActiveState']=='active' and now['MainPID'] not in ('0',str(pid)): print(time.monotonic()-t); break\n"
        "  time.sleep(0.002)\n"
        "else: sys.exit('the agent did not come back')\n")
    return float(machine.run(["python3", "-c", script, str(pid)], timeout=60).out)


def test_01_fresh_install_next_to_the_running_agent(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    before = agent.daemon_pid()
    guard.install()
    assert agent.daemon_pid() == before, "installing the guard disturbed the agent"
    for unit in ("waguard.service", "waguard-exporter.service", "waguard-exporter.socket"):
        assert machine.show(unit, "ActiveState")["ActiveState"] == "active", unit
        assert machine.run(["systemctl", "is-enabled", unit]).out.strip() == "enabled", unit
    found = machine.wait_until(lambda: (s := guard.snapshot())["agent"]["heartbeat"]["at"] and s, 20, "a heartbeat")
    assert found["agent"]["unit"]["name"] == UNIT
    assert found["agent"]["daemon"]["pid"] == before
    assert found["agent"]["handler"]["pid"] in agent.handler_pids()
    assert found["agent"]["versions"] == {"daemon": "2.7.3.0", "goal_state": "2.7.3.0", "distro": None}
    assert found["at"] - found["agent"]["heartbeat"]["at"] < 60
    assert found["verdict"]["level"] == "ok"
    screen = guard.ctl("status").out
    assert all(word in screen for word in (UNIT, str(before), "2.7.3.0", "last seen working")), screen


def test_01_a_real_prometheus_scrapes_it(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install()
    machine.write("/etc/prometheus/lab.yml", "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: waguard\n"
                  "  static_configs: [{targets: ['127.0.0.1:10168']}]\n")
    machine.run("systemd-run --unit=prom -p DynamicUser=yes -p StateDirectory=prom "
                "prometheus --config.file=/etc/prometheus/lab.yml "
                "--storage.tsdb.path=/var/lib/prom --web.listen-address=127.0.0.1:9090")

    def ask(query: str) -> list[str]:
        url = f"http://127.0.0.1:9090/api/v1/query?query={query}"
        found = json.loads(machine.run(["curl", "-sS", "--max-time", "5", url]).out)
        return [sample["value"][1] for sample in found["data"]["result"]]

    machine.wait_until(lambda: ask("up") == ["1"], 40, "Prometheus to scrape waguard")
    assert ask("waguard_agent_up") == ["1"]
    assert ask("waguard_guard_up") == ["1"]


def test_02_killed_twenty_times_without_restart_in_the_unit(machine: Machine, agent: Agent) -> None:
    assert machine.show(UNIT, "Restart")["Restart"] == "no"
    guard = Guard(machine)
    guard.install(QUICK)
    times = []
    for number in range(1, 21):
        times.append(kill_and_time(machine, agent.daemon_pid()))
        guard.wait_for("agent-started", number)
        # Spaced so that the back-off resets: the next start is at once again.
        machine.wait_until(lambda: guard.snapshot()["policy"]["attempts"] == 0, 30, "the back-off to reset", every=0.3)
    found = guard.snapshot()["counters"]
    assert found["agent_exits"] == 20
    assert found["restarts"] == {"waguard": 20, "systemd": 0, "admin": 0}
    assert found["restart_attempts"] == 20
    metrics = guard.metrics()
    assert metrics["waguard_agent_exits_total"] == 20
    assert metrics['waguard_agent_restarts_total{actor="waguard"}'] == 20
    assert all("signal 9" in event["message"] for event in guard.events("agent-exited"))
    assert len(machine.journal_entries("MESSAGE_ID=ac530ec2701c4fb6b22433ebc9baebab")) == 20
    assert "nobody asked" in machine.journal("-x", "-u", "waguard.service").lower()
    print("seconds to active:", " ".join(f"{seconds:.3f}" for seconds in times))


def test_03_systemd_restarts_it_and_the_guard_says_so(machine: Machine, agent: Agent) -> None:
    machine.write(f"{DROP_INS}/restart.conf", "[Service]\nRestart=always\nRestartSec=2\n")
    machine.run(["systemctl", "daemon-reload"])
    guard = Guard(machine)
    guard.install(QUICK)
    kill_and_time(machine, agent.daemon_pid())
    event = guard.wait_for("agent-started")
    assert event["fields"]["actor"] == "systemd"
    assert guard.events("agent-action") == []
    found = guard.snapshot()["counters"]
    assert found["restarts"] == {"waguard": 0, "systemd": 1, "admin": 0}
    assert found["agent_exits"] == 1
    assert guard.metrics()['waguard_agent_restarts_total{actor="systemd"}'] == 1
    assert machine.show(UNIT, "NRestarts")["NRestarts"] == "1"


def test_04_start_limit_hit_is_reset_with_growing_delays(machine: Machine, agent: Agent) -> None:
    machine.write(f"{DROP_INS}/restart.conf", "[Service]\nRestart=always\n")
    machine.run(["systemctl", "daemon-reload"])
    guard = Guard(machine)
    guard.install("restart:\n  backoff_first: 2s\n  reset_after: 5m\n")
    # Until systemd has given up three times, by its own log: a daemon is killed as soon as it is there.
    loop = (f"while [ $(journalctl -u {UNIT} -b --no-pager | grep -c 'Start request repeated too quickly') -lt 3 ]; do "
            f"pid=$(systemctl show -p MainPID --value {UNIT}); [ \"$pid\" != 0 ] && kill -9 $pid; sleep 0.05; done")
    machine.run(loop, timeout=90)
    machine.wait_until(lambda: machine.show(UNIT, "ActiveState")["ActiveState"] == "active", 40, "the agent to be back")
    attempts = [event["at"] for event in guard.events("agent-action")]
    assert len(attempts) >= 3, attempts
    gaps = [later - earlier for earlier, later in zip(attempts, attempts[1:])]
    assert all(later > earlier for earlier, later in zip(gaps, gaps[1:])), gaps
    assert all("systemd gave up" in event["fields"]["reason"] for event in guard.events("agent-action"))
    journal = machine.journal("-u", UNIT)
    assert "Start request repeated too quickly" in journal


def test_05_an_agent_that_cannot_start_and_is_repaired(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install("restart:\n  backoff_first: 1s\n  backoff_cap: 8s\n  reset_after: 4s\n")
    library = "/usr/lib/python3/dist-packages/azurelinuxagent"
    machine.run(["mv", library, f"{library}.gone"])
    machine.run(["kill", "-9", str(agent.daemon_pid())])
    guard.wait_for("agent-action", 6, timeout=60)
    attempts = [event["at"] for event in guard.events("agent-action")]
    gaps = [later - earlier for earlier, later in zip(attempts, attempts[1:])]
    assert gaps[0] < gaps[1] < gaps[2], gaps
    assert max(gaps) < 8 + 3, gaps
    machine.wait_until(lambda: "agent-crash-loop" in [finding["id"] for finding in guard.snapshot()["findings"]], 10, "the finding")
    assert guard.snapshot()["verdict"]["level"] == "critical"
    ticks = cpu_ticks(machine, guard.pid())
    time.sleep(10)
    assert cpu_ticks(machine, guard.pid()) - ticks < 50, "the guard is busy while it waits"
    machine.run(["mv", f"{library}.gone", library])
    agent.wait_for_turn(timeout=30)
    machine.wait_until(lambda: guard.snapshot()["policy"]["attempts"] == 0, 30, "the back-off to reset")
    guard.wait_for("agent-proved")


def cpu_ticks(machine: Machine, pid: int) -> int:
    fields = machine.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


SHORT = ("liveness:\n  check_interval: 2s\n  status_stale: 15s\n  status_stale_periods: 1\n  hung_checks: 2\n"
         "restart:\n  reset_after: 5s\n")


def test_06_a_stopped_handler_is_hung_and_restarted_once(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install(SHORT)
    machine.wait_until(lambda: guard.snapshot()["probes"]["wireserver"]["success"], 20, "the wire server to be probed")
    beat = guard.snapshot()["agent"]["heartbeat"]["id"]
    assert beat and beat in agent.heartbeats()[-1]
    machine.run(["kill", "-STOP", str(agent.handler_pids()[0])])
    action = guard.wait_for("agent-action", timeout=120)  # with a probe of the wire server in it, at most one a minute
    assert action["fields"]["action"] == "restart"
    assert "state T" in action["message"] and "wire server answers" in action["message"]
    guard.wait_for("agent-proved", timeout=60)
    machine.wait_until(lambda: guard.snapshot()["agent"]["heartbeat"]["id"] not in (None, beat), 30, "a new heartbeat id")
    time.sleep(20)  # two more stale limits: one restart was enough
    assert len(guard.events("agent-action")) == 1
    assert guard.snapshot()["policy"]["budget"]["hour_left"] == 2
    assert guard.metrics()["waguard_agent_restart_budget_remaining"] == 2


def test_07_a_black_hole_is_not_a_hang(machine: Machine, agent: Agent, fabric: Fabric) -> None:
    guard = Guard(machine)
    guard.install(SHORT)
    daemon = agent.daemon_pid()
    fabric.behave("blackhole")
    machine.wait_until(lambda: "wireserver-unreachable" in [f["id"] for f in guard.snapshot()["findings"]], 150,
                       "the wire server to be found unreachable", every=1)
    machine.wait_until(lambda: "status-not-reported" in [f["id"] for f in guard.snapshot()["findings"]], 150,
                       "the loop to be slow", every=1)
    time.sleep(30)
    assert agent.daemon_pid() == daemon
    assert guard.events("agent-action") == []
    assert guard.metrics()['waguard_probe_success{target="wireserver"}'] == 0
    fabric.behave("well")
    agent.wait_for_turn(timeout=300)
    assert agent.daemon_pid() == daemon


def test_08_hands_off_when_somebody_wants_it_so(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install(QUICK)
    for command, by in ((f"systemctl stop {UNIT}", "stopped"), (f"systemctl disable --now {UNIT}", "disabled"),
                        (f"systemctl mask --now {UNIT}", "masked")):
        machine.run(command, timeout=60)
        found = guard.wait_state("resting")
        assert found["agent"]["rests"]["by"] == by, found["agent"]
        time.sleep(6)
        assert machine.show(UNIT, "ActiveState")["ActiveState"] == "inactive"
        assert guard.events("agent-action") == []
        machine.run(f"systemctl unmask {UNIT}; systemctl enable {UNIT}; systemctl start {UNIT}")
        guard.wait_state("running", timeout=40)
    assert guard.snapshot()["counters"]["agent_exits"] == 0
    kill_and_time(machine, agent.daemon_pid())  # watched again
    assert guard.wait_for("agent-action")["fields"]["action"] == "start"


def test_08_an_agent_that_ends_by_itself_is_told_from_a_stop(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install(QUICK)
    whole = machine.read(CONF)
    machine.write(CONF, "")
    machine.run(["systemctl", "restart", UNIT])
    found = guard.wait_state("down")
    assert found["agent"]["rests"] is None
    assert "conf-missing" in [finding["id"] for finding in found["findings"]]
    machine.write(CONF, whole)
    agent.wait_for_turn(timeout=40)
    guard.wait_state("running")
    # And one that systemd itself cannot tell from a stop: SIGTERM by hand, exit status 0, inactive, success.
    actions = len(guard.events("agent-action"))
    machine.run("systemctl show -p MainPID --value walinuxagent | xargs kill -TERM")
    guard.wait_for("agent-exited")
    guard.wait_for("agent-action", actions + 1)
    agent.wait_for_turn(timeout=40)


def test_09_apt_reinstalls_the_agent(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install(QUICK)
    before = agent.daemon_pid()
    machine.run("apt-get install --yes --reinstall -o Dpkg::Options::=--force-confold /srv/debs/waagent_*.deb", timeout=120)
    machine.wait_until(lambda: agent.daemon_pid() not in (0, before), 30, "the new agent")
    agent.wait_for_turn()
    machine.wait_until(lambda: guard.snapshot()["counters"]["restarts"]["admin"] == 1, 30, "the new start to be noticed")
    found = guard.snapshot()["counters"]
    assert found["agent_exits"] == 0
    assert guard.events("agent-action") == []


BUS = """\
import sys
from waguard.act.systemd import Systemd
from waguard.clock import Clock
from waguard.guard.bus import Bus
from waguard.guard.children import Children
from waguard.guard.loop import Loop
from waguard.observe import unit

class Nobody:
    def run(self, argv, timeout, done):
        sys.exit(f"the bus did not answer: {argv}")

loop, clock = Loop(Clock(), lambda error: sys.exit(repr(error))), Clock()
by_bus, by_program = [], []
Systemd(loop, Bus(loop), Nobody(), clock.now, sys.argv[1:], 10.0).look(by_bus.append)
Children(loop, clock.now).run(unit.show_argv(sys.argv[1:]), 10.0, by_program.append)
while not (by_bus and by_program):
    loop.turn(1.0)
states = unit.parse(by_program[0].output)
if by_bus[0].value != (unit.choose(states) or states[0]):
    sys.exit(f"{by_bus[0].value}\\n{unit.choose(states) or states[0]}")
print(by_bus[0].value.name, by_bus[0].value.active, by_bus[0].value.load)
"""


def test_the_bus_and_systemctl_say_the_same(machine: Machine, agent: Agent) -> None:
    """In every state that a unit of the agent may be in."""
    Guard(machine).install()
    machine.run(["systemctl", "stop", "waguard.service"])

    def both(*units: str) -> str:
        return machine.run(["python3", "-c", BUS, *(units or (UNIT, "waagent.service"))]).out.strip()

    assert both() == f"{UNIT} active loaded"
    machine.run(["kill", "-9", str(agent.daemon_pid())])
    machine.wait_until(lambda: both() == f"{UNIT} failed loaded", 10, "the unit to have failed")
    machine.run(["systemctl", "reset-failed", UNIT])
    assert both() == f"{UNIT} inactive loaded"
    machine.write(f"{DROP_INS}/restart.conf", "[Service]\nRestart=always\nRestartSec=infinity\n")
    machine.run(f"systemctl daemon-reload; systemctl start {UNIT}")
    machine.run(["kill", "-9", str(agent.daemon_pid())])
    machine.wait_until(lambda: both() == f"{UNIT} activating loaded", 10, "the unit to wait for its restart")
    machine.run(f"systemctl stop {UNIT}; rm {DROP_INS}/restart.conf; systemctl mask {UNIT}")
    assert both() == f"{UNIT} inactive masked"
    machine.run(["systemctl", "unmask", UNIT])
    machine.run(["systemctl", "disable", UNIT])
    assert both("waagent.service", "nothing.service") == "waagent.service inactive not-found"


def test_without_a_bus_it_works_through_systemctl(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install(QUICK)
    machine.run("systemctl stop dbus.socket dbus.service", timeout=60)
    kill_and_time(machine, agent.daemon_pid())
    guard.wait_for("agent-started")
    assert guard.snapshot()["counters"]["restarts"] == {"waguard": 1, "systemd": 0, "admin": 0}
    machine.run("systemctl start dbus.socket")
    machine.wait_until(lambda: guard.snapshot()["policy"]["attempts"] == 0, 30, "the back-off to reset", every=0.3)
    kill_and_time(machine, agent.daemon_pid())
    guard.wait_for("agent-started", 2)
