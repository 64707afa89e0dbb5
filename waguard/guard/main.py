"""waguardd: starts the guard, tells systemd, and ends in good order."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

from waguard import __version__, settings
from waguard.act.service import Command, ServiceManager, service_name
from waguard.act.systemd import Systemd
from waguard.agent import layout
from waguard.clock import Clock
from waguard.guard import journal
from waguard.guard.bus import ADDRESS, Bus
from waguard.guard.children import ENVIRONMENT, Children
from waguard.guard.conversation import Doctor
from waguard.guard.events import Event, History
from waguard.guard.guard import Guard
from waguard.guard.loop import Loop
from waguard.guard.memory import Memory
from waguard.guard.methods import Methods
from waguard.guard.scribe import Scribe
from waguard.guard.snapshot import agent_facts, compose, probed
from waguard.guard.sockets import Listener
from waguard.guard.store import Store, sweep
from waguard.guard.visited import diagnose
from waguard.guard.visits import Visits
from waguard.i18n import say
from waguard.observe import Known, Observation, freeze
from waguard.observe.conf import ConfFacts
from waguard.settings import Settings, SettingsError
from waguard.varlink import Connection

GROUP = "waguard"
_STUCK = 120.0
_TELL_AGAIN = 3600.0
_TROUBLES = 100


class Options:
    """Where things are; the defaults are those of an installed guard."""

    def __init__(self) -> None:
        self.settings_dir = settings.DIRECTORY
        self.run_dir = Path("/run/waguard")
        self.lib_dir = Path("/var/lib/waguard")
        self.end_lease = False


class Daemon:
    """Everything of one guard process, put together."""

    def __init__(self, options: Options, loaded: Settings) -> None:
        self._options = options
        self._clock = Clock()
        self._started = round(self._clock.wall(), 3)
        self._loop = Loop(self._clock, self._on_error)
        self._settings_error: Optional[str] = None
        self._status = ""
        self._journal = Scribe("journal", lambda _what, _error: None, limit=1024)
        self._disk = Scribe("disk", self._on_disk_error, hold=freeze.freezing)
        self._told: dict[str, float] = {}
        self._history = History(options.run_dir, options.lib_dir, self._disk, loaded.events.keep)
        self._history.listeners.append(self._to_journal)
        self._history.load(self._warn)
        memory = Memory(Store("state", options.run_dir, options.lib_dir, self._disk, self._warn), self._clock.boot_id())
        memory.load(self._clock.now(), self._clock.wall(), self._warn)
        manager = self._manager(loaded)
        doctor = Doctor(self._loop, options.run_dir, manager.name != "systemd")
        self._guard = Guard(loaded, self._loop, self._clock, manager, self._disk, doctor, memory, self._event, self._changed)
        self._guard.visits = Visits(
            loaded.doctor, self._loop, self._clock, doctor,
            Store("doctor", options.run_dir, options.lib_dir, self._disk, self._warn), self._for_the_doctor, self._guard.visited,
            self._warn_rarely)
        methods = Methods(self._guard, self._history, self._snapshot, lambda: diagnose(self._guard))
        self._listeners = [
            Listener(self._loop, options.run_dir / "status", 0o666, None, methods.service(acting=False), self._warn),
            Listener(self._loop, options.run_dir / "control", 0o660, GROUP if os.geteuid() == 0 else None,
                     methods.service(acting=True), self._warn)]
        methods.who, methods.settle = self._who, self._settle

    def run(self) -> int:
        """Until SIGTERM or SIGINT. Returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.on_signal(number, self._loop.stop)
        self._loop.on_signal(signal.SIGHUP, self._reload)
        self._event("guard-started", say("waguard {version} has started", version=__version__), version=__version__)
        if not journal.AVAILABLE:
            journal.say(4, "systemd-python is not installed: running without journal and notify")
        self._guard.start()
        journal.notify(READY="1", STATUS="looking at the agent")
        self._watchdog()
        self._loop.run()
        journal.notify(STOPPING="1")
        self._event("guard-stopped", say("waguard is stopping"))
        self._guard.keep()
        for listener in self._listeners:
            listener.close()
        self._disk.flush(2.0)
        self._journal.flush(1.0)
        return 0

    def _manager(self, loaded: Settings) -> ServiceManager:
        agent, now = loaded.agent, self._clock.now
        systemd = agent.backend == "systemd" or (agent.backend == "auto" and Path("/run/systemd/system").is_dir())
        children = Children(self._loop, now, ENVIRONMENT if systemd else {**os.environ, **ENVIRONMENT, "PATH": _path()})
        if systemd:
            bus = Bus(self._loop, os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", ADDRESS))
            return Systemd(self._loop, bus, children, now, service_name(agent.unit), loaded.restart.command_timeout)
        name = agent.unit if agent.unit != "auto" else _init_script()
        return Command(children, now, name, self._pid_file, agent.start_command, agent.stop_command,
                       loaded.restart.command_timeout)

    def _pid_file(self) -> Path:
        setting = self._guard.settings.agent.pid_file
        if setting != "auto":
            return Path(setting)
        seen: Observation[ConfFacts] = self._guard.sources.eyes.get("conf")
        return seen.value.pid_file if isinstance(seen, Known) else Path(layout.PID_FILE)

    def _for_the_doctor(self) -> dict[str, Any]:
        self._guard.look_along()
        return {"agent": agent_facts(self._guard), "probed": probed(self._guard), "settings_dir": str(self._options.settings_dir)}

    def _snapshot(self) -> dict[str, Any]:
        return compose(self._guard, self._history, self._started, self._settings_error)

    def _event(self, kind: str, message: str, **fields: Any) -> None:
        self._history.add(self._clock.wall(), kind, message, fields)

    def _to_journal(self, event: Event) -> None:
        self._journal.put("event", lambda: journal.write(event))

    def _warn(self, message: str) -> None:
        """Something odd that is no fault of the agent."""
        self._event("guard-trouble", message)

    def _warn_rarely(self, message: str) -> None:
        """The same trouble is told once an hour, not each time it is met."""
        now = self._clock.now()
        self._told = {said: at for said, at in self._told.items() if now - at < _TELL_AGAIN}
        if message not in self._told and len(self._told) < _TROUBLES:
            self._told[message] = now
            self._warn(message)

    def _on_error(self, error: BaseException) -> None:
        """A callback of the loop raised: say where, and go on."""
        import traceback

        frame = traceback.extract_tb(error.__traceback__)[-1]
        self._warn_rarely(f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})")

    def _on_disk_error(self, what: str, error: BaseException) -> None:
        """From the disk's thread."""
        said = str(getattr(error, "strerror", None) or f"{what}: {error}")
        self._loop.soon(lambda: self._warn_rarely(say("{lib_dir} does not take writes: {said}; it is kept in {run_dir}",
                                                      lib_dir=self._options.lib_dir, said=said, run_dir=self._options.run_dir)))

    def _changed(self) -> None:
        """There is a new verdict: systemctl status shows it."""
        live = self._guard.live
        status = f"agent is {live.state.value}" + (f": {live.why}" if live.state.value != "running" else "") if live else ""
        if status != self._status:
            self._status = status
            journal.notify(STATUS=status[:200])

    def _reload(self) -> None:
        journal.notify(RELOADING="1", MONOTONIC_USEC=str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000))
        try:
            loaded = settings.load(self._options.settings_dir)
        except SettingsError as error:
            self._settings_error = str(error)
            self._event("settings-refused", say("the new settings were refused, the old ones stay in force: {said}", said=error))
        else:
            self._settings_error = None
            self._history.resize(loaded.events.keep)
            self._guard.apply(loaded)
            self._event("settings-reloaded", say("settings were reloaded from {path}", path=self._options.settings_dir))
        journal.notify(READY="1")

    def _watchdog(self) -> None:
        """Feed systemd's watchdog while everything makes progress.

        A thread asleep in the kernel is excused: killing us would not wake it.
        """
        period = journal.watchdog_period()
        if period is None:
            return
        if self._progress():
            journal.notify(WATCHDOG="1")
        self._loop.after(period / 3, self._watchdog)

    def _progress(self) -> bool:
        now = self._clock.now()
        ticking = now - self._guard.ticked < 3 * self._guard.settings.liveness.check_interval + _STUCK
        since = self._disk.working_since
        writing = since is None or now - since < _STUCK or self._disk.blocked_in_kernel()
        return ticking and writing

    def _settle(self, connection: Connection) -> None:
        for listener in self._listeners:
            if listener.has(connection):
                listener.settle(connection)

    def _who(self, connection: Connection) -> str:
        for listener in self._listeners:
            peer = listener.peer(connection)
            if peer is not None:
                return _user(peer.uid)
        return say("somebody")


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return say("uid {uid}", uid=uid)


def _init_script() -> str:
    names = [unit.partition(".")[0] for unit in layout.UNITS]
    return next((name for name in names if Path("/etc/init.d", name).exists()), names[-1])


def _path() -> str:
    return os.environ.get("PATH") or ENVIRONMENT["PATH"]


def take_lock(run_dir: Path) -> Union[int, str]:
    """The lock that makes this the only guard on the machine: its descriptor, to be kept, or who has it."""
    fd = os.open(run_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 32).decode("ascii", "replace").strip()
        os.close(fd)
        return f"another waguardd{f' (pid {holder})' if holder.isdigit() else ''} holds {run_dir / 'lock'}"
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The program. Exit status: 0 stopped on request, 1 could not start, 2 wrong usage or settings."""
    words = list(sys.argv[1:] if argv is None else argv)
    options = _parse(words) if words else Options()
    if options.end_lease:
        return _end_lease(options)
    try:
        loaded = settings.load(options.settings_dir)
    except SettingsError as error:
        for problem in error.problems:
            journal.say(3, f"waguardd: {problem}")
        return 2
    trouble = _make(options.run_dir, 0o755)
    if trouble:
        journal.say(3, f"waguardd: {trouble}")
        return 1
    forgetful = _make(options.lib_dir, 0o700)
    if forgetful:
        # An agent that works comes before a memory that outlives a reboot.
        journal.say(4, f"waguardd: {forgetful}; going on with {options.run_dir} alone")
    try:
        lock = take_lock(options.run_dir)
        if isinstance(lock, str):
            journal.say(3, f"waguardd: not started: {lock}")
            return 1
        for directory in (options.run_dir, options.lib_dir):
            sweep(directory, ".*.new")
        daemon = Daemon(options, loaded)
    except OSError as error:
        journal.say(3, f"waguardd: not started: {error.filename or options.run_dir}: {error.strerror or error}")
        return 1
    return daemon.run()


def _end_lease(options: Options) -> int:
    from waguard import i18n
    from waguard.guard import farewell

    i18n.use(i18n.from_environment())

    def tell(said: str) -> None:
        sys.stderr.write(f"waguardd: {i18n.translated(said)}\n")

    try:
        if not farewell.remembers(options.run_dir, options.lib_dir):
            return 0
        options.run_dir.mkdir(mode=0o755, exist_ok=True)
        lock = take_lock(options.run_dir)
        if isinstance(lock, str):
            tell(f"{lock}: waguardctl verbose off")
            return 1
        try:
            return 0 if farewell.end_lease(options.run_dir, options.lib_dir, tell) else 1
        finally:
            os.close(lock)
    except OSError as error:
        tell(f"{error.filename or options.run_dir}: {error.strerror or error}")
        return 1


def _make(directory: Path, mode: int) -> str:
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK):
            return f"{directory}: not writable (waguardd runs as root, see systemctl status waguard)"
    except OSError as error:
        return f"{directory}: {error.strerror} (waguardd runs as root, see systemctl status waguard)"
    return ""


def parser() -> Any:
    """The command line, also for man page and completion. Imported late: an installed guard runs without options."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="waguardd", description="Keeps the Azure Linux agent (waagent) working. Meant to be run by waguard.service.",
        epilog="example: waguardd --settings-dir ./etc --run-dir ./run --lib-dir ./lib")
    parser.add_argument("--settings-dir", type=Path, metavar="DIR", default=settings.DIRECTORY,
                        help="where the settings are (default: %(default)s)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", default=Options().run_dir,
                        help="sockets and volatile state (default: %(default)s)")
    parser.add_argument("--lib-dir", type=Path, metavar="DIR", default=Options().lib_dir,
                        help="lasting state (default: %(default)s)")
    parser.add_argument("--end-lease", action="store_true",
                        help="end a verbose lease while no guard runs, and nothing else: for the removal of the package")
    parser.add_argument("--version", action="version", version=f"waguardd {__version__}")
    return parser


def _parse(words: Sequence[str]) -> Options:
    options = Options()
    vars(options).update(vars(parser().parse_args(words)))
    return options


if __name__ == "__main__":
    sys.exit(main())
