"""waguard.guard.loop: timers, descriptors, signals and calls from threads, each with callbacks that do harm."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from waguard.clock import Clock
from waguard.guard.loop import Loop

from .conftest import Turning


class Still(Clock):
    """A clock that is set by hand."""

    at = 100.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_timers_come_in_order_and_not_before_their_time() -> None:
    clock, called = Still(), []
    loop = Loop(clock, lambda error: None)
    for when in (105.0, 101.0, 103.0):
        loop.at(when, lambda when=when: called.append(when))  # type: ignore[misc]
    loop.turn(0.0)
    assert called == []
    clock.at = 103.0
    loop.turn(0.0)
    assert called == [101.0, 103.0]
    clock.at = 1000.0
    loop.turn(0.0)
    assert called == [101.0, 103.0, 105.0]


def test_timers_of_one_moment_all_come() -> None:
    clock, called = Still(), []
    loop = Loop(clock, lambda error: None)
    for number in range(10):
        loop.at(100.0, lambda number=number: called.append(number))  # type: ignore[misc]
    loop.turn(0.0)
    assert sorted(called) == list(range(10))


def test_a_cancelled_timer_does_not_come(loop: Turning) -> None:
    called: list[str] = []
    timer = loop.after(0.0, lambda: called.append("taken back"))
    timer.cancel()
    timer.cancel()
    loop.after(0.01, lambda: called.append("kept"))
    loop.until(lambda: called)
    assert called == ["kept"]


def test_a_timer_can_take_back_another_that_is_due_in_the_same_round(loop: Turning) -> None:
    called: list[str] = []
    loop.at(1.0, lambda: second.cancel())
    second = loop.at(2.0, lambda: called.append("second"))
    loop.settle()
    assert called == []


def test_a_timer_that_sets_itself_anew_for_the_past_lets_everything_else_have_its_turn(
    loop: Turning, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A moment that has passed already, as from a policy whose deadline is over, must not hold the loop up."""
    one, other = pair
    heard: list[bytes] = []
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        loop.at(0.0, again)

    loop.watch(one.fileno(), select.EPOLLIN, lambda _events: heard.append(one.recv(100)))
    again()
    loop.turn(0.0)
    other.send(b"x")
    loop.until(lambda: heard)
    assert count < 1000
    loop.unwatch(one.fileno())


def test_an_idle_loop_sleeps_until_the_next_timer(loop: Turning) -> None:
    """Not for as long as it may, and not in small steps."""
    called: list[int] = []
    rounds = 0
    loop.after(0.2, lambda: called.append(1))
    while not called:
        loop.turn(60.0)
        rounds += 1
    assert rounds <= 3


def test_a_callback_that_raises_is_told_and_the_rest_goes_on(
    loop: Turning, pair: tuple[socket.socket, socket.socket]
) -> None:
    called: list[str] = []

    def fail(*_arguments: object) -> None:
        raise RuntimeError("no")

    def heard(events: int) -> None:
        pair[0].recv(100)
        fail()

    loop.soon(fail)
    loop.soon(lambda: called.append("soon"))
    loop.after(0.0, fail)
    loop.after(0.0, lambda: called.append("timer"))
    loop.watch(pair[0].fileno(), select.EPOLLIN, heard)
    pair[1].send(b"x")
    loop.until(lambda: len(called) == 2 and len(loop.errors) == 3)
    loop.unwatch(pair[0].fileno())
    assert {str(error) for error in loop.errors} == {"no"}
    loop.errors.clear()


def test_calls_from_threads_come_all_and_in_the_loops_thread(loop: Turning) -> None:
    """70000: more than the wake-up pipe holds."""
    seen: list[tuple[int, int]] = []
    mine = threading.get_ident()

    def work(thread: int) -> None:
        for number in range(10000):
            loop.soon(lambda number=number: seen.append((thread, number)))  # type: ignore[misc]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(7)]
    loop.soon(lambda: seen.append((-1, threading.get_ident() == mine)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loop.until(lambda: len(seen) == 70001)
    assert seen.pop(0) == (-1, True)
    for thread in range(7):
        assert [number for found, number in seen if found == thread] == list(range(10000))


def test_a_call_from_a_thread_wakes_a_sleeping_loop(loop: Turning) -> None:
    called: list[int] = []
    timer = threading.Timer(0.05, lambda: loop.soon(lambda: called.append(1)))
    timer.start()
    loop.turn(60.0)
    timer.join()
    assert called == [1]


def test_a_call_made_by_a_call_comes_in_the_next_round(loop: Turning) -> None:
    called: list[str] = []
    loop.soon(lambda: loop.soon(lambda: called.append("second")))
    loop.turn(0.0)
    assert called == []
    loop.turn(60.0)
    assert called == ["second"]


def test_stop_from_a_thread_ends_run() -> None:
    loop = Turning()
    timer = threading.Timer(0.05, loop.stop)
    timer.start()
    loop.run()
    timer.join()
    loop.close()


def test_unwatch_in_a_callback_of_the_same_round(loop: Turning) -> None:
    """Both are ready at once; whichever comes first takes the other one's watch away."""
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []

    def ready(number: int) -> None:
        called.append(number)
        pairs[number][0].recv(10)
        loop.unwatch(pairs[1 - number][0].fileno())

    for number, (one, other) in enumerate(pairs):
        loop.watch(one.fileno(), select.EPOLLIN, lambda _events, number=number: ready(number))  # type: ignore[misc]
        other.send(b"x")
    loop.settle()
    assert len(called) == 1
    for one, other in pairs:
        loop.unwatch(one.fileno())
        one.close()
        other.close()


def test_a_descriptor_that_takes_over_a_number_does_not_get_the_others_event(loop: Turning) -> None:
    """Two are ready; the first callback closes the other and opens a new one, which the kernel gives the same number.

    With a pidfd in the new one's place, the old event would tell the end of a process that lives.
    """
    pairs = [socket.socketpair() for _ in range(2)]
    fresh: list[socket.socket] = []
    called: list[str] = []

    def ready(number: int) -> None:
        called.append("old")
        pairs[number][0].recv(10)
        victim = pairs[1 - number][0]
        was = victim.fileno()
        loop.unwatch(was)
        victim.close()
        fresh.extend(socket.socketpair())
        found = next(sock for sock in fresh if sock.fileno() == was)
        loop.watch(was, select.EPOLLIN, lambda _events: called.append(f"new {found.fileno()}"))

    for number, (one, other) in enumerate(pairs):
        loop.watch(one.fileno(), select.EPOLLIN, lambda _events, number=number: ready(number))  # type: ignore[misc]
        other.send(b"x")
    loop.settle()
    assert called == ["old"]
    for sock in (*fresh, *(sock for pair in pairs for sock in pair)):
        if sock.fileno() >= 0:
            loop.unwatch(sock.fileno())
        sock.close()


def test_a_new_handler_replaces_the_old_one(loop: Turning, pair: tuple[socket.socket, socket.socket]) -> None:
    called: list[str] = []
    loop.watch(pair[0].fileno(), select.EPOLLIN, lambda _events: called.append("old"))
    loop.watch(pair[0].fileno(), select.EPOLLOUT, lambda _events: called.append("new"))
    loop.turn(0.0)
    loop.unwatch(pair[0].fileno())
    loop.unwatch(pair[0].fileno())
    loop.settle()
    assert called == ["new"]


SIGNALLED = """
import os, signal, sys, threading
from waguard.clock import Clock
from waguard.guard.loop import Loop

loop = Loop(Clock(), lambda error: print("error", error, flush=True))

def hup():
    print("hup", threading.current_thread() is threading.main_thread(), flush=True)
    raise RuntimeError("in a signal's callback")

loop.on_signal(signal.SIGHUP, hup)
loop.on_signal(signal.SIGTERM, loop.stop)
{more}
print("ready", flush=True)
loop.run()
print("ended", flush=True)
"""


def signalled(more: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", SIGNALLED.format(more=more)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def rest(process: subprocess.Popen[str]) -> str:
    """What it says until its end, which is brought about if need be."""
    timer = threading.Timer(30.0, process.kill)
    timer.start()
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read()
    assert process.wait() == 0
    timer.cancel()
    return said


def test_signals_are_called_in_the_loop() -> None:
    process = signalled()
    process.send_signal(signal.SIGHUP)
    assert process.stdout is not None
    assert process.stdout.readline() == "hup True\n"
    assert process.stdout.readline() == "error in a signal's callback\n"
    process.send_signal(signal.SIGTERM)
    assert rest(process) == "ended\n"


def test_a_signal_during_a_long_callback_is_not_lost() -> None:
    more = "loop.soon(lambda: (os.kill(os.getpid(), signal.SIGHUP), os.kill(os.getpid(), signal.SIGTERM)))"
    assert rest(signalled(more)) == "hup True\nerror in a signal's callback\nended\n"


def test_a_signal_is_not_lost_when_many_calls_wait() -> None:
    """70000 calls would fill the pipe through which signals come too."""
    more = "for _ in range(70000): loop.soon(lambda: None)\nos.kill(os.getpid(), signal.SIGTERM)"
    assert rest(signalled(more)) == "ended\n"


def test_an_interrupted_system_call_goes_on(loop: Turning) -> None:
    """A signal with a Python handler of its own must not end a poll early with an error."""
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        timer = threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        timer.start()
        called: list[int] = []
        loop.after(0.1, lambda: called.append(1))
        loop.until(lambda: called)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
