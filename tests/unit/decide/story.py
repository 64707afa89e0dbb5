"""A short way to tell the policy a story: what is seen, when, and what the service manager makes of its orders."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from waguard.decide import restart
from waguard.decide.restart import Condition, Facts, Intent, PolicyState, Request, Stage, Step
from waguard.settings import RestartSettings

BOOT = 1000.0
"""The moment at which the stories begin, CLOCK_BOOTTIME seconds."""
ALL_PROVED = frozenset(Stage)


class Story:
    """The policy's state through one story. ``see`` is one look; what it decides is refused or carried out by the caller."""

    def __init__(self, **rules: Any) -> None:
        self.rules = RestartSettings(**rules)
        self.state = PolicyState()
        self.now = BOOT
        self.run = 1

    def see(self, condition: Condition, after: float = 0.0, **facts: Any) -> Step:
        """One look, ``after`` seconds after the last thing that happened."""
        self.now += after
        if condition is Condition.FINE:
            facts.setdefault("proved", frozenset({Stage.ACTIVE}))
        step = restart.step(self.state, Facts(self.now, condition, str(self.run), **facts), self.rules)
        self.state = step.state
        return step

    def carry_out(self, takes: float = 0.1, new_run: bool = True) -> None:
        """The service manager has done what was decided."""
        self.now += takes
        self.state = restart.carried_out(self.state, self.now)
        self.run += new_run

    def refuse(self, takes: float = 0.1) -> None:
        """The service manager has not."""
        self.now += takes
        self.state = restart.failed(self.state)

    def ask(self, why: str = "somebody asks", force: bool = False) -> None:
        self.state = restart.ask(self.state, Request(why, self.now, force))

    def guard_restarts(self) -> None:
        """The guard is killed and reads what it had written down."""
        self.state = restart.from_json(json.loads(json.dumps(restart.to_json(self.state))))

    def with_rules(self, **changes: Any) -> None:
        self.rules = replace(self.rules, **changes)

    def restart_of_a_broken_agent(self, after: float = 0.0) -> Step:
        """A look at a hung agent; a restart that is decided on is carried out, and at once proved to work again."""
        step = self.see(Condition.BROKEN, after)
        if step.act is not None:
            self.carry_out()
            self.see(Condition.FINE, proved=ALL_PROVED)
        return step


def acted(step: Step) -> Intent:
    assert step.act is not None, f"nothing was done: {step.holding}"
    return step.act


def held(step: Step) -> str:
    assert step.act is None and step.holding
    return step.holding
