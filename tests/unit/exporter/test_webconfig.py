"""waguard.exporter.webconfig and webfile: reading, and re-reading. What is good and bad is compared with promtool elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waguard.exporter import webconfig, webfile
from waguard.exporter.webconfig import CIPHERS, Rate, WebConfig, WebConfigError, duration, load
from waguard.exporter.webfile import WebFile

HASH = "$2y$04$7gKFd42WvU/YvzdPMZ6qCulxw5CW9ULuzRVTtzuDN9UTlMBZLWBOK"


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "web.yml"
    file.write_text(text)
    try:
        load(str(file))
    except WebConfigError as error:
        return [problem.replace(f"{file}:", "") for problem in error.problems]
    return []


def test_all_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "certs").mkdir()
    for name in ("cert", "key", "ca"):
        (tmp_path / "certs" / name).write_text(f"the {name}\n")
    file = tmp_path / "web.yml"
    file.write_text(f"""\
tls_server_config:
  cert_file: certs/cert
  key_file: {tmp_path}/certs/key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ./certs/ca
  client_allowed_sans: [a, 10.0.0.1]
  min_version: TLS13
  max_version: TLS13
  cipher_suites: [TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [X25519]
http_server_config:
  http2: false
  headers: {{X-XSS-Protection: 1}}
basic_auth_users: {{prometheus: {HASH}}}
rate_limit: {{interval: 1m30s, burst: 7}}
""")
    monkeypatch.chdir("/")
    assert load(str(file)) == WebConfig(
        webconfig.TLS(b"the cert\n", b"the key\n", "RequireAndVerifyClientCert", b"the ca\n", ("a", "10.0.0.1"), "TLS13", "TLS13",
                      ("TLS_AES_128_GCM_SHA256",), False, ("X25519",)),
        (("X-XSS-Protection", "1"),), {"prometheus": HASH}, Rate(90.0, 7),
    )  # fmt: skip


def test_an_empty_file_is_nothing_and_needs_no_yaml(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    for text in ("", "\n", "# only\n   # words\n"):
        file.write_text(text)
        assert load(str(file)) == WebConfig()
    code = f"import sys; from waguard.exporter.webfile import WebFile; WebFile({str(file)!r}); print('yaml' in sys.modules, 'ssl' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout == "False False\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tls_server_config:\n  cert_filse: x\n", ["2: unknown key 'tls_server_config.cert_filse' (did you mean 'cert_file'?)"]),
        ("\n\nbasic_auth_user: {}\n", ["3: unknown key 'basic_auth_user' (did you mean 'basic_auth_users'?)"]),
        ("qwertz: {}\n", ["1: unknown key 'qwertz'"]),
        ("[a, b]: {}\n", ["1: unknown key '(no name)'"]),
        ("http_server_config:\n  headers:\n    Server: x\n", ["3: unknown key 'headers.Server'"]),
        ("http_server_config:\n  http2: 1\n", ["2: http_server_config.http2 has to be true or false"]),
        ("http_server_config:\n  http2: 1\n  http3: 1\nrate_limit: 1\n",
         ["3: unknown key 'http_server_config.http3' (did you mean 'http2'?)", "2: http_server_config.http2 has to be true or false",
          "4: rate_limit has to hold keys and values"]),
        ("tls_server_config:\n  cert_file: nowhere\n  key_file: nowhere\n",
         ["2: cert_file DIR/nowhere cannot be read: No such file or directory",
          "3: key_file DIR/nowhere cannot be read: No such file or directory"]),
        ("tls_server_config:\n  key_file: x\n  min_version: TLS14\n",
         ["3: min_version: 'TLS14' is not one of TLS10, TLS11, TLS12, TLS13 (did you mean 'TLS13'?)",
          "2: tls_server_config: cert_file (or cert) is missing"]),
        ("tls_server_config: {cert: a, key: b, client_ca: c, client_auth_type: VerifyClientCertIfGiven, client_allowed_sans: [a]}",
         ["1: tls_server_config: client_allowed_sans needs client_auth_type RequireAndVerifyClientCert: names in a certificate "
          "that nobody verified say nothing"]),
        ("tls_server_config: {cert: a, key: b, client_ca: c, client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: []}",
         ["1: client_allowed_sans is empty: nobody could come in"]),
        ("a: [\n", ["2: is not valid YAML: "]),
        ("a: &a [*a]\n", ["1: unknown key 'a'"]),
        ("rate_limit: {interval: -1s}", ["1: rate_limit.interval: it cannot be negative"]),
        ("rate_limit: {interval: 5}", ["1: rate_limit.interval: '5' is no duration, such as 1s or 1m30s"]),
        ("rate_limit: {interval: 1s, burst: -1}", ["1: rate_limit.burst has to be a whole number"]),
        ("rate_limit: {interval: 1s, burst: 1.5}", ["1: rate_limit.burst has to be a whole number"]),
        ("[" * 50, [" is nested too deeply"]),
        ("[" * 1000 + "]" * 1000, [" is nested too deeply"]),
        ("basic_auth_users: !!python/object/apply:os.system [true]", ["1: basic_auth_users has to hold keys and values"]),
    ],
)  # fmt: skip
def test_problems_say_where(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = [problem.replace(str(tmp_path), "DIR") for problem in problems(tmp_path, text)]
    assert [one[: len(other)] for one, other in zip(found, expected)] == expected
    assert len(found) == len(expected)


def test_bytes_that_are_no_text_say_where(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_bytes(b"# a\n# b\n\xff\n")
    with pytest.raises(WebConfigError, match=":3: is not UTF-8 text"):
        load(str(tmp_path / "web.yml"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text("tls_server_config: {}[]&*!|>'\"\n\t-,k1", max_size=200).map(str.encode)))
def test_any_file_is_a_configuration_or_a_web_config_error(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "web.yml"
    file.write_bytes(data)
    try:
        assert isinstance(load(str(file)), WebConfig)
    except WebConfigError as error:
        assert error.problems
        assert all(problem.startswith(f"{file}:") for problem in error.problems)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)), max_leaves=5,
)  # fmt: skip
KEYS = [("tls_server_config", key) for key in (*webconfig.TLS._fields, "cert_file", "key_file", "client_ca_file")]
KEYS += [("http_server_config", "http2"), ("http_server_config", "headers"), ("rate_limit", "interval"), ("rate_limit", "burst")]
KEYS += [("basic_auth_users", "prometheus")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KEYS), values)
def test_any_value_of_any_key_is_a_configuration_or_a_web_config_error(tmp_path: Path, key: tuple[str, str], value: object) -> None:
    import yaml

    problems(tmp_path, yaml.safe_dump({key[0]: {key[1]: value}}))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("1s", 1.0), ("1.5h", 5400.0), ("1h2m3s4ms5us6ns", 3723.004005006), (".5s", 0.5), ("1.s", 1.0), ("+1s", 1.0),
     ("-1s", -1.0), ("1µs", 1e-6), ("1μs", 1e-6)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", ".s", "1d", "1 s", "1s ", "1s1", "--1s", "1e3s", "1S", "inf", "nan", "\uff11s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration(text)


def test_every_cipher_has_a_name_that_openssl_knows() -> None:
    import ssl

    from waguard.exporter.tls import openssl_name

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name in CIPHERS:
        if "_WITH_" in name:
            context.set_ciphers(openssl_name(name))
            assert openssl_name(name) in {cipher["name"] for cipher in context.get_ciphers()}


@pytest.mark.parametrize(
    ("sans", "expected"),
    [
        ((), set()),
        ((("DNS", "a"), ("DNS", "b")), {"a", "b"}),
        ((("IP Address", "0:0:0:0:0:0:0:1"),), {"::1"}),
        ((("IP Address", "2001:DB8:0:0:8:800:200C:417A\n"),), {"2001:db8::8:800:200c:417a"}),
        ((("IP Address", "10.0.0.1"), ("IP Address", "<invalid>")), {"10.0.0.1", "<invalid>"}),
        ((("email", "a@b"), ("URI", "spiffe://a/b"), ("DirName", ((("commonName", "x"),),)), ("Registered ID", "1.2")), {"a@b", "spiffe://a/b"}),
    ],
)
def test_names_of_a_certificate(sans: tuple[object, ...], expected: set[str]) -> None:
    from waguard.exporter.tls import names

    assert names({"subjectAltName": sans}) == expected


# Re-reading


def test_a_change_that_stat_does_not_show_is_seen_while_timestamps_are_too_coarse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "web.yml"
    file.write_text("rate_limit: {interval: 1s, burst: 0}")
    same = ((1, time.time_ns()),)
    monkeypatch.setattr(webfile, "_signature", lambda files: same)
    monkeypatch.setattr(webfile, "_GRAIN", 1000.0)
    web = WebFile(str(file))
    for number in range(1, 5):
        file.write_text(f"rate_limit: {{interval: 1s, burst: {number}}}")
        assert rate(web) == Rate(1.0, number)


def rate(web: WebFile) -> Optional[Rate]:
    config = web.config()
    assert config is not None
    return config.rate


@pytest.mark.parametrize("replaced", [True, False])
def test_a_change_that_stat_shows_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool) -> None:
    file = tmp_path / "web.yml"
    file.write_text("")
    monkeypatch.setattr(webfile, "_GRAIN", 0.0)
    web = WebFile(str(file))
    for number in (1, 10, 100):
        (tmp_path / "new").write_text(f"rate_limit: {{interval: 1s, burst: {number}}}")
        if replaced:
            (tmp_path / "new").replace(file)
        else:
            file.write_bytes((tmp_path / "new").read_bytes())
        assert rate(web) == Rate(1.0, number)


def test_what_has_not_changed_for_a_while_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "web.yml"
    file.write_text("")
    monkeypatch.setattr(webfile, "_GRAIN", 0.0)
    web = WebFile(str(file))
    reads = []
    monkeypatch.setattr(webconfig, "read", lambda path: reads.append(path) or b"")
    for _ in range(5):
        assert web.config() == WebConfig()
    assert reads == []


def test_whatever_goes_wrong_it_is_closed_and_not_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "web.yml"
    file.write_text("")
    web = WebFile(str(file))
    monkeypatch.setattr(webconfig, "read", lambda path: 1 // 0)
    for _ in range(3):
        assert web.config() is None
        assert web.door() is None
    assert len(re.findall("every request is answered 500", caplog.text)) == 1
    monkeypatch.undo()
    assert web.config() == WebConfig()


def test_a_file_with_faults_in_its_certificates_is_watched_by_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("")
    web = WebFile(str(file))
    file.write_text("tls_server_config: {cert_file: a, key_file: b}")
    assert web.config() is None
    assert web._files == [str(file), str(tmp_path / "a"), str(tmp_path / "b")]
