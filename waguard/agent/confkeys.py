"""Every key the agent reads from waagent.conf, its kind and the default of the code (not of the shipped files).

Source: azurelinuxagent/common/conf.py at 2.15.0.1; for what is gone, config/**/waagent.conf and older tags. Where the
table behind `-show-configuration` and the getter that is really called differ, the getter counts here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Union

Value = Union[bool, int, str, None]


class Kind(Enum):
    """How the agent reads a value."""

    SWITCH = "switch"
    """`y` or `n` in any case; anything else is the default."""
    INTEGER = "integer"
    """Python's int(); anything else is the default."""
    STRING = "string"
    """Any text, as it stands."""


class Standing(Enum):
    """What became of a key."""

    READ = "read"
    UNLISTED = "unlisted"
    """Read, but in no table: `waagent -show-configuration` leaves it out."""
    LEGACY = "legacy"
    """Still read, but superseded by another key."""
    UNREAD = "unread"
    """In a table, but nothing calls for it: it has no effect."""
    REMOVED = "removed"
    """Gone from the code, still found in files: it has no effect."""


@dataclass(frozen=True)
class Key:
    """One key. `default` is what the agent uses without it; `same_as` names the key whose value is the default then."""

    name: str
    kind: Kind
    default: Value
    standing: Standing = Standing.READ
    same_as: str = ""
    note: str = ""


_SWITCHES: tuple[tuple[str, bool], ...] = (
    ("DetectScvmmEnv", False),
    ("EnableOverProvisioning", True),
    ("Extensions.Enabled", True),
    ("Extensions.WaitForCloudInit", False),
    ("Logs.Collect", True),
    ("Logs.Console", True),
    ("Logs.Verbose", False),
    ("ResourceDisk.EnableSwap", False),
    ("ResourceDisk.EnableSwapEncryption", False),
    ("ResourceDisk.Format", False),
    ("OS.AllowHTTP", False),
    ("OS.EnableFIPS", False),
    ("OS.EnableFirewall", False),
    ("OS.EnableRDMA", False),
    ("OS.UpdateRdmaDriver", False),
    ("Provisioning.AllowResetSysUser", False),
    ("Provisioning.DecodeCustomData", False),
    ("Provisioning.DeleteRootPassword", False),
    ("Provisioning.ExecuteCustomData", False),
    ("Provisioning.MonitorHostName", False),
    ("Provisioning.RegenerateSshHostKeyPair", False),
    ("Debug.CgroupDisableOnProcessCheckFailure", True),
    ("Debug.CgroupDisableOnQuotaCheckFailure", True),
    ("Debug.CgroupLogMetrics", False),
    ("Debug.EnableAgentMemoryUsageCheck", False),
    ("Debug.EnableExtensionPolicy", False),
    ("Debug.EnableFastTrack", True),
    ("Debug.EnableGAVersioning", True),
    ("Debug.EnableSignatureValidation", False),
)

_STRINGS: tuple[tuple[str, str | None], ...] = (
    ("AutoUpdate.GAFamily", "Prod"),
    ("DVD.MountPoint", "/mnt/cdrom/secure"),
    ("HttpProxy.Host", None),
    ("Lib.Dir", "/var/lib/waagent"),
    ("OS.HomeDir", "/home"),
    ("OS.OpensslPath", "/usr/bin/openssl"),
    ("OS.PasswordPath", "/etc/shadow"),
    ("OS.RootDeviceScsiTimeout", None),
    ("OS.SshDir", "/etc/ssh"),
    ("OS.SudoersDir", "/etc/sudoers.d"),
    ("Pid.File", "/var/run/waagent.pid"),
    ("Policy.PolicyFilePath", "/etc/waagent_policy.json"),
    ("Protocol.EndpointDiscovery", "dhcp"),
    ("Provisioning.Agent", "auto"),
    ("Provisioning.PasswordCryptId", "6"),
    ("Provisioning.SshHostKeyPairType", "rsa"),
    ("ResourceDisk.Filesystem", "ext3"),
    ("ResourceDisk.MountOptions", None),
    ("ResourceDisk.MountPoint", "/mnt/resource"),
)

_INTEGERS: tuple[tuple[str, int | None], ...] = (
    ("Autoupdate.Frequency", 3600),
    ("Extensions.GoalStatePeriod", 6),
    ("HttpProxy.Port", None),
    ("Logs.CollectPeriod", 3600),
    ("OS.MonitorDhcpClientRestartPeriod", 30),
    ("OS.RemovePersistentNetRulesPeriod", 30),
    ("OS.RootDeviceScsiTimeoutPeriod", 30),
    ("Provisioning.MonitorHostNamePeriod", 30),
    ("Provisioning.PasswordCryptSaltLength", 10),
    ("ResourceDisk.SwapSizeMB", 0),
    ("Debug.AgentCpuThrottledTimeThreshold", 120),
    ("Debug.AgentMemoryQuota", 30 * 1024**2),
    ("Debug.CgroupCheckPeriod", 300),
    ("Debug.EtpCollectionPeriod", 300),
    ("Debug.FirewallRulesLogPeriod", 86400),
    ("Debug.LogCollectorInitialDelay", 300),
)

_SPECIAL: tuple[Key, ...] = (
    Key("AutoUpdate.Enabled", Kind.SWITCH, True, Standing.LEGACY,
        note="superseded by AutoUpdate.UpdateToLatestVersion in 2.10; n runs the installed agent"),
    Key("AutoUpdate.UpdateToLatestVersion", Kind.SWITCH, True, same_as="AutoUpdate.Enabled",
        note="2.10 and newer; n keeps the newest agent already downloaded and fetches no more"),
    Key("Extension.LogDir", Kind.STRING, "/var/log/azure", note="singular: Extension, not Extensions"),
    Key("Extensions.InitialGoalStatePeriod", Kind.INTEGER, 6, same_as="Extensions.GoalStatePeriod"),
    Key("Extensions.WaitForCloudInitTimeout", Kind.INTEGER, 3600,
        note="the getter reads it as a switch, so a number in the file is never used"),
    Key("OS.CheckRdmaDriver", Kind.SWITCH, True, note="n in the table; the getter's default is y"),
    Key("Debug.EnableCgroupV2ResourceLimiting", Kind.SWITCH, True,
        note="n in the table; the getter's default is y (n in both before 2.13)"),
    Key("OS.EnableFirewallPeriod", Kind.INTEGER, 300, note="30 before 2.8"),
    Key("Debug.AgentCpuQuota", Kind.INTEGER, 50, note="75 before 2.9"),
    Key("OS.SshClientAliveInterval", Kind.INTEGER, 180,
        note="the getter takes any text as it stands and writes it into sshd_config"),
    Key("Debug.AutoUpdateHotfixFrequency", Kind.INTEGER, 14400, Standing.UNREAD,
        note="the getter reads Debug.SelfUpdateHotfixFrequency"),
    Key("Debug.AutoUpdateNormalFrequency", Kind.INTEGER, 86400, Standing.UNREAD,
        note="the getter reads Debug.SelfUpdateRegularFrequency"),
    Key("CGroups.Enabled", Kind.SWITCH, True, Standing.UNLISTED),
    Key("Monitor.NetworkConfigurationChanges", Kind.SWITCH, False, Standing.UNLISTED),
    Key("Debug.SelfUpdateHotfixFrequency", Kind.INTEGER, 14400, Standing.UNLISTED),
    Key("Debug.SelfUpdateRegularFrequency", Kind.INTEGER, 86400, Standing.UNLISTED),
    Key("Debug.EnableRsmDowngrade", Kind.SWITCH, False, Standing.UNLISTED),
    Key("Extensions.GoalStateHistoryCleanupPeriod", Kind.INTEGER, 1800, Standing.REMOVED, note="read by 2.2.49 to 2.7"),
    Key("Debug.CgroupMonitorExpiryTime", Kind.STRING, "2022-03-31", Standing.REMOVED, note="read by 2.6 to 2.12"),
    Key("Debug.CgroupMonitorExtensionName", Kind.STRING, "Microsoft.Azure.Monitor.AzureMonitorLinuxAgent",
        Standing.REMOVED, note="read by 2.6 to 2.12"),
    Key("Provisioning.Enabled", Kind.SWITCH, True, Standing.REMOVED, note="Provisioning.Agent replaced it in 2.2.45"),
    Key("Provisioning.UseCloudInit", Kind.SWITCH, False, Standing.REMOVED,
        note="Provisioning.Agent replaced it in 2.2.45"),
    Key("CGroups.EnforceLimits", Kind.SWITCH, False, Standing.REMOVED, note="read up to 2.2.54"),
    Key("CGroups.Excluded", Kind.STRING, "customscript,runcommand", Standing.REMOVED, note="read up to 2.2.54"),
    Key("OS.SshdConfigPath", Kind.STRING, "/etc/ssh/sshd_config", Standing.REMOVED, note="OS.SshDir replaced it"),
    Key("Home.Dir", Kind.STRING, "/home", Standing.REMOVED, note="the key that is read is OS.HomeDir"),
    Key("LBProbeResponder", Kind.STRING, None, Standing.REMOVED),
    Key("Network.Interface", Kind.STRING, None, Standing.REMOVED),
    Key("Role.ConfigurationConsumer", Kind.STRING, None, Standing.REMOVED),
    Key("Role.StateConsumer", Kind.STRING, None, Standing.REMOVED),
    Key("Role.TopologyConsumer", Kind.STRING, None, Standing.REMOVED),
)


def _keys() -> dict[str, Key]:
    keys = [Key(name, Kind.SWITCH, switch) for name, switch in _SWITCHES]
    keys += [Key(name, Kind.STRING, text) for name, text in _STRINGS]
    keys += [Key(name, Kind.INTEGER, number) for name, number in _INTEGERS]
    keys += _SPECIAL
    return {key.name: key for key in keys}


KEYS = _keys()
"""Every key by name. Names are case-sensitive, and not all of them are spelt alike (Autoupdate.Frequency)."""
