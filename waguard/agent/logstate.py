"""What a watcher keeps of waagent.log: plain values, filled by the fold in log.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from waguard.agent.record import Heartbeat
from waguard.agent.versions import AgentVersion


class Phase(Enum):
    """Work that legitimately goes on for long without a child or without a heartbeat (facts §1.7): do not restart."""

    PROVISIONING = "provisioning"
    """Up to 30 min for ovf-env.xml and 30 min for the ssh host key with cloud-init."""
    PROTOCOL_DETECTION = "protocol-detection"
    """Up to 360 tries, 10 s apart."""
    CLOUD_INIT = "cloud-init-wait"
    """Extensions.WaitForCloudInit: up to an hour, in the child's main loop."""


class ExitKind(Enum):
    """How a child ended, as far as a line told. A kill by signal leaves none."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    REVERT = "revert"
    ORPHAN = "orphan"
    MEMORY = "memory"
    OTHER = "other"
    """It said "-- exiting" in words that are not known: an end that was meant."""
    EXCEPTION = "exception"
    CODE = "code"
    """The daemon saw an exit code above 0, and the child had said nothing."""
    LAUNCH = "launch"
    """The daemon could not launch it, or would not any more."""
    LOOP = "loop"
    """Three launches in 300 s: the daemon disables that version for good."""
    START = "start"
    """It failed before its loop and exited 0."""

    @property
    def planned(self) -> bool:
        """Is it no crash? The daemon launches the next child about a second later."""
        return self in _PLANNED


_PLANNED = frozenset(
    (ExitKind.UPGRADE, ExitKind.DOWNGRADE, ExitKind.REVERT, ExitKind.ORPHAN, ExitKind.MEMORY, ExitKind.OTHER)
)


class EndKind(Enum):
    """How a daemon ended, or what it did instead of working."""

    TERMINATED = "terminated"
    """SIGTERM: it forwarded signal 15 to the child and exited 0."""
    FAILED = "failed"
    """"Failed to run 'daemon'": it exited 0 all the same. With a bad conf the line is in the journal only."""
    ALREADY_RUNNING = "already-running"
    """It found a live pid in the pid file (any process's) and exited 0."""
    EXCEPTION = "exception"
    """An exception in its work; the same process tries again after 15 s."""


@dataclass(frozen=True)
class Mark:
    """Since when something holds (None: the log's time could not be told), and the words that said so."""

    at: float | None
    text: str


@dataclass(frozen=True)
class ChildStart:
    """ "WALinuxAgent-X running as process PID" """

    at: float | None
    pid: int
    version: AgentVersion | None


@dataclass(frozen=True)
class ChildExit:
    """The last end of a child that a line told of. `code` is None where the daemon printed none or has yet to speak."""

    at: float | None
    kind: ExitKind
    text: str
    code: int | None = None


@dataclass(frozen=True)
class DaemonEnd:
    """The last end of a daemon. `pid` is the one it took for a running daemon."""

    at: float | None
    kind: EndKind
    text: str
    pid: int | None = None


@dataclass(frozen=True)
class LogState:
    """All that is kept. Everything is None or 0 until some record tells."""

    heartbeat: Heartbeat | None = None
    daemon_version: AgentVersion | None = None
    agent_version: AgentVersion | None = None
    """Of the goal state agent, the one whose version counts."""
    python: str | None = None
    distro: str | None = None
    """Name and version as the agent calls them: "ubuntu-24.04" or "ubuntu 24.04"."""
    daemon_started: Mark | None = None
    daemon_end: DaemonEnd | None = None
    """Older than `daemon_started` when another daemon has started since."""
    asleep: Mark | None = None
    """The disable_agent file is there: the daemon sleeps for ever and has no child."""
    child: ChildStart | None = None
    child_running: bool | None = None
    child_exit: ChildExit | None = None
    child_crashes: int = 0
    """Ends of children that were not meant, each counted once however many lines tell of it."""
    unclean: Mark | None = None
    """A child found that the one before it had not ended cleanly."""
    pass_open: Mark | None = None
    """Extensions are being worked on: do not restart (unless this is hours old)."""
    provisioning: Mark | None = None
    detecting: Mark | None = None
    cloud_init: Mark | None = None
    goal_state_failing: Mark | None = None
    """Since when the running child fails to fetch its goal state."""
    disabled: tuple[AgentVersion, ...] = ()
    """Versions said to be permanently disabled since the daemon's start."""
    verbose_seen: bool = False
    verbose_at: float | None = None

    @property
    def phase(self) -> Phase | None:
        """The long phase that is the last word of the log, innermost first."""
        if self.detecting:
            return Phase.PROTOCOL_DETECTION
        if self.cloud_init:
            return Phase.CLOUD_INIT
        return Phase.PROVISIONING if self.provisioning else None

    @property
    def phase_since(self) -> float | None:
        """When that phase began; None without one or when the log's time could not be told."""
        mark = self.detecting or self.cloud_init or self.provisioning
        return mark.at if mark else None
