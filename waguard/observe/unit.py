"""What systemd says of the agent's unit: the properties it tells over D-Bus, or those that ``systemctl show`` prints.

Property names and types: systemd.directives(7), org.freedesktop.systemd1(5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "Restart", "RestartUSec", "NRestarts",
    "MainPID", "InvocationID", "ConditionResult", "ConditionTimestampMonotonic", "Job", "Type", "ExecMainCode",
    "ExecMainStatus", "ExecMainStartTimestampMonotonic", "ExecMainExitTimestampMonotonic",
    "ActiveEnterTimestampMonotonic", "ActiveExitTimestampMonotonic", "InactiveEnterTimestampMonotonic",
)


def show_argv(names: Sequence[str]) -> list[str]:
    """The command whose output ``parse`` reads."""
    return ["systemctl", "show", "--no-pager", "-p", ",".join(PROPERTIES), *names]


@dataclass(frozen=True)
class UnitState:
    """One unit as systemd sees it. Moments are CLOCK_MONOTONIC seconds, 0.0 for "never in this boot".

    ``kind`` is "command" for a service that is only known by its process; then most of it keeps the defaults.
    """

    name: str
    load: str = "loaded"
    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    file_state: str = "enabled"
    restart: str = "no"
    restart_delay: float = 0.1
    n_restarts: int = 0
    main_pid: int = 0
    invocation: str = ""
    condition_failed: bool = False
    job: int = 0
    exit_code: int = 0
    exit_status: int = 0
    main_start: float = 0.0
    main_exit: float = 0.0
    active_enter: float = 0.0
    active_exit: float = 0.0
    condition_at: float = 0.0
    kind: str = "systemd"

    @property
    def loaded(self) -> bool:
        """The unit exists (a masked one does too)."""
        return self.load not in ("not-found", "")

    @property
    def masked(self) -> bool:
        return self.load == "masked" or self.file_state in ("masked", "masked-runtime")

    @property
    def disabled(self) -> bool:
        return self.file_state in ("disabled", "bad")

    @property
    def awaits_restart(self) -> bool:
        """systemd's own Restart= has it: the unit is between death and rebirth."""
        return self.sub in ("auto-restart", "auto-restart-queued")

    @property
    def settled(self) -> bool:
        """Nothing is under way: no job, no state that is a passage."""
        return self.job == 0 and self.active in ("active", "inactive", "failed")

    @property
    def given_up(self) -> bool:
        """systemd's Restart= had it and gave up. ``Result=`` says so only when the last end was a clean one (seen on 252)."""
        tried = self.restart == "always" and self.n_restarts > 0
        return self.active == "failed" and (self.result == "start-limit-hit" or tried)

    @property
    def started_ever(self) -> bool:
        """The main process was started at least once in this boot."""
        return self.main_start > 0

    @property
    def stopped_on_request(self) -> bool:
        """Somebody asked systemd to stop it, as opposed to its having ended by itself.

        On a request the unit leaves "active" first and the process dies after; a process that ends by itself, by a signal
        or with exit 0, is what makes the unit leave "active". The order of the two moments tells them apart, also
        long afterwards. With Restart=always a unit never comes to rest as "inactive" unless somebody wanted it so.
        Seen on systemd 252; states: systemd src/core/service.c.
        """
        if not self.started_ever or self.active not in ("inactive", "deactivating", "failed"):
            return False
        if self.result == "start-limit-hit":
            return False  # Too many restarts, by whomever: nobody wanted it down.
        if self.active != "inactive" and self.result in ("watchdog", "oom-kill"):
            return False  # systemd stops a unit by itself then, in the order of a request.
        if self.active == "failed" and self.active_enter < self.main_start:
            return False  # It never came up.
        if self.active == "deactivating":
            # Set once the stop was begun; the process of the present run is still there, or ended after it.
            return self.main_exit < self.main_start or self.active_exit < self.main_exit
        if self.active == "inactive" and self.result != "success":
            return True
        if self.active == "inactive" and self.restart == "always":
            # Or systemd had given up, and reset-failed was called: then a start was tried after its end, or its end was a bad
            # one, which a stop between death and rebirth leaves in Result=.
            given_up = self.condition_at > self.main_exit or self._ended_badly
            return not given_up or self.active_exit < self.main_exit
        return self.active_exit < self.main_exit

    @property
    def _ended_badly(self) -> bool:
        """The main process exited non-zero, or by a signal that is no polite one (systemd.service(5), SuccessExitStatus=)."""
        if self.exit_code == 1:
            return self.exit_status != 0
        return self.exit_code in (2, 3) and self.exit_status not in (1, 2, 13, 15)


def parse(text: str) -> list[UnitState]:
    """States in the order asked for. Missing or odd properties take their defaults: systemd versions differ."""
    return [_printed(dict(line.split("=", 1) for line in block.splitlines() if "=" in line))
            for block in text.strip("\n").split("\n\n") if block.strip()]


def of_properties(told: Mapping[str, Any]) -> UnitState:
    """The state by properties as they are on the bus. Missing or odd ones take their defaults."""
    numbers = {name: value for name, value in told.items() if type(value) is int}
    job, invocation, delay = told.get("Job"), told.get("InvocationID"), numbers.get("RestartUSec", 100_000)
    return _unit({name: value for name, value in told.items() if isinstance(value, str)},
                 {**numbers, "Job": job[0] if isinstance(job, tuple) and job else 0},
                 invocation.hex() if isinstance(invocation, bytes) else "", told.get("ConditionResult") in (0, False),
                 float("inf") if delay >= _FOREVER else delay / 1e6)


def _printed(raw: dict[str, str]) -> UnitState:
    return _unit(raw, {name: _number(value) for name, value in raw.items()}, raw.get("InvocationID", ""),
                 raw.get("ConditionResult") == "no", _span(raw.get("RestartUSec", "")))


def _unit(words: Mapping[str, str], numbers: Mapping[str, int], invocation: str, condition_failed: bool,
          delay: float) -> UnitState:
    def moment(name: str) -> float:
        return numbers.get(name, 0) / 1e6

    return UnitState(
        name=words.get("Id", ""), load=words.get("LoadState", ""), active=words.get("ActiveState", ""),
        sub=words.get("SubState", ""), result=words.get("Result", ""), file_state=words.get("UnitFileState", ""),
        restart=words.get("Restart", ""), restart_delay=delay,
        n_restarts=numbers.get("NRestarts", 0), main_pid=numbers.get("MainPID", 0), invocation=invocation,
        condition_failed=condition_failed and moment("ConditionTimestampMonotonic") > 0,
        job=numbers.get("Job", 0), exit_code=numbers.get("ExecMainCode", 0),
        exit_status=numbers.get("ExecMainStatus", 0), main_start=moment("ExecMainStartTimestampMonotonic"),
        main_exit=moment("ExecMainExitTimestampMonotonic"), active_enter=moment("ActiveEnterTimestampMonotonic"),
        active_exit=moment("ActiveExitTimestampMonotonic"), condition_at=moment("ConditionTimestampMonotonic"))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


_FOREVER = (1 << 64) - 1
"""USEC_INFINITY of systemd."""
_SPANS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
          "month": 2629800.0, "y": 31557600.0}


def _span(text: str) -> float:
    """Seconds of systemd's time span form: ``5s``, ``1min 30s``, ``100ms``; ``infinity`` is inf (systemd.time(7))."""
    if text == "infinity":
        return float("inf")
    total = 0.0
    for word in text.split():
        digits = word.rstrip("abcdefghijklmnopqrstuvwxyz")
        try:
            total += float(digits) * _SPANS[word[len(digits):]]
        except (ValueError, KeyError):
            return 0.1
    return total


def choose(states: Sequence[UnitState]) -> Optional[UnitState]:
    """The agent's unit among those probed, in probing order: the first that exists, an unmasked one before a masked one."""
    loaded = [state for state in states if state.loaded]
    return next((state for state in loaded if not state.masked), loaded[0] if loaded else None)
