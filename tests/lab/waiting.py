"""Waiting for something that happens elsewhere, with a message worth reading when it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class InVainError(AssertionError):
    """It never happened. An AssertionError, so that pytest shows a failed test and not an error of the lab."""


def wait_until(predicate: Callable[[], T], timeout: float, what: str, *, every: float = 0.1,
               explain: Callable[[], str] | None = None) -> T:
    """Calls `predicate` until it returns something true, and returns that.

    After `timeout` seconds it raises InVainError with `what`, the last value or error, and what `explain` says, which
    is only called then. Errors that things not being there yet bring about count as "not yet"; all others are raised.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            value = predicate()
            last = f"last seen: {value!r}"
            if value:
                return value
        except (AssertionError, OSError, ValueError, LookupError) as error:
            last = f"last error: {type(error).__name__}: {error}"
        if time.monotonic() >= deadline:
            more = f"\n{explain()}" if explain else ""
            raise InVainError(f"waited {timeout:g} s in vain for {what}; {last}{more}")
        time.sleep(every)
