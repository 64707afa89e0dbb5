"""Every secret goes, nothing else does, and it does not matter how the text was cut."""

from __future__ import annotations

import base64
import json
import re

import pytest
from agent import test_redact as known
from hypothesis import given, settings
from hypothesis import strategies as st

from waguard.bundle import ends, secrets
from waguard.bundle.redact import MASK, Redactor, redact

SECRET = "hunter2Zq"
KEY = base64.b64encode(bytes(range(64))).decode()
JWT = known.JWT
DER = "MIIC" + base64.b64encode(bytes(range(256)) * 3).decode()
WRAPPED = "\n".join(DER[at:at + 64] for at in range(0, len(DER), 64))
SPELLED = KEY.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
PACKED = base64.b64encode(b'{"password": "hunter2"}').decode()
DER_JSON = "MIIH" + base64.b64encode(bytes(range(255, 0, -1)) * 2).decode()
HASH = "$6$rounds=5000$saltsalt$" + "aB3./xYz" * 10

EXACT: dict[str, tuple[str, ...]] = {
    # What is between ⟦ and ⟧ is the secret.
    "sas-signature": (
        "GET https://x.blob.core.windows.net/c?sv=1&sig=⟦aB%2Bc%3D⟧&se=2030 -- timed out", "https://x/c?sig=⟦abc⟧", "\nsig=⟦abc⟧\n",
        "x?se=1&amp;sig=⟦a%2Fb⟧&amp;sp=r", "x?se=1\\u0026sig=⟦ab⟧\\u0026sp=r", "https%3A%2F%2Fx%3Fsig%3D⟦a%252Bb⟧%26se%3D1",
        "%253Fsv%253D1%2526sig%253D⟦abc⟧%2526se", "?sig=⟦a\\/b⟧\\u0026", "SIG=⟦Ab⟧,", "&signature=⟦abc⟧&x",
        '"failed\\nsig=⟦abc⟧"', '"a\\tsig=⟦abc⟧"', "x%0asig=⟦abc⟧ y", "sig\\u003d⟦abc⟧\\u0026se=1", "sig&#61;⟦abc⟧ y", "sig&#x3d;⟦a&#43;b⟧&amp;x=y",
        "sig%25253D⟦abc%25252B⟧%252526se", "sig=⟦abc\\u002Bd\\u003D⟧&x", "sig=⟦a\\\\/b⟧ x", "\\u003fsig=⟦abc⟧ x",
    ),
    "named-value": (
        '"password": "⟦hunter2⟧", "n": 1', "{'password': u'⟦hunter2⟧', 'n': 1}", 'x {"adminPassword":"⟦a\\"b\\\\⟧","n":1}',
        "PGPASSWORD=⟦a b c⟧\nnext", "export MYSQL_PWD=⟦abc⟧\n", "Server=a;Pwd=⟦abc⟧;Database=c", "db password=⟦abc⟧ user=x",
        "    password: ⟦correct horse battery⟧\n  user: me", '\\"clientSecret\\": \\"⟦abc⟧\\", \\"n\\": 1',
        '\\\\\\"access_token\\\\\\": \\\\\\"⟦abc⟧\\\\\\", x', "&quot;password&quot;:&quot;⟦abc⟧&quot;,&quot;n&quot;:1",
        "%22password%22%3A%22⟦abc⟧%22%2C", f"AccountName=a;AccountKey=⟦{KEY}⟧;EndpointSuffix=core.windows.net",
        "Endpoint=sb://x/;SharedAccessKeyName=Root;SharedAccessKey=⟦abc=⟧", "run --admin-password ⟦abc⟧ --name x",
        "run --token=⟦abc⟧ x", '{"Key":"password","Value":"⟦abc⟧"}, x', '<add name="Password" value="⟦a b⟧" />',
        'x: "secret_key": "⟦abc⟧"', "secret_key=⟦abc⟧\n", '"passwords": ["⟦-⟧"]', "x => 'passphrase' => '⟦a b⟧', y",
        "x=1 AZURE_CLIENT_SECRET=⟦abc~Q⟧ y=2", '"password": ⟦12345⟧}', '"password": ⟦12345⟧,\n', "IDENTIFIED BY token: ⟦x⟧ y",
        '"passwd1": "⟦abc⟧"', "proxy_pass=⟦abc⟧\n", 'password="⟦a b⟧"\nx', 'customData": "⟦abc=⟧"', "identity token : ⟦abc⟧ x",
        '"password" :\n  "⟦abc⟧"', "password=⟦äöü⟧ user=x", "password=⟦a;b&c⟧;user=x", "# x\r\nPassword = ⟦a b⟧\r\nn=1",
        "at http://token=⟦abc⟧&x=y:⟦pw⟧@proxy/",
        "AccountKey=⟦abc\\u002BS==⟧;x=1", "x AccountKey=⟦abc\\/S==⟧ y", '"password": ⟦1\\/2⟧}', "x password=⟦a b⟧\n".replace(" b", "b"),
        "{\\u0022password\\u0022:\\u0022⟦a b⟧\\u0022}", "{\\x22password\\x22:\\x22⟦a\\x5c\\x22b⟧\\x22,x", "&#x22;password&#x22;:&#x22;⟦a b⟧&#x22;,",
        "&apos;password&apos;: &apos;⟦a b⟧&apos; x", "&amp;quot;password&amp;quot;:&amp;quot;⟦a b⟧&amp;quot;,&amp;quot;n",
        "['az','login','--password','⟦a b⟧']", '["mysql","--password","⟦a b⟧", "x"]', '\\"mysql\\", \\"--password\\", \\"⟦a b⟧\\", \\"x\\"',
        '"password"\n: "⟦a b⟧"', '{"value":"⟦a \\"b⟧","name":"adminPassword"}', '{"value": "⟦a b⟧", "n": 1, "name": "adminPassword"}',
        '{"name":"password","type":"string","value":"⟦a b⟧"}', '<Param name="password" type="x" value="⟦a b⟧"/>',
        "sig='⟦a b⟧' x", 'sig="⟦ab⟧" x', "('sig', '⟦ab⟧')", "('password', '⟦a b⟧'), x", '["token", "⟦a b⟧"]', '"args": ["DB_PASSWORD=⟦a b⟧", "x"]',
        'Environment="DB_PASSWORD=⟦aa S⟧"\nx', "Environment=A=b PASSWORD=⟦aa\\x20S⟧\nx", 'Environment="PASSWORD=⟦aa \\\n  S⟧"\nx',
        "PASSWORD=⟦aa \\\n  S⟧\nx y", "PASSWORD=⟦aa⟧ \\\n  OTHER=S\nx y", "password: |\n  ⟦a\n\n  S⟧\nb: c", "  - password:\n      ⟦S⟧\n    x: y",
        "Access key: ⟦S⟧\nx", "activationkey=⟦S⟧\n", '<machineKey validationKey="⟦S⟧" decryptionKey="⟦S⟧"/>', '"licenseKey": "⟦S⟧"',
        "contraseña: ⟦S⟧\n", "contrasena: ⟦S⟧\n", "x clave=⟦S⟧ y", "unexpected token: ⟦abc⟧ x", "%5C%22password%5C%22%3A%5C%22⟦a%20b⟧%5C%22%2C",
    ),
    "settings": (
        '"protectedSettings": "⟦MIIabc⟧", "n": 1', "&quot;protectedSettings&quot;:&quot;⟦abc⟧&quot;,",
        '<PublicSettings>⟦{"a": "b"}⟧</PublicSettings> x', "x protected_settings: ⟦abc⟧ y",
    ),
    "element": (
        "<AdminPassword>⟦a &amp; b⟧</AdminPassword>", '<ns1:UserPassword xmlns:ns1="x">⟦abc⟧</ns1:UserPassword>',
        "<Password>⟦<![CDATA[a<b>]]>⟧</Password>", "<a><Credentials>⟦<User>x</User><Key>y</Key>⟧</Credentials></a>",
        '<Password a="b" token="⟦abc⟧" c="d">⟦x⟧</Password>',
        '<UserPassword xmlns="http://schemas.microsoft.com/windowsazure">⟦a b⟧</UserPassword>', '<CustomData xmlns="http://a/b?c&amp;d">⟦abc⟧</CustomData>',
        '<Password xmlns="http://a/b"/><Password>⟦abc⟧</Password>', "\\u003cUserPassword\\u003e⟦a b⟧\\u003c/UserPassword\\u003e",
        "&lt;Password xmlns=&quot;http://a/b&quot;&gt;⟦a b⟧&lt;/Password&gt;", '<Param name="password">⟦a b⟧</Param> x',
        '<setting name="password" serializeAs="String">⟦<value>x</value>⟧</setting>', "%3CPassword%3E⟦a%20b⟧%3C%2FPassword%3E",
        "&lt;Password&gt;⟦abc⟧&lt;/Password&gt;", "<CustomData>⟦\nabc\ndef\n⟧</CustomData>",
    ),
    "authorization": (
        "Authorization: Bearer ⟦abc⟧", "Authorization: Basic ⟦dXNlcjpwdw==⟧\r\nHost: x", '"Authorization": "SharedKey account:⟦a+b/c=⟧"',
        "x-ms-authorization: ⟦abc⟧ x", "Proxy-Authorization: Basic ⟦abc⟧", "Bearer ⟦abcdefghijklmnopqrstuv⟧.",
        'Authorization: Digest ⟦username="a", response="b"⟧\n', "Set-Cookie: ⟦id=abc; Path=/⟧\n", "authorization: Custom ⟦abcdefgh⟧ x",
        '"Authorization":"Basic ⟦abc\\/S=⟧"', "Authorization: SharedKey acct:⟦abc\\u002BS⟧ x", "SharedKey acct:⟦abcdefg\\u002BS⟧ x",
        "x-ms-authorization: ⟦hunter2Zq⟧ followed by words", "Authorization: HMAC-SHA256 ⟦abcdefgh⟧ x",
        "('Authorization', 'Bearer ⟦S⟧'), x", '["Authorization","Bearer ⟦S⟧"]', "\\u0022Authorization\\u0022:\\u0022Basic ⟦S⟧\\u0022",
        "Bearer ⟦abcdefghijklm\\u002Bnopqrstuv⟧ x",
    ),
    "jwt": (f"found ⟦{JWT}⟧, sent", f'["⟦{JWT}⟧"]', f"it is ⟦{JWT}⟧."),
    "url-password": (
        "http_proxy=http://user:⟦abc⟧@proxy.example:3128/", "at http://user:⟦p@w⟧@proxy/", "http%3A%2F%2Fu%3A⟦p%3Fw⟧%40h%2F",
        "http://u:⟦p⟧@h/ ok", "https://⟦ghpabcdefghijklmnopqrstuv⟧@github.com/x", "HttpProxy.Host=user:⟦abc⟧@proxy",
        "curl -s -u user:⟦abc⟧ https://x", "curl --proxy-user 'me:⟦abc⟧' x",
        "HttpProxy.Host=http://CORP\\user:⟦S⟧@proxy", "https_proxy=http://bob@corp.com:⟦S⟧@proxy:3128/", '"http:\\/\\/user:⟦S⟧@proxy"',
        "http://user:⟦pa/S⟧@proxy", "http_proxy=http://user:⟦12/S⟧@proxy x", "https_proxy=http://user:⟦p@a/S⟧@proxy", "http://user:⟦pa'S⟧@proxy",
        "http://user:⟦pa<S⟧@proxy", "HttpProxy.Host=user:⟦p@a/S⟧@proxy", "http%253A%252F%252Fuser%253A⟦S⟧%2540proxy",
        "http%3A%2F%2Fbob%40corp%3A⟦pa%2FS⟧%40proxy", f"http://{'u' * 700}:⟦S⟧@proxy", f"http://u:⟦{'p' * 2000}⟧@proxy",
    ),
    "private-key": (
        "-----BEGIN RSA PRIVATE KEY-----⟦\nabc\n⟧-----END RSA PRIVATE KEY-----\nx", "-----BEGIN PRIVATE KEY-----⟦\nabc⟧",
        '"-----BEGIN OPENSSH PRIVATE KEY-----⟦\\nabc\\n⟧-----END OPENSSH PRIVATE KEY-----\\n", "n": 1',
        "-----BEGIN PGP PRIVATE KEY BLOCK-----⟦\nabc\n⟧-----END PGP PRIVATE KEY BLOCK-----",
        "-----BEGIN%20RSA%20PRIVATE%20KEY-----⟦%0Aabc%0A⟧-----END%20RSA%20PRIVATE%20KEY-----%0A",
    ),
    "certificate": (
        f"-----BEGIN CERTIFICATE-----⟦\n{WRAPPED}\n⟧-----END CERTIFICATE-----\nx",
    ),
    "der-data": (f"data ⟦{DER}⟧ end", f"data:\n⟦{WRAPPED}⟧\n\n# end of it", f'"⟦{WRAPPED}⟧"'.replace("\n", "\\n"), f"<Certificate>⟦{DER}⟧</Certificate>",
                 '"x":"⟦' + DER_JSON.replace("/", "\\/") + '⟧"', "x=⟦" + DER_JSON.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D") + "⟧&y"),
    "storage-key": (f"key ⟦{KEY}⟧ end", f"key ⟦{SPELLED}⟧ end", f"key ⟦{SPELLED.replace('%', '%25')}⟧ end", "key ⟦" + KEY.replace("/", "\\/") + "⟧ end",
                    "key ⟦" + KEY.replace("+", "\\u002B").replace("=", "\\u003D") + "⟧ end", f'"a\\n⟦{KEY}⟧"'),
    "encoded": (f"data ⟦{PACKED}⟧ end", "x=⟦" + base64.b64encode(b"<Password>abc</Password>").decode() + "⟧;y"),
    "password-hash": (f"root:$6$⟦{HASH[3:]}⟧:19000:0", "admin: $2y$⟦10$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ12345⟧"),
    "thumbprint": (f"/var/lib/waagent/⟦{'9F3A' * 10}⟧.crt", '"certificateThumbprint": "⟦9f3a⟧"', f"thumbprint of it ⟦{'9f3a' * 10}⟧ x"),
    "wide-text": ("x ⟦" + "".join(f"{letter}\0" for letter in "password=abc") + "⟧\xff\xff y",
                  "x ⟦" + "".join(f"{letter}\0\0\0" for letter in "password=abc") + "⟧\xff\xff y"),
}
FRAMED = (
    ('"protectedSettings": ⟦{"a": {"b": "x}"}, "c": [1]}⟧, "n": 1', '"⟧"'), ('"publicSettings":⟦{"x": "echo }"}⟧}', '"⟧"'),
    ('\\"publicSettings\\": ⟦{\\"x\\": \\"}\\"}⟧, \\"n\\": 1', '\\"⟧\\"'), ('"adminPassword": ⟦{\n "value": "x"\n}⟧,\n "n": 1', '"⟧"'),
    ("{'secret': ⟦{'a': '}'}⟧, 'n': 1}", '"⟧"'), ("&quot;protectedSettings&quot;:⟦{&quot;a&quot;:1}⟧,x", "&quot;⟧&quot;"),
    ('"tokens": ⟦["a", "b]"]⟧, "n": 1', '"⟧"'), ("passwords=⟦['S', 'T']⟧, x", '"⟧"'), ("\\u0022secret\\u0022:⟦{\\u0022a\\u0022:1}⟧,x", "\\u0022⟧\\u0022"),
    ("&quot;protectedSettings&quot;:⟦{&quot;a&quot;:&quot;x\\&quot;}&quot;,&quot;b&quot;:&quot;S&quot;}⟧,x", "&quot;⟧&quot;"),
    ("%22protectedSettings%22%3A⟦%7B%22a%22%3A%22S%22%7D⟧%2C", "%22⟧%22"), ('"protected_settings": ⟦{"a": 1}⟧, "n"', '"⟧"'),
    ('2025-11-19T12:41:22.1Z INFO "protectedSettings": ⟦{\n2025-11-19T12:41:22.1Z INFO   "a": "S",\n2025-11-19T12:41:22.1Z INFO   "b": [\n'
     '2025-11-19T12:41:22.1Z INFO     "T"\n2025-11-19T12:41:22.1Z INFO   ]\n2025-11-19T12:41:22.1Z INFO }⟧\n2025-11-19T12:41:22.1Z INFO "n": 1', '"⟧"'),
)


def _cases() -> list[tuple[str, str]]:
    return [(rule, text) for rule, texts in EXACT.items() for text in texts if "⟦-⟧" not in text]


@pytest.mark.parametrize(("rule", "text"), _cases())
def test_exactly_the_secret_is_masked_and_counted_under_its_rule(rule: str, text: str) -> None:
    plain = text.replace("⟦", "").replace("⟧", "").encode("latin-1" if "\xff" in text else "utf-8")
    wanted = re.sub("⟦.*?⟧|⟦.*", MASK.decode(), text, flags=re.DOTALL).encode("latin-1" if "\xff" in text else "utf-8")
    redactor = Redactor()
    assert redactor.feed(plain) + redactor.close() == wanted
    assert redactor.masked[rule] >= 1


@pytest.mark.parametrize(("text", "frame"), FRAMED)
def test_an_object_gives_way_to_a_string(text: str, frame: str) -> None:
    wanted = re.sub("⟦.*⟧", lambda _found: frame.replace("⟧", MASK.decode()), text, flags=re.DOTALL)
    assert redact(text.replace("⟦", "").replace("⟧", "").encode()).decode() == wanted


@pytest.mark.parametrize("dress", known.DRESSES)
def test_whatever_the_guard_masks_is_masked_here_too(dress: str) -> None:
    masked = redact(dress.format(SECRET).encode()).decode()
    assert SECRET not in masked and MASK.decode() in masked


INNOCENT = [
    *known.test_what_is_no_secret_is_left_alone.pytestmark[0].args[1],  # type: ignore[attr-defined]
    "<Certificates>http://168.63.129.16:80/machine/x?comp=certificates&amp;incarnation=1</Certificates>",
    "<DisableSshPasswordAuthentication>true</DisableSshPasswordAuthentication>",
    "-----BEGIN PUBLIC KEY-----\nMFk\n-----END PUBLIC KEY-----", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 user@host",
    "key 40881", "monkey=1", "Command: enable key", "http://[::1]:80/", "design: sig", "bypass: 1", "compass=north", "tokens: 5", "TLS and passwords: [web](x.md)",
    "http://168.63.129.16:32526/health?x=1@y", "git@github.com:x/y", "12:30:11 user@host:~$ ls", "cost $6 and $5$",
    '"password": ""', "password=\n", "Secret Santa", "/var/lib/waagent/Microsoft.Azure.KeyVault-1.0/config/HandlerState",
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "MIB counters: MIBs MIIs", "eyJ is how they begin",
    "/etc/passwd: missing", "passwd: files systemd", "passwd:         compat systemd [NOTFOUND=return] sss", "unexpected token: '<' in line 5",
    "invalid token: expected", "signal sig=9", '<Password xmlns="http://a/b"/><b>c</b>', "http://168.63.129.16:80/a/b@c", "git+ssh://git@github.com:o/r@v1",
    "http_proxy=http://proxy:3128/", "http_proxy=http://proxy:3128/, x@y", '"value": "a b", "name": "x"', "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709 x",
    "password:\nuser: me", base64.b64encode(b'{"a": "bcdefghijklmnop"}').decode(), "access control: key: x", "['pass', 'fail']",
    "\0" * 100, "".join(chr(code) for code in range(32)), '{"a": "b"}', "<a>b</a>", "-----BEGIN CERTIFICATE-----",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_no_secret_stays_byte_for_byte(text: str) -> None:
    data = b"x\n" + text.encode() + b"\ny\n"
    assert redact(data) == data


@given(st.binary(max_size=2000))
@settings(max_examples=150, deadline=None)
def test_bytes_without_any_needle_stay_as_they_are(data: bytes) -> None:
    plain = data.translate(None, delete=b"$=:<>@\x00MeyJ")
    assert redact(plain) == plain


_PIECES = st.one_of(
    st.sampled_from([text.replace("⟦", "").replace("⟧", "") for _, text in _cases()] + [text for text, _ in FRAMED]),
    st.sampled_from([dress.format(SECRET) for dress in known.DRESSES]),
    st.sampled_from(['"', "'", "\\", "{", "}", "[", ":", "=", "&", ";", "<", ">", "\n", " ", "sig=", "password", "pwd=/", "@", "://",
                     "-----BEGIN RSA PRIVATE KEY-----", "-----END X-----", "<password>", "</password>", '"protectedSettings": {"a": "',
                     "\n2025-11-19T12:41:22.1Z INFO x\n", "key", "=" * 3, "M" * 70, "\\\\\\\\", "a\0b\0c\0d\0e\0f\0g\0h\0i\0"]),
    st.integers(1, 9000).map(lambda count: "x" * count), st.integers(1, 5000).map(lambda count: "ab cd\n" * count),
    st.text(max_size=6),
)


@given(st.lists(_PIECES, max_size=10).map(lambda parts: "".join(parts).encode("utf-8", "replace")), st.data())
@settings(max_examples=400, deadline=None)
def test_it_does_not_matter_how_the_text_was_cut(data: bytes, choose: st.DataObject) -> None:
    whole = Redactor()
    expected = whole.feed(data) + whole.close()
    cuts = sorted(choose.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    pieces = Redactor()
    out = b"".join(pieces.feed(data[start:stop]) for start, stop in zip([0, *cuts], [*cuts, len(data)])) + pieces.close()
    assert out == expected
    assert pieces.masked == whole.masked


def _in_two(data: bytes, cut: int) -> bytes:
    redactor = Redactor()
    return redactor.feed(data[:cut]) + redactor.feed(data[cut:]) + redactor.close()


@pytest.mark.once
@pytest.mark.parametrize(("rule", "text"), _cases())
def test_a_secret_on_the_edge_of_what_is_certain_is_masked(rule: str, text: str) -> None:
    """What is certain ends LOOK bytes before what was read: at each byte of the secret, and of what is around it."""
    plain = text.replace("⟦", "").replace("⟧", "").encode("latin-1" if "\xff" in text else "utf-8")
    before = b"y " * (secrets.LOOK // 2 + 10) + b"\n"
    data = before + plain + b"\n" + b"z " * secrets.LOOK
    whole = redact(data)
    assert whole != data, rule
    step = 1 if len(plain) < 200 else 7
    for cut in range(len(before) - 2, len(before) + len(plain) + 2, step):
        assert _in_two(data, cut + secrets.LOOK) == whole, cut - len(before)


LONG = (
    # Before the value, what it is made of, what is behind it. The last of the value is what its end depends on.
    (b'"password": "', b"ab ", b'\\\\", "n": 1'), (b'"password": "', b"ab ", b'\\", "n": "1"'), (b"x password=", b"ab", b";c&d;user=x"),
    (b"password=", b"a b ", b"&z user=x"), (b"sig=", b"a%2B", b"%26se=1"), (b'\\"password\\": \\"', b"ab", b'\\\\\\"c\\", \\"n\\": 1'),
    (b"<Password>", b"a<b>", b"</passwords></ns:Password >x"), (b"-----BEGIN PRIVATE KEY-----", b"abcd\n", b"-----END PRIVATE KEY-----x"),
    (b"Bearer ", b"abcd", b".efg. Next"), (b"MIIC", b"QUJDREVG" * 8 + b"\n", b"QUJD\n\nend of it"), (b"x MIIC", b"QUJD" * 16 + b"\\r\\n", b"QQ==\\n end"),
    (b'"protectedSettings": ', b'{"a": "}", "b": ', b'["\\"}", 1]' + b"}" * 2000 + b', "n": 1'),
    (b'\\"publicSettings\\": {', b'\\"a\\": \\"}\\", ', b'\\"z\\": \\"\\\\\\"}\\"}, \\"n\\": 1'), (b"x token: ", b"abc", b"\\rest"),
    (b"Authorization: Digest ", b'a="b", ', b"\r\nHost: x"), (b"x=eyJabcdef.abcdefgh.", b"abc", b". Next"), (b"a:$6$", b"abcd", b". Next"),
    (b"x sig=", b"a\\u002b", b"\\u0026se=1"), (b"x password=", b"a\\/", b"\\u0022,x"), (b"Authorization: Basic ", b"ab\\/", b"\\u0022 x"),
    (b"{\\u0022password\\u0022:\\u0022", b"a\\\\\\u0022", b"\\u0022,\\u0022n\\u0022"), (b"x MIIC", b"QUJD" * 16 + b"\\/", b"Q%3D%3D end"),
    (b"password: |\n  ", b"a b\n  ", b"c\n\nnext: x"), (b'x "DB_PASSWORD=', b"a b", b'", "n": 1'), (b"http_proxy=http://u:", b"p@/", b" next"),
    (b"%22password%22%3A%22", b"a%5C%22", b"%22%2C"), (b"PASSWORD=", b"a \\\n", b"b\nnext"), (b"-----BEGIN%20PRIVATE%20KEY-----", b"abcd%0A", b"-----END%20PRIVATE%20KEY-----x"),
    (b"data " + PACKED.encode()[:-4].replace(b"=", b""), b"QUJD", b"; end"), (b"&lt;Password a=&quot;/&quot;&gt;", b"a &amp; b", b"&lt;/Password&gt;x"),
    (b'"protectedSettings": {', b"\n2025-11-19T12:41:22.1Z INFO   \"a\": {\"b\": \"}\"},", b"\n2025-11-19T12:41:22.1Z INFO }\nnext"),
    (b"x " , b"p\0", b"\xff\xff"), (b'"password": {"value": "', b"ab ", b"\n2025-11-19T12:41:22.1Z INFO x\n"),
)


@pytest.mark.once
@pytest.mark.parametrize(("opened", "unit", "closed"), LONG)
def test_the_end_of_a_long_secret_on_the_edge_of_what_was_read_is_found(opened: bytes, unit: bytes, closed: bytes) -> None:
    value = unit * (2 * secrets.LOOK // len(unit) + 100)
    data = b"y\n" * secrets.LOOK + opened + value + closed + b"\n" + b"z " * secrets.LOOK
    whole = redact(data)
    assert whole.count(MASK) == 1 and len(whole) < len(data) - len(value) // 2 and whole.endswith(b"z z ")
    end = len(data) - 2 * secrets.LOOK - 1 - len(closed)
    for cut in (*range(end - 20, min(end + 60, len(data))), *range(end + ends.AHEAD - 20, end + ends.AHEAD + 60)):
        assert _in_two(data, cut) == whole, cut - end


@given(st.sampled_from(known.DRESSES), st.from_regex(r"[A-Za-z0-9]{12,40}", fullmatch=True))
@settings(max_examples=200, deadline=None)
def test_whatever_the_secret_is(dress: str, secret: str) -> None:
    assert secret.encode() not in redact(dress.format(secret).encode())


@given(st.lists(_PIECES, max_size=8).map(lambda parts: "\n".join(parts).encode("utf-8", "replace")))
@settings(max_examples=300, deadline=None)
def test_the_second_pass_changes_nothing(data: bytes) -> None:
    """Of lines. Where a key in PEM or a list is glued to the end of a bare value (``password=x-----BEGIN …``), the first pass masks
    each to its own end and the second sees one value that goes on behind the masks: more of the innocent rest is masked then."""
    once = redact(data)
    assert redact(once) == once


@pytest.mark.once
@pytest.mark.parametrize("opened", [b'"password": "', b"password=", b'"protectedSettings": {"a": "', b"<Password>", b"sig=",
                                    b"-----BEGIN PRIVATE KEY-----", b'{"x": "-----BEGIN PRIVATE KEY-----'])
def test_a_secret_of_megabytes_is_one_mask_and_takes_no_memory(opened: bytes) -> None:
    redactor = Redactor()
    out = redactor.feed(opened)
    for _ in range(64):
        out += redactor.feed(b"A1b2" * 8192)
        assert len(redactor._data) < 4 * 32768
    out += redactor.close()
    assert out.count(MASK) == 1
    if b"PRIVATE" not in opened:
        assert out.rstrip(b'"') == opened + (b'"' if b"{" in opened else b"") + MASK or out.startswith(opened[:20])
        assert b"A1b2" not in out
    else:
        assert out.count(b"A1b2") <= (64 * 8192) - (ends.LONGEST_PEM - 100) // 4


def test_a_mention_of_a_key_does_not_hide_the_rest_of_the_log() -> None:
    data = b"grep '-----BEGIN PRIVATE KEY-----' *\n" + b"2025-11-19T12:41:22.1Z INFO line\n" * 10000
    assert redact(data).endswith(b"2025-11-19T12:41:22.1Z INFO line\n" * 100)


@pytest.mark.parametrize("opened", [b'x "protectedSettings": {"a": "b', b"<Password>abc", b"'secret': {'a"])
def test_what_was_not_closed_ends_with_its_record(opened: bytes) -> None:
    rest = b"\n2025-11-19T12:41:22.123456Z INFO ExtHandler next\n"
    assert redact(opened + rest).endswith(rest)


def test_a_key_within_a_value_is_masked_to_its_own_end() -> None:
    text = b'x "privateKey": "-----BEGIN PRIVATE KEY----- \nMIIE\nabcd\n-----END PRIVATE KEY-----\n", "n": 1'
    assert redact(text) == b'x "privateKey": "' + MASK + b'-----END PRIVATE KEY-----\n", "n": 1'


def test_a_key_within_an_unfinished_value_is_masked_to_its_own_end() -> None:
    """Also where the value around it goes on beyond all that is read so far."""
    opened = b'x "privateKey": "' + b"x" * 3 * secrets.LOOK + b"-----BEGIN PRIVATE KEY----- " + b"efgh" * 3 * secrets.LOOK
    data = opened + b"\n" + b"abcd\n" * 3000 + b"-----END PRIVATE KEY-----\n" + b"z " * secrets.LOOK
    for cut in (2 * secrets.LOOK + 100, len(opened) - 50, len(opened), len(opened) + secrets.LOOK - 1, len(opened) + secrets.LOOK + 5000):
        assert _in_two(data, cut) == redact(data) == b'x "privateKey": "' + MASK + b"-----END PRIVATE KEY-----\n" + b"z " * secrets.LOOK


@pytest.mark.parametrize("text", [b"a" * 60 + b".xPassword=abc d e\n", b"<" + b"a" * 40 + b"Password>abc</" + b"a" * 40 + b"Password>",
                                  b"--" + b"a" * 30 + b"-password abc x", b"Storage" + b"_" * 3 + b"AccountKey=abc;x=", b"9" * 30 + b"MIIC" + b"Q" * 90])
def test_what_stands_before_a_name_counts_wherever_the_text_was_cut(text: bytes) -> None:
    data = b"y\n" * secrets.LOOK + text + b"\n" + b"z " * secrets.LOOK
    for cut in range(2 * secrets.LOOK + secrets.LOOK, 2 * secrets.LOOK + secrets.LOOK + len(text)):
        assert _in_two(data, cut) == redact(data)


def test_what_was_masked_already_is_not_counted_again() -> None:
    redactor = Redactor()
    data = b'"protectedSettings": "***REDACTED***", "n": 1'
    assert redactor.feed(data) + redactor.close() == data and not redactor.masked


def test_json_stays_json_and_xml_stays_xml() -> None:
    from xml.etree import ElementTree

    told = {"password": "a\"b", "list": [{"token": "x", "n": 1}], "protectedSettings": {"k": ["v"]}, "url": "https://x/?sig=abc&se=1"}
    assert json.loads(redact(json.dumps(told).encode())) == {
        "password": MASK.decode(), "list": [{"token": MASK.decode(), "n": 1}], "protectedSettings": MASK.decode(),
        "url": f"https://x/?sig={MASK.decode()}&se=1"}
    xml = b"<a><Password>x</Password><u>https://x/?sig=a%2B&amp;se=1</u><b>c</b></a>"
    assert [node.text for node in ElementTree.fromstring(redact(xml))] == [MASK.decode(), f"https://x/?sig={MASK.decode()}&se=1", "c"]


@pytest.mark.once
@pytest.mark.parametrize("text", [b"password=" * 20000, b'"password": {' * 20000, b"-----BEGIN PRIVATE KEY-----" * 10000,
                                  b"<password>" * 20000, b"://" * 60000, b"eyJ" * 60000, b"\\" * 200000 + b'"', b"sig=" * 50000,
                                  b"authorization: " * 15000, b"MIIM" * 50000, b"curl " * 40000, b"a\0" * 100000, b"key " * 50000,
                                  b"password " * 20000, b"=" * 200000, b"-" * 200000, b"password" + b" " * 200000, b"A" * 200000,
                                  b"://:" * 50000, b"://u:p" * 30000, b"x://u:" + b"p" * 200000, b"proxy=" * 30000, b"proxy=a:" + b"b" * 200000,
                                  b"3a%2f%2f" * 25000, b"%3a%2f%2fu%3a" * 15000, b":\\/\\/" * 40000, b'value="' * 30000, b'"value":"a","n":"b",' * 10000,
                                  b"<password " * 20000, b"&lt;password " * 15000, b"\\u003cpassword " * 12000, b'name="password" ' * 12000,
                                  b'"password" ' + b'a="b" ' * 30000, b"password=" + b"\\n" * 100000, b"password:\n  " * 15000, b"password: |\n" + b" \n" * 100000,
                                  b"eyJwYXNz" * 25000, b"PFBh" * 50000, b"thumbprint " * 18000, b"%2B" * 60000 + b"%3D%3D", b"\\/" * 100000 + b"==",
                                  b"\\u0022" * 35000, b"&quot;" * 35000, b'"password":"' + b"%5c" * 60000, b"('password', " * 15000,
                                  b'"secret": {' + b"\n2025-11-19T12:41:22.1Z INFO \"a\":" * 6000, b"begin " * 35000, b"cookie" * 35000, b"sharedkey " * 20000])
def test_hostile_text_costs_no_more_than_its_length(text: bytes) -> None:
    """Twice the text, about twice the work: what grows with the square would be four times it."""
    import time

    def cost(data: bytes) -> float:
        best = 1e9
        for _ in range(2):
            begin = time.process_time()
            redact(data)
            best = min(best, time.process_time() - begin)
        return best

    half = text[:len(text) // 2]
    assert cost(text) <= 3.5 * cost(half) + 0.1


def test_every_rule_has_a_case() -> None:
    assert set(EXACT) == set(secrets.RULES)
