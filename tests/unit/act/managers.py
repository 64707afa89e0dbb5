"""What tests of service managers share: programs that are not run, and one question and one order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

from waguard.decide.restart import Action
from waguard.guard.children import Finished
from waguard.observe import Observation
from waguard.observe.unit import UnitState

NOW = 500.0


class Programs:
    """In the place of guard.children.Children: notes what is to be run, and answers as it was told to."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.answers: dict[str, Finished] = {}

    def answer(self, program: str, code: Optional[int] = 0, output: str = "", errors: str = "", problem: str = "") -> None:
        """How a command line with this word in it ends."""
        self.answers[program] = Finished((program,), code, output, errors, 0.1, problem)

    def run(self, argv: Sequence[str], timeout: float, done: Callable[[Finished], None]) -> None:
        assert timeout > 0
        self.ran.append(tuple(argv))
        found = next((self.answers[word] for word in argv if word in self.answers), None)
        done(found or Finished(tuple(argv), 0, "", "", 0.1))


def looked(manager: Any) -> Observation[UnitState]:
    answers: list[Observation[UnitState]] = []
    manager.look(answers.append)
    answer, = answers
    return answer


def ordered(manager: Any, action: Action, state: UnitState) -> tuple[bool, str]:
    answers: list[tuple[bool, str]] = []
    manager.carry_out(action, state, lambda ok, trouble: answers.append((ok, trouble)))
    answer, = answers
    return answer
