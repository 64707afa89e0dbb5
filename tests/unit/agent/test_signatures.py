"""Each known condition is told by its real lines, and what healthy machines write is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import signatures
from waguard.agent.signatures import BENIGN, COMMAND, EXTENSION, SHELL, SIGNATURES, SOURCES, WAAGENT, Severity, benign, match
from waguard.judge.catalogue import CATALOGUE

EVENT = "Event: name={}, op={}, message={}, duration=0"
VM = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux"
IO = "[HttpError] [HTTP Failed] GET http://168.63.129.16/machine/ -- IOError timed out -- 6 attempts made"

LINES = [
    (WAAGENT, "no-space", "Failed to save GoalState.xml to the goal state history: [Errno 28] No space left on device [no additional errors saving the goal state will be reported]"),
    (EXTENSION, "no-space", "Status file creation failed with error: [Errno 28] No space left on device, stack trace: x"),
    (COMMAND, "read-only", "[stderr]\ntouch: cannot touch '/etc/azure/x': Read-only file system"),
    (WAAGENT, "status-not-reported", EVENT.format("WALinuxAgent", "ReportStatusExtended", "Failed to report vm agent status for more than 0:15:00")),
    (WAAGENT, "status-report-failed", EVENT.format("WALinuxAgent", "ExtensionProcessing", "Failed to report vm agent status: [ProtocolError] Failed to upload status blob via either channel")),
    (WAAGENT, "status-report-failed", EVENT.format("WALinuxAgent", "ExtensionProcessing", f"Failed to report vm agent status: [ProtocolError] [Wireserver Exception] {IO}")),
    (WAAGENT, "wireserver-unreachable", f"Error fetching the goal state: [ProtocolError] [Wireserver Exception] {IO}"),
    (WAAGENT, "wireserver-unreachable", f"Fetching the goal state is still failing: [ProtocolError] [Wireserver Exception] {IO.replace('timed out', '[Errno 113] No route to host')}"),
    (WAAGENT, "wireserver-unreachable", "WireServer is not responding. Reset dhcp endpoint"),
    (WAAGENT, "wireserver-error", "Error fetching the goal state: [ProtocolError] [Wireserver Failed] URI http://168.63.129.16/machine/ [HTTP Failed] Status Code 500"),
    (WAAGENT, "certificates-failed", "Failed to decrypt /var/lib/waagent/Certificates.p7m (return code: 4)"),
    (EXTENSION, "certificates-failed", "T:S Failed to decrypt protected settings using both CMS and SMIME commands"),
    (WAAGENT, "hostplugin-failing", "GET vmSettings [correlation ID: 1 eTag: 2]: [HTTP Failed] [403: Forbidden] b'{  \"errorCode\": \"AccessDenied\""),
    (WAAGENT, "hostplugin-failing", "HostGAPlugin: Exception Get API versions: [HttpError] [HTTP Failed] GET http://168.63.129.16:32526/versions -- IOError timed out"),
    (WAAGENT, "goal-state-failing", "An error occurred while retrieving the goal state: [ProtocolError] x"),
    (WAAGENT, "goal-state-failing", "[PERIODIC] Attempts to retrieve the goal state are failing: x"),
    (WAAGENT, "goal-state-failing", "Exceeded max retry updating goal state"),
    (WAAGENT, "goal-state-recovered", "Fetching the goal state recovered from previous errors. Fetched G (certificates: ['x'])"),
    (WAAGENT, "imds-unreachable", "[PERIODIC] [IMDS_CONNECTION_ERROR] Unable to connect to IMDS endpoint 169.254.169.254"),
    (WAAGENT, "no-route-to-wireserver", "No route exists to 168.63.129.16"),
    (WAAGENT, "dhcp-failed", "Failed to send DHCP request: [DhcpError] Failed to receive dhcp response."),
    (WAAGENT, "protocol-not-found", "Protocol endpoint not found: [ProtocolError] x"),
    (WAAGENT, "protocol-not-found", "Protocol endpoint (10.0.0.1) is not known wireserver ip: 168.63.129.16"),
    (WAAGENT, "download-failed", "Failed to download manifest from all URIs. Last error: x"),
    (WAAGENT, "noexec", "The noexec flag is set on /var. This can prevent extensions from executing."),
    (COMMAND, "noexec", "[ExtensionOperationError] Non-zero exit code: 126, /var/lib/waagent/x/main/handle.sh enable"),
    (SHELL, "handler-python-broken", "python version unknown"),
    (SHELL, "handler-python-broken", "1 returned from handle.py"),
    (SHELL, "handler-python-broken", "3 returned from handle.py"),
    (COMMAND, "handler-python-broken", "Command: main/handle.sh enable\n[stderr]\nModuleNotFoundError: No module named 'imp'"),
    (WAAGENT, "extension-failed", EVENT.format(VM, "Enable", "[ExtensionOperationError] Non-zero exit code: 51, main/handle.sh enable\n[stdout]\n")),
    (WAAGENT, "extension-failed", EVENT.format("X", "Enable", "[ExtensionError] Timeout(300): main/handle.sh enable")),
    (WAAGENT, "extension-failed", "Extension status: [('X', 'error')]"),
    (WAAGENT, "extensions-disabled", "Extension 'X' will not be processed since extension processing is disabled. To enable extension processing, set Extensions.Enabled=y"),
    (WAAGENT, "agent-version-disabled", "Agent WALinuxAgent-2.15.0.1 is permanently disabled"),
    (WAAGENT, "agent-version-disabled", "Agent WALinuxAgent-2.2.46 is permanently blacklisted"),
    (WAAGENT, "agent-version-disabled", EVENT.format("WALinuxAgent", "Enable", "Agent WALinuxAgent-2.15.0.1 restarted more than 3 times in 300 seconds")),
    (WAAGENT, "agent-update-failed", "[SelfUpdate] Unable to download Agent WALinuxAgent-2.15.0.1"),
    (WAAGENT, "agent-update-failed", "Attempted enough update retries for version: 2.15.0.1"),
    (WAAGENT, "agent-crashed", "Agent WALinuxAgent-2.15.0.1 launched with command 'python3 -u x.egg' failed with return code: 1"),
    (WAAGENT, "agent-crashed", "Agent WALinuxAgent-2.15.0.1 failed with exception: boom"),
    (WAAGENT, "agent-crashed", "Agent did not terminate cleanly: x"),
    (WAAGENT, "agent-crashed", "Daemon ended with exception -- Sleep 15 seconds and restart daemon"),
    (WAAGENT, "agent-thread-died", "MonitorHandler thread died, restarting"),
    (WAAGENT, "agent-thread-died", "An error occurred in the monitor thread; will exit the thread."),
    (WAAGENT, "agent-limited", "The agent has been throttled for 130.2 seconds"),
    (WAAGENT, "agent-limited", "Agent WALinuxAgent-2.15.0.1 is reached memory limit -- exiting"),
    (WAAGENT, "firewall-reset", "The firewall is not configured correctly. The following rules are missing: ['DROP']. Will reset it."),
    (EXTENSION, "freeze-failed", "Failed to FIFREEZE: /mnt/data with error message: Device or resource busy"),
    (EXTENSION, "freeze-failed", "Failed to open file or aquire lock: [Errno 11] Resource temporarily unavailable"),
    (EXTENSION, "freeze-timed-out", "T:S ###### Enable failed with error: freeze took longer than timeout StatusCode.FailedRetryableFsFreezeTimeout,"),
    (EXTENSION, "mount-not-openable", "Failed to open: /mnt/nfs with error: -1 and error message: Stale file handle"),
    (EXTENSION, "freezer-missing", "safefreeze binary is missing in the following path /var/lib/waagent/x"),
    (EXTENSION, "thaw-late", "Failed to receive timely Thaw from parent process"),
    (EXTENSION, "thaw-late", "Failed to FITHAW: / with error message : Device or resource busy"),
    (EXTENSION, "snapshot-host-failed", "presnapshot Hitting wrong WireServer IP"),
    (EXTENSION, "snapshot-host-failed", "Failed to do the snapshot in host with error: x"),
    (EXTENSION, "snapshot-no-network", "T:S Enable failed with FailedRetryableSnapshotFailedNoNetwork error"),
    (EXTENSION, "snapshot-limit", "The rate of snapshot blob calls is exceeded"),
    (EXTENSION, "snapshot-too-late", "CRP timeout limit has reached, will not take snapshot."),
    (EXTENSION, "snapshot-status-unwritten", "cannot get status report parameters , Exception x"),
    (EXTENSION, "snapshot-no-settings", "Unable to locate a .settings file!"),
    (EXTENSION, "scripts-failed", "T:S Enable failed with error: x StatusCode.FailedPrepostPreScriptFailed,"),
    (EXTENSION, "mounts-slow", "df command executed for process wait time value0"),
    (EXTENSION, "snapshot-succeeded", "Enable,success,1,Enable Succeeded"),
    (EXTENSION, "snapshot-succeeded", "doFreezeSnapshot : run_result - 1 run_status - success"),
]

HEALTHY = [
    (WAAGENT, "Move rules file 75-persistent-net-generator.rules to /var/lib/waagent/75-persistent-net-generator.rules"),
    (WAAGENT, "Dhcp client is not running."),
    (WAAGENT, "Error fetching the goal state: [ProtocolError] GET vmSettings [correlation ID: 1 eTag: 2]: Timeout"),
    (WAAGENT, "Error fetching the goal state: [ProtocolError] Error fetching goal state Inner error: [ResourceGoneError] [HTTP Failed] [410: Gone] x"),
    (WAAGENT, "Error in SendHostPluginHeartbeat: [HttpError] [HTTP Failed] GET http://168.63.129.16:32526/health -- IOError timed out -- 1 attempts made --- [NOTE: Will not log the same error for the next hour]"),
    (WAAGENT, "The firewall is not configured correctly. The following rules are missing: ['ACCEPT DNS']. Will reset it."),
    (WAAGENT, "Fetch failed: [HttpError] [HTTP Failed] GET https://x.blob.core.windows.net/y -- IOError timed out -- 1 attempts made"),
    (WAAGENT, EVENT.format("WALinuxAgent", "ReportEventErrors", f"DroppedEventsCount: 1\nReasons: [ProtocolError] [Wireserver Exception] {IO}")),
    (WAAGENT, "[CGW] cpu controller is not enabled; will not track"),
    (WAAGENT, "Unable to load distro implementation for azurelinux. Using default distro implementation instead."),
    (WAAGENT, "[HEARTBEAT] Agent WALinuxAgent-2.15.0.1 is running as the goal state agent [DEBUG HeartbeatCounter: 0;UpdateGSErrors: 0;]"),
    (WAAGENT, "Agent WALinuxAgent-2.15.0.1 forwarding signal 15 to WALinuxAgent-2.15.0.1"),
    (WAAGENT, "Agent WALinuxAgent-2.7.3.0 launched with command 'x' returned code: 0"),
    (WAAGENT, "[SelfUpdate] Agent WALinuxAgent-2.15.0.1 is up to date"),
    (WAAGENT, "Extension status: [('X', 'success')]"),
    (WAAGENT, "Wire server endpoint:168.63.129.16"),
    # At every first start, before any DHCP was asked (common/protocol/util.py).
    (WAAGENT, "WireServer endpoint is not found. Rerun dhcp handler"),
    (WAAGENT, "Failed to upload logs. Error: [ProtocolError] HostGAPlugin: HostGAPlugin is not available"),
    (WAAGENT, "Extension 'X' is already enabled"),
    (EXTENSION, "Triggering File System Consistent Backup because of error code StatusCode.FailedPrepostPluginConfigNotFound,"),
    (EXTENSION, "Plugin host file does not exist in the location /etc/azure/VMSnapshotScriptPluginConfig.json"),
    (EXTENSION, "Failed to FITHAW: /mnt with error message : Invalid argument"),
    (EXTENSION, "blob failed to write"),
    (EXTENSION, "waagent old path is used"),
    (EXTENSION, "error running `systemctl is-system-running`: Command returned non-zero exit status 1."),
    (EXTENSION, "starting enable"),
    (SHELL, "0 returned from handle.py"), (SHELL, "/usr/bin/python3.8 path exists"),
    (COMMAND, "Command: main/handle.sh enable\n[stdout]\n[stderr]\n"),
]


@pytest.mark.parametrize(("source", "name", "text"), LINES)
def test_a_condition_is_told_by_its_line(source: str, name: str, text: str) -> None:
    found = match(source, text, "ERROR")
    assert found is not None and found.id == name


def test_each_of_them_is_told_by_some_line_above() -> None:
    told = {name for _, name, _ in LINES} | {"status-reported"}
    assert told == {known.id for known in SIGNATURES}


@pytest.mark.parametrize(("source", "text"), HEALTHY)
def test_what_healthy_machines_write_is_none(source: str, text: str) -> None:
    assert match(source, text, "WARNING") is None


def test_each_benign_entry_has_its_line() -> None:
    for sources, held, pattern in BENIGN:
        texts = [text for source, text in HEALTHY if source in sources] + [
            "Fetched goal state without a RoleInstance", "process is not within a memory cgroup", "Could not mount cgroups: [Errno 1] x",
            "URI http://168.63.129.16/machine?comp=telemetrydata", "Failed to send events:[ResourceGoneError]", "Failed to get blob properties with error: x",
            "Unable to setup the persistent firewall rules: [Errno 30] Read-only file system: 'x'", "Failed to committing the log with error: x",
            "cannot write status to the status blob", "Failed to construct ConfigurationProvider, which may be due to the old code"]
        assert any(held in text and (pattern is None or pattern.search(text)) and benign(sources[0], text) for text in texts), held


@pytest.mark.parametrize("text", ["Completed vm agent status report successfully", "Completed vm agent status report"])
def test_success_of_a_report_is_told_at_level_verbose_only(text: str) -> None:
    found = match(WAAGENT, text, "VERBOSE")
    assert found is not None and found.id == "status-reported" and match(WAAGENT, text, "INFO") is None


def test_nothing_else_is_told_at_level_verbose() -> None:
    assert match(WAAGENT, "Failed to report vm agent status: x", "VERBOSE") is None


def test_words_of_one_log_mean_nothing_in_another() -> None:
    assert match(SHELL, "Failed to FIFREEZE: /", "") is None and match(COMMAND, "CRP timeout limit has reached", "") is None


def test_the_table_keeps_its_promises() -> None:
    """Ids are labels of a metric: few and plain. Rows with one id are of different sources and mean the same to people."""
    assert len(signatures.BY_ID) <= 40
    seen = set()
    for known in SIGNATURES:
        assert known.id.replace("-", "").isalnum() and known.id == known.id.lower() and known.meaning[0].islower()
        assert known.finding == "" or known.finding in CATALOGUE
        assert known.holds and all(len(text) > 3 for text in known.holds) and set(known.sources) <= set(SOURCES)
        assert not seen & {(known.id, source) for source in known.sources}
        seen |= {(known.id, source) for source in known.sources}
        assert known.severity in Severity


@given(st.sampled_from(SOURCES), st.text(max_size=400) | st.sampled_from([text for _, _, text in LINES]), st.sampled_from(["", "INFO", "VERBOSE"]))
def test_any_text_has_one_or_none(source: str, text: str, level: str) -> None:
    found = match(source, text, level)
    assert found is None or source in found.sources


def test_the_hints_find_all_that_the_table_holds() -> None:
    """They are a search of their own, for speed."""
    for known in SIGNATURES:
        for source in known.sources:
            for text in known.holds:
                assert known.verbose or signatures._HINTS[source].search(f"before {text} after")
