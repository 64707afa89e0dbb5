"""Signatures: words in the logs of the agent and its extensions that tell a known condition, and words that only look like one.

Wordings are those of every release, as far as they differ. Sources: WALinuxAgent (files named beside the entries, below
azurelinuxagent/), VMBackup/main of azure-linux-extensions, and for what is benign the ignore list of the agent's own tests
(tests_e2e/tests/lib/agent_log.py). A signature explains; whether something is wrong now is judged from states, not from lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Optional

from waguard.agent.logkinds import Sieve, bare
from waguard.i18n import message

WAAGENT = "waagent"
"""waagent.log."""
EXTENSION = "extension"
"""extension.log of a handler."""
SHELL = "shell"
"""shell.log of a handler."""
COMMAND = "command"
"""CommandExecution.log of a handler, which the agent writes."""
SOURCES = (WAAGENT, EXTENSION, SHELL, COMMAND)

_AGENT = (WAAGENT, COMMAND)
_VM = (EXTENSION,)


class Severity(str, Enum):
    """FAULT: something did not work. WARN: it may, or only sometimes. INFO: worth knowing, or an end of trouble."""

    FAULT = "fault"
    WARN = "warn"
    INFO = "info"


@dataclass(frozen=True)
class Signature:
    """One known condition. A record has it when it holds one of ``holds`` and, if there is one, ``pattern`` is found in it.

    ``finding``: the id in the catalogue that it explains, "" for none. ``verbose``: it is written at level VERBOSE.
    """

    id: str
    sources: tuple[str, ...]
    severity: Severity
    meaning: str
    holds: tuple[str, ...]
    pattern: Optional[re.Pattern[str]] = None
    finding: str = ""
    verbose: bool = False


_FAULT, _WARN, _INFO = Severity.FAULT, Severity.WARN, Severity.INFO

SIGNATURES: tuple[Signature, ...] = (
    # Any writer.
    Signature("no-space", SOURCES, _FAULT, message("a disk is full or has no free inodes"),
              ("[Errno 28]", "No space left on device"), finding="disk-full"),
    Signature("read-only", SOURCES, _FAULT, message("a filesystem is mounted read-only"),
              ("[Errno 30]", "Read-only file system"), finding="filesystem-read-only"),
    # ga/exthandlers.py (report_ext_handlers_status): each turn of the loop that fails writes one
    Signature("status-reported", (WAAGENT,), _INFO, message("the agent reported its status"),
              ("Completed vm agent status report",), verbose=True),
    Signature("status-not-reported", (WAAGENT,), _FAULT,
              message("the agent could not report its status for a quarter of an hour"),
              ("Failed to report vm agent status for more than",), finding="status-not-reported"),
    Signature("status-report-failed", (WAAGENT,), _WARN, message("the agent could not report its status"),
              ("Failed to report vm agent status:", "Failed to upload status blob via either channel",
               "Failed to report status:"), finding="status-not-reported"),
    # ga/update.py, common/protocol/wire.py, common/utils/restutil.py
    Signature("wireserver-unreachable", (WAAGENT,), _FAULT, message("the wire server did not answer the agent"),
              ("[Wireserver Exception]", "WireServer is not responding"),
              re.compile(r"WireServer is not|IOError|timed out|refused|No route|unreachable"),
              "wireserver-unreachable"),
    Signature("wireserver-error", (WAAGENT,), _FAULT, message("the wire server answered with an error"),
              ("[Wireserver Failed] URI",), finding="wireserver-unreachable"),
    Signature("certificates-failed", (WAAGENT,), _FAULT, message("certificates could not be had"),
              ("Error fetching the goal state certificates", "Error in transport decryption", "Failed to decrypt ")),
    Signature("hostplugin-failing", (WAAGENT,), _WARN, message("the host plugin did not answer, or with an error"),
              ("GET vmSettings [", "HostGAPlugin: Exception Get API versions", "Error in SendHostPluginHeartbeat"),
              finding="hostplugin-unreachable"),
    Signature("goal-state-failing", (WAAGENT,), _FAULT, message("the agent could not fetch its goal state"),
              ("Error fetching the goal state:", "Fetching the goal state is still failing:",
               "An error occurred while retrieving the goal state:", "Attempts to retrieve the goal state are failing:",
               "Exception retrieving the goal state:", "Exception retrieving extension handlers:",
               "ProtocolError processing goal state, giving up", "Exception processing goal state, giving up",
               "Exceeded max retry updating goal state"), finding="wireserver-unreachable"),
    Signature("goal-state-recovered", (WAAGENT,), _INFO, message("the agent fetches its goal state again"),
              ("Fetching the goal state recovered from", "Retrieving the goal state recovered from")),
    # common/protocol/imds.py, common/dhcp.py, common/protocol/util.py
    Signature("imds-unreachable", (WAAGENT,), _WARN, message("the instance metadata service did not answer"),
              ("[IMDS_CONNECTION_ERROR]",), finding="imds-unreachable"),
    Signature("no-route-to-wireserver", (WAAGENT,), _FAULT, message("the agent found no route to the wire server"),
              ("No route exists to ",), finding="no-route-to-wireserver"),
    Signature("dhcp-failed", (WAAGENT,), _FAULT, message("the agent learned no wire server address from DHCP"),
              ("Failed to receive dhcp response", "Failed to send DHCP request"), finding="dhcp-option-245-missing"),
    Signature("protocol-not-found", (WAAGENT,), _FAULT, message("the agent found no wire server to talk to"),
              ("Protocol endpoint not found:", "No protocol found.", "Retry detect protocol", "Protocol endpoint ("),
              re.compile(r"^(?!.*Protocol endpoint \()|is not known wireserver ip", re.DOTALL), "wireserver-unreachable"),
    # ga/exthandlers.py, ga/extensionprocessutil.py, common/exception.py
    Signature("download-failed", (WAAGENT,), _FAULT, message("a package could not be downloaded"),
              ("Failed to download ", "Download failed both on the primary and", "Failed to get ext handler pkgs"),
              re.compile(r"from all URIs|both on the|Failed to (?:download artifacts|get ext handler pkgs)"),
              "storage-unreachable"),
    Signature("noexec", _AGENT, _FAULT, message("programs cannot be run from the agent's directory"),
              ("The noexec flag is set on", "Non-zero exit code: 126"),
              re.compile(r"noexec flag|Non-zero exit code: 126\b"), "filesystem-noexec"),
    Signature("handler-python-broken", _AGENT, _FAULT, message("an extension found no Python that can run it"),
              ("No module named ",), re.compile(r"No module named '?(?:imp|distutils|crypt|azurelinuxagent)\b"),
              "backup-extension-python-incompatible"),
    Signature("handler-python-broken", (SHELL,), _FAULT, message("the extension found no Python that can run it"),
              ("python version unknown", "returned from handle.py"),
              re.compile(r"unknown|(?<!\d)(?!0 )\d{1,3} returned from handle\.py"), "backup-extension-python-incompatible"),
    Signature("extension-failed", _AGENT, _FAULT, message("a command of an extension failed"),
              ("[ExtensionOperationError]", "Non-zero exit code:", "[ExtensionError]", "[ExtensionUpdateError]",
               "Extension status: ["),
              re.compile(r"\[ExtensionOperationError\]|Non-zero exit code: [1-9-]|\[ExtensionError\]|\[ExtensionUpdateError\]"
                         r"|'error'\)"), "extension-not-ready"),
    Signature("extensions-disabled", (WAAGENT,), _WARN, message("the agent works on no extensions"),
              ("Extension '", "Extension handling is on hold"),
              re.compile(r"since extension processing is disabled|on hold"), "extensions-disabled"),
    # ga/update.py, ga/guestagent.py, ga/agent_update_handler.py, daemon/main.py, agent.py
    Signature("agent-version-disabled", (WAAGENT,), _FAULT, message("the agent gave up one of its versions"),
              ("Agent WALinuxAgent-",), re.compile(r"Agent WALinuxAgent-\S+ (?:is permanently |restarted more than )"),
              "agent-version-disabled"),
    Signature("agent-update-failed", (WAAGENT,), _WARN, message("the agent could not update itself"),
              ("[SelfUpdate]", "[RSM]", "Attempted enough update retries for version", "Unable to update Agent"),
              re.compile(r"Attempted enough|Unable to update Agent|(?i:fail|error|unable|exception)"), "agent-behind-upstream"),
    Signature("agent-crashed", (WAAGENT,), _FAULT, message("a process of the agent ended by a fault"),
              ("Agent did not terminate cleanly", "Agent WALinuxAgent-", "Daemon ended with exception", "Failed to run 'daemon'",
               "Failed to run 'run-exthandlers'"),
              re.compile(r"did not terminate|Daemon ended|Failed to run"
                         r"|Agent WALinuxAgent-\S+ (?:launched with command .{1,400} )?failed with (?:exception|return code):"),
              "agent-crash-loop"),
    Signature("agent-thread-died", (WAAGENT,), _WARN, message("a thread of the agent died"),
              ("Handler thread died", "Collector thread died", "An error occurred in the "),
              re.compile(r"thread died|will exit the thread")),
    Signature("agent-limited", (WAAGENT,), _WARN, message("the agent was short of CPU time or memory"),
              ("The agent has been throttled for", "Check on agent memory usage", "Agent WALinuxAgent-"),
              re.compile(r"throttled|memory usage|reached memory limit"), "cpu-saturated"),
    # ga/env.py, ga/firewall_manager.py
    Signature("firewall-reset", (WAAGENT,), _WARN, message("the agent's firewall rules were gone or wrong and are set again"),
              ("The firewall is not configured correctly", "The firewall rules for Azure Fabric are not setup",
               "The permanent firewall rules for Azure Fabric are not setup")),
    # VMBackup/main: fsfreezer.py, safefreeze.c, freezesnapshotter.py, handle.py
    Signature("freeze-timed-out", _VM, _FAULT, message("freezing the filesystems took too long (122)"),
              ("freeze timed-out", "FailedRetryableFsFreezeTimeout"), finding="snapshot-failed"),
    Signature("mount-not-openable", _VM, _FAULT, message("a mount point could not be opened for the freeze (123)"),
              ("Failed to open: ", "file open failed for some mount", "Path not a directory:", "Failed to stat:",
               "FailedRetryableUnableToOpenMount"), finding="mount-unresponsive"),
    Signature("freezer-missing", _VM, _FAULT, message("the program that freezes filesystems is gone (124)"),
              ("safefreeze binary is missing", "FailedSafeFreezeBinaryNotFound"), finding="snapshot-failed"),
    Signature("freeze-failed", _VM, _FAULT, message("a filesystem could not be frozen, or another product freezes it (121)"),
              ("Failed to FIFREEZE:", "freeze failed for some mount", "FailedRetryableFsFreezeFailed",
               "Failed to open file or aquire", "already freezed by some other"), finding="snapshot-failed"),
    Signature("thaw-late", _VM, _FAULT, message("the thaw came late or got lost, so the snapshot is inconsistent"),
              ("Failed to receive timely Thaw", "Inconsistent snapshot because of SLEEP", "snapshot result inconsistent",
               "Snapshots are inconsistent", "Unable to execute sleep", "Machine unable to sleep", "Failed to FITHAW:"),
              finding="snapshot-failed"),
    # VMBackup/main: hostsnapshotter.py, guestsnapshotter.py, HttpUtil.py
    Signature("snapshot-limit", _VM, _FAULT, message("storage refused the snapshot: too many, or too fast (85, 173)"),
              ("The snapshot count against this blob has been exceeded", "The rate of snapshot blob calls is exceeded"),
              finding="snapshot-failed"),
    Signature("snapshot-no-network", _VM, _FAULT, message("no snapshot could be taken through the network (76, 761)"),
              ("FailedRetryableSnapshotFailedNoNetwork", "FailedRetryableSnapshotFailedRestrictedNetwork",
               "HttpCallGetResponse failed", "taking snapshot failed as blobs are empty", "Http connection response is None",
               "Failed to call http with error"),
              finding="snapshot-failed"),
    Signature("snapshot-host-failed", _VM, _FAULT, message("the host did not take the snapshot (555 to 558)"),
              ("Hitting wrong WireServer IP", "BHS is not runnning", "responseBody is empty but http",
               "snapshot in host with error"),
              finding="wireserver-unreachable"),
    Signature("certificates-failed", _VM, _FAULT, message("the settings could not be decrypted (16)"),
              ("unable to load certificate", "Failed to decrypt protected settings", "JSON exception decoding decrypted")),
    Signature("snapshot-too-late", _VM, _FAULT, message("the command came too late to be carried out (402)"),
              ("CRP timeout limit has reached",), finding="clock-skew"),
    Signature("snapshot-status-unwritten", _VM, _FAULT, message("the extension could not write its status"),
              ("cannot get status report parameters", "Status file creation failed", "Failed to log status in extension"),
              finding="snapshot-no-result"),
    Signature("snapshot-no-settings", _VM, _FAULT, message("the extension found no settings to work with"),
              ("Unable to locate a .settings file", "maybe no new settings file found",
               "Unable to locate ./HandlerEnvironment.json", "Unable to parse context, error:"), finding="snapshot-no-result"),
    Signature("scripts-failed", _VM, _FAULT,
              message("the scripts before or after the snapshot are not usable, or failed (300 to 318)"),
              ("StatusCode.FailedPrepost",), finding="backup-scripts-misconfigured"),
    Signature("mounts-slow", _VM, _WARN, message("listing the mounted filesystems took long or failed"),
              ("df command executed for process wait", "Output of df command is not in desired", "Exception in lsblk command"),
              finding="mount-unresponsive"),
    Signature("snapshot-succeeded", _VM, _INFO, message("a snapshot was taken"),
              ("Enable,success,1,", "Enable Succeeded with App Consistent Snapshot", "run_status - success")),
)
"""Tried in this order: what is more special stands first. An id that has several rows has other words in other sources."""

BENIGN: tuple[tuple[tuple[str, ...], str, Optional[re.Pattern[str]]], ...] = (
    # (sources, held text, pattern)
    ((WAAGENT,), "Move rules file 7", None),
    ((WAAGENT,), "Dhcp client is not running.", None),
    ((WAAGENT,), "GET vmSettings [", re.compile(r"Timeout|Please retry|VMArtifactsProfileBlobContentNotFound")),
    ((WAAGENT,), "SendHostPluginHeartbeat:", re.compile(r":32526/health.*timed out|ResourceGoneError.*410")),
    ((WAAGENT,), "comp=telemetrydata", None),
    ((WAAGENT,), "op=ReportEventErrors", None),
    ((WAAGENT,), "Failed to send events:", None),
    ((WAAGENT,), "Fetched goal state without a RoleInstance", None),
    ((WAAGENT,), "etching the goal state", re.compile(r"\[ResourceGoneError\]|\[410: Gone\]|Resource is gone")),
    ((WAAGENT,), "['ACCEPT DNS']", None),
    ((WAAGENT,), "controller is not enabled", None),
    ((WAAGENT,), "process is not within a memory cgroup", None),
    ((WAAGENT,), "Could not mount cgroups: [Errno 1]", None),
    ((WAAGENT,), "Unable to load distro implementation for azurelinux", None),
    ((WAAGENT,), "Unable to setup the persistent firewall rules", re.compile("Read-only file system")),
    ((EXTENSION,), "FailedPrepostPluginConfigNotFound", None),
    ((EXTENSION,), "Plugin host file does not exist in the location", None),
    ((EXTENSION,), "Failed to FITHAW:", re.compile(r"Invalid argument")),
    ((EXTENSION,), "blob failed to write", None),
    ((EXTENSION,), "Failed to committing the log with error", None),
    ((EXTENSION,), "Failed to get blob properties with error", None),
    ((EXTENSION,), "cannot write status to the status blob", None),
    ((EXTENSION,), "waagent old path is used", None),
    ((EXTENSION,), "is-system-running", None),
    ((EXTENSION,), "Failed to construct ConfigurationProvider", None),
)
"""Seen on healthy machines: not a signature, and no error where the level is told by the words."""

BY_ID: Mapping[str, Signature] = {known.id: known for known in reversed(SIGNATURES)}


def _any_of(texts: Iterable[str]) -> str:
    """Any of them, by their first letters: a plain alternation of so many takes ten times as long on a line that has none."""
    heads: dict[str, dict[str, list[str]]] = {}
    for text in sorted(set(texts)):
        heads.setdefault(text[0], {}).setdefault(text[1], []).append(re.escape(text[2:]))
    return "|".join(
        re.escape(first) + "(?:" + "|".join(f"{re.escape(second)}(?:{'|'.join(rest)})" for second, rest in seconds.items()) + ")"
        for first, seconds in heads.items())


def _rows(verbose: bool) -> Mapping[str, tuple[tuple[str, Signature], ...]]:
    """By source: each text and whose it is."""
    return {source: tuple((held, known) for known in SIGNATURES if source in known.sources and known.verbose is verbose
                          for held in known.holds) for source in SOURCES}


_KNOWN, _VERBOSE = _rows(False), _rows(True)
_HINTS = {source: re.compile(_any_of(held for held, _ in _KNOWN[source])) for source in SOURCES}
_BENIGN = {source: tuple((text, pattern) for sources, text, pattern in BENIGN if source in sources) for source in SOURCES}
_BENIGN_HINTS = {source: re.compile(_any_of(text for text, _ in _BENIGN[source])) for source in SOURCES if _BENIGN[source]}


@cache
def sieve(source: str) -> Sieve:
    """Lets pass the lines of waagent.log or CommandExecution.log for which `match` finds nothing."""
    known, verbose = (re.compile(_any_of(bare(held.encode()).decode() for held, _ in rows).encode()) if rows else None
                      for rows in (_KNOWN[source], _VERBOSE[source]))
    return Sieve({"VERBOSE": verbose, "INFO": known, "WARNING": known, "ERROR": known}, deep=True)


def benign(source: str, text: str) -> bool:
    """Is this among what healthy machines write too? ``source`` is one of SOURCES."""
    hints = _BENIGN_HINTS.get(source)
    if hints is None or not hints.search(text):
        return False
    return any(held in text and (pattern is None or pattern.search(text)) for held, pattern in _BENIGN[source])


def match(source: str, text: str, level: str = "") -> Optional[Signature]:
    """The signature of one record's text, or None; of several the first in the table. ``source`` is one of SOURCES."""
    if level == "VERBOSE":
        known = _VERBOSE[source]
    elif _HINTS[source].search(text) and not benign(source, text):
        known = _KNOWN[source]
    else:
        return None
    for held, signature in known:
        if held in text and (signature.pattern is None or signature.pattern.search(text)):
            return signature
    return None
