"""waguard.guard.verbose with real files, a real store and a fake guard, killed between any two steps.

The promise: waagent.conf is at every moment either as it was, or so but for the leased line, and in the end as it was.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from waguard.act import confwrite
from waguard.agent import conf
from waguard.clock import Clock
from waguard.decide.lease import Phase
from waguard.decide.term import Moment
from waguard.guard import verbose as module
from waguard.guard.memory import Memory
from waguard.guard.store import Store, sweep
from waguard.guard.verbose import Hooks, Verbose
from waguard.guard.workers import Crew, Worker
from waguard.observe import freeze

from .conftest import Disk, Turning

CONFS = {
    "plain": b"# a comment\nLib.Dir=/var/lib/waagent\nLogs.Verbose=n\nOS.EnableFIPS=n\n",
    "CR LF": b"Lib.Dir=/var/lib/waagent\r\nLogs.Verbose=n\r\nOS.EnableFIPS=n\r\n",
    "no final newline": b"Lib.Dir=/var/lib/waagent\nLogs.Verbose=n",
    "CR LF, no final newline": b"Lib.Dir=/var/lib/waagent\r\nLogs.Verbose=n",
    "key absent": b"Lib.Dir=/var/lib/waagent\n\n\n",
    "key absent, no final newline": b"Lib.Dir=/var/lib/waagent\n  # no end",
    "key absent, CR LF": b"Lib.Dir=/var/lib/waagent\r\n",
    "key absent, CR LF, no final newline": b"Lib.Dir=/var/lib/waagent\r\nOS.EnableFIPS=n\r",
    "key only in a comment": b"#Logs.Verbose=y\nLib.Dir=/x\n",
    "duplicate keys": b"Logs.Verbose=y\nLib.Dir=/x\nLogs.Verbose=n\n# end\n",
    "duplicate keys, last without value": b"Logs.Verbose=y\nLogs.Verbose=\n",
    "odd blanks, quotes and a comment": b"   Logs.Verbose  =  \"n\"   # why not\nLib.Dir=/x\n",
    "a value nobody understands": b"Logs.Verbose=perhaps\n",
    "value None": b"Logs.Verbose=None\n",
    "only a blank line": b"\n",
    "high bytes": "# Grüße\nLogs.Verbose=n\n# \u2028 end\n".encode(),
}


class Home:
    """The folder of one machine, and guards on it, one after another. ``now`` and ``wall`` are set by the test."""

    def __init__(self, root: Path, loop: Turning) -> None:
        self.root, self.loop = root, loop
        self.conf = root / "etc" / "waagent.conf"
        self.run, self.lib = root / "run", root / "lib"
        for directory in (self.conf.parent, self.run, self.lib):
            directory.mkdir()
        self.now, self.wall, self.boot = 1000.0, 1763550000.0, "boot-1"
        self.disk = Disk()
        self.worker = Worker(Crew(loop), loop, Clock().now)  # one for all guards, or their threads would add up
        self.events: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self.restarts: list[str] = []
        self.pending = False
        self.save_error: Optional[OSError] = None

    def start(self) -> Verbose:
        """As waguard.guard.guard does it."""
        for directory in (self.run, self.lib):
            sweep(directory, ".*.new")
        confwrite.sweep(self.conf)
        memory = Memory(Store("state", self.run, self.lib, self.disk, self.warnings.append), self.boot)
        memory.load(self.now, self.wall, self.warnings.append)

        def save(durable: Optional[Callable[[], None]] = None) -> None:
            if self.save_error is not None:
                raise self.save_error
            memory.lease = verbose.lease
            memory.save(self.now, self.wall, durable)

        hooks = Hooks(lambda: Moment(self.now, self.wall, self.boot), save, self._event, self._want, self._drop,
                      lambda: self.conf)
        verbose = Verbose(self.loop, hooks, self.worker)
        verbose.lease = memory.lease
        verbose.recover()
        return verbose

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    def on(self, verbose: Verbose, seconds: Optional[float] = 60.0, restart: bool = True, by: str = "root") -> str:
        """Begin a lease. Returns the message, or the refusal behind a ``!``."""
        return self._answer(lambda answer: verbose.turn_on(seconds, restart, by, answer))

    def off(self, verbose: Verbose, by: str = "root") -> str:
        return self._answer(lambda answer: verbose.turn_off(by, answer))

    def tick(self, verbose: Verbose) -> None:
        """One beat of the guard, with what it leads to."""
        verbose.tick()
        self.loop.until(lambda: not verbose.busy)
        self.disk.finish()

    def to_the_end(self, verbose: Verbose) -> None:
        """Beat until there is no lease, as long as that may take; the clock goes on by a minute each time."""
        for _ in range(100):
            self.tick(verbose)
            if verbose.lease is None:
                return
            self.pass_time(61.0)
        raise AssertionError(f"the lease never ends: {verbose.lease}; {self.events}")

    def leftovers(self) -> list[str]:
        """Files beside waagent.conf that nobody asked for."""
        return sorted(set(os.listdir(self.conf.parent)) - {"waagent.conf"})

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]

    def _answer(self, order: Callable[[Callable[[str, str], None]], None]) -> str:
        answers: list[tuple[str, str]] = []
        order(lambda message, refusal: answers.append((message, refusal)))
        self.loop.until(lambda: answers, "an answer")
        self.disk.finish()
        (message, refusal), = answers
        assert bool(message) is not bool(refusal)
        return f"!{refusal}" if refusal else message

    def _event(self, kind: str, message: str, **_fields: Any) -> None:
        self.events.append((kind, message))

    def _want(self, why: str) -> None:
        self.restarts.append(why)
        self.pending = True

    def _drop(self) -> bool:
        was, self.pending = self.pending, False
        return was


@pytest.fixture
def home(tmp_path: Path, loop: Turning) -> Home:
    found = Home(tmp_path, loop)
    found.conf.write_bytes(CONFS["plain"])
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No long waits for a disk that never answers."""
    monkeypatch.setattr(module, "_DURABLE_WITHIN", 0.2)


@pytest.fixture(params=CONFS, ids=lambda name: name.replace(",", "").replace(" ", "-"))
def each(request: pytest.FixtureRequest, home: Home) -> bytes:
    """Every waagent.conf in turn."""
    data: bytes = CONFS[request.param]
    home.conf.write_bytes(data)
    return data


def verbose_in(data: bytes) -> bool:
    return conf.parse(data).switch("Logs.Verbose")


# The plain course of things


def test_granted_and_ended_by_time(home: Home, each: bytes) -> None:
    verbose = home.start()
    assert home.on(verbose, 60.0) == "verbose logging is on for 1m"
    assert verbose_in(home.conf.read_bytes())
    assert verbose.lease is not None
    assert (verbose.lease.phase, verbose.lease.by, verbose.lease.path) == (Phase.ACTIVE, "root", str(home.conf))
    home.pass_time(59.9)
    home.tick(verbose)
    assert verbose_in(home.conf.read_bytes())
    home.pass_time(0.2)
    home.tick(verbose)
    assert home.conf.read_bytes() == each
    assert verbose.lease is None
    assert home.kinds == ["verbose-on", "verbose-off"]
    assert home.events[1][1] == "verbose logging is off again: its time is over"
    assert home.leftovers() == []


def test_ended_by_hand(home: Home, each: bytes) -> None:
    verbose = home.start()
    home.on(verbose, None)
    home.pass_time(1e7)
    home.tick(verbose)
    assert verbose_in(home.conf.read_bytes())
    assert home.off(verbose, "admin") == "verbose logging is off; the line is as it was"
    assert home.conf.read_bytes() == each
    assert home.events[1] == ("verbose-off", "verbose logging is off again: given back by admin")
    assert home.off(verbose).startswith("!there is no verbose lease")


def test_only_one_line_differs_while_it_is_on(home: Home) -> None:
    home.on(home.start())
    assert home.conf.read_bytes() == CONFS["plain"].replace(b"Logs.Verbose=n", b"Logs.Verbose=y")


def test_given_a_new_end(home: Home) -> None:
    verbose = home.start()
    home.on(verbose, 60.0)
    home.pass_time(50.0)
    assert home.on(verbose, 100.0, by="admin") == "verbose logging was on already; it now stays on for 1m40s"
    home.pass_time(99.0)
    home.tick(verbose)
    assert verbose.lease is not None
    again = home.start()
    assert again.lease == verbose.lease
    home.pass_time(2.0)
    home.tick(again)
    assert home.conf.read_bytes() == CONFS["plain"]
    assert home.kinds == ["verbose-on", "verbose-on", "verbose-off"]
    assert home.restarts == ["verbose logging was turned on"]


def test_an_end_can_be_brought_forward_and_taken_away(home: Home) -> None:
    verbose = home.start()
    home.on(verbose, 3600.0)
    home.on(verbose, 5.0)
    home.on(verbose, None)
    home.pass_time(1e6)
    home.tick(verbose)
    assert verbose.lease is not None
    home.on(verbose, 5.0)
    home.pass_time(6.0)
    home.tick(verbose)
    assert verbose.lease is None


def test_one_after_another(home: Home) -> None:
    verbose = home.start()
    for _ in range(5):
        home.on(verbose, 10.0)
        home.to_the_end(verbose)
        assert home.conf.read_bytes() == CONFS["plain"]


def test_the_agent_is_restarted_at_both_ends(home: Home) -> None:
    verbose = home.start()
    home.on(verbose)
    home.pending = False  # it was carried out
    home.off(verbose)
    assert home.restarts == ["verbose logging was turned on", "verbose logging was turned off"]


def test_an_agent_that_never_came_to_read_it_is_not_restarted_to_forget_it(home: Home) -> None:
    verbose = home.start()
    home.on(verbose)
    home.off(verbose)
    assert (home.restarts, home.pending) == (["verbose logging was turned on"], False)


def test_without_restart_the_agent_is_left_alone(home: Home) -> None:
    verbose = home.start()
    home.on(verbose, restart=False)
    home.off(verbose)
    assert home.restarts == []


def test_mode_and_owner_are_kept(home: Home) -> None:
    home.conf.chmod(0o640)
    if os.getuid() == 0:
        os.chown(home.conf, 1234, 5678)
    before = home.conf.stat()
    verbose = home.start()
    home.on(verbose)
    home.off(verbose)
    after = home.conf.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_our_own_edit_is_known_as_ours(home: Home) -> None:
    from waguard.observe import conf as observed

    verbose = home.start()
    home.on(verbose)
    assert verbose.own_mark == observed.read(home.conf).mark
    home.off(verbose)
    assert verbose.own_mark == observed.read(home.conf).mark


# What others do meanwhile


@pytest.mark.parametrize("edit", [
    (b"Logs.Verbose=y", b"Logs.Verbose=n"), (b"Logs.Verbose=y", b"Logs.Verbose=no"), (b"Logs.Verbose=y\n", b""),
    (b"Logs.Verbose=y", b"Logs.Verbose=y # mine"), (b"Logs.Verbose=y\n", b"Logs.Verbose=y\nLogs.Verbose=n\n")])
def test_superseded_by_an_administrators_edit(home: Home, edit: tuple[bytes, bytes]) -> None:
    verbose = home.start()
    home.on(verbose)
    home.pending = False
    theirs = home.conf.read_bytes().replace(*edit)
    home.conf.write_bytes(theirs)
    message = home.off(verbose)
    assert message == f"{home.conf}: Logs.Verbose was edited by somebody else during the lease; it is left as it is"
    assert home.conf.read_bytes() == theirs
    assert verbose.lease is None
    assert home.kinds == ["verbose-on", "verbose-superseded"]
    assert home.restarts == ["verbose logging was turned on"]


def test_edits_of_other_keys_are_kept(home: Home) -> None:
    verbose = home.start()
    home.on(verbose)
    leased = home.conf.read_bytes()
    home.conf.write_bytes(b"# new head\n" + leased.replace(b"FIPS=n", b"FIPS=y") + b"HttpProxy.Host=p\n")
    home.off(verbose)
    expected = b"# new head\n" + CONFS["plain"].replace(b"FIPS=n", b"FIPS=y") + b"HttpProxy.Host=p\n"
    assert home.conf.read_bytes() == expected
    assert home.kinds == ["verbose-on", "verbose-off"]


def test_an_editor_that_replaces_the_file_meanwhile(home: Home) -> None:
    verbose = home.start()
    home.on(verbose)
    new = home.conf.with_name("new")
    new.write_bytes(home.conf.read_bytes() + b"# saved by an editor\n")
    new.replace(home.conf)
    home.off(verbose)
    assert home.conf.read_bytes() == CONFS["plain"] + b"# saved by an editor\n"


def test_conf_missing_at_the_end(home: Home) -> None:
    verbose = home.start()
    home.on(verbose)
    home.conf.unlink()
    assert home.off(verbose) == f"{home.conf} is gone, so there is nothing to put back"
    assert (verbose.lease, home.conf.exists(), home.leftovers()) == (None, False, [])
    assert home.events[1] == ("verbose-superseded", f"the verbose lease is over without effect: {home.conf} is gone")


def test_conf_empty_at_the_end(home: Home) -> None:
    verbose = home.start()
    home.on(verbose)
    home.conf.write_bytes(b"")
    home.off(verbose)
    assert (verbose.lease, home.conf.read_bytes()) == (None, b"")


def test_conf_that_cannot_be_read_at_the_end_is_tried_again(home: Home) -> None:
    verbose = home.start()
    home.on(verbose)
    leased = home.conf.read_bytes()
    home.conf.unlink()
    home.conf.mkdir()
    home.pass_time(61.0)
    for _ in range(3):
        home.tick(verbose)
        home.pass_time(61.0)
    assert verbose.lease is not None
    assert home.kinds == ["verbose-on", "verbose-trouble"]  # said once
    home.conf.rmdir()
    home.conf.write_bytes(leased)
    home.to_the_end(verbose)
    assert home.conf.read_bytes() == CONFS["plain"]


def test_conf_behind_a_link(home: Home) -> None:
    target = home.root / "elsewhere"
    target.mkdir()
    home.conf.replace(target / "real.conf")
    home.conf.symlink_to("../elsewhere/real.conf")
    verbose = home.start()
    home.on(verbose)
    assert home.conf.is_symlink()
    assert verbose_in((target / "real.conf").read_bytes())
    home.off(verbose)
    assert os.readlink(home.conf) == "../elsewhere/real.conf"
    assert (target / "real.conf").read_bytes() == CONFS["plain"]
    assert os.listdir(target) == ["real.conf"]


def test_conf_whose_link_was_turned_elsewhere_leaves_both_files_alone(home: Home) -> None:
    for name in ("one", "two"):
        (home.root / name).write_bytes(CONFS["plain"])
    home.conf.unlink()
    home.conf.symlink_to("../one")
    verbose = home.start()
    home.on(verbose)
    home.conf.unlink()
    home.conf.symlink_to("../two")
    home.off(verbose)
    assert (home.root / "two").read_bytes() == CONFS["plain"]
    assert home.kinds == ["verbose-on", "verbose-superseded"]


# Refused from the start


@pytest.mark.parametrize(("data", "why"), [
    (b"Logs.Verbose=y\n", "Logs.Verbose=y stands in {conf}:1 already, set by hand; nothing to lease"),
    (b"a=b\nLogs.Verbose= Y \n", "Logs.Verbose=y stands in {conf}:2 already, set by hand; nothing to lease"),
    (b"", "{conf}: the file is empty, and the agent refuses to start without a configuration"),
    (b"Logs.Verbose=n\n# \xff\n", "{conf}: the file is not valid UTF-8, and the agent refuses to start with it"),
    (b"x" * (1 << 20) + b"=", "{conf}: larger than 1024 KiB"),
])
def test_a_conf_that_cannot_be_leased(home: Home, data: bytes, why: str) -> None:
    home.conf.write_bytes(data)
    verbose = home.start()
    assert home.on(verbose) == "!" + why.format(conf=home.conf)
    assert (home.conf.read_bytes(), verbose.lease, home.restarts, home.leftovers()) == (data, None, [], [])
    assert home.kinds == ["verbose-trouble"]
    assert home.start().lease is None


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "hard link", "dangling link"])
def test_a_conf_that_is_no_plain_file(home: Home, kind: str) -> None:
    if kind == "hard link":
        os.link(home.conf, home.root / "other")
    else:
        home.conf.unlink()
    if kind == "directory":
        home.conf.mkdir()
    elif kind == "fifo":
        os.mkfifo(home.conf)
    elif kind == "dangling link":
        home.conf.symlink_to("nowhere")
    verbose = home.start()
    before = stat.S_IFMT(os.lstat(home.conf).st_mode) if kind != "missing" else None
    assert home.on(verbose).startswith(f"!{home.conf}")
    assert verbose.lease is None
    assert (stat.S_IFMT(os.lstat(home.conf).st_mode) if kind != "missing" else None) == before
    assert home.leftovers() == []


def test_another_change_under_way(home: Home) -> None:
    verbose = home.start()
    answers: list[tuple[str, str]] = []
    verbose.turn_on(60.0, True, "root", lambda *answer: answers.append(answer))
    verbose.turn_on(60.0, True, "root", lambda *answer: answers.append(answer))
    verbose.turn_off("root", lambda *answer: answers.append(answer))
    verbose.tick()
    assert answers == [("", "another change of waagent.conf is under way")] * 2
    home.loop.until(lambda: len(answers) == 3)
    assert answers[2] == ("verbose logging is on for 1m", "")
    home.off(verbose)
    assert home.conf.read_bytes() == CONFS["plain"]


def test_a_refused_lease_does_not_delay_the_end_of_the_next(home: Home) -> None:
    home.conf.write_bytes(b"Logs.Verbose=y\n")
    verbose = home.start()
    assert home.on(verbose).startswith("!")
    home.conf.write_bytes(CONFS["plain"])
    home.on(verbose, 5.0)
    home.pass_time(5.1)
    home.tick(verbose)
    assert home.conf.read_bytes() == CONFS["plain"]


# Disks


def test_no_lease_on_a_disk_that_never_becomes_durable(home: Home, quick: None) -> None:
    verbose = home.start()
    (home.lib / f".state.json.{os.getpid()}.new").mkdir()
    refusal = home.on(verbose)
    assert refusal == "!the lease could not be written down in time (is the disk frozen or full?)"
    assert (verbose.lease, home.conf.read_bytes(), home.restarts) == (None, CONFS["plain"], [])
    assert home.kinds == ["verbose-trouble"]


def test_a_lease_ends_on_a_disk_that_never_becomes_durable(home: Home, quick: None) -> None:
    """Verbose logging may well be what filled it."""
    verbose = home.start()
    home.on(verbose, 60.0)
    home.pending = False
    (home.lib / f".state.json.{os.getpid()}.new").mkdir()
    home.pass_time(61.0)
    home.tick(verbose)
    assert (home.conf.read_bytes(), verbose.lease) == (CONFS["plain"], None)
    assert home.kinds == ["verbose-on", "verbose-off"]
    assert home.restarts == ["verbose logging was turned on", "verbose logging was turned off"]


def test_nothing_is_written_into_a_freeze(home: Home, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    verbose = home.start()
    home.on(verbose, 60.0)
    frozen = True
    monkeypatch.setattr(freeze, "freezing", lambda: frozen)
    home.disk._hold = lambda: frozen
    leased = home.conf.read_bytes()
    home.pass_time(61.0)
    for _ in range(3):
        verbose.tick()
        home.loop.until(lambda: not verbose.busy)
        home.pass_time(61.0)
    assert home.conf.read_bytes() == leased
    assert home.kinds == ["verbose-on", "verbose-trouble"]
    frozen = False
    home.tick(verbose)
    assert (home.conf.read_bytes(), verbose.lease) == (CONFS["plain"], None)


def test_an_unwritable_run_tier_refuses_at_once_and_ends_all_the_same(home: Home) -> None:
    home.save_error = OSError(28, "No space left on device")
    verbose = home.start()
    why = "could not be written down: No space left on device"
    assert home.on(verbose) == f"!the lease {why}"
    assert (verbose.lease, home.conf.read_bytes()) == (None, CONFS["plain"])
    home.save_error = None
    home.on(verbose, 60.0)
    home.save_error = OSError(28, "No space left on device")
    before = verbose.lease
    assert home.on(verbose, 6000.0) == f"!the new end {why}"
    assert verbose.lease == before
    home.pass_time(61.0)
    home.tick(verbose)
    assert (verbose.lease, home.conf.read_bytes()) == (None, CONFS["plain"])
    home.save_error = None
    again = home.start()
    home.to_the_end(again)
    assert home.conf.read_bytes() == CONFS["plain"]


def stuck(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let the next write of waagent.conf hang, as on a frozen file system: (it hangs, let it go on)."""
    hangs, go, real = threading.Event(), threading.Event(), confwrite.replace

    def replace(original: confwrite.Original, data: bytes) -> None:
        hangs.set()
        assert go.wait(30.0)
        real(original, data)

    monkeypatch.setattr(confwrite, "replace", replace)
    return hangs, go


def test_a_grant_that_comes_too_late_is_taken_back(home: Home, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    verbose = home.start()
    _, go = stuck(monkeypatch)
    refusal = home.on(verbose)
    assert refusal == ("!the file system did not take the write in time (is a backup freezing it?); "
                       "it is taken back as soon as that is over")
    assert home.off(verbose) == "!another change of waagent.conf is under way"
    go.set()
    home.loop.until(lambda: not verbose.busy)
    assert verbose_in(home.conf.read_bytes())
    home.to_the_end(verbose)
    assert home.conf.read_bytes() == CONFS["plain"]
    assert home.kinds == ["verbose-trouble", "verbose-off"]
    assert home.restarts == []


def test_a_grant_that_was_late_and_then_failed(home: Home, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    verbose = home.start()
    _, go = stuck(monkeypatch)
    home.on(verbose)
    theirs = CONFS["plain"] + b"# edited meanwhile\n"
    home.conf.write_bytes(theirs)
    go.set()
    home.loop.until(lambda: not verbose.busy)
    home.to_the_end(verbose)
    assert home.conf.read_bytes() == theirs
    assert home.kinds == ["verbose-trouble", "verbose-off"]
    assert home.restarts == []


def test_an_end_that_comes_late_is_carried_through_once(
    home: Home, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    verbose = home.start()
    home.on(verbose, 60.0)
    home.pending = False
    _, go = stuck(monkeypatch)
    assert "the guard goes on trying" in home.off(verbose)
    assert verbose_in(home.conf.read_bytes())
    go.set()
    home.loop.until(lambda: not verbose.busy)
    assert home.conf.read_bytes() == CONFS["plain"]
    home.to_the_end(verbose)
    assert home.conf.read_bytes() == CONFS["plain"]
    assert home.kinds == ["verbose-on", "verbose-trouble", "verbose-off"]
    assert home.restarts == ["verbose logging was turned on", "verbose logging was turned off"]


def test_no_thread_to_be_had(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    verbose = home.start()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert home.on(verbose) == "!can't start new thread"
    assert home.on(verbose) == "verbose logging is on for 1m"


# Killed


class Camera:
    """Takes a picture of the folder before every change of a file in it: what a guard killed there would leave behind.

    At each change one thread is at work and the others wait for it, so a picture is a moment that can be.
    """

    _current: Optional[Camera] = None
    _numbers = itertools.count()

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._taking = threading.local()
        self.pictures: list[Path] = []

    def __enter__(self) -> Camera:
        Camera._current = self
        return self

    def __exit__(self, *_: object) -> None:
        self.take()
        Camera._current = None

    @staticmethod
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        camera = Camera._current
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if camera is None or not (writes or event in ("os.rename", "os.remove", "os.truncate", "os.mkdir")):
            return
        if str(arguments[0]).startswith(str(camera._home.root)):
            camera.take()

    def take(self) -> None:
        if getattr(self._taking, "now", False):
            return
        self._taking.now = True
        try:
            with self._lock:
                picture = self._home.root.with_name(f"picture-{next(self._numbers)}")
                shutil.copytree(self._home.root, picture, symlinks=True)
                self.pictures.append(picture)
        finally:
            self._taking.now = False

    def put_back(self, picture: Path) -> None:
        """Make the folder what it was in the picture."""
        for name in os.listdir(self._home.root):
            shutil.rmtree(self._home.root / name)
        shutil.copytree(picture, self._home.root, symlinks=True, dirs_exist_ok=True)


sys.addaudithook(Camera.hook)


@pytest.fixture
def camera(tmp_path: Path, loop: Turning, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Home, Camera]]:
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
    (tmp_path / "vm").mkdir()
    home = Home(tmp_path / "vm", loop)
    yield home, Camera(home)
    Camera._current = None


def a_lease(home: Home) -> None:
    """From its beginning to its end, given a new end in between."""
    verbose = home.start()
    home.on(verbose, 60.0)
    home.on(verbose, 90.0)
    home.pass_time(91.0)
    home.tick(verbose)
    assert verbose.lease is None


@pytest.mark.once
@pytest.mark.parametrize("reboot", [False, True], ids=["guard-killed", "power-cut"])
@pytest.mark.parametrize("name", CONFS, ids=lambda name: name.replace(",", "").replace(" ", "-"))
def test_killed_at_every_step(camera: tuple[Home, Camera], name: str, reboot: bool) -> None:
    """A power cut takes the run tier too, and the wall clock goes on."""
    home, pictures = camera
    home.conf.write_bytes(CONFS[name])
    with pictures:
        a_lease(home)
    assert home.conf.read_bytes() == CONFS[name]
    assert len(pictures.pictures) > 20
    leased = {(picture / "etc" / "waagent.conf").read_bytes() for picture in pictures.pictures} - {CONFS[name]}
    assert len(leased) == 1
    assert verbose_in(next(iter(leased)))
    for number, picture in enumerate(pictures.pictures):
        pictures.put_back(picture)
        home.events.clear()
        home.warnings.clear()
        if reboot:
            shutil.rmtree(home.run)
            home.run.mkdir()
            home.boot, home.now = f"boot {number}", 10.0
        verbose = home.start()
        assert home.leftovers() == []
        was = home.conf.read_bytes()
        assert was in {CONFS[name], *leased}
        assert verbose.lease is not None or was == CONFS[name], f"picture {number}: on, and nobody knows"
        home.pass_time(30.0)
        home.tick(verbose)
        home.to_the_end(verbose)
        assert home.conf.read_bytes() == CONFS[name], f"picture {number}"
        assert home.start().lease is None
        assert "verbose-superseded" not in home.kinds, f"picture {number}: {home.events}"
        assert home.warnings == []


def test_killed_at_every_step_and_again_at_every_step_of_what_follows(camera: tuple[Home, Camera]) -> None:
    home, first = camera
    original = CONFS["key absent, no final newline"]
    home.conf.write_bytes(original)
    with first:
        a_lease(home)
    for picture in first.pictures:
        first.put_back(picture)
        with Camera(home) as second:
            home.to_the_end(home.start())
        assert second.pictures
        for again in second.pictures:
            second.put_back(again)
            verbose = home.start()
            assert verbose.lease is not None or home.conf.read_bytes() == original
            home.to_the_end(verbose)
            assert home.conf.read_bytes() == original
            assert home.leftovers() == []


def test_after_a_power_cut_the_agent_is_not_restarted_for_what_it_has_read_at_its_start(home: Home) -> None:
    verbose = home.start()
    home.on(verbose)
    state = (home.lib / "state.json").read_text()
    assert '"active"' in state
    for tier in (home.run, home.lib):
        (tier / "state.json").write_text(state.replace('"active"', '"granting"'))
    home.restarts.clear()
    home.boot = "another"
    assert home.start().lease is not None
    assert home.restarts == []
    home.disk.finish()
    home.boot = "boot-1"
    for tier in (home.run, home.lib):
        (tier / "state.json").write_text(state.replace('"active"', '"granting"'))
    assert home.start().lease is not None
    assert home.restarts == ["verbose logging was turned on"]


def test_a_conf_that_cannot_be_read_at_the_start_keeps_a_lease_that_was_being_granted(home: Home) -> None:
    """Whether the file was edited is not known, so it must not be forgotten."""
    verbose = home.start()
    home.on(verbose)
    leased = home.conf.read_bytes()
    for tier in (home.run, home.lib):
        (tier / "state.json").write_text((tier / "state.json").read_text().replace('"active"', '"granting"'))
    home.conf.unlink()
    home.conf.mkdir()
    again = home.start()
    home.tick(again)
    assert again.lease is not None
    home.conf.rmdir()
    home.conf.write_bytes(leased)
    home.pass_time(61.0)
    home.to_the_end(again)
    assert home.conf.read_bytes() == CONFS["plain"]


@pytest.mark.parametrize("phase", ["granting", "ending"])
def test_the_edit_of_a_guard_that_was_killed_is_known_as_ours(home: Home, phase: str) -> None:
    """Or it would be counted as a change by others."""
    from waguard.observe import conf as observed

    verbose = home.start()
    home.on(verbose)
    for tier in (home.run, home.lib):
        (tier / "state.json").write_text((tier / "state.json").read_text().replace('"active"', f'"{phase}"'))
    assert home.start().own_mark == observed.read(home.conf).mark


def test_the_wall_clock_set_back_does_not_prolong_a_lease_within_the_boot(home: Home) -> None:
    verbose = home.start()
    home.on(verbose, 60.0)
    home.now += 61.0
    home.wall -= 1e6
    home.tick(verbose)
    assert verbose.lease is None


def test_a_lease_ends_by_the_wall_clock_over_a_reboot(home: Home) -> None:
    home.on(home.start(), 600.0)
    home.boot, home.now, home.wall = "another", 5.0, home.wall + 599.0
    verbose = home.start()
    home.tick(verbose)
    assert verbose.lease is not None
    home.pass_time(2.0)
    home.tick(verbose)
    assert (verbose.lease, home.conf.read_bytes()) == (None, CONFS["plain"])
