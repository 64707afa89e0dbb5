"""The Varlink methods: what each socket offers, and the checking of what comes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional, Union

from waguard import __version__, durations, settings
from waguard.guard.events import Event, History
from waguard.guard.guard import Guard
from waguard.guard.sockets import refused
from waguard.guard.visits import Visits
from waguard.i18n import say
from waguard.varlink import Call, Connection, Interface, Method, RemoteError, Service, invalid_parameter

DESCRIPTION = Path(__file__).parent.parent / "data" / "io.waguard.varlink"
_YEAR = 366 * 86400.0


class Methods:
    """All methods of io.waguard. ``who`` tells for a connection who is at its other end, ``settle`` sends what was queued."""

    def __init__(self, guard: Guard, history: History, snapshot: Callable[[], Mapping[str, Any]],
                 diagnosis: Callable[[], Mapping[str, Any]]) -> None:
        self._guard, self._history, self._snapshot, self._diagnosis = guard, history, snapshot, diagnosis
        self._followers: dict[int, tuple[Connection, Call]] = {}
        self._patients: list[tuple[Connection, Call]] = []
        self._visiting = False
        self.who: Callable[[Connection], str] = lambda _connection: "somebody"
        self.settle: Callable[[Connection], None] = lambda _connection: None
        history.listeners.append(self._tell_followers)

    def service(self, acting: bool) -> Service:
        """What the control socket (``acting``) or the status socket offers."""
        reading: dict[str, Method] = {
            "GetSnapshot": self.get_snapshot, "GetEvents": self.get_events, "GetSettings": self.get_settings,
            "Diagnose": self.diagnose_afresh if acting else self.diagnose}
        orders: dict[str, Method] = {
            "SetVerbose": self.set_verbose, "Restart": self.restart, "Pause": self.pause, "Resume": self.resume}
        orders = {name: _order(method) if acting else _closed for name, method in orders.items()}
        interface = Interface(DESCRIPTION.read_text("utf-8"), {**reading, **orders})
        return Service("waguard", "waguard", __version__, "", [interface])

    def get_snapshot(self, connection: Connection, call: Call) -> None:
        connection.reply(call, {"snapshot": self._snapshot()})

    def get_events(self, connection: Connection, call: Call) -> None:
        since, last = _number(call, "since"), _number(call, "last")
        if last is not None and last < 0:
            raise invalid_parameter("last")
        follow = _switch(call, "follow")
        if follow and not call.more:
            raise RemoteError("org.varlink.service.ExpectedMore")
        events = self._history.since(at=since or 0.0, last=None if last is None else int(last))
        connection.reply(call, {"events": events}, continues=follow)
        if follow:
            # Those who have gone are forgotten here too: without events nobody else would, and who follows may be anybody.
            self._followers = {key: known for key, known in self._followers.items() if not known[0].closed}
            self._followers[id(connection)] = (connection, call)

    def diagnose(self, connection: Connection, call: Call) -> None:
        """Anybody may ask, and a visit takes seconds: so all who ask share one, and who has gone is forgotten at once."""
        self._patients = [known for known in self._patients if not known[0].closed]
        visits = self._visits(call)
        if visits is None:
            return
        self._patients.append((connection, call))
        if not self._visiting:
            self._visiting = True
            visits.ask(lambda title: self._visit_goes_on(self._patients, title), self._shared_visit_is_over)

    def diagnose_afresh(self, connection: Connection, call: Call) -> None:
        """For those who may give orders, and may just have repaired what the last visit found: a visit begun after they asked."""
        visits, one = self._visits(call), [(connection, call)]
        if visits is not None:
            visits.ask(lambda title: self._visit_goes_on(one, title), lambda problem: self._visit_is_over(one, problem), True)

    def _visits(self, call: Call) -> Optional[Visits]:
        """None where nobody waits for the answer."""
        if self._guard.visits is None:
            raise refused(say("this guard has no doctor"))
        return None if call.oneway else self._guard.visits

    def _visit_goes_on(self, patients: list[tuple[Connection, Call]], title: str) -> None:
        for connection, call in patients:
            if call.more and not connection.closed:
                connection.reply(call, {"progress": title, "diagnosis": None}, continues=True)
                self.settle(connection)

    def _shared_visit_is_over(self, problem: str) -> None:
        patients, self._patients, self._visiting = self._patients, [], False
        self._visit_is_over(patients, problem)

    def _visit_is_over(self, patients: list[tuple[Connection, Call]], problem: str) -> None:
        patients = [known for known in patients if not known[0].closed]
        error = refused(problem, say("waguardctl doctor --local looks without the guard"))
        diagnosis = self._diagnosis() if patients and not problem else {}
        for connection, call in patients:
            if problem:
                connection.error(call, error.name, error.parameters)
            else:
                connection.reply(call, {"progress": None, "diagnosis": diagnosis})
            self.settle(connection)

    def get_settings(self, connection: Connection, call: Call) -> None:
        connection.reply(call, {"settings": [
            {"name": name, "value": settings.show_value(value, rules), "origin": origin, "help": rules["help"]}
            for name, value, origin, rules in self._guard.settings.items()]})

    def set_verbose(self, connection: Connection, call: Call) -> None:
        on = call.parameters.get("on")
        if not isinstance(on, bool):
            raise invalid_parameter("on")
        seconds, forever, restart = _number(call, "seconds"), _switch(call, "forever"), _switch(call, "restart", True)
        if forever and seconds is not None:
            raise invalid_parameter("forever")
        guard, rules = self._guard, self._guard.settings.verbose
        if on and not forever:
            seconds = rules.default_lease if seconds is None else seconds
            if not 1 <= seconds <= rules.longest_lease:
                raise refused(say("a lease has to last from 1 s to {longest} (verbose.longest_lease)",
                                  longest=durations.show(rules.longest_lease)),
                              say("use --forever for a lease that only ends when it is given back"))
        warnings = _sas_warning(self._snapshot()) if on else []

        def answer(message: str, refusal: str) -> None:
            if refusal:
                connection.error(call, "io.waguard.Refused", {"reason": refusal, "hint": ""})
            else:
                pending = guard.memory.policy.request is not None
                connection.reply(call, {
                    "message": say("{said}; the agent is restarted to read it", said=message) if pending else message,
                    "warnings": warnings})
            self.settle(connection)

        if on:
            guard.verbose.turn_on(None if forever else seconds, restart, self.who(connection), answer)
        else:
            guard.verbose.turn_off(self.who(connection), answer)

    def restart(self, connection: Connection, call: Call) -> None:
        force = _switch(call, "force")

        def answer(refusal: str) -> None:
            if refusal:
                error = refused(refusal, "" if force else say("waguardctl restart --force does it all the same"))
                connection.error(call, error.name, error.parameters)
            else:
                connection.reply(call, {"message": say("the agent is being restarted")})
            self.settle(connection)

        self._guard.ask_restart(say("asked for by {said_who}", said_who=self.who(connection)), force, answer)

    def pause(self, connection: Connection, call: Call) -> None:
        seconds = _number(call, "seconds")
        if seconds is not None and not 1 <= seconds <= _YEAR:
            raise refused(say("a pause has to last from 1 s to {longest}", longest=durations.show(_YEAR)),
                          say("without a time it lasts until waguardctl resume"))
        self._guard.pause(seconds, self.who(connection))
        connection.reply(call, {"message": say(
            "paused until waguardctl resume: nothing is started or restarted") if seconds is None else say(
            "paused for {time}: nothing is started or restarted", time=durations.show(seconds))})

    def resume(self, connection: Connection, call: Call) -> None:
        if not self._guard.resume(self.who(connection)):
            raise refused(say("waguard is not paused"))
        connection.reply(call, {"message": say("waguard works again")})

    def _tell_followers(self, event: Event) -> None:
        for key, (connection, call) in list(self._followers.items()):
            connection.reply(call, {"events": [event.to_json()]}, continues=True)
            if connection.closed:
                del self._followers[key]
            self.settle(connection)


def _order(method: Method) -> Method:
    """The same, for orders: one that cannot be written down is refused with the reason, not answered by hanging up."""
    def guarded(connection: Connection, call: Call) -> None:
        try:
            method(connection, call)
        except OSError as error:
            raise refused(say("the guard's state cannot be written: {said_error}", said_error=error.strerror),
                          say("is the file system of /run/waguard full?")) from error

    return guarded


def _closed(_connection: Connection, _call: Call) -> None:
    """An order on the status socket, which is open to all."""
    raise RemoteError("org.varlink.service.PermissionDenied")


def _number(call: Call, name: str) -> Optional[float]:
    value: Union[object, None] = call.parameters.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e12 < value < 1e12:
        raise invalid_parameter(name)
    return float(value)


def _switch(call: Call, name: str, default: bool = False) -> bool:
    value = call.parameters.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid_parameter(name)
    return value


def _sas_warning(snapshot: Mapping[str, Any]) -> list[str]:
    """Before 2.14 the agent's logger does not remove SAS tokens (WALinuxAgent PR #3335)."""
    from waguard.agent import versions

    told = snapshot["agent"]["versions"]
    version = versions.try_parse(told["goal_state"] or told["daemon"])
    if version is not None and versions.generation(version).log_redacts_sas:
        return []
    return [say("agent {version} writes SAS tokens to its log in clear when verbose: keep the log to yourself", version=version)
            if version else
            say("an agent before 2.14 writes SAS tokens to its log in clear when verbose: keep the log to yourself")]
