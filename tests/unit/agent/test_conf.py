"""The grammar of waagent.conf, against the rules of the fact sheet and against a second reading of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waguard.agent import conf
from waguard.agent.conf import Kind, Standing

from .strategies import ALL_KEYS, FILES


def agent_reads(data: bytes) -> dict[str, str | None]:
    """The rules of facts §3.1 a second time, as plainly as they are told there."""
    values: dict[str, str | None] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        if line[:1] == "#" or "=" not in line:
            continue
        at = line.index("=")
        value = line[at + 1 :].split("#")[0]
        while value[:1] in ('"', " ") and value:
            value = value[1:]
        while value[-1:] in ('"', " ") and value:
            value = value[:-1]
        value = value.strip()
        values[line[:at].strip()] = None if value == "None" else value
    return values


@settings(max_examples=200)
@given(FILES)
def test_any_bytes_parse_as_the_agent_reads_them(data: bytes) -> None:
    parsed = conf.parse(data)
    expected = agent_reads(data)
    assert {found.key for found in parsed.assignments} == set(expected)
    for key, value in expected.items():
        assert parsed.raw(key) == value
        assert parsed.present(key) is (value is not None)
    lines = data.split(b"\n")
    for found in parsed.assignments:
        assert b"=" in lines[found.line - 1]
        assert not lines[found.line - 1].startswith(b"#")


@given(FILES)
def test_every_getter_answers_for_any_file(data: bytes) -> None:
    parsed = conf.parse(data)
    for name, key in conf.KEYS.items():
        effective = parsed.effective(name)
        assert parsed.value(name) == effective.value
        assert effective.line is None or parsed.assignment(name) is not None
        if key.kind is Kind.SWITCH:
            assert parsed.switch(name) is effective.value
        elif key.kind is Kind.STRING:
            assert parsed.string(name) == effective.value
        elif name != "OS.SshClientAliveInterval":
            assert parsed.integer(name) == effective.value
    for problem in conf.lint(parsed):
        assert 1 <= problem.line <= data.count(b"\n") + 1
        assert problem.message.isprintable()
        assert problem.message.endswith((".", "?"))


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        (b"Logs.Verbose=y", "Logs.Verbose", "y"),
        (b"  Logs.Verbose \t=  y  ", "Logs.Verbose", "y"),
        (b"Logs.Verbose=y # why not", "Logs.Verbose", "y"),
        (b"Logs.Verbose=y#n", "Logs.Verbose", "y"),
        (b'Logs.Verbose="y"', "Logs.Verbose", "y"),
        (b'Logs.Verbose=" y "', "Logs.Verbose", "y"),
        (b'Logs.Verbose= "" y ', "Logs.Verbose", "y"),
        (b"Logs.Verbose='y'", "Logs.Verbose", "'y'"),
        (b"Logs.Verbose=y\r", "Logs.Verbose", "y"),
        (b'Logs.Verbose="y"\r', "Logs.Verbose", 'y"'),
        (b'Logs.Verbose="y"\t', "Logs.Verbose", 'y"'),
        (b'Logs.Verbose=\t"y"', "Logs.Verbose", '"y'),
        (b"a=b=c", "a", "b=c"),
        (b"a=", "a", ""),
        (b'a=""', "a", ""),
        (b"a=None", "a", None),
        (b'a="None"', "a", None),
        (b"a=none", "a", "none"),
        (b"a=None # x", "a", None),
        (b" # Foo=y", "# Foo", "y"),
        (b"\t#Foo=y", "#Foo", "y"),
        (b"=y", "", "y"),
        (b"\xef\xbb\xbfa=y", "\ufeffa", "y"),
        (b"a=\x00", "a", "\x00"),
        (b"a=\xff", "a", "\udcff"),
        (b"a=\xc2\xa0y\xc2\x85", "a", "y"),
        (b"a=x\ry", "a", "x\ry"),
    ],
)
def test_lines(line: bytes, key: str, value: str | None) -> None:
    (found,) = conf.parse(line).assignments
    assert (found.key, found.value, found.line) == (key, value, 1)


@pytest.mark.parametrize("line", [b"", b"#Logs.Verbose=y", b"# a=b", b"Logs.Verbose", b"Logs.Verbose y", b"\r", b"[x]"])
def test_lines_that_set_nothing(line: bytes) -> None:
    assert conf.parse(line + b"\n" + line).assignments == ()


def test_last_duplicate_wins_even_when_it_is_none() -> None:
    parsed = conf.parse(b"Logs.Verbose=y\nx=1\nLogs.Verbose=None\n")
    assert parsed.raw("Logs.Verbose") is None
    assert parsed.effective("Logs.Verbose") == conf.Effective(False, None)
    parsed = conf.parse(b"Logs.Verbose=n\n\nLogs.Verbose=y")
    assert parsed.effective("Logs.Verbose") == conf.Effective(True, 3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("y", True), ("Y", True), ("n", False), ("N", False), ("yes", True), ("true", True), ("1", True), ("no", True),
     ("", True), ("None", True), ('"n"', False)],
)
def test_switches(value: str, expected: bool) -> None:
    assert conf.parse(f"Extensions.Enabled={value}".encode()).switch("Extensions.Enabled") is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("30", 30), ("-1", -1), ("+5", 5), ("0_7", 7), ("6s", 6), ("6.0", 6), ("", 6), ("None", 6), ("0x10", 6),
     ("٣", 3), ("9" * 4301, 6), ("9" * 200_000, 6)],
)
def test_integers(value: str, expected: int) -> None:
    parsed = conf.parse(f"Extensions.GoalStatePeriod={value}".encode())
    assert parsed.integer("Extensions.GoalStatePeriod") == expected


DEFAULTS = {
    "AutoUpdate.Enabled": True, "AutoUpdate.UpdateToLatestVersion": True, "DetectScvmmEnv": False,
    "EnableOverProvisioning": True, "Extensions.Enabled": True, "Extensions.WaitForCloudInit": False,
    "Logs.Collect": True, "Logs.Console": True, "Logs.Verbose": False, "ResourceDisk.EnableSwap": False,
    "ResourceDisk.EnableSwapEncryption": False, "ResourceDisk.Format": False,
    "Debug.CgroupDisableOnProcessCheckFailure": True, "Debug.CgroupDisableOnQuotaCheckFailure": True,
    "Debug.CgroupLogMetrics": False, "Debug.EnableAgentMemoryUsageCheck": False,
    "Debug.EnableSignatureValidation": False, "OS.AllowHTTP": False, "OS.CheckRdmaDriver": True, "OS.EnableFIPS": False,
    "OS.EnableFirewall": False, "OS.EnableRDMA": False, "OS.UpdateRdmaDriver": False,
    "Provisioning.AllowResetSysUser": False, "Provisioning.DecodeCustomData": False,
    "Provisioning.DeleteRootPassword": False, "Provisioning.ExecuteCustomData": False,
    "Provisioning.MonitorHostName": False, "Provisioning.RegenerateSshHostKeyPair": False,
    "Debug.EnableCgroupV2ResourceLimiting": True, "Debug.EnableExtensionPolicy": False, "Debug.EnableFastTrack": True,
    "Debug.EnableGAVersioning": True, "AutoUpdate.GAFamily": "Prod", "DVD.MountPoint": "/mnt/cdrom/secure",
    "Extension.LogDir": "/var/log/azure", "HttpProxy.Host": None, "Lib.Dir": "/var/lib/waagent", "OS.HomeDir": "/home",
    "OS.OpensslPath": "/usr/bin/openssl", "OS.PasswordPath": "/etc/shadow", "ResourceDisk.Filesystem": "ext3",
    "ResourceDisk.MountOptions": None, "OS.RootDeviceScsiTimeout": None, "OS.SshDir": "/etc/ssh",
    "OS.SudoersDir": "/etc/sudoers.d", "Pid.File": "/var/run/waagent.pid",
    "Policy.PolicyFilePath": "/etc/waagent_policy.json", "Protocol.EndpointDiscovery": "dhcp",
    "Provisioning.Agent": "auto", "Provisioning.PasswordCryptId": "6", "Provisioning.SshHostKeyPairType": "rsa",
    "ResourceDisk.MountPoint": "/mnt/resource", "Autoupdate.Frequency": 3600, "Extensions.GoalStatePeriod": 6,
    "Extensions.InitialGoalStatePeriod": 6, "Extensions.WaitForCloudInitTimeout": 3600, "HttpProxy.Port": None,
    "Logs.CollectPeriod": 3600, "ResourceDisk.SwapSizeMB": 0, "Debug.AgentCpuQuota": 50,
    "Debug.AgentCpuThrottledTimeThreshold": 120, "Debug.AgentMemoryQuota": 31457280,
    "Debug.AutoUpdateHotfixFrequency": 14400, "Debug.AutoUpdateNormalFrequency": 86400, "OS.EnableFirewallPeriod": 300,
    "OS.MonitorDhcpClientRestartPeriod": 30, "OS.RemovePersistentNetRulesPeriod": 30,
    "OS.RootDeviceScsiTimeoutPeriod": 30, "OS.SshClientAliveInterval": 180, "Provisioning.MonitorHostNamePeriod": 30,
    "Provisioning.PasswordCryptSaltLength": 10, "Debug.CgroupCheckPeriod": 300, "Debug.EtpCollectionPeriod": 300,
    "Debug.FirewallRulesLogPeriod": 86400, "Debug.LogCollectorInitialDelay": 300, "CGroups.Enabled": True,
    "Monitor.NetworkConfigurationChanges": False, "Debug.SelfUpdateHotfixFrequency": 14400,
    "Debug.SelfUpdateRegularFrequency": 86400, "Debug.EnableRsmDowngrade": False,
}
"""Facts §3.2, the getter's default where it differs from the table's."""


def test_the_table_of_keys_is_that_of_the_fact_sheet() -> None:
    live = {name: key.default for name, key in conf.KEYS.items() if key.standing is not Standing.REMOVED}
    assert live == DEFAULTS
    for parsed in (conf.parse(b""), conf.parse(b"\n")):
        assert {name: parsed.value(name) for name in live} == DEFAULTS
        assert all(parsed.effective(name).line is None for name in conf.KEYS)


def test_kinds_fit_their_defaults() -> None:
    for key in conf.KEYS.values():
        kinds = {Kind.SWITCH: bool, Kind.INTEGER: int, Kind.STRING: str}
        assert key.default is None or type(key.default) is kinds[key.kind], key
        assert not key.same_as or conf.KEYS[key.same_as].kind is key.kind
    assert conf.KEYS["Provisioning.Enabled"].standing is Standing.REMOVED
    assert conf.KEYS["AutoUpdate.Enabled"].standing is Standing.LEGACY
    assert conf.KEYS["CGroups.Enabled"].standing is Standing.UNLISTED


def test_defaults_that_follow_another_key() -> None:
    parsed = conf.parse(b"Extensions.GoalStatePeriod=30\nAutoUpdate.Enabled=n\n")
    assert parsed.effective("Extensions.InitialGoalStatePeriod") == conf.Effective(30, None)
    assert parsed.effective("AutoUpdate.UpdateToLatestVersion") == conf.Effective(False, None)
    parsed = conf.parse(b"AutoUpdate.Enabled=n\nAutoUpdate.UpdateToLatestVersion=y")
    assert parsed.switch("AutoUpdate.UpdateToLatestVersion") is True


def test_getters_that_are_not_what_they_seem() -> None:
    parsed = conf.parse(b"Extensions.WaitForCloudInitTimeout=60\nOS.SshClientAliveInterval=often\n")
    assert parsed.integer("Extensions.WaitForCloudInitTimeout") == 3600
    assert parsed.value("OS.SshClientAliveInterval") == "often"
    assert conf.parse(b"OS.SshClientAliveInterval=60").integer("OS.SshClientAliveInterval") == 60


def test_typed_getters_refuse_other_keys() -> None:
    parsed = conf.parse(b"Foo=y\n")
    with pytest.raises(KeyError, match="Foo is no key"):
        parsed.switch("Foo")
    with pytest.raises(KeyError, match="of kind switch, not integer"):
        parsed.integer("Logs.Verbose")
    with pytest.raises(KeyError):
        parsed.string("logs.verbose")
    assert parsed.value("Foo") == "y"
    assert parsed.effective("Foo") == conf.Effective("y", 1)
    assert parsed.effective("Bar") == conf.Effective(None, None)


def test_what_the_agent_refuses() -> None:
    assert conf.parse(b"").empty
    assert "empty" in (conf.parse(b"").error or "")
    assert conf.parse(b"\n").error is None
    latin = conf.parse(b"Logs.Verbose=y\n# caf\xe9\n")
    assert latin.undecodable
    assert "UTF-8" in (latin.error or "")
    assert latin.switch("Logs.Verbose")
    assert conf.parse("# café\n".encode()).error is None
    assert conf.parse(b"\xed\xa0\x80").undecodable


def lint(text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.id) for problem in conf.lint(conf.parse(text.encode()))]


def messages(text: str) -> list[str]:
    return [problem.message for problem in conf.lint(conf.parse(text.encode()))]


DEBIAN_LIKE = """\
#
# Azure Linux Agent Configuration
#
Extensions.Enabled=y
Provisioning.Agent=cloud-init
Provisioning.SshHostKeyPairType=auto
Provisioning.MonitorHostName=y
ResourceDisk.Format=n
ResourceDisk.Filesystem=ext4
ResourceDisk.MountOptions=None
ResourceDisk.SwapSizeMB=0
Logs.Verbose=n
# Logs.Console=y
Logs.Collect=y
OS.RootDeviceScsiTimeout=300
OS.OpensslPath=None
# HttpProxy.Host=None
HttpProxy.Port=None
AutoUpdate.Enabled=n
OS.EnableFirewall=n
LBProbeResponder=y
Provisioning.Enabled=n
Role.StateConsumer=None
"""


def test_a_shipped_file_is_clean_dead_keys_and_all() -> None:
    assert lint(DEBIAN_LIKE) == []
    assert lint(DEBIAN_LIKE.replace("\n", "\r\n")) == []
    assert lint("") == []


def test_lint_unknown_keys_name_the_nearest() -> None:
    assert lint("Logs.Verbos=y\nlogs.verbose=y\nExtensions.LogDir=/x\nZebra=1\nAutoUpdate.Frequency=1\n") == [
        (n, "conf-unknown-key") for n in range(1, 6)
    ]
    hints = messages("Logs.Verbos=y\nlogs.verbose=y\nExtensions.LogDir=/x\nZebra=1\nAutoUpdate.Frequency=1\n")
    assert "did you mean Logs.Verbose?" in hints[0]
    assert "did you mean Logs.Verbose?" in hints[1]
    assert "did you mean Extension.LogDir?" in hints[2]
    assert "did you mean" not in hints[3]
    assert "did you mean Autoupdate.Frequency?" in hints[4]


def test_lint_lines_that_look_like_something_else() -> None:
    assert "remove the blank" in messages(" # Logs.Verbose=y\n")[0]
    assert "byte-order mark" in messages("\ufeffLogs.Verbose=y\n")[0]
    assert "no key before" in messages("=y\n")[0]
    assert "\\x1b" in messages("\x1b[31m=y\n")[0]
    assert len(messages("k" * 100_000 + "=y\n")[0]) < 300


def test_lint_bad_values() -> None:
    text = "Logs.Verbose=yes\nExtensions.Enabled=true\nOS.EnableFirewallPeriod=5m\nHttpProxy.Port=no\nLogs.Console=\n"
    assert lint(text) == [(n, "conf-bad-value") for n in (1, 2, 3, 4, 5)]
    found = messages(text)
    assert found[0] == "Logs.Verbose=yes is not y or n, so the agent uses its default, n: write y or n."
    assert "its default, y" in found[1]
    assert "not a whole number, so the agent uses its default, 300" in found[2]
    assert "its default, none" in found[3]
    assert lint("Extensions.WaitForCloudInitTimeout=60") == [(1, "conf-bad-value")]
    assert "has no effect" in messages("Extensions.WaitForCloudInitTimeout=60")[0]
    assert lint("Extensions.WaitForCloudInitTimeout=3600") == [], "what the agent does anyway"
    assert lint("Debug.AutoUpdateHotfixFrequency=x\nProvisioning.Enabled=maybe\n") == []
    assert lint("AutoUpdate.Enabled=n\nAutoUpdate.UpdateToLatestVersion=no")[0] == (2, "conf-bad-value")
    assert "its default, n:" in messages("AutoUpdate.Enabled=n\nAutoUpdate.UpdateToLatestVersion=no")[0]


def test_lint_duplicates() -> None:
    assert lint("Logs.Verbose=n\nLogs.Verbose=yes\nLogs.Verbose=y\n") == [(3, "conf-duplicate-key")]
    assert "lines 1, 2 are ignored" in messages("Logs.Verbose=n\nLogs.Verbose=yes\nLogs.Verbose=y\n")[0]
    assert "line 1 is ignored" in messages("a.b=1\na.b=2\n")[0]
    assert "and more" in messages("Logs.Verbose=n\n" * 9)[0]


def test_lint_trailing_comments() -> None:
    assert lint("Logs.Verbose=n # quiet\n") == [(1, "conf-trailing-comment")]
    assert lint("Lib.Dir=/a#b\n") == [(1, "conf-trailing-comment")]
    assert lint("Logs.Verbose=n\n# quiet\n") == []


def test_lint_meaning() -> None:
    assert lint("Extensions.Enabled=N\n") == [(1, "extensions-disabled")]
    assert lint("HttpProxy.Host=proxy\n") == [(1, "proxy-incomplete")]
    assert lint("HttpProxy.Host=None\nHttpProxy.Port=8080\n") == [(2, "proxy-incomplete")]
    assert lint("HttpProxy.Host=proxy\nHttpProxy.Port=8080\n") == []
    assert lint("HttpProxy.Host=proxy\nHttpProxy.Port=None\n") == [(1, "proxy-incomplete")]
    assert lint("HttpProxy.Host=proxy\nHttpProxy.Port=x\n") == [(1, "proxy-incomplete"), (2, "conf-bad-value")]


def test_lint_does_not_choke_on_thousands_of_unknown_keys() -> None:
    problems = conf.lint(conf.parse(b"".join(b"Logs.Verbose%d=y\n" % n for n in range(5000))))
    assert len(problems) == 5000
    assert sum("did you mean" in problem.message for problem in problems) == 20


@given(st.sampled_from(ALL_KEYS), st.text(st.characters(blacklist_characters="\n#", blacklist_categories=["Cs"])))
def test_a_value_that_is_no_problem_is_used(key: str, value: str) -> None:
    parsed = conf.parse(f"{key}={value}".encode())
    ids = {problem.id for problem in conf.lint(parsed)}
    if parsed.present(key) and conf.KEYS[key].standing not in (Standing.REMOVED, Standing.UNREAD):
        assert ("conf-bad-value" in ids) is (parsed.effective(key).line is None)


def test_lint_of_a_file_that_is_no_conf_is_bounded() -> None:
    problems = conf.lint(conf.parse(b"".join(b"%d=\n" % n for n in range(100_000))))
    assert 5000 <= len(problems) <= 5005


def test_every_problem_names_its_key() -> None:
    text = "Logs.Verbos=y\nExtensions.Enabled=n # x\nExtensions.Enabled=N # x\nHttpProxy.Port=x\nHttpProxy.Host=p\n\x1b=y\n=\n"
    found = {(problem.id, problem.key) for problem in conf.lint(conf.parse(text.encode()))}
    assert found == {("conf-unknown-key", "Logs.Verbos"), ("conf-duplicate-key", "Extensions.Enabled"),
                     ("conf-trailing-comment", "Extensions.Enabled"), ("extensions-disabled", "Extensions.Enabled"),
                     ("conf-bad-value", "HttpProxy.Port"), ("proxy-incomplete", "HttpProxy.Host"), ("conf-unknown-key", "\\x1b"), ("conf-unknown-key", "")}


@pytest.mark.parametrize("line", ["HttpProxy.Port=user:hunter2@proxy", "HttpProxy.Port=user:hunter2#@proxy", "Logs.Verbose=sig=hunter2",
                                  "http://user:hunter2@proxy=", "user:hunter2=@proxy", "Logs.Verbose=https://x?hunter2"])
def test_lint_tells_no_secrets(line: str) -> None:
    problems = conf.lint(conf.parse(f"{line}\n{line}".encode()))
    assert problems and "hunter2" not in str(problems)


@pytest.mark.parametrize(("data", "line", "name"), [(b"", 1, "conf-missing"), (b"\xff", 1, "conf-unreadable"), (b"a=b\n\n# caf\xe9\n", 3, "conf-unreadable")])
def test_a_refused_file_has_a_line_and_an_id(data: bytes, line: int, name: str) -> None:
    problem = conf.refusal(conf.parse(data))
    assert problem is not None
    assert (problem.line, problem.id) == (line, name)
    assert "the agent refuses to start" in problem.message


def test_a_usable_file_is_not_refused() -> None:
    assert conf.refusal(conf.parse(b"\n")) is None
    assert conf.refusal(conf.parse("# café\nno sense\n".encode())) is None


@pytest.mark.parametrize(("value", "expected"), [
    ("+" + "9" * 4300, 10**4300 - 1), ("1_" * 4299 + "1", int("1" * 4300)), ("+" + "9" * 4301, 6), ("0" * 4301, 6)],
    ids=["sign", "underscores", "one more", "zeros count"])
def test_the_limit_on_digits_counts_digits(value: str, expected: int) -> None:
    assert conf.parse(f"Extensions.GoalStatePeriod={value}".encode()).integer("Extensions.GoalStatePeriod") == expected


@pytest.mark.parametrize(("value", "expected"), [("60", 60), ("060", "060"), ("+60", "+60"), ("6_0", "6_0"), ("", "")])
def test_an_interval_that_goes_into_sshd_config_goes_as_it_stands(value: str, expected: object) -> None:
    assert conf.parse(f"OS.SshClientAliveInterval={value}".encode()).value("OS.SshClientAliveInterval") == expected
