"""Secrets in every dress they were seen in, and what looks like one and is none."""

from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waguard.agent import redact
from waguard.agent.redact import MASK

SECRET = "hunter2Zq"
KEY = base64.b64encode(b"k" * 64).decode()
JWT = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL20ifQ.c2lnbmF0dXJl"
THUMBPRINT = "9F3A" * 10

DRESSES = [
    "GET https://x.blob.core.windows.net/c/b?sv=2018-03-28&sr=b&sig={}&se=2030 -- timed out",
    "https://x.blob.core.windows.net/c?sig={}",
    "https://x/c?se=1&amp;sig={}&amp;sp=r",
    "https://x/c?se=1\\u0026sig={}\\u0026sp=r",
    "url=https%3A%2F%2Fx%3Fsig%3D{}%26se%3D1",
    "url=https%3A%2F%2Fx%3Fsv%3D1%26SIG%3D{}",
    "AccountName=a;AccountKey={};EndpointSuffix=core.windows.net",
    "SharedAccessSignature={}",
    "password={}",
    "Password: {}",
    "PGPASSWORD={} pg_dump",
    "MYSQL_PWD={}",
    "Server=a;Uid=b;Pwd={};Database=c",
    '"password": "{}", "n": 1',
    '{{"adminPassword":"{}","n":1}}',
    "{{'password': u'{}', 'n': 1}}",
    "{{u'token': '{}'}}",
    '\\"clientSecret\\": \\"{}\\", \\"n\\": 1',
    '\\\\\\"access_token\\\\\\": \\\\\\"{}\\\\\\"',
    '"taskToken" : "{}"',
    '"password": "{}',
    '"sig": "{}"',
    '"protectedSettings": "{}", "n": 1',
    '"protectedSettings": {{"a": {{"b": "{}"}}, "c": [1]}}, "n": 1',
    '"publicSettings":{{"commandToExecute":"echo }} {}"}}',
    '\\"publicSettings\\": {{\\"x\\": \\"{}\\"}}, \\"n\\": 1',
    '"publicSettings": {{"a": "{}"',
    "run --admin-password {} --name x",
    "run --token {}",
    "--password={}",
    "Authorization: Bearer {}",
    "Authorization: Basic {}",
    '"Authorization": "SharedKey account:{}"',
    "x-ms-authorization: {}",
    "http_proxy=http://user:{}@proxy.example:3128/",
    "http_proxy=http://user:p@{}@proxy.example:3128/",
    "<AdminPassword>{}</AdminPassword>",
    '<ns1:UserPassword xmlns:ns1="x">{}</ns1:UserPassword>',
    '<UserPassword xmlns="http://schemas.microsoft.com/windowsazure">{}</UserPassword>',
    '<CustomData xmlns="http://a/b?c&amp;d">{}</CustomData>',
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\n{}",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\\n{}\\n-----END ENCRYPTED PRIVATE KEY-----",
    '"certificateThumbprint": "{}"',
]


@pytest.mark.parametrize("dress", DRESSES)
def test_a_secret_goes_and_what_is_around_it_stays(dress: str) -> None:
    masked = redact.text(dress.format(SECRET))
    assert SECRET not in masked and MASK.decode() in masked
    before = re.match(r"[^{:=\n\\\\]*", dress)
    assert before is not None and masked.startswith(before[0])
    after = dress.rsplit("{}", 1)[1]
    tail = re.search(r"(, \"n\": 1|&se=2030 -- timed out| --name x| pg_dump|;Database=c|proxy\.example:3128/)$", after)
    assert tail is None or masked.endswith(tail[0])


@pytest.mark.parametrize(("text", "masked"), [
    ("sig=a%2Bb%3D&se=1", "sig=<redacted>&se=1"),
    ('"password": "a\\"b\\\\", "n": 1', '"password": "<redacted>", "n": 1'),
    ("password=a;b&c;user=x", "password=<redacted>;user=x"),
    ('"publicSettings": {"a": "}"}, "n": 1', '"publicSettings": "<redacted>", "n": 1'),
    ('\\"protectedSettings\\": {\\"a\\": 1}, x', '\\"protectedSettings\\": \\"<redacted>\\", x'),
    (f"key {KEY} end", "key <redacted> end"),
    (f"found {JWT}, sent", "found <redacted>, sent"),
    (f"/var/lib/waagent/{THUMBPRINT}.crt", "/var/lib/waagent/<redacted>.crt"),
    ("http://u:p@h/ http://v:q@i/", "http://u:<redacted>@h/ http://v:<redacted>@i/"),
])
def test_exactly_the_secret_is_masked(text: str, masked: str) -> None:
    assert redact.text(text) == masked


@pytest.mark.parametrize("text", [
    "Provisioning.DeleteRootPassword=n", "Provisioning.PasswordCryptId=6", "ResetPassword=y", '"isSecret": true', "token=null",
    '"PWD": "/var/lib/waagent"', "OLDPWD=/root", "PWD=/root", "pwd: /", "no signature here", "design=blue", "assigned to: x",
    "Authorization failed", "bearer of news", "2025-11-19T12:41:22.123456Z INFO ExtHandler ExtHandler message",
    "GET http://168.63.129.16:32526/vmSettings [correlation ID: 646b1f58-d57e-4ea1-9fc8-848d5a65fe65 eTag: 2142019640769130536]",
    "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709", "PasswordAuthentication no", '"secrets": {"n": 1}', "-----BEGIN CERTIFICATE-----",
    "http://168.63.129.16:80/machine/?comp=goalstate", "https://a@b.example/", "tokens: 5",
])
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert redact.text(text) == text


def test_several_secrets_of_one_line() -> None:
    line = f'"password": "{SECRET}", "url": "https://x/?sig={SECRET}", "env": {{"API_KEY": "{SECRET}"}}'
    assert json.loads("{" + redact.text(line) + "}") == {
        "password": "<redacted>", "url": "https://x/?sig=<redacted>", "env": {"API_KEY": "<redacted>"}}


_PIECES = st.one_of(
    st.sampled_from([piece for dress in DRESSES for piece in (dress.format(SECRET), dress.split("{}")[0].replace("{{", "{"))]),
    st.sampled_from(['"', "'", "\\", "{", "}", "[", ":", "=", "&", ";", "<", ">", "\n", " ", "sig=", "password", "pwd=/", "@", "://"]),
    st.text(max_size=6),
)


@given(st.one_of(st.binary(max_size=300), st.lists(_PIECES, max_size=8).map(lambda parts: "".join(parts).encode("utf-8", "replace"))))
@settings(max_examples=400, deadline=None)
def test_a_second_pass_changes_nothing_whatever_the_bytes(data: bytes) -> None:
    once = redact.redact(data)
    assert redact.redact(once) == once


@given(st.sampled_from(DRESSES), st.from_regex(r"[A-Za-z0-9]{12,40}", fullmatch=True))
@settings(max_examples=300, deadline=None)
def test_whatever_the_secret_is(dress: str, secret: str) -> None:
    assert secret not in redact.text(dress.format(secret))


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    assert redact.redact(b"\xff\x00password=\xfe\xfd \xff") == b"\xff\x00password=<redacted> \xff"


class TestShort:
    def test_is_one_line_without_queries(self) -> None:
        assert redact.short("GET https://x/c?sv=1&sig=abc\n  failed\twith\x1b[31m 403") == "GET https://x/c failed with?[31m 403"

    def test_is_no_longer_than_asked(self) -> None:
        assert redact.short("x" * 500) == "x" * 199 + "…" and redact.short("x" * 200) == "x" * 200

    def test_a_secret_at_the_cut_is_masked_before_the_cut(self) -> None:
        text = "x" * 180 + " password=" + SECRET + "y" * 100
        assert SECRET[:4] not in redact.short(text)

    def test_of_a_huge_text_only_the_beginning_is_looked_at(self) -> None:
        assert redact.short("a " + "b" * (1 << 24), 10) == "a bbbbbbb…"
