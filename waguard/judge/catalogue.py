"""The catalogue: every finding once. CLI, JSON, metrics, journal, alerts and docs are made from here.

Ids are promises: never renamed, never reused. ``cause`` is the cause (1–4) of the support article "Could not communicate with
the VM agent for snapshot status" the finding belongs to: 1 network, 2 agent, 3 extension, 4 snapshot; 0 for none. ``link`` is the
link of a backup's chain that it breaks, and ``blocks`` says that a snapshot asked for now would fail because of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Optional

from waguard.i18n import message


class Severity(str, Enum):
    """How bad. CRITICAL: the next backup fails. WARNING: it may, or somebody has to act. INFO: worth knowing."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Link(str, Enum):
    """The links of a backup, in their order; the value says how a broken one looks."""

    NONE = ""
    GOAL_STATE = message("the agent does not receive or process the goal state")
    EXTENSION = message("the agent cannot load or run the backup extension")
    RESULT = message("the backup extension does not come to a result")
    REPORT = message("the agent cannot report the snapshot's status")


@dataclass(frozen=True)
class Entry:
    """One kind of finding. ``remedy`` may use the words of PLACES in braces; what a place is not known for stays a word.

    So that a remedy that was filled in is found again by what was written here (i18n.py), a place that comes again has a number
    behind it, ``{path2}``, and one whose text may be a message has ``said_`` before it. Neither is part of its name.
    """

    id: str
    severity: Severity
    cause: int
    summary: str
    meaning: str
    remedy: str
    link: Link = Link.NONE
    blocks: bool = False


PLACES = frozenset(("unit", "conf", "log", "pid", "lib_dir", "log_dir", "install", "upgrade", "reinstall", "package", "handler",
                    "folder", "mount", "path", "host", "address", "version", "code", "key"))
"""Words that a remedy may have in braces: facts of the machine, or ``values`` of the finding."""


_ENTRIES = (
    Entry("agent-not-installed", Severity.CRITICAL, 2, "the Azure Linux agent is not installed",
          "Neither walinuxagent.service nor waagent.service exists, so nothing on this VM answers Azure: no backup, no "
          "extension and no patching works.",
          "{said_install}", link=Link.GOAL_STATE, blocks=True),
    Entry("agent-not-running", Severity.CRITICAL, 2, "the agent is not running",
          "The agent's daemon ended and nobody asked for it. waguard starts it again, at once and then at a growing pace.",
          "systemctl status {unit}; journalctl -u {unit2} -n 50; tail {log}", link=Link.GOAL_STATE, blocks=True),
    Entry("agent-hung", Severity.CRITICAL, 2, "the agent is alive but its loop does not turn",
          "The status file has not been written for long, no extension is being worked on, the wire server answers, and a "
          "second sign (heartbeat line or CPU time of the handler) stands still too. waguard restarts the service, within its "
          "ration.",
          "waguardctl restart; if it hangs again: waguardctl verbose on, and look at {log}", link=Link.GOAL_STATE, blocks=True),
    Entry("agent-handler-missing", Severity.CRITICAL, 2, "the daemon runs without its handler process",
          "The daemon only looks after a child (-run-exthandlers) that does all the work. The child is gone for longer than a "
          "restart by the daemon takes. waguard restarts the service, within its ration.",
          "tail -n 50 {log}; waguardctl restart", link=Link.GOAL_STATE, blocks=True),
    Entry("agent-crash-loop", Severity.CRITICAL, 2, "the agent ends again and again",
          "Several ends within a quarter of an hour. Common causes: Python was upgraded or removed under the agent, its package"
          " is half-installed, waagent.conf is empty.",
          "journalctl -u {unit} -n 50; tail -n 50 {log}; {said_reinstall}", link=Link.GOAL_STATE),
    Entry("agent-restart-exhausted", Severity.CRITICAL, 2, "the ration of restarts is used up",
          "The agent is alive and of no use, and it has been restarted as often as the ration allows without lasting success. "
          "Each restart runs every extension's enable command again, so more of them would do harm.",
          "find the cause in {log}; then waguardctl restart --force", link=Link.GOAL_STATE),
    Entry("agent-masked", Severity.CRITICAL, 2, "the agent's unit is masked",
          "An administrator masked the unit: it cannot be started, also not at the next boot. waguard keeps its hands off.",
          "if that is not wanted: systemctl unmask {unit} && systemctl enable --now {unit2}", link=Link.GOAL_STATE, blocks=True),
    Entry("agent-disabled", Severity.WARNING, 2, "the agent's unit is disabled",
          "The agent will not come up at the next boot. Package updates have been seen to do this (WALinuxAgent #2646). If it is "
          "down it stays down: waguard keeps its hands off a disabled unit.",
          "if that is not wanted: systemctl enable --now {unit}", link=Link.GOAL_STATE),
    Entry("agent-stopped", Severity.WARNING, 2, "the agent does not run, and that is somebody's wish",
          "It was stopped on request, a package manager is at work on it, a start condition of its unit does not hold, or "
          "disable_agent makes it sleep. waguard keeps its hands off until that is over.",
          "when the work is done: systemctl start {unit}", link=Link.GOAL_STATE, blocks=True),
    Entry("agent-autorestart-missing", Severity.INFO, 2, "systemd would not restart the agent by itself",
          "The unit has no Restart=, as on Debian 12. waguard starts the agent when it ends; without waguard nothing would.",
          "waguardctl autorestart enable"),
    Entry("agent-provisioning", Severity.WARNING, 2, "provisioning takes too long",
          "The agent is still provisioning or looking for the wire server. A restart would only begin it anew.",
          "cloud-init status --long; tail {log}", link=Link.GOAL_STATE, blocks=True),
    Entry("agent-unkillable", Severity.CRITICAL, 2, "a thread of the agent cannot be interrupted",
          "A thread has been in uninterruptible sleep (state D) at several looks in a row: a frozen filesystem, a dead mount or"
          " a kernel fault. No signal reaches it and a restart would hang as well.",
          "cat /proc/{pid}/task/*/stack; look for a frozen filesystem or a dead NFS/CIFS mount; a reboot may be needed",
          link=Link.GOAL_STATE, blocks=True),
    Entry("conf-missing", Severity.CRITICAL, 2, "waagent.conf is missing or empty",
          "The agent ends at once, with exit status 0, when its configuration is missing or empty.",
          "restore {conf} from the package or from a backup, then systemctl restart {unit}", link=Link.GOAL_STATE, blocks=True),
    Entry("conf-unreadable", Severity.WARNING, 2, "waagent.conf cannot be read",
          "The file is there, but it could not be read, or the agent refuses it; see the evidence.",
          "ls -lZ {conf}; chmod 0644 {conf2}", link=Link.GOAL_STATE),
    Entry("extensions-disabled", Severity.CRITICAL, 2, "extensions are switched off",
          "Extensions.Enabled=n: the agent runs but works on no extension, so no snapshot can be taken.",
          "set Extensions.Enabled=y in {conf}, then waguardctl restart", link=Link.EXTENSION, blocks=True),
    Entry("verbose-left-on", Severity.INFO, 0, "verbose logging is on without a lease",
          "Logs.Verbose=y was set by hand and nothing will turn it off. Agents before 2.14 write SAS tokens to the log when "
          "verbose.",
          "set Logs.Verbose=n in {conf}, then waguardctl restart"),
    Entry("wireserver-unreachable", Severity.CRITICAL, 1, "the wire server does not answer",
          "No connection to 168.63.129.16 on port 80: the agent gets no goal state. A restart of the agent does not help.",
          "ip route get 168.63.129.16; check firewall rules (iptables -t security -L OUTPUT -n) and the network security group",
          link=Link.GOAL_STATE, blocks=True),
    Entry("status-not-reported", Severity.WARNING, 2, "the agent's status is not being written or does not arrive",
          "The main loop writes a status file at every turn and sends it to Azure. The file is old, so the loop is slow, busy or "
          "stuck; or the agent says that it could not send it.",
          "tail {log}; waguardctl doctor", link=Link.REPORT),
    Entry("filesystem-frozen", Severity.CRITICAL, 4, "a filesystem is frozen or does not take writes",
          "waguard's own writes, or the agent's, have been asleep in the kernel for longer than a snapshot's freeze takes, or "
          "the backup extension has been holding a freeze for longer than it may. Every process that writes there stops.",
          "findmnt; fsfreeze -u MOUNTPOINT for the one that is frozen; dmesg for a failed disk", link=Link.RESULT, blocks=True),
    Entry("agent-version-unsupported", Severity.CRITICAL, 2, "Azure no longer supports this version of the agent",
          "The goal state agent, the one whose version counts, is older than 2.2.53.1, the oldest that Azure supports since "
          "July 2022.",
          "{said_upgrade}", link=Link.GOAL_STATE),
    Entry("agent-behind-distro", Severity.WARNING, 2, "the distribution has a newer agent",
          "The package manager's own lists offer a newer version of the agent's package than the one installed.",
          "{said_upgrade}"),
    Entry("agent-behind-upstream", Severity.INFO, 2, "there is a newer release of the agent",
          "WALinuxAgent has released a newer version. The distribution's package may carry its fixes all the same, and an older"
          " number is no fault by itself.",
          "waguardctl versions; upgrade from the distribution only: {said_upgrade}"),
    Entry("agent-version-disabled", Severity.WARNING, 2, "the agent has disabled a version of itself",
          "A downloaded version of the agent failed and is marked as never to be used again, so an older one runs instead.",
          "see why in {path}; when the cause is gone: mv {path2} {path3}.seen, then waguardctl restart"),
    Entry("agent-autoupdate-off", Severity.INFO, 2, "the agent does not update itself",
          "AutoUpdate.UpdateToLatestVersion=n, or AutoUpdate.Enabled=n where that one is not set: the VM stays at the package's"
          " version.",
          "set AutoUpdate.UpdateToLatestVersion=y in {conf}, then waguardctl restart; or keep the package up to date: "
          "{said_upgrade}"),
    Entry("conf-unknown-key", Severity.INFO, 2, "waagent.conf has a key that the agent does not read",
          "The line has no effect; a misspelt key leaves the setting at its default.",
          "waguardctl lint"),
    Entry("conf-bad-value", Severity.WARNING, 2, "waagent.conf has a value that the agent cannot use",
          "A switch that is neither y nor n, or a number that is none: the agent uses its default without a word.",
          "waguardctl lint; correct {conf}, then waguardctl restart"),
    Entry("conf-duplicate-key", Severity.INFO, 2, "waagent.conf sets a key more than once",
          "The last line counts and the others are ignored.",
          "waguardctl lint"),
    Entry("conf-trailing-comment", Severity.INFO, 2, "waagent.conf has a comment behind a value",
          "Agents before 2.2.18 read the comment as part of the value; no value can hold a #.",
          "waguardctl lint; put the comment on a line of its own"),
    Entry("proxy-incomplete", Severity.WARNING, 1, "the agent's proxy is half configured",
          "HttpProxy.Host and HttpProxy.Port count only together. With one of them alone the agent uses no proxy at all.",
          "set both or neither in {conf}, then waguardctl restart"),
    Entry("hostplugin-unreachable", Severity.WARNING, 1, "the host plugin does not answer",
          "No connection to 168.63.129.16 on port 32526. The agent fetches extension settings and reports status through it, "
          "and falls back to storage where it can.",
          "ip route get 168.63.129.16; check firewall rules (iptables -t security -L OUTPUT -n; nft list ruleset)",
          link=Link.REPORT),
    Entry("imds-unreachable", Severity.WARNING, 1, "the instance metadata service does not answer",
          "No answer from 169.254.169.254 on port 80. The agent and many extensions ask it for identity and placement.",
          "ip route get 169.254.169.254; check firewall rules and that no proxy is used for it"),
    Entry("storage-unreachable", Severity.INFO, 1, "Azure Storage cannot be reached",
          "The host of the agent's status blob does not answer on port 443. Packages of extensions come from there, and the "
          "snapshot falls back to it when the host cannot take it; while wire server and host plugin answer it is not needed.",
          "curl -sSI https://{host}/; check DNS, routes, proxy and the network security group"),
    Entry("no-route-to-wireserver", Severity.CRITICAL, 1, "there is no route to the wire server",
          "The kernel has no route to 168.63.129.16, so the agent gets no goal state and no extension can be run.",
          "ip route get 168.63.129.16; ip route; restore the default route or the host route that DHCP gave",
          link=Link.GOAL_STATE, blocks=True),
    Entry("dhcp-option-245-missing", Severity.CRITICAL, 4, "the VM did not learn Azure's host address from DHCP",
          "No DHCP lease carries option 245, the agent has no stored wire server address, and 168.63.129.16 does not answer: "
          "static addressing inside the VM. By itself a missing option is harmless, since the agent knows the address.",
          "let the interface use DHCP and set a static private address in the portal (network interface, IP configurations)",
          link=Link.GOAL_STATE, blocks=True),
    Entry("extension-not-ready", Severity.WARNING, 3, "an extension is not ready",
          "A handler's last reported state is not Ready, or its last run ended in error. One failed extension can put the VM "
          "into a failed provisioning state, and then no backup starts.",
          "tail -n 50 {log_dir}/{handler}/CommandExecution.log; repair or uninstall it in the portal (VM, Extensions)"),
    Entry("extension-cannot-load", Severity.CRITICAL, 3, "the agent cannot load or run the backup extension",
          "The backup extension is there, but its commands fail or never ran to their end.",
          "tail -n 50 {log_dir}/{handler}/shell.log {log_dir2}/{handler2}/CommandExecution.log; then in the portal: VM, "
          "Extensions, VMSnapshotLinux, Uninstall; the next backup installs it anew", link=Link.EXTENSION, blocks=True),
    Entry("extension-upgrade-failed", Severity.WARNING, 3, "the upgrade of an extension failed",
          "HandlerState is FailedUpgrade: the old version could not be disabled or updated. The agent tries again with a full "
          "download.",
          "tail -n 50 {log_dir}/{handler}/CommandExecution.log; if it stays: uninstall the extension in the portal (VM, "
          "Extensions)", link=Link.EXTENSION),
    Entry("backup-extension-absent", Severity.INFO, 3, "the backup extension is not installed",
          "No folder of VMSnapshotLinux is in the agent's library directory. The first backup of a VM installs it.",
          "if this VM should be backed up: portal, Recovery Services vault, Backup items; look for VMSnapshotLinux under VM, "
          "Extensions"),
    Entry("backup-extension-python-incompatible", Severity.CRITICAL, 3, "the backup extension cannot run with this Python",
          "The interpreter that the extension picks has none of a module that this version of the extension imports, or there "
          "is no interpreter at all. Backups then fail with 400039 or the snapshot time-out.",
          "install another interpreter that it tries (python3.8, 3.7, 3.6 ... python2), or in the portal uninstall "
          "VMSnapshotLinux so that the next backup installs its newest version", link=Link.EXTENSION, blocks=True),
    Entry("snapshot-stuck", Severity.CRITICAL, 4, "the last snapshot never came to an end",
          "The extension still says that it is at work (code 4), but its process is gone: it was killed, or it could not write "
          "its result. Azure waits for a result until the time-out.",
          "tail -n 50 {log_dir}/{handler}/extension.log; dmesg for the OOM killer; start a new backup from the portal",
          link=Link.RESULT),
    Entry("snapshot-failed", Severity.CRITICAL, 4, "the last snapshot failed",
          "The extension's own result, which it nests inside an outer status that always says success, is an error.",
          "waguardctl explain --code {code}; tail -n 50 {log_dir}/{handler}/extension.log", link=Link.RESULT),
    Entry("snapshot-no-result", Severity.CRITICAL, 4, "the last snapshot request has no result",
          "The newest settings of the backup extension have no status of their own, or still hold what the extension removes "
          "when it begins: it never ran, or never got that far.",
          "tail -n 50 {log_dir}/{handler}/CommandExecution.log {log_dir2}/{handler2}/shell.log; tail -n 50 {log}",
          link=Link.RESULT, blocks=True),
    Entry("backup-overdue", Severity.WARNING, 4, "there was no backup for longer than usual",
          "The time since the last successful snapshot is more than one and a half times the interval seen before, and longer "
          "than all gaps but the longest.",
          "portal, Recovery Services vault, Backup jobs: was one started? Is the schedule or the policy changed, or the item "
          "stopped?"),
    Entry("backup-scripts-misconfigured", Severity.WARNING, 4, "the pre and post scripts of backups are not usable",
          "The application-consistent script configuration exists, but its owner, mode, content or scripts are not as the "
          "extension demands, so backups fail or lose application consistency.",
          "ls -l {path} and the scripts it names: owner root, the file 0600, the scripts 0700"),
    Entry("mount-unresponsive", Severity.WARNING, 4, "a mounted filesystem does not answer",
          "A dead NFS or CIFS mount. The extension runs df over all mounts and can lose five minutes or hang in it.",
          "umount -l {mount}, or onlyLocalFilesystems=True under [SnapshotThread] in /etc/azure/vmbackup.conf"),
    Entry("disk-full", Severity.CRITICAL, 4, "a filesystem that the agent needs is full",
          "The agent swallows errors of writing: its log falls silent and its state files vanish.",
          "df -h {mount}; du -xh --max-depth=2 {mount2} | sort -h | tail", link=Link.RESULT, blocks=True),
    Entry("inodes-exhausted", Severity.CRITICAL, 4, "a filesystem that the agent needs has no free inodes",
          "No new file can be made though there is space. Old agents left millions of small files behind.",
          "df -i {mount}; find {mount2} -xdev -type d -size +1M", link=Link.RESULT, blocks=True),
    Entry("filesystem-noexec", Severity.CRITICAL, 3, "extensions cannot be executed",
          "The filesystem of the agent's library directory is mounted noexec: every extension command ends with exit status "
          "126.",
          "mount -o remount,exec {mount}, and in /etc/fstab", link=Link.EXTENSION, blocks=True),
    Entry("filesystem-read-only", Severity.CRITICAL, 4, "a filesystem that the agent needs is read-only",
          "The kernel remounts a filesystem read-only after an error, and then no state, settings or status can be written.",
          "dmesg | grep -i -e remount -e error; check the disk, then mount -o remount,rw {mount}",
          link=Link.RESULT, blocks=True),
    Entry("cpu-saturated", Severity.WARNING, 4, "the CPUs have been busy for long",
          "Above the limit (90 % by default) for minutes, not for a moment: a snapshot task is then queued, delayed and times "
          "out.",
          "top -b -n 1 | head -n 20; back up at a quieter time, or resize the VM"),
    Entry("memory-pressure", Severity.WARNING, 4, "memory has been short for long",
          "Little memory is available, or tasks stall for it: a snapshot task is delayed and times out, or is killed.",
          "ps -eo pid,rss,comm --sort=-rss | head; back up at a quieter time, or resize the VM"),
    Entry("log-flood", Severity.WARNING, 0, "a log of the agent is being flooded",
          "One source writes far more records than normal; the same line again and again is known to fill disks.",
          "tail {path}; waguardctl versions"),
    Entry("log-tree-oversized", Severity.WARNING, 0, "the agent's and extensions' logs are large",
          "The extensions' own logs are rotated by nobody unless the distribution does.",
          "du -ah {path} | sort -h | tail"),
    Entry("logrotate-broken", Severity.WARNING, 0, "waagent.log is not being rotated",
          "The log is larger than its rotation should let it become, or there is no rule for it.",
          "ls -l {log}*; grep -rn -A9 waagent.log /etc/logrotate.d; logrotate --debug /etc/logrotate.conf 2>&1 | "
          "grep -A5 waagent"),
    Entry("clock-skew", Severity.WARNING, 4, "the clock is not synchronised",
          "A wrong clock breaks TLS and the signatures of storage, and makes the extension refuse a command as too late.",
          "timedatectl; chronyc tracking; systemctl restart chronyd || systemctl restart systemd-timesyncd"),
    Entry("observer-failing", Severity.WARNING, 0, "part of waguard cannot see",
          "An observer failed or did not come back several times in a row, so what it would tell is not known.",
          "journalctl -u waguard -n 50"),
)

CATALOGUE: Mapping[str, Entry] = {entry.id: entry for entry in _ENTRIES}


@dataclass(frozen=True)
class Finding:
    """A catalogue entry that holds now. ``evidence``: what was seen, one sentence, without secrets.

    ``values``: (place, text) pairs for the remedy. ``blocks`` overrides the entry's where this one is more or less than usual.
    """

    id: str
    evidence: str
    values: tuple[tuple[str, str], ...] = ()
    blocks: Optional[bool] = None

    @property
    def entry(self) -> Entry:
        return CATALOGUE[self.id]

    @property
    def blocking(self) -> bool:
        """Would a snapshot asked for now fail because of it?"""
        return self.entry.blocks if self.blocks is None else self.blocks


_COMMANDS = frozenset(("install", "upgrade", "reinstall"))
_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_PLACE = re.compile(r"\{(?:said_)?(\w+?)\d?\}", re.ASCII)


def fill(text: str, places: Mapping[str, str]) -> str:
    """A remedy with its places filled in. What is not known stays a word: {unit} becomes UNIT.

    People paste a remedy into a root shell, and anybody may choose the name of a mount point: a value is quoted for the shell,
    unless it is a command of ours or has nothing in it that a shell would read.
    """
    def filled(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in PLACES:
            return match.group()
        value = places.get(name) or name.upper()
        return value if name in _COMMANDS or _PLAIN.fullmatch(value) else "'" + value.replace("'", "'\\''") + "'"

    return _PLACE.sub(filled, text)


def reference() -> str:
    """docs/findings.md: every entry, for people who read before something is wrong."""
    causes = ("None of them", "The VM cannot reach what it needs", "The agent does not work, is out of date or is misconfigured",
              "The backup extension cannot be loaded or updated", "The snapshot cannot be taken, or its status is not reported")
    lines = ["<!-- Made by: python3 -m waguard.judge.catalogue -->", "# Findings", "",
             "What `waguardctl status`, `waguardctl doctor` and `waguard_finding_active` speak of, by the causes of the article.",
             "`waguardctl explain FINDING` says the same with a machine's own paths; words in capitals stand for those.", ""]
    for cause in (1, 2, 3, 4, 0):
        lines += [f"## {f'Cause {cause}: ' if cause else ''}{causes[cause]}", ""]
        for entry in sorted((entry for entry in CATALOGUE.values() if entry.cause == cause), key=lambda entry: entry.id):
            stands = "; a snapshot asked for now would fail" if entry.blocks else ""
            lines += [f"### {entry.id}", "", f"**{entry.severity.value}**{stands}: {entry.summary}.", "", entry.meaning, "",
                      f"Remedy: `{fill(entry.remedy, {})}`", ""]
            if entry.link.value:
                lines += [f"Broken link: {entry.link.value}.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
