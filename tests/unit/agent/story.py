"""Logs told line by line, for the tests of the fold."""

from __future__ import annotations

from waguard.agent.log import ExitKind, LogState, fold, parse

DAY = 1763510400.0  # 2025-11-19T00:00:00Z


class Story:
    """Lines of a log, one a second, folded as they come."""

    def __init__(self) -> None:
        self.state = LogState()
        self.second = 0

    def tell(self, head: str, *texts: str) -> LogState:
        for text in texts:
            self.second += 1
            line = f"2025-11-19T00:{self.second // 60:02}:{self.second % 60:02}.000000Z {head} {text}\n".encode()
            found = parse(line)
            assert found is not None
            self.state = fold(self.state, found)
        return self.state

    def daemon(self, *texts: str, level: str = "INFO") -> LogState:
        return self.tell(f"{level} Daemon Daemon", *texts)

    def child(self, *texts: str, level: str = "INFO") -> LogState:
        return self.tell(f"{level} ExtHandler ExtHandler", *texts)

    @property
    def now(self) -> float:
        return DAY + self.second


def beat(version: str = "2.15.0.1", identity: str = "2F8C", counter: int = 0, errors: int = 0) -> str:
    return (f"[HEARTBEAT] Agent WALinuxAgent-{version} is running as the goal state agent [DEBUG HeartbeatCounter: "
            f"{counter};HeartbeatId: {identity};UpdateGSErrors: {errors};AutoUpdate: 1;UpdateMode: SelfUpdate;]")


START = ("Azure Linux Agent Version: 2.7.3.0", "OS: debian 12.5", "Python: 3.11.2", "Run daemon")
CHILD = (
    "Azure Linux Agent (Goal State Agent version 2.15.0.1)", "OS: debian 12.5", "Python: 3.11.2", "CPU Arch: x86_64",
    "Distro: debian-12.5; OSUtil: DebianOSModernUtil; AgentService: walinuxagent; Python: 3.11.2; Arch: x86_64;",
    "Initializing the goal state...", "Goal state initialization completed.",
    "WALinuxAgent-2.15.0.1 running as process 430",
    "Goal State Period: 6 sec. This indicates how often the agent checks for new goal states and reports status.",
)

PLANNED = [
    ("Current Agent 2.14.0.1 completed all update checks, exiting current process to upgrade to the new Agent "
     "version 2.15.0.1", ExitKind.UPGRADE),
    ("Current Agent 2.15.0.1 completed all update checks, exiting current process to downgrade to the new Agent "
     "version 2.14.0.1", ExitKind.DOWNGRADE),
    ("Agent update found, exiting current process to upgrade to the new Agent version 2.9.1.1", ExitKind.UPGRADE),
    ("Agent update found, exiting current process to downgrade to the new Agent version 2.9.0.4", ExitKind.DOWNGRADE),
    ("Normal Agent upgrade discovered, updating to WALinuxAgent-2.8.0.11 -- exiting", ExitKind.UPGRADE),
    ("Hotfix Agent upgrade discovered, updating to WALinuxAgent-2.8.0.12 -- exiting", ExitKind.UPGRADE),
    ("Agent WALinuxAgent-2.2.45 discovered update WALinuxAgent-2.2.46 -- exiting", ExitKind.UPGRADE),
    ("Agent WALinuxAgent-2.2.0 discovered WALinuxAgent-2.2.1 as an update and will exit", ExitKind.UPGRADE),
    ("Agent WALinuxAgent-2.2.45 is reverting to the installed agent -- exiting", ExitKind.REVERT),
    ("Agent WALinuxAgent-2.15.0.1 is an orphan -- exiting", ExitKind.ORPHAN),
    ("Goal state agent WALinuxAgent-2.2.0 was orphaned -- exiting", ExitKind.ORPHAN),
    ("Agent WALinuxAgent-2.15.0.1 is reached memory limit -- exiting", ExitKind.MEMORY),
    ("Agent WALinuxAgent-2.17.0.1 has had enough for some reason of the future -- exiting", ExitKind.OTHER),
]

FAILED = "Agent WALinuxAgent-2.15.0.1 launched with command 'python3 -u x.egg' failed with return code: 1"
RETURNED = "Agent WALinuxAgent-2.7.3.0 launched with command 'x' returned code: 1"
EXITED = "ExtHandler process WALinuxAgent-2.15.0.1 launched with command 'x' exited with return code: None"
EXCEPTION = "Agent WALinuxAgent-2.15.0.1 failed with exception: boom"
LAUNCH = "Agent WALinuxAgent-2.15.0.1 launched with command 'x' failed with exception: "


def as_event(text: str) -> str:
    return f"Event: name=WALinuxAgent, op=Enable, message={text}, duration=0"
