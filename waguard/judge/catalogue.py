"""The catalogue: every finding once. CLI, JSON, metrics, journal, alerts and docs are made from here.

Ids are promises: never renamed, never reused. ``cause`` is the cause (1–4) of the support article "Could not communicate with the
VM agent for snapshot status" the finding belongs to: 1 network, 2 agent, 3 extension, 4 snapshot; 0 for none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Severity(str, Enum):
    """How bad. CRITICAL: the next backup fails. WARNING: it may, or somebody has to act. INFO: worth knowing."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Entry:
    """One kind of finding. ``remedy`` may use {unit}, {conf} and {log}."""

    id: str
    severity: Severity
    cause: int
    summary: str
    meaning: str
    remedy: str


_ENTRIES = (
    Entry("agent-not-installed", Severity.CRITICAL, 2, "the Azure Linux agent is not installed",
          "Neither walinuxagent.service nor waagent.service exists, so nothing on this VM answers Azure: no backup, no "
          "extension and no patching works.",
          "install the distribution's package: apt install waagent (Debian) or walinuxagent (Ubuntu), "
          "dnf install WALinuxAgent, zypper install python3-azure-agent, tdnf install WALinuxAgent"),
    Entry("agent-not-running", Severity.CRITICAL, 2, "the agent is not running",
          "The agent's daemon ended and nobody asked for it. waguard starts it again, at once and then at a growing pace.",
          "systemctl status {unit}; journalctl -u {unit} -n 50; tail {log}"),
    Entry("agent-hung", Severity.CRITICAL, 2, "the agent is alive but its loop does not turn",
          "The status file has not been written for long, no extension is being worked on, the wire server answers, and a "
          "second sign (heartbeat line or CPU time of the handler) stands still too. waguard restarts the service, within its "
          "ration.",
          "waguardctl restart; if it hangs again: waguardctl verbose on, and look at {log}"),
    Entry("agent-handler-missing", Severity.CRITICAL, 2, "the daemon runs without its handler process",
          "The daemon only looks after a child (-run-exthandlers) that does all the work. The child is gone for longer than a "
          "restart by the daemon takes. waguard restarts the service, within its ration.",
          "tail -n 50 {log}; waguardctl restart"),
    Entry("agent-crash-loop", Severity.CRITICAL, 2, "the agent ends again and again",
          "Several ends within a quarter of an hour. Common causes: Python was upgraded or removed under the agent, its package "
          "is half-installed, waagent.conf is empty.",
          "journalctl -u {unit} -n 50; {log}; reinstall the agent's package"),
    Entry("agent-restart-exhausted", Severity.CRITICAL, 2, "the ration of restarts is used up",
          "The agent is alive and of no use, and it has been restarted as often as the ration allows without lasting success. "
          "Each restart runs every extension's enable command again, so more of them would do harm.",
          "find the cause in {log}; then waguardctl restart --force"),
    Entry("agent-masked", Severity.CRITICAL, 2, "the agent's unit is masked",
          "An administrator masked the unit: it cannot be started, also not at the next boot. waguard keeps its hands off.",
          "if that is not wanted: systemctl unmask {unit} && systemctl enable --now {unit}"),
    Entry("agent-disabled", Severity.WARNING, 2, "the agent's unit is disabled",
          "The agent will not come up at the next boot. Package updates have been seen to do this (WALinuxAgent #2646). waguard "
          "keeps its hands off a disabled unit that is down.",
          "if that is not wanted: systemctl enable --now {unit}"),
    Entry("agent-stopped", Severity.WARNING, 2, "the agent does not run, and that is somebody's wish",
          "It was stopped on request, a package manager is at work on it, a start condition of its unit does not hold, or "
          "disable_agent makes it sleep. waguard keeps its hands off until that is over.",
          "when the work is done: systemctl start {unit}"),
    Entry("agent-autorestart-missing", Severity.INFO, 2, "systemd would not restart the agent by itself",
          "The unit has no Restart=, as on Debian 12. waguard starts the agent when it ends; without waguard nothing would.",
          "systemctl edit {unit}, and add: [Service] Restart=always RestartSec=5"),
    Entry("agent-provisioning", Severity.WARNING, 2, "provisioning takes too long",
          "The agent is still provisioning or looking for the wire server. A restart would only begin it anew.",
          "cloud-init status --long; tail {log}"),
    Entry("agent-unkillable", Severity.CRITICAL, 2, "a thread of the agent cannot be interrupted",
          "A thread has been in uninterruptible sleep (state D) at several looks in a row: a frozen filesystem, a dead mount or "
          "a kernel fault. No signal reaches it and a restart would hang as well.",
          "cat /proc/{pid}/task/*/stack; look for a frozen filesystem or a dead NFS/CIFS mount; a reboot may be needed"),
    Entry("conf-missing", Severity.CRITICAL, 2, "waagent.conf is missing or empty",
          "The agent ends at once, with exit status 0, when its configuration is missing or empty.",
          "restore {conf} from the package or from a backup, then systemctl restart {unit}"),
    Entry("conf-unreadable", Severity.WARNING, 2, "waagent.conf cannot be read",
          "The file is there but could not be read; see the evidence.",
          "ls -lZ {conf}; chmod 0644 {conf}"),
    Entry("extensions-disabled", Severity.CRITICAL, 2, "extensions are switched off",
          "Extensions.Enabled=n: the agent runs but works on no extension, so no snapshot can be taken.",
          "set Extensions.Enabled=y in {conf}, then waguardctl restart"),
    Entry("verbose-left-on", Severity.INFO, 0, "verbose logging is on without a lease",
          "Logs.Verbose=y was set by hand and nothing will turn it off. Agents before 2.14 write SAS tokens to the log when "
          "verbose.",
          "set Logs.Verbose=n in {conf}, then waguardctl restart"),
    Entry("wireserver-unreachable", Severity.CRITICAL, 1, "the wire server does not answer",
          "No connection to 168.63.129.16 on port 80: the agent gets no goal state. A restart of the agent does not help.",
          "ip route get 168.63.129.16; check firewall rules (iptables -t security -L OUTPUT -n) and the network security group"),
    Entry("status-not-reported", Severity.WARNING, 2, "the agent's status file is not being written",
          "The main loop writes it at every turn, so it is slow, busy or stuck.",
          "tail {log}; waguardctl status"),
    Entry("filesystem-frozen", Severity.CRITICAL, 4, "a filesystem is frozen or does not take writes",
          "waguard's own writes, or the agent's, have been asleep in the kernel for longer than a snapshot's freeze takes. Every "
          "process that writes there stops.",
          "findmnt; fsfreeze -u MOUNTPOINT for the one that is frozen; dmesg for a failed disk"),
    Entry("observer-failing", Severity.WARNING, 0, "part of waguard cannot see",
          "An observer failed or did not come back several times in a row, so what it would tell is not known.",
          "journalctl -u waguard -n 50"),
)

CATALOGUE: Mapping[str, Entry] = {entry.id: entry for entry in _ENTRIES}


@dataclass(frozen=True)
class Finding:
    """A catalogue entry that holds now. ``evidence``: what was seen, one sentence, without secrets."""

    id: str
    evidence: str

    @property
    def entry(self) -> Entry:
        return CATALOGUE[self.id]
