"""Every code of the backup extension, what it means and what helps.

Source: azure-linux-extensions VMBackup/main/common.py, ExtensionErrorCodeHelper.py; the names that Azure's portal shows are
matched by meaning with backup-azure-troubleshoot-vm-backup-fails-snapshot-timeout.md and backup-azure-vms-troubleshoot.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

_HIDDEN_NO_NETWORK = "hostStatusCodeDoSnapshot"
"""What the message of code 2 is when all snapshots failed on the guest's own path (a KeyError of the extension's)."""


@dataclass(frozen=True)
class Code:
    """One code of the extension. ``retryable``: the next snapshot may well succeed though nobody does anything.

    ``portal``: how Azure calls it, "" where no name is known. ``remedy``: what to do on the VM, or that there is nothing.
    """

    number: int
    name: str
    retryable: bool
    meaning: str
    remedy: str
    portal: str = ""


_TIMEOUT = "GuestAgentSnapshotTaskStatusError"
_FAILED = "ExtensionOperationFailed"
_SCRIPTS = "/etc/azure/VMSnapshotScriptPluginConfig.json"
_HOSTCONF = "/etc/azure/VMSnapshotPluginHost.conf"
_REINSTALL = "portal: VM, Extensions, uninstall VMSnapshotLinux; the next backup installs it anew"
_DATABASE = "see /etc/azure/workload.conf and the database's own log"
_CODES = (
    Code(0, "success_appconsistent", True, "done, application consistent", "nothing"),
    Code(1, "success", True, "done, consistent as of the filesystems", "nothing"),
    Code(2, "error", True, "an exception, a thaw that came too late, or no network on the guest's own path",
         "read the last stack trace in extension.log; look at load and antivirus if it says that the machine was unable to sleep",
         _FAILED),
    Code(3, "SuccessAlreadyProcessedInput", True, "the same task came a second time and was not done again", "nothing"),
    Code(4, "ExtensionTempTerminalState", True, "at work; for longer than a quarter of an hour without a process: it died",
         "see snapshot-stuck", _TIMEOUT),
    Code(11, "error_parameter", True, "the settings of the command were incomplete or unknown",
         "start another backup; if it stays: " + _REINSTALL, _FAILED),
    Code(12, "error_12", False, "a file of the extension was not found: its folder is damaged", _REINSTALL, _FAILED),
    Code(13, "error_wrong_time", True, "defined but not used", "nothing", _FAILED),
    Code(14, "error_same_taskid", True, "defined but not used", "nothing", _FAILED),
    Code(15, "error_http_failure", True, "an HTTP request failed", "check 168.63.129.16:80, then storage on port 443", _FAILED),
    Code(16, "FailedHandlerGuestAgentCertificateNotFound", False, "the certificate for the settings is missing or does not fit",
         "restart the agent, which fetches certificates anew; check that openssl runs; FIPS needs an extension of 2026-03 or "
         "newer", _FAILED),
    Code(17, "FailedInvalidDataDiskLunList", False, "Azure asked to exclude disks and named none",
         "nothing on the VM; portal: correct the backup item's disk selection", _FAILED),
    Code(76, "FailedRetryableSnapshotFailedNoNetwork", True, "no snapshot could be taken: neither host nor storage was reached",
         "check 168.63.129.16:80 first, then DNS and port 443 of storage", "ExtensionSnapshotFailedNoNetwork"),
    Code(85, "FailedSnapshotLimitReached", False, "there are too many snapshots of a disk",
         "delete old snapshots in Azure; with Site Recovery set isanysnapshotfailed=False in /etc/azure/vmbackup.conf and move "
         "the schedules apart", "ExtensionFailedSnapshotLimitReachedError"),
    Code(121, "FailedRetryableFsFreezeFailed", True, "a filesystem could not be frozen",
         "extension.log names the mount after 'Failed to FIFREEZE'; look for one mounted twice, a dirty one, another freezer "
         "that holds the lock; MountsToSkip in /etc/azure/vmbackup.conf", "UserErrorFsFreezeFailed"),
    Code(122, "FailedRetryableFsFreezeTimeout", True, "freezing took longer than its limit",
         "less disk load at that time; SafeFreezeWaitInSeconds or MountsToSkip in /etc/azure/vmbackup.conf", _FAILED),
    Code(123, "FailedRetryableUnableToOpenMount", True, "a mount point could not be opened",
         "extension.log names it after 'Failed to open'; repair or unmount it", "UserErrorUnableToOpenMount"),
    Code(124, "FailedSafeFreezeBinaryNotFound", False, "the helper safefreeze is gone from the extension's folder",
         "exclude the agent's library directory from antivirus; then " + _REINSTALL, _FAILED),
    Code(173, "FailedRetryableSnapshotRateExceeded", True, "storage refused for too many snapshots at a time",
         "spread the schedules; the status may stay at code 4", _FAILED),
    Code(300, "FailedPrepostPreScriptFailed", False, "the pre script ended with an error", "read the script's own log",
         "Pre-ScriptExecutionFailed"),
    Code(301, "FailedPrepostPostScriptFailed", False, "the post script ended with an error", "read the script's own log",
         "Post-ScriptExecutionFailed"),
    Code(302, "FailedPrepostPreScriptNotFound", False, "there is no pre script where the configuration says",
         f"correct preScriptLocation in {_SCRIPTS}", "Pre-ScriptNotFound"),
    Code(303, "FailedPrepostPostScriptNotFound", False, "there is no post script where the configuration says",
         f"correct postScriptLocation in {_SCRIPTS}", "Post-ScriptNotFound"),
    Code(304, "FailedPrepostPluginhostConfigParsing", False, "VMSnapshotPluginHost.conf cannot be parsed",
         f"correct or remove {_HOSTCONF}; the extension has one of its own", "IncorrectPluginhostFile"),
    Code(305, "FailedPrepostPluginConfigParsing", False, "VMSnapshotScriptPluginConfig.json cannot be parsed or lacks a key",
         f"correct {_SCRIPTS}: JSON, with preScriptLocation and postScriptLocation", "IncorrectJSONConfigFile"),
    Code(306, "FailedPrepostPreScriptPermissionError", False, "the pre script is not root's alone",
         "chown root and chmod 0700 the pre script", "InsufficientPermissionforPre-Script"),
    Code(307, "FailedPrepostPostScriptPermissionError", False, "the post script is not root's alone",
         "chown root and chmod 0700 the post script", "InsufficientPermissionforPost-Script"),
    Code(308, "FailedPrepostPreScriptTimeout", False, "the pre script took longer than its limit",
         f"raise timeoutInSeconds in {_SCRIPTS} (1800 at most), or make the script faster", "Pre-ScriptTimeout"),
    Code(309, "FailedPrepostPostScriptTimeout", False, "the post script took longer than its limit",
         f"raise timeoutInSeconds in {_SCRIPTS} (1800 at most), or make the script faster", "Post-ScriptTimeout"),
    Code(310, "FailedPrepostPluginhostPreTimeout", False, "all pre scripts together took longer than their limit",
         f"raise timeoutInSeconds in {_HOSTCONF} (1800 at most), or make the scripts faster"),
    Code(311, "FailedPrepostPluginhostPostTimeout", False, "all post scripts together took longer than their limit",
         f"raise timeoutInSeconds in {_HOSTCONF} (1800 at most), or make the scripts faster"),
    Code(312, "FailedPrepostCheckSumMismatch", False, "defined but not raised", "nothing"),
    Code(313, "FailedPrepostPluginhostConfigNotFound", False, "VMSnapshotPluginHost.conf is in neither place", _REINSTALL),
    Code(314, "FailedPrepostPluginhostConfigPermissionError", False, "VMSnapshotPluginHost.conf is not root's, or open to others",
         f"chown root and chmod 0644 {_HOSTCONF}", "InsufficientPermissionforPluginHostConfigFile"),
    Code(315, "FailedPrepostPluginhostConfigOwnershipError", False, "defined but not raised; the owner gives 314",
         f"chown root {_HOSTCONF}"),
    Code(316, "FailedPrepostPluginConfigNotFound", True, "no pre and post scripts are configured, which is normal",
         "nothing, unless scripts are wanted"),
    Code(317, "FailedPrepostPluginConfigPermissionError", False, "VMSnapshotScriptPluginConfig.json is not root's alone",
         f"chown root and chmod 0600 {_SCRIPTS}", "InsufficientPermissionforJSONConfigFile"),
    Code(318, "FailedPrepostPluginConfigOwnershipError", False, "defined but not raised; the owner gives 317",
         f"chown root {_SCRIPTS}"),
    Code(402, "FailedGuestAgentInvokedCommandTooLate", True, "the command was more than 140 minutes old when it was begun",
         "look for a slow or restarted agent, another extension that held it up, a paused VM, a wrong clock", _FAILED),
    Code(500, "FailedWorkloadPreError", False, "the database could not be prepared", _DATABASE),
    Code(501, "FailedWorkloadConfParsingError", False, "workload.conf cannot be parsed", _DATABASE),
    Code(502, "FailedWorkloadInvalidRole", False, "workload.conf names an unknown role", _DATABASE),
    Code(503, "FailedWorkloadInvalidWorkloadName", False, "workload.conf names an unknown database", _DATABASE),
    Code(504, "FailedWorkloadPostError", False, "the database could not be released", _DATABASE),
    Code(505, "FailedWorkloadAuthorizationMissing", False, "the login for the database is missing", _DATABASE),
    Code(506, "FailedWorkloadConnectionError", False, "the database cannot be connected to", _DATABASE),
    Code(507, "FailedWorkloadIPCDirectoryMissing", False, "the directory for talking to the database is missing", _DATABASE),
    Code(508, "FailedWorkloadDatabaseStatusChanged", True, "the database changed its state meanwhile", _DATABASE),
    Code(509, "FailedWorkloadQuiescingError", True, "the database could not be quiesced", _DATABASE),
    Code(510, "FailedWorkloadQuiescingTimeout", True, "quiescing the database took too long", _DATABASE),
    Code(511, "FailedWorkloadDatabaseInNoArchiveLog", False, "the database does not archive its logs", _DATABASE),
    Code(512, "FailedWorkloadLogModeChanged", True, "the database changed its log mode meanwhile", _DATABASE),
    Code(555, "HostNoResponse", True, "168.63.129.16 did not answer the snapshot request (in telemetry, no final code)",
         "check 168.63.129.16:80", "ExtensionSnapshotFailedNoNetwork"),
    Code(556, "FailedHostSnapshotRemoteServerError", True, "the backup service of the host failed or does not run there",
         "nothing on the VM; start another backup; the status may stay at code 4", _FAILED),
    Code(557, "HostEmptyResponse", True, "the host answered with nothing (in telemetry, no final code)", "start another backup"),
    Code(558, "HostException", True, "the request to the host raised an exception (in telemetry, no final code)",
         "check 168.63.129.16:80", "ExtensionSnapshotFailedNoNetwork"),
    Code(761, "FailedRetryableSnapshotFailedRestrictedNetwork", True, "some disks' snapshots failed: only a part gets through",
         "a firewall or proxy lets a part through: open 168.63.129.16:80, or all of storage on port 443",
         "ExtensionSnapshotFailedNoNetwork"),
)

CODES: Mapping[int, Code] = {code.number: code for code in _CODES}
"""Every code, by number (main/common.py, ExtensionErrorCodeHelper.py; portal names are matched by meaning)."""


def explain(number: Optional[int], message: str = "", health: Optional[int] = None) -> Code:
    """The code's entry; one made up for what is not in the table. ``health``: vmHealthStatusCode.

    76 is split by the health code 761, which the status itself does not carry, and code 2 with a certain KeyError means 76.
    """
    if number == 76 and health == 761:
        return CODES[761]
    if number == 2 and _HIDDEN_NO_NETWORK in message and f"{_HIDDEN_NO_NETWORK}=" not in message:
        no_network = CODES[76]
        return Code(2, "error", True, no_network.meaning, no_network.remedy, no_network.portal)
    found = CODES.get(number) if number is not None else None
    if found is not None:
        return found
    return Code(number if number is not None else -1, "unknown", True, "the code is not known",
                "read the end of extension.log", _FAILED)
