"""waguard.guard.memory: what the guard remembers, whole, damaged field by field, and from another boot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waguard.agent import confedit
from waguard.decide import restart, term
from waguard.decide.lease import Lease, Phase
from waguard.decide.restart import (
    Action,
    Condition,
    Facts,
    Intent,
    PolicyState,
    Request,
    Stage,
    Verification,
)
from waguard.decide.term import Moment
from waguard.guard.memory import Memory
from waguard.guard.store import Store
from waguard.settings import RestartSettings

from .conftest import Disk

NOW, WALL, BOOT = 5000.0, 1763550000.0, "0a1b2c3d-boot"
EDIT = confedit.set_value(b"Logs.Verbose=n\n", "Logs.Verbose", "y")


class Home:
    """Where a memory lives."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.disk = Disk()
        self.warnings: list[str] = []

    def memory(self, now: float = NOW, wall: float = WALL, boot: str = BOOT) -> Memory:
        """As after a start of the guard."""
        self.warnings.clear()
        memory = Memory(Store("state", self.root, self.root, self.disk, self.warnings.append), boot)
        memory.load(now, wall, self.warnings.append)
        return memory

    def write(self, data: object) -> None:
        self.disk.finish()
        (self.root / "state.json").write_text(json.dumps({"version": 1, "sequence": 1000, "data": data}))

    def data(self) -> dict[str, Any]:
        self.disk.finish()
        found: dict[str, Any] = json.loads((self.root / "state.json").read_text())["data"]
        return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def full(home: Home, intent: bool = True) -> Memory:
    """A memory with something in every field, saved. A policy that has an intent looks at little else."""
    memory = home.memory()
    memory.policy = PolicyState(
        attempts=2, last_attempt=4990.0, live_restarts=(1000.0, 4000.0), healthy_since=4995.0, systemd_since=4996.0,
        intent=Intent(7, Action.START, "it ended", 4990.0, "run-1") if intent else None, number=7,
        verification=Verification(4990.0, Action.RESTART, Stage.HANDLER, "run-1"),
        request=Request("asked for by root", 4991.0, True))
    moment = Moment(NOW, WALL, BOOT)
    memory.lease = Lease("/etc/waagent.conf", EDIT, Phase.ACTIVE, WALL, term.of(7200.0, moment), True, "root")
    memory.pause = term.of(3600.0, moment)
    memory.counters.update(agent_exits=3, restart_attempts=2, restart_failures=1, conf_changes=4)
    memory.restarts.update(waguard=2, systemd=1, admin=5)
    memory.exits = (4800.0, 4900.0)
    memory.run, memory.n_restarts, memory.conf_mark = "run-1", 6, (123, 456)
    memory.own_mark = (78, 90)
    memory.save(NOW, WALL)
    return memory


def values(memory: Memory) -> dict[str, Any]:
    lease = memory.lease
    return {"policy": memory.policy, "pause": memory.pause, "counters": memory.counters, "restarts": memory.restarts,
            "lease": lease, "exits": memory.exits, "run": memory.run, "n_restarts": memory.n_restarts,
            "conf_mark": memory.conf_mark, "own_mark": memory.own_mark}


def test_nothing_to_remember(home: Home) -> None:
    memory = home.memory()
    assert values(memory)["policy"] == PolicyState()
    assert (memory.lease, memory.pause, memory.run, memory.exits, memory.conf_mark) == (None, None, "", (), None)
    assert set(memory.counters.values()) == set(memory.restarts.values()) == {0}
    assert home.warnings == []


def test_round_trip(home: Home) -> None:
    before = values(full(home))
    after = home.memory()
    assert home.warnings == []
    assert values(after) == before


def test_counting(home: Home) -> None:
    memory = home.memory()
    memory.count("agent_exits")
    memory.count_restart("systemd", 3)
    with pytest.raises(KeyError):
        memory.count("no_such_counter")
    memory.save(NOW, WALL)
    after = home.memory()
    assert (after.counters["agent_exits"], after.restarts["systemd"]) == (1, 3)


def test_save_tells_when_it_is_on_disk(home: Home) -> None:
    told: list[int] = []
    home.memory().save(NOW, WALL, lambda: told.append(1))
    home.disk.finish()
    assert told == [1]


JUNK = ["", "junk", -1, 7, 1.5, True, [], [[]], ["x"], [None], {}, {"x": 1}, float("inf"), float("-inf"), float("nan"),
        10**400, {"wall": "x", "now": [], "boot_id": 3}, {"phase": "no", "edit": None}]
FIELDS = ["policy", "lease", "pause", "counters", "restarts", "exits", "run", "n_restarts", "conf_mark",
          "own_mark"]


@pytest.mark.once
@pytest.mark.parametrize("number", range(len(JUNK)))
@pytest.mark.parametrize("field", FIELDS)
def test_one_damaged_field_costs_that_field_at_most(home: Home, field: str, number: int) -> None:
    before = values(full(home))
    home.write({**home.data(), field: JUNK[number]})
    after = home.memory()
    assert len(home.warnings) <= 1
    assert all(f"the remembered {field} " in warning for warning in home.warnings)
    assert {**values(after), field: None} == {**before, field: None}
    alive(after)
    after.save(NOW, WALL)
    again = home.memory()
    assert home.warnings == []
    alive(again)


@pytest.mark.parametrize("field", [*FIELDS, "boot_id", "now", "wall"])
def test_a_missing_field_costs_that_field_at_most(home: Home, field: str) -> None:
    full(home)
    data = home.data()
    del data[field]
    home.write(data)
    alive(home.memory())


def paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each value within nested objects and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in paths(item, (*path, key)))]


def put(data: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    """A copy with one value replaced."""
    copy: Any = json.loads(json.dumps(data))
    at = copy
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    found: dict[str, Any] = copy
    return found


@pytest.mark.once
@pytest.mark.parametrize("intent", [True, False], ids=["intent", "no-intent"])
@pytest.mark.parametrize("number", range(len(JUNK)))
def test_any_single_value_damaged_deep_inside_leaves_a_guard_that_can_work(
    home: Home, number: int, intent: bool
) -> None:
    full(home, intent)
    data = home.data()
    for path in paths(data)[1:]:
        home.write(put(data, path, JUNK[number]))
        memory = home.memory()
        try:
            alive(memory)
        except (TypeError, ValueError, AttributeError) as error:
            raise AssertionError(f"{path} = {JUNK[number]!r}: {error}") from error


def alive(memory: Memory) -> None:
    """What the guard does with a memory from the first moment on works."""
    moment = Moment(NOW, WALL, BOOT)
    for condition in Condition:
        facts = Facts(NOW, condition, "run-2", proved=frozenset([Stage.ACTIVE]))
        for run in ("run-1", "run-2"):
            step = restart.step(memory.policy, Facts(**{**vars(facts), "run": run}), RestartSettings())
            json.dumps(restart.to_json(step.state))
    for kept in (memory.pause, memory.lease.term if memory.lease else None):
        if kept is not None:
            term.over(kept, moment)
    if memory.lease is not None:
        assert isinstance(memory.lease.edit.after, bytes)
        confedit.restore(b"Logs.Verbose=y\n", memory.lease.edit)
    assert all(at <= NOW for at in memory.exits)
    memory.count("agent_exits")
    memory.count_restart("admin", 1)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(st.sampled_from([*FIELDS, "boot_id", "now", "wall"]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["attempts", "intent", "verification", "request", "since", "wall", "now", "boot_id", "edit", "phase"]),
        inner, max_size=5), max_leaves=10)))
def test_any_object_at_all(tmp_path: Path, data: dict[str, Any]) -> None:
    home = Home(tmp_path)
    home.write(data)
    alive(home.memory())


# Another boot


def test_another_boot_keeps_what_is_lasting_and_moves_the_moments(home: Home) -> None:
    before = full(home)
    after = home.memory(now=100.0, wall=WALL + 400.0, boot="another")
    # 400 s have passed, so what lay 10 s back at the save lies 410 s back now.
    assert after.policy.last_attempt == pytest.approx(100.0 - 410.0)
    assert after.policy.live_restarts == pytest.approx((100.0 - 4400.0, 100.0 - 1400.0))
    assert (after.policy.attempts, after.policy.number) == (2, 7)
    assert (after.policy.intent, after.policy.verification, after.policy.request) == (None, None, None)
    assert (after.run, after.n_restarts, after.exits) == ("", 0, ())
    assert (after.counters, after.restarts) == (before.counters, before.restarts)
    assert (after.lease, after.pause, after.conf_mark) == (before.lease, before.pause, before.conf_mark)
    assert after.lease is not None
    assert term.remaining(after.lease.term, Moment(100.0, WALL + 400.0, "another")) == 6800.0
    assert home.warnings == []


def test_a_wall_clock_that_ran_backwards_counts_as_no_time(home: Home) -> None:
    full(home)
    after = home.memory(now=100.0, wall=WALL - 1e6, boot="another")
    assert after.policy.last_attempt == pytest.approx(90.0)


def test_a_boot_that_cannot_be_told_is_another_one(home: Home) -> None:
    """Rather forget a run than take a new one for the old."""
    memory = home.memory(boot="")
    memory.run = "run-1"
    memory.save(NOW, WALL)
    assert home.memory(boot="").run == ""
