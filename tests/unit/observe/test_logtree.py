"""The logs of a whole machine, in fake roots, by visits that remember only JSON."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Optional

import pytest

from waguard.agent.facts import AgentFacts
from waguard.agent.signatures import COMMAND, EXTENSION, SHELL, WAAGENT
from waguard.observe import logtree
from waguard.observe.logtree import LogTree
from waguard.settings import LogSettings

NOW = 1763556082.0  # 2025-11-19T12:41:22Z
VM = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux"
LOG = "/var/log/waagent.log"
LOGS = f"/var/log/azure/{VM}"
MIXED = """\
2025-11-19T12:40:00.000001Z INFO ExtHandler ExtHandler of 2.2.53 and newer
2025-11-19T12:40:01.000001Z WARNING ExtHandler of 2.2.46 to 2.2.52
2025/11/19 12:40:02.000001 INFO ExtHandler of 2.2.45 and older
2025/11/19 12:40:03.000001 ERROR without a prefix
2025/11/19 12:40:04 [Microsoft.OSTCExtensions.VMAccessForLinux-1.5.9] an extension's own
2025-11-19T12:40:05.000001Z VERBOSE ExtHandler ExtHandler verbose
2025-11-19T12:40:06.000001Z ERROR ExtHandler ExtHandler Event: name=WALinuxAgent, op=X, message=boom
Traceback (most recent call last):
OSError: [Errno 28] No space left on device
"""


class Machine:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = LogSettings()
        self.agent = AgentFacts()
        self.wall = NOW
        self.state: Optional[dict[str, Any]] = None
        self.handler(VM, "1.0.9220.0")
        self.write(LOG, "")

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def handler(self, name: str, version: str) -> None:
        self.at(f"/var/lib/waagent/{name}-{version}").mkdir(parents=True)

    def write(self, path: str, text: str) -> None:
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        with self.at(path).open("a", encoding="utf-8") as file:
            file.write(text)

    def visit(self) -> LogTree:
        tree = logtree.look(self.agent, self.settings, self.state, self.root, self.wall)
        self.state = json.loads(json.dumps(dict(tree.state)))
        return tree


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One that was visited once, with all logs of a handler empty."""
    found = Machine(tmp_path)
    for name in ("extension.log", "shell.log", "CommandExecution.log"):
        found.write(f"{LOGS}/{name}", "")
    found.visit()
    return found


def line(text: str, second: int = 0, level: str = "INFO") -> str:
    return f"2025-11-19T12:41:{second:02}.000001Z {level} ExtHandler ExtHandler {text}\n"


def test_all_formats_of_waagent_log_in_one_file(machine: Machine) -> None:
    machine.write(LOG, MIXED)
    tree = machine.visit()
    assert tree.records[WAAGENT] == {"VERBOSE": 1, "INFO": 3, "WARNING": 1, "ERROR": 2}
    (match,) = tree.matches
    assert (match.signature, match.source, match.where) == ("no-space", WAAGENT, LOG) and match.at == pytest.approx(NOW - 75.999999)


def test_each_log_of_a_handler_in_its_own_grammar(machine: Machine) -> None:
    machine.write(f"{LOGS}/extension.log", f"2025-11-19 12:41:20 [{VM}-1.0]Failed to FIFREEZE: /mnt with error message: x\nfreeze stack\n")
    machine.write(f"{LOGS}/shell.log", "Wed Nov 19 12:41:21 UTC 2025- 1 returned from handle.py\n")
    machine.write(f"{LOGS}/CommandExecution.log", f"2025-11-19T12:41:22.000001Z INFO ExtHandler [{VM}-1.0.9220.0] Command: x\n[stderr]\nNo module named 'imp'\n")
    machine.write(f"{LOGS}/CommandExecution_one.log", f"2025-11-19T12:41:22.000001Z ERROR ExtHandler [{VM}-1.0.9220.0] x\n")
    tree = machine.visit()
    assert tree.records[EXTENSION]["ERROR"] == tree.records[SHELL]["ERROR"] == 1
    assert tree.records[COMMAND] == {"VERBOSE": 0, "INFO": 1, "WARNING": 0, "ERROR": 1}
    assert {match.signature: match.where for match in tree.matches} == {"freeze-failed": f"{LOGS}/extension.log", "handler-python-broken": f"{LOGS}/CommandExecution.log"}
    assert tree.signatures["handler-python-broken"] == 2 and not tree.problems


def test_the_first_visit_informs_and_counts_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.write(LOG, MIXED)
    tree = machine.visit()
    assert sum(tree.records[WAAGENT].values()) == 0 and tree.signatures["no-space"] == 0
    assert [match.signature for match in tree.matches] == ["no-space"] and tree.growth is None and tree.waagent


def test_counts_and_matches_go_on_over_visits(machine: Machine) -> None:
    for _ in range(3):
        machine.write(LOG, line("x") + line("[Errno 28]", 1, "ERROR"))
        tree = machine.visit()
    assert (tree.records[WAAGENT]["INFO"], tree.records[WAAGENT]["ERROR"], tree.signatures["no-space"]) == (3, 3, 3)
    assert machine.visit().records == tree.records


def test_recent_matches_only(machine: Machine) -> None:
    machine.write(LOG, line("[Errno 28]"))
    tree = machine.visit()
    assert tree.recent("no-space", 60, NOW) is not None and tree.recent("no-space", 60, NOW + 60) is None
    assert tree.recent("no-space", 60, NOW - 200) is not None and tree.recent("no-space", 60, NOW - 4000) is None
    assert tree.recent("read-only", 60, NOW) is None


def test_a_handler_that_is_installed_later_is_all_new(machine: Machine) -> None:
    machine.handler("Some.Other.Extension", "2.0")
    machine.write("/var/log/azure/Some.Other.Extension/extension.log", "2025-11-19 12:41:20 [X-1.0]one\n2025-11-19 12:41:20 [X-1.0]two\n")
    assert machine.visit().records[EXTENSION]["INFO"] == 2


def test_logs_of_old_agents_are_below_a_version(machine: Machine) -> None:
    machine.write(f"{LOGS}/1.0.9110.1/extension.log", "")
    machine.write(f"{LOGS}/1.0.91.0/extension.log", "")
    machine.write(f"{LOGS}/1.0.9.0/extension.log", "")
    machine.visit()
    for version in ("1.0.9110.1", "1.0.91.0", "1.0.9.0"):
        machine.write(f"{LOGS}/{version}/extension.log", f"2018/11/19 12:41:20 [{VM}-1.0]x\n")
    assert machine.visit().records[EXTENSION]["INFO"] == 2, "of the newest two"


def test_folders_without_a_handler_and_handlers_without_a_folder(machine: Machine) -> None:
    machine.handler("Never.Logged", "1.0")
    machine.write("/var/log/azure/Was.Removed/extension.log", "2025-11-19 12:41:20 [X-1.0]x\n")
    machine.write("/var/log/azure/custom-script/handler.log", "x\n")
    machine.at("/var/lib/waagent/WALinuxAgent-2.15.0.1").mkdir()
    tree = machine.visit()
    assert (tree.orphans, tree.silent) == (("Was.Removed",), ("Never.Logged",))
    assert tree.records[EXTENSION]["INFO"] == 0


@pytest.mark.parametrize("kind", ["directory", "fifo", "loop"])
def test_one_log_that_cannot_be_read_harms_no_other(machine: Machine, kind: str) -> None:
    path = machine.at(f"{LOGS}/extension.log")
    path.unlink()
    path.mkdir() if kind == "directory" else os.mkfifo(path) if kind == "fifo" else path.symlink_to(path.name)
    machine.write(LOG, line("x"))
    machine.write(f"{LOGS}/shell.log", "Wed Nov 19 12:41:21 UTC 2025- x\n")
    tree = machine.visit()
    assert list(tree.problems) == [f"{LOGS}/extension.log"] and str(machine.root) not in tree.problems[f"{LOGS}/extension.log"]
    assert (tree.records[WAAGENT]["INFO"], tree.records[SHELL]["INFO"]) == (1, 1) and tree.waagent


def test_no_waagent_log(machine: Machine) -> None:
    machine.at(LOG).unlink()
    tree = machine.visit()
    assert not tree.waagent and tree.rotation.log_bytes is None and not tree.problems


def test_the_whole_tree_may_vanish_and_come_back(machine: Machine) -> None:
    machine.write(f"{LOGS}/extension.log", "2025-11-19 12:41:20 [X-1.0]one\n")
    assert machine.visit().records[EXTENSION]["INFO"] == 1
    machine.at("/var/log/azure").rename(machine.root / "away")
    assert machine.visit().records[EXTENSION]["INFO"] == 1
    (machine.root / "away").rename(machine.at("/var/log/azure"))
    machine.write(f"{LOGS}/extension.log", "2025-11-19 12:41:20 [X-1.0]two\n")
    assert machine.visit().records[EXTENSION]["INFO"] == 2


def test_a_library_that_cannot_be_listed_leaves_the_names_of_the_folders(machine: Machine) -> None:
    """An ordinary user: /var/lib/waagent is 0700."""
    shutil.rmtree(machine.at("/var/lib/waagent"))
    machine.write("/var/lib/waagent", "a file")
    machine.write(f"{LOGS}/extension.log", "2025-11-19 12:41:20 [X-1.0]one\n")
    tree = machine.visit()
    assert tree.records[EXTENSION]["INFO"] == 1 and "/var/lib/waagent" in tree.problems and tree.orphans == ()


def test_a_bounded_number_of_files_the_newest_first(machine: Machine) -> None:
    for number in range(logtree.FILES + 20):
        machine.handler(f"A.Handler{number:03}", "1.0")
        path = f"/var/log/azure/A.Handler{number:03}/extension.log"
        machine.write(path, "")
        os.utime(machine.at(path), (4e9 + number, 4e9 + number))
    machine.visit()
    assert machine.state is not None and len(machine.state["tails"]) <= logtree.FILES + 33
    assert "/var/log/azure/A.Handler083/extension.log" in machine.state["tails"]
    assert "/var/log/azure/A.Handler000/extension.log" not in machine.state["tails"]
    for number in range(logtree.FILES + 20):
        path = f"/var/log/azure/A.Handler{number:03}/extension.log"
        machine.write(path, "2025-11-19 12:41:20 [X-1.0]one\n")
        os.utime(machine.at(path), (4e9 + number, 4e9 + number))
    assert machine.visit().records[EXTENSION]["INFO"] == logtree.FILES


def test_a_bounded_number_of_bytes_and_the_rest_later(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtree, "BUDGET", 1 << 19)
    machine.write(LOG, line("x" * 100) * 10_000)
    machine.write(f"{LOGS}/extension.log", "2025-11-19 12:41:20 [X-1.0]one\n" * 10)
    tree = machine.visit()
    assert tree.behind == (LOG,) and 0 < tree.records[WAAGENT]["INFO"] < 10_000
    assert tree.records[EXTENSION]["INFO"] == 10, "a flood in one log does not starve the others"
    for _ in range(10):
        tree = machine.visit()
        if not tree.behind:
            break
    assert tree.records[WAAGENT]["INFO"] == 10_000


def test_what_a_quiet_log_leaves_of_the_budget_is_for_the_busy_one(machine: Machine) -> None:
    machine.write(LOG, line("x" * 100) * (logtree.BUDGET // 170))
    assert machine.visit().behind == ()


def test_a_flood_is_told_with_its_line(machine: Machine) -> None:
    machine.write(LOG, "".join(line("NameError: name 'x' is not defined", number % 22) for number in range(7000)))
    (rate,) = machine.visit().rates
    assert rate.where == LOG and rate.per_minute == pytest.approx(1400, rel=0.05) and rate.repeated == "NameError: name 'x' is not defined"


def test_a_flood_is_told_by_the_first_visit_too(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.write(LOG, "".join(f"2025-11-19T12:{20 + number // 2000:02}:{number // 34 % 59:02}.000001Z INFO ExtHandler ExtHandler {'x' * 150}\n" for number in range(44_000)))
    assert machine.visit().rates[0].per_minute >= 1200


def test_sizes_with_rotated_files_and_growth(machine: Machine) -> None:
    machine.write(LOG, "x" * 1000)
    machine.write(LOG + ".1", "x" * 2000)
    machine.write(LOG + "-2025-11-19-1763500000.gz", "x" * 3000)
    machine.write("/var/log/waagent.logs", "x" * 9999)
    machine.write(f"{LOGS}/extension.log", "x" * 4000)
    machine.write(f"{LOGS}/events/1.json", "x" * 500)
    machine.wall += 600
    tree = machine.visit()
    assert (tree.tree_bytes, tree.growth, tree.growth_time, tree.complete) == (10_500, 10_500, 600.0, True)
    assert tree.handlers == {VM: 4500} and tree.largest[0] == (f"{LOGS}/extension.log", 4000)
    assert (tree.rotation.log_bytes, tree.rotation.older) == (1000, 2)
    assert machine.visit().growth == 0


def test_how_many_files_are_over_the_limit(machine: Machine) -> None:
    machine.settings = LogSettings(file_limit=1)
    machine.write(LOG, "x" * (1 << 20))
    machine.write(f"{LOGS}/extension.log", "x" * ((1 << 20) - 1))
    assert machine.visit().over == 1


def test_a_machine_without_any_of_it(tmp_path: Path) -> None:
    tree = logtree.look(AgentFacts(), LogSettings(), None, tmp_path, NOW)
    assert not tree.waagent and tree.matches == () and tree.rates == () and tree.tree_bytes == 0
    again = logtree.look(AgentFacts(), LogSettings(), tree.state, tmp_path, NOW)
    assert again.growth == 0


@pytest.mark.parametrize("state", [None, {}, {"tails": 1, "tally": [], "tree_bytes": "x", "at": True, "listed": 1}, {"tails": {LOG: {"v": 1, "spots": [[0]], "heads": []}}},
                                   {"tails": {LOG: "x"}, "listed": True}])
def test_any_state_is_lived_with(tmp_path: Path, state: Any) -> None:
    machine = Machine(tmp_path)
    machine.write(LOG, MIXED)
    machine.state = state
    assert machine.visit().matches[0].signature == "no-space"


def test_no_secret_is_in_what_is_told_or_remembered(machine: Machine) -> None:
    machine.write(LOG, line("[Errno 28] https://x/y?sv=1&sig=hunter2 password=hunter2"))
    machine.write(f"{LOGS}/extension.log", "2025-11-19 12:41:20 [X-1.0]password=hunter2\n" * 200)
    tree = machine.visit()
    assert "hunter2" not in repr(tree) and "hunter2" not in json.dumps(machine.state) and tree.matches and tree.rates


def test_private_files_are_never_opened(machine: Machine) -> None:
    """A FIFO would hang whoever opened it."""
    for name in ("A.prv", "TransportPrivate.pem", "ovf-env.xml", "CustomData"):
        os.mkfifo(machine.at(f"/var/lib/waagent/{name}"))
    os.mkfifo(machine.at(f"{LOGS}/0.settings"))
    assert machine.visit().problems == {}
