"""Hypothesis strategies for configuration files nobody would write, and some that people do."""

from __future__ import annotations

from hypothesis import strategies as st

from waguard.agent.conf import KEYS

KEY_NAMES = st.sampled_from(["Logs.Verbose", "Extensions.Enabled", "HttpProxy.Host", "OS.EnableFirewallPeriod", "x"])

_KEYS = st.one_of(
    st.sampled_from([b"Logs.Verbose", b"Extensions.Enabled", b"HttpProxy.Host", b"OS.EnableFirewallPeriod", b"x",
                     b"logs.verbose", b"Logs.Verbose\x00", b"\xef\xbb\xbfLogs.Verbose", b""]),
    st.binary(max_size=4),
)
_BLANKS = st.sampled_from(
    [b"", b"", b"", b" ", b"  ", b"\t", b" \t ", b"\r", b"\x0b", b"\x0c", b"\xc2\xa0", b"\xc2\x85"]
)
_VALUES = st.one_of(
    st.sampled_from([b"y", b"n", b"Y", b"N", b"yes", b"", b"None", b'"y"', b'"', b'""', b"' n '", b'" n "', b'"y"\r',
                     b"30", b"-1", b"+0_7", b"y#n", b"#", b"# y", b"a=b", b"\x00", b"\xff", b"\xe9t\xe9",
                     b"\xed\xa0\x80", b'\t""', b'"\ty', b"N\xc3\xb6"]),
    st.binary(max_size=6),
)
_COMMENTS = st.sampled_from([b"", b"", b"", b"# was n", b" # y", b"#", b" ##=\xff", b"\t# \""])
_ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r\n", b"\r", b"\n\n", b""])

_ASSIGNMENTS = st.tuples(
    st.sampled_from([b"", b"", b"", b"", b" ", b"#", b" #", b"# "]), _KEYS, _BLANKS, st.just(b"="), _BLANKS, _VALUES,
    _BLANKS, _COMMENTS, _ENDS,
).map(b"".join)
_OTHERS = st.one_of(
    st.sampled_from([b"\n", b"\r\n", b"# comment\n", b"junk\n", b"=\n", b"\x00\x00", b"\xef\xbb\xbf", b"\xe2\x80\xa8"]),
    st.binary(max_size=8),
)

FILES = st.one_of(st.lists(st.one_of(_ASSIGNMENTS, _ASSIGNMENTS, _OTHERS), max_size=8).map(b"".join), st.binary())
"""Files with CR and CRLF and none, without a final newline, with duplicates, comments, NULs, latin-1, quotes, None."""

VALUES = st.one_of(
    st.sampled_from(["y", "n", "30", "", "none", "a b", "it's", "/var/lib/x", "ö", "a=b", 'a"b']),
    # blacklist_: what hypothesis called exclude_ before 6.84, and still takes; distributions have older ones, and run this in %check.
    st.text(st.characters(min_codepoint=33, blacklist_categories=["Cs", "Zs", "Zl", "Zp", "Cc"], blacklist_characters='#"'),
            max_size=8).filter(lambda text: text != "None" and text == text.strip()),
)
"""Values that a line can hold."""

ALL_KEYS = sorted(KEYS)
