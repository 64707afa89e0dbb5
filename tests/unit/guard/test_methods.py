"""waguard.guard.methods: every method with every wrong parameter, and who may call what."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from waguard import settings, varlink
from waguard.decide import restart
from waguard.decide.restart import Request

from .serving import Serving, wait

ORDERS = {"SetVerbose": {"on": True}, "Restart": {}, "Pause": {}, "Resume": {}}
ME = f"uid {os.getuid()}"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    found = Serving(tmp_path)
    found.start()
    yield found
    found.stop()
    assert found.loop.errors == []


# What comes back


@pytest.mark.parametrize("control", [True, False])
def test_reading_works_on_both_sockets(serving: Serving, control: bool) -> None:
    serving.history.add(5.0, "guard-trouble", "hello", {})
    assert serving.call("GetSnapshot", control=control) == {"snapshot": serving.snapshot}
    assert [event["message"] for event in serving.call("GetEvents", control=control)["events"]] == ["hello"]
    found = {item["name"]: item for item in serving.call("GetSettings", control=control)["settings"]}
    assert found["verbose.default_lease"] == {"name": "verbose.default_lease", "value": "2h", "origin": "default",
                                              "help": "length of a lease when none is asked for"}
    assert len(found) == len(settings.Settings().items())


@pytest.mark.parametrize("method", ORDERS)
def test_orders_are_denied_on_the_status_socket(serving: Serving, method: str) -> None:
    for parameters in (ORDERS[method], {"on": 7, "seconds": "x", "force": 3}):
        assert serving.error(method, parameters, control=False) == ("PermissionDenied", {})
    assert serving.guard.orders == []


def test_the_description_has_every_method_and_varlinks_own_ones_work(serving: Serving) -> None:
    for control in ("status", "control"):
        path = serving.root / control
        info = varlink.call(path, "org.varlink.service.GetInfo")
        assert (info["product"], info["interfaces"]) == ("waguard", ["io.waguard", "org.varlink.service"])
        asked = {"interface": "io.waguard"}
        text = varlink.call(path, "org.varlink.service.GetInterfaceDescription", asked)["description"]
        assert all(f"method {method}(" in text for method in (*ORDERS, "GetSnapshot", "GetEvents", "GetSettings"))
    assert serving.error("NoSuchMethod") == ("MethodNotFound", {"method": "io.waguard.NoSuchMethod"})


NUMBERS = ["1", True, False, [], {}, [1], {"x": 1}, 1e13, -1e13, 10**30]
SWITCHES = ["true", 1, 0, 1.0, [], {}]
WRONG = [
    *(("GetEvents", "since", value) for value in NUMBERS),
    *(("GetEvents", "last", value) for value in (*NUMBERS, -1, -0.5)),
    *(("GetEvents", "follow", value) for value in SWITCHES),
    *(("SetVerbose", "on", value) for value in (*SWITCHES, None)),
    *(("SetVerbose", "seconds", value) for value in NUMBERS),
    *(("SetVerbose", "forever", value) for value in SWITCHES),
    *(("SetVerbose", "restart", value) for value in SWITCHES),
    *(("Restart", "force", value) for value in SWITCHES),
    *(("Pause", "seconds", value) for value in NUMBERS),
]


@pytest.mark.parametrize(("method", "name", "value"), WRONG)
def test_parameters_of_the_wrong_type(serving: Serving, method: str, name: str, value: Any) -> None:
    parameters = {**ORDERS.get(method, {}), name: value}
    assert serving.error(method, parameters) == ("InvalidParameter", {"parameter": name})
    assert serving.guard.orders == []


def test_a_verbose_order_without_on(serving: Serving) -> None:
    assert serving.error("SetVerbose", {"seconds": 5}) == ("InvalidParameter", {"parameter": "on"})


@pytest.mark.parametrize("parameters", [{"since": None, "last": None, "follow": None}, {"more": [1, {"x": 2}]}, {}])
def test_null_and_unknown_parameters_count_as_absent(serving: Serving, parameters: dict[str, Any]) -> None:
    assert serving.call("GetEvents", parameters) == {"events": []}


def test_which_events(serving: Serving) -> None:
    for number in range(1, 6):
        serving.history.add(1000.0 + number, "guard-trouble", str(number), {})

    def found(**parameters: Any) -> list[str]:
        return [event["message"] for event in serving.call("GetEvents", parameters)["events"]]

    assert found(last=2) == ["4", "5"]
    assert found(last=0) == []
    assert found(since=1004) == ["4", "5"]
    assert found(since=1002.5, last=10) == ["3", "4", "5"]
    assert found(since=-5) == found(last=1e11) == found() == ["1", "2", "3", "4", "5"]


# Orders


def test_verbose(serving: Serving) -> None:
    answer = serving.call("SetVerbose", {"on": True, "seconds": 60})
    assert answer["message"] == "done"
    assert answer["warnings"] == ["agent 2.7.3.0 writes SAS tokens to its log in clear when verbose: "
                                  "keep the log to yourself"]
    serving.call("SetVerbose", {"on": True, "restart": False})
    serving.call("SetVerbose", {"on": True, "forever": True})
    assert serving.call("SetVerbose", {"on": False, "seconds": -1})["warnings"] == []
    assert serving.guard.orders == [
        ("on", 60.0, True, ME), ("on", 7200.0, False, ME), ("on", None, True, ME), ("off", ME)]


@pytest.mark.parametrize(("version", "warned"), [
    ("2.13.1.1", "agent 2.13.1.1"), ("2.14.0.1", ""), ("2.15.0.1", ""), (None, "an agent before 2.14"),
    ("junk", "an agent before 2.14")])
def test_the_warning_of_tokens_goes_by_the_version(serving: Serving, version: Any, warned: str) -> None:
    serving.snapshot = {"agent": {"versions": {"daemon": None, "goal_state": version, "distro": None}}}
    warnings = serving.call("SetVerbose", {"on": True})["warnings"]
    assert [warning.partition(" writes ")[0] for warning in warnings] == ([warned] if warned else [])


def test_verbose_says_that_a_restart_follows(serving: Serving) -> None:
    serving.guard.policy = restart.ask(serving.guard.policy, Request("x", 1.0))
    assert serving.call("SetVerbose", {"on": True})["message"] == "done; the agent is restarted to read it"


@pytest.mark.parametrize("seconds", [0, -1, 0.999, 604801, 1e11])
def test_a_lease_out_of_range_is_refused_with_the_range(serving: Serving, seconds: float) -> None:
    name, parameters = serving.error("SetVerbose", {"on": True, "seconds": seconds})
    assert name == "Refused"
    assert parameters["reason"] == "a lease has to last from 1 s to 7d (verbose.longest_lease)"
    assert "--forever" in parameters["hint"]


def test_a_lease_for_ever_has_no_length(serving: Serving) -> None:
    wrong = {"on": True, "forever": True, "seconds": 5}
    assert serving.error("SetVerbose", wrong) == ("InvalidParameter", {"parameter": "forever"})


@pytest.mark.parametrize("parameters", [{"on": True}, {"on": False}])
def test_a_refused_lease(serving: Serving, parameters: dict[str, Any]) -> None:
    serving.guard.refusal = "another change of waagent.conf is under way"
    assert serving.error("SetVerbose", parameters) == ("Refused", {"reason": serving.guard.refusal, "hint": ""})


def test_restart(serving: Serving) -> None:
    assert serving.call("Restart") == {"message": "the agent is being restarted"}
    serving.call("Restart", {"force": True})
    assert serving.guard.orders == [("restart", f"asked for by {ME}", False), ("restart", f"asked for by {ME}", True)]
    serving.guard.refusal = "the ration of restarts is used up"
    assert serving.error("Restart") == ("Refused", {
        "reason": serving.guard.refusal, "hint": "waguardctl restart --force does it all the same"})
    assert serving.error("Restart", {"force": True}) == ("Refused", {"reason": serving.guard.refusal, "hint": ""})


def test_pause_and_resume(serving: Serving) -> None:
    assert serving.call("Pause", {"seconds": 90})["message"] == "paused for 1m30s: nothing is started or restarted"
    assert serving.call("Pause")["message"] == "paused until waguardctl resume: nothing is started or restarted"
    assert serving.call("Resume") == {"message": "waguard works again"}
    assert serving.guard.orders == [("pause", 90.0, ME), ("pause", None, ME), ("resume", ME)]
    serving.guard.refusal = "x"
    assert serving.error("Resume") == ("Refused", {"reason": "waguard is not paused", "hint": ""})


@pytest.mark.parametrize("seconds", [0, -1, 0.5, 1e10])
def test_a_pause_out_of_range_is_refused_with_the_range(serving: Serving, seconds: float) -> None:
    name, parameters = serving.error("Pause", {"seconds": seconds})
    assert (name, parameters["reason"]) == ("Refused", "a pause has to last from 1 s to 366d")
    assert serving.guard.orders == []


@pytest.mark.parametrize("method", ORDERS)
def test_an_order_that_cannot_be_written_down_is_refused_with_the_reason(serving: Serving, method: str) -> None:
    serving.guard.error = OSError(28, "No space left on device")
    name, parameters = serving.error(method, ORDERS[method])
    assert (name, parameters["reason"]) == ("Refused", "the guard's state cannot be written: No space left on device")


def test_a_method_with_a_bug_hangs_up_on_that_client_alone(serving: Serving) -> None:
    serving.guard.error = ZeroDivisionError("a bug")
    with pytest.raises(varlink.Unreachable):
        serving.call("Restart")
    wait(lambda: serving.loop.errors)
    assert [str(error) for error in serving.loop.errors] == ["a bug"]
    serving.loop.errors.clear()
    assert serving.call("GetSnapshot")


# Following


def follow(serving: Serving, **parameters: Any) -> Iterator[dict[str, Any]]:
    return varlink.stream(serving.root / "status", "io.waguard.GetEvents", {"follow": True, **parameters}, 30.0)


def test_follow_needs_more(serving: Serving) -> None:
    assert serving.error("GetEvents", {"follow": True}) == ("ExpectedMore", {})


def test_more_without_follow_is_one_answer(serving: Serving) -> None:
    replies = varlink.stream(serving.root / "status", "io.waguard.GetEvents", {}, 30.0)
    assert list(replies) == [{"events": []}]


def test_a_follower_gets_what_was_and_what_comes(serving: Serving) -> None:
    serving.history.add(5.0, "guard-trouble", "before", {})
    replies = follow(serving)
    assert [event["message"] for event in next(replies)["events"]] == ["before"]
    for number in range(100):
        serving.event(str(number))
    found = [event["message"] for _ in range(100) for event in next(replies)["events"]]
    assert found == [str(number) for number in range(100)]
    replies.close()  # type: ignore[attr-defined]
    wait(lambda: serving.clients == 0, "the end of the connection")


def test_fifty_followers_of_which_some_never_read(serving: Serving) -> None:
    """Those who read get everything in order; those who do not are hung up on and cost a bounded amount of memory."""
    lazy = []
    for _ in range(20):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(serving.root / "status"))
        sock.sendall(varlink.encode({"method": "io.waguard.GetEvents", "parameters": {"follow": True}, "more": True}))
        lazy.append(sock)
    busy = [follow(serving) for _ in range(30)]
    for replies in busy:
        assert next(replies) == {"events": []}
    wait(lambda: serving.clients == 50)
    found: list[list[int]] = [[] for _ in busy]

    def read(number: int) -> None:
        for _ in range(200):
            found[number] += [len(event["message"]) for event in next(busy[number])["events"]]

    readers = [threading.Thread(target=read, args=(number,)) for number in range(30)]
    for reader in readers:
        reader.start()
    for number in range(200):
        serving.event("x" * (10000 + number))
        time.sleep(0.001)
    for reader in readers:
        reader.join()
    assert found == [[10000 + number for number in range(200)]] * 30
    wait(lambda: serving.clients == 30, "the lazy ones hung up on")
    for sock in lazy:
        sock.close()
    assert serving.call("GetSnapshot")


def test_followers_who_have_gone_are_forgotten_without_an_event(serving: Serving) -> None:
    """The socket is open to all: who comes, follows and leaves must not cost memory until the next event, in days."""
    for _ in range(300):
        replies = follow(serving)
        next(replies)
        replies.close()  # type: ignore[attr-defined]
        wait(lambda: serving.clients == 0)
    assert len(serving.methods._followers) <= 1


def test_a_follower_who_asks_for_something_else_in_between_waits(serving: Serving) -> None:
    """Replies go out in the order of calls, and following has no end."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(serving.root / "status"))
        follow_it = varlink.encode({"method": "io.waguard.GetEvents", "parameters": {"follow": True}, "more": True})
        sock.sendall(follow_it + varlink.encode({"method": "io.waguard.GetSnapshot"}))
        sock.settimeout(30.0)
        decoder = varlink.Decoder()
        seen: list[dict[str, Any]] = []
        while not seen:
            decoder.feed(sock.recv(65536))
            seen += list(decoder)
        serving.event("x")
        while len(seen) < 2:
            decoder.feed(sock.recv(65536))
            seen += list(decoder)
        assert [list(reply["parameters"]) for reply in seen] == [["events"], ["events"]]


# The doctor


class FakeVisits:
    """Visits that go on and end when a test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any]] = []
        self.afresh: list[tuple[Any, Any]] = []

    def ask(self, progress: Any, done: Any, afresh: bool = False) -> None:
        (self.afresh if afresh else self.asked).append((progress, done))


@pytest.fixture
def visits(serving: Serving) -> FakeVisits:
    serving.guard.visits = FakeVisits()
    return serving.guard.visits  # type: ignore[no-any-return]


def ask(serving: Serving, more: bool = False, oneway: bool = False, times: int = 1, door: str = "status") -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(serving.root / door))
    client.sendall(varlink.encode({"method": "io.waguard.Diagnose", "more": more, "oneway": oneway}) * times)
    return client


def answer(client: socket.socket) -> dict[str, Any]:
    data = b""
    while not data.endswith(b"\0"):
        data += client.recv(65536)
    return json.loads(data[:-1])  # type: ignore[no-any-return]


def test_all_who_ask_share_one_visit_and_one_diagnosis(serving: Serving, visits: FakeVisits) -> None:
    asking, following = ask(serving), ask(serving, more=True)
    wait(lambda: len(serving.methods._patients) == 2)
    ((progress, done),) = visits.asked
    serving.loop.soon(lambda: progress("the network"))
    assert answer(following) == {"parameters": {"progress": "the network", "diagnosis": None}, "continues": True}
    serving.loop.soon(lambda: done(""))
    for client in (asking, following):
        assert answer(client) == {"parameters": {"progress": None, "diagnosis": {"number": 1}}}
        client.close()
    ask(serving).close()
    wait(lambda: len(visits.asked) == 2, "the next visit")


def test_a_visit_that_failed_is_told_to_all(serving: Serving, visits: FakeVisits) -> None:
    clients = [ask(serving), ask(serving, more=True)]
    wait(lambda: len(serving.methods._patients) == 2)
    serving.loop.soon(lambda: visits.asked[0][1]("the doctor hung up"))
    for client in clients:
        assert answer(client)["parameters"]["reason"] == "the doctor hung up"
        client.close()
    assert serving.diagnosed == 0


def test_who_has_gone_or_wants_no_answer_is_not_kept(serving: Serving, visits: FakeVisits) -> None:
    """Anybody may call, and a visit may take half a minute: what is kept for a caller must not outlive the caller."""
    def come_and_go(**how: Any) -> None:
        client = ask(serving, **how)
        wait(lambda: serving.clients == 1)
        client.close()
        wait(lambda: not serving.clients)

    come_and_go(oneway=True, times=1000)
    assert visits.asked == [] and serving.methods._patients == []
    for _ in range(50):
        come_and_go()
    assert len(visits.asked) == 1 and len(serving.methods._patients) == 1
    serving.loop.soon(lambda: visits.asked[0][1](""))
    wait(lambda: not serving.methods._patients)
    assert serving.diagnosed == 0


def test_who_may_give_orders_is_looked_for_afresh(serving: Serving, visits: FakeVisits) -> None:
    first, second, gone = ask(serving, door="control", more=True), ask(serving, door="control"), ask(serving, door="control", more=True)
    wait(lambda: len(visits.afresh) == 3)
    assert visits.asked == [] and serving.methods._patients == []
    gone.close()
    wait(lambda: serving.clients == 2)
    ask(serving, door="control", oneway=True).close()
    for progress, done in list(visits.afresh):
        serving.loop.soon(lambda progress=progress: progress("logs"))  # type: ignore[misc]
        serving.loop.soon(lambda done=done: done(""))  # type: ignore[misc]
    told = b""
    while told.count(b"\0") < 2:
        told += first.recv(65536)
    assert [json.loads(one)["parameters"]["progress"] for one in told.split(b"\0")[:2]] == ["logs", None]
    assert answer(second)["parameters"]["diagnosis"]["number"] in (1, 2)
    assert serving.diagnosed == 2 and len(visits.afresh) == 3
    for client in (first, second):
        client.close()


def test_a_guard_without_a_doctor(serving: Serving) -> None:
    for control in (True, False):
        assert serving.error("Diagnose", control=control)[0] == "Refused"
