"""Every code of the backup extension, what it means and what helps.

Source: azure-linux-extensions VMBackup/main/common.py, ExtensionErrorCodeHelper.py; the names that Azure's portal shows are
matched by meaning with backup-azure-troubleshoot-vm-backup-fails-snapshot-timeout.md and backup-azure-vms-troubleshoot.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from waguard.i18n import message, say

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
_REINSTALL = message("portal: VM, Extensions, uninstall VMSnapshotLinux; the next backup installs it anew")
_DATABASE = message("see /etc/azure/workload.conf and the database's own log")
_CODES = (
    Code(0, "success_appconsistent", True, message("done, application consistent"), message("nothing")),
    Code(1, "success", True, message("done, consistent as of the filesystems"), message("nothing")),
    Code(2, "error", True, message("an exception, a thaw that came too late, or no network on the guest's own path"),
         message("read the last stack trace in extension.log; look at load and antivirus if it says that the machine was unable "
                 "to sleep"), _FAILED),
    Code(3, "SuccessAlreadyProcessedInput", True, message("the same task came a second time and was not done again"),
         message("nothing")),
    Code(4, "ExtensionTempTerminalState", True,
         message("at work; for longer than a quarter of an hour without a process: it died"), message("see snapshot-stuck"),
         _TIMEOUT),
    Code(11, "error_parameter", True, message("the settings of the command were incomplete or unknown"),
         message("start another backup; if it stays: portal: VM, Extensions, uninstall VMSnapshotLinux; the next backup "
                 "installs it anew"), _FAILED),
    Code(12, "error_12", False, message("a file of the extension was not found: its folder is damaged"), _REINSTALL, _FAILED),
    Code(13, "error_wrong_time", True, message("defined but not used"), message("nothing"), _FAILED),
    Code(14, "error_same_taskid", True, message("defined but not used"), message("nothing"), _FAILED),
    Code(15, "error_http_failure", True, message("an HTTP request failed"),
         message("check 168.63.129.16:80, then storage on port 443"), _FAILED),
    Code(16, "FailedHandlerGuestAgentCertificateNotFound", False,
         message("the certificate for the settings is missing or does not fit"),
         message("restart the agent, which fetches certificates anew; check that openssl runs; FIPS needs an extension of "
                 "2026-03 or newer"), _FAILED),
    Code(17, "FailedInvalidDataDiskLunList", False, message("Azure asked to exclude disks and named none"),
         message("nothing on the VM; portal: correct the backup item's disk selection"), _FAILED),
    Code(76, "FailedRetryableSnapshotFailedNoNetwork", True,
         message("no snapshot could be taken: neither host nor storage was reached"),
         message("check 168.63.129.16:80 first, then DNS and port 443 of storage"), "ExtensionSnapshotFailedNoNetwork"),
    Code(85, "FailedSnapshotLimitReached", False, message("there are too many snapshots of a disk"),
         message("delete old snapshots in Azure; with Site Recovery set isanysnapshotfailed=False in /etc/azure/vmbackup.conf "
                 "and move the schedules apart"), "ExtensionFailedSnapshotLimitReachedError"),
    Code(121, "FailedRetryableFsFreezeFailed", True, message("a filesystem could not be frozen"),
         message("extension.log names the mount after 'Failed to FIFREEZE'; look for one mounted twice, a dirty one, another "
                 "freezer that holds the lock; MountsToSkip in /etc/azure/vmbackup.conf"), "UserErrorFsFreezeFailed"),
    Code(122, "FailedRetryableFsFreezeTimeout", True, message("freezing took longer than its limit"),
         message("less disk load at that time; SafeFreezeWaitInSeconds or MountsToSkip in /etc/azure/vmbackup.conf"), _FAILED),
    Code(123, "FailedRetryableUnableToOpenMount", True, message("a mount point could not be opened"),
         message("extension.log names it after 'Failed to open'; repair or unmount it"), "UserErrorUnableToOpenMount"),
    Code(124, "FailedSafeFreezeBinaryNotFound", False, message("the helper safefreeze is gone from the extension's folder"),
         message("exclude the agent's library directory from antivirus; then portal: VM, Extensions, uninstall VMSnapshotLinux; "
                 "the next backup installs it anew"), _FAILED),
    Code(173, "FailedRetryableSnapshotRateExceeded", True, message("storage refused for too many snapshots at a time"),
         message("spread the schedules; the status may stay at code 4"), _FAILED),
    Code(300, "FailedPrepostPreScriptFailed", False, message("the pre script ended with an error"),
         message("read the script's own log"), "Pre-ScriptExecutionFailed"),
    Code(301, "FailedPrepostPostScriptFailed", False, message("the post script ended with an error"),
         message("read the script's own log"), "Post-ScriptExecutionFailed"),
    Code(302, "FailedPrepostPreScriptNotFound", False, message("there is no pre script where the configuration says"),
         message("correct preScriptLocation in /etc/azure/VMSnapshotScriptPluginConfig.json"), "Pre-ScriptNotFound"),
    Code(303, "FailedPrepostPostScriptNotFound", False, message("there is no post script where the configuration says"),
         message("correct postScriptLocation in /etc/azure/VMSnapshotScriptPluginConfig.json"), "Post-ScriptNotFound"),
    Code(304, "FailedPrepostPluginhostConfigParsing", False, message("VMSnapshotPluginHost.conf cannot be parsed"),
         message("correct or remove /etc/azure/VMSnapshotPluginHost.conf; the extension has one of its own"),
         "IncorrectPluginhostFile"),
    Code(305, "FailedPrepostPluginConfigParsing", False,
         message("VMSnapshotScriptPluginConfig.json cannot be parsed or lacks a key"),
         message("correct /etc/azure/VMSnapshotScriptPluginConfig.json: JSON, with preScriptLocation and postScriptLocation"),
         "IncorrectJSONConfigFile"),
    Code(306, "FailedPrepostPreScriptPermissionError", False, message("the pre script is not root's alone"),
         message("chown root and chmod 0700 the pre script"), "InsufficientPermissionforPre-Script"),
    Code(307, "FailedPrepostPostScriptPermissionError", False, message("the post script is not root's alone"),
         message("chown root and chmod 0700 the post script"), "InsufficientPermissionforPost-Script"),
    Code(308, "FailedPrepostPreScriptTimeout", False, message("the pre script took longer than its limit"),
         message("raise timeoutInSeconds in /etc/azure/VMSnapshotScriptPluginConfig.json (1800 at most), or make the script "
                 "faster"), "Pre-ScriptTimeout"),
    Code(309, "FailedPrepostPostScriptTimeout", False, message("the post script took longer than its limit"),
         message("raise timeoutInSeconds in /etc/azure/VMSnapshotScriptPluginConfig.json (1800 at most), or make the script "
                 "faster"), "Post-ScriptTimeout"),
    Code(310, "FailedPrepostPluginhostPreTimeout", False, message("all pre scripts together took longer than their limit"),
         message("raise timeoutInSeconds in /etc/azure/VMSnapshotPluginHost.conf (1800 at most), or make the scripts faster")),
    Code(311, "FailedPrepostPluginhostPostTimeout", False, message("all post scripts together took longer than their limit"),
         message("raise timeoutInSeconds in /etc/azure/VMSnapshotPluginHost.conf (1800 at most), or make the scripts faster")),
    Code(312, "FailedPrepostCheckSumMismatch", False, message("defined but not raised"), message("nothing")),
    Code(313, "FailedPrepostPluginhostConfigNotFound", False, message("VMSnapshotPluginHost.conf is in neither place"),
         _REINSTALL),
    Code(314, "FailedPrepostPluginhostConfigPermissionError", False,
         message("VMSnapshotPluginHost.conf is not root's, or open to others"),
         message("chown root and chmod 0644 /etc/azure/VMSnapshotPluginHost.conf"),
         "InsufficientPermissionforPluginHostConfigFile"),
    Code(315, "FailedPrepostPluginhostConfigOwnershipError", False, message("defined but not raised; the owner gives 314"),
         message("chown root /etc/azure/VMSnapshotPluginHost.conf")),
    Code(316, "FailedPrepostPluginConfigNotFound", True, message("no pre and post scripts are configured, which is normal"),
         message("nothing, unless scripts are wanted")),
    Code(317, "FailedPrepostPluginConfigPermissionError", False, message("VMSnapshotScriptPluginConfig.json is not root's alone"),
         message("chown root and chmod 0600 /etc/azure/VMSnapshotScriptPluginConfig.json"),
         "InsufficientPermissionforJSONConfigFile"),
    Code(318, "FailedPrepostPluginConfigOwnershipError", False, message("defined but not raised; the owner gives 317"),
         message("chown root /etc/azure/VMSnapshotScriptPluginConfig.json")),
    Code(402, "FailedGuestAgentInvokedCommandTooLate", True,
         message("the command was more than 140 minutes old when it was begun"),
         message("look for a slow or restarted agent, another extension that held it up, a paused VM, a wrong clock"), _FAILED),
    Code(500, "FailedWorkloadPreError", False, message("the database could not be prepared"), _DATABASE),
    Code(501, "FailedWorkloadConfParsingError", False, message("workload.conf cannot be parsed"), _DATABASE),
    Code(502, "FailedWorkloadInvalidRole", False, message("workload.conf names an unknown role"), _DATABASE),
    Code(503, "FailedWorkloadInvalidWorkloadName", False, message("workload.conf names an unknown database"), _DATABASE),
    Code(504, "FailedWorkloadPostError", False, message("the database could not be released"), _DATABASE),
    Code(505, "FailedWorkloadAuthorizationMissing", False, message("the login for the database is missing"), _DATABASE),
    Code(506, "FailedWorkloadConnectionError", False, message("the database cannot be connected to"), _DATABASE),
    Code(507, "FailedWorkloadIPCDirectoryMissing", False, message("the directory for talking to the database is missing"),
         _DATABASE),
    Code(508, "FailedWorkloadDatabaseStatusChanged", True, message("the database changed its state meanwhile"), _DATABASE),
    Code(509, "FailedWorkloadQuiescingError", True, message("the database could not be quiesced"), _DATABASE),
    Code(510, "FailedWorkloadQuiescingTimeout", True, message("quiescing the database took too long"), _DATABASE),
    Code(511, "FailedWorkloadDatabaseInNoArchiveLog", False, message("the database does not archive its logs"), _DATABASE),
    Code(512, "FailedWorkloadLogModeChanged", True, message("the database changed its log mode meanwhile"), _DATABASE),
    Code(555, "HostNoResponse", True, message("168.63.129.16 did not answer the snapshot request (in telemetry, no final code)"),
         message("check 168.63.129.16:80"), "ExtensionSnapshotFailedNoNetwork"),
    Code(556, "FailedHostSnapshotRemoteServerError", True, message("the backup service of the host failed or does not run there"),
         message("nothing on the VM; start another backup; the status may stay at code 4"), _FAILED),
    Code(557, "HostEmptyResponse", True, message("the host answered with nothing (in telemetry, no final code)"),
         message("start another backup")),
    Code(558, "HostException", True, message("the request to the host raised an exception (in telemetry, no final code)"),
         message("check 168.63.129.16:80"), "ExtensionSnapshotFailedNoNetwork"),
    Code(761, "FailedRetryableSnapshotFailedRestrictedNetwork", True,
         message("some disks' snapshots failed: only a part gets through"),
         message("a firewall or proxy lets a part through: open 168.63.129.16:80, or all of storage on port 443"),
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
    return Code(number if number is not None else -1, "unknown", True, say("the code is not known"),
                say("read the end of extension.log"), _FAILED)
