"""A generator of waagent.conf files that nobody would write, from the grammar of those that people do. Seeded, so repeatable."""

from __future__ import annotations

import random

from waguard.agent.conf import KEYS, Kind

# What Python calls white space and what it does not: NEL, no-break space, line separator; zero width space, word joiner, BOM.
BLANKS = ("", "", "", "", " ", "  ", "\t", " \t", "\r", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u3000",
          "\u200b", "\u2060", "\ufeff", "\x00")
QUOTES = ("", "", "", "", '"', '""', "'", "`", '" ', ' "', '\t"', '"\t', '"\r', "\u201c")
SWITCHES = ("y", "n", "Y", "N", "yes", "no", "true", "1", "0", "", " y", "y y", "\uff59", "y\u0301", "\u0131", "None", "none", "NONE")
INTEGERS = ("0", "7", "30", "-1", "+5", " 7 ", "1_000", "_1", "1_", "1__0", "00012", "0x10", "0b1", "0o7", "1e3", "6.0", "6s", "- 5", "+-5", "--5",
            "\u0663\u0664", "\u0967", "\uff11\uff12", "\u00b2", "\u2167", "\U0001d7d9", "1\u0660", "\u22125", "9" * 19, "9" * 40, "9" * 4299, "9" * 4300,
            "9" * 4301, "-" + "9" * 4300, "-" + "9" * 4301, "+" + "9" * 4300, "0" * 4301, "0" * 4300 + "1", "1_" * 4299 + "1", "1_" * 4300 + "1", "", "None",
            "inf", "nan", "True")
STRINGS = ("", "None", "none", '"None"', "None ", "N one", "/var/lib/waagent", "proxy.example", "user:secret@proxy", "a=b", "=", "==", "a b", "caf\u00e9",
           "\u6771\u4eac", "\U0001f600", "x\x00y", "\x1b[31m", "\\n", "$HOME", "x\ry", "x\x85y", "x\u2028y", "e\u0301", "K", "\u212a")
COMMENTS = ("", "", "", "", "#", "# was n", " # y", "\t#", "##", "#=", '#"', "# None", " #\u00e9")
MARGINS = ("", "", "", "", "", "", " ", "\t", "\r", "#", " #", "# ", "##", "\ufeff", "\xa0#", "\x00", ";", "//")
SIGNS = ("=", "=", "=", "=", "=", " = ", "==", "\t=", "= ", ":", "", "\uff1d", "= =")
ENDS = ("\n", "\n", "\n", "\n", "\n", "\r\n", "\r\n", "\r", "\n\r", "\n\n", "", "\x0b", "\x0c", "\x1e", "\x85", "\u2028", "\u2029")
OTHERS = ("", "# comment", "#", "junk", "[section]", "=", "=y", "==", " ", "\t", "\\", "include /etc/x", "# Logs.Verbose=y", "\x00\x00", "\x1a", "None", "None=None")
BROKEN = (b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe9t\xe9", b"\x80", b"\xfe\xff\x00=")
NAMES = tuple(KEYS)


class Files:
    """``Files(seed).one()`` is a file, as bytes; the same ones in the same order for a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def one(self) -> bytes:
        pick = self._random
        if pick.random() < 0.01:
            return pick.choice((b"", b"\n", b"\r", b"\x00", b"\xef\xbb\xbf", b" ", b"#", b"=", pick.randbytes(pick.randrange(1, 60))))
        names = [self._name() for _ in range(pick.randrange(1, 9))]
        bom = b"\xef\xbb\xbf" if pick.random() < 0.05 else b""
        data = bom + "".join(self._line(names) for _ in range(pick.randrange(1, 25))).encode()
        if pick.random() < 0.08:
            data = self._break(data)
        return data

    def _name(self) -> str:
        pick = self._random
        name = pick.choice(NAMES)
        kind = pick.random()
        if kind < 0.8:
            return name
        odd = (name.lower(), name.upper(), f"{name}.", f"\ufeff{name}", f"{name}\x00", name.replace(".", " "), f'"{name}"', "", "x", "#", "caf\u00e9",
               f"{pick.choice(BLANKS)}{name}{pick.choice(BLANKS)}", name[:-1], "\u212aey")
        return pick.choice(odd)

    def _line(self, names: list[str]) -> str:
        pick = self._random
        if pick.random() < 0.15:
            return pick.choice(OTHERS) + pick.choice(ENDS)
        name = pick.choice(names)
        value = pick.choice(BLANKS) + self._value(name) + pick.choice(BLANKS)
        return (pick.choice(MARGINS) + name + pick.choice(BLANKS) + pick.choice(SIGNS) + value + pick.choice(COMMENTS) + pick.choice(BLANKS)
                + pick.choice(ENDS))

    def _value(self, name: str) -> str:
        pick = self._random
        own = {Kind.SWITCH: SWITCHES, Kind.INTEGER: INTEGERS, Kind.STRING: STRINGS}[KEYS[name].kind if name in KEYS else Kind.STRING]
        text = pick.choice(own if pick.random() < 0.7 else pick.choice((SWITCHES, INTEGERS, STRINGS)))
        quote = pick.choice(QUOTES)
        shape = pick.random()
        if shape < 0.6:
            return text
        return quote + text + (quote if shape < 0.85 else pick.choice(QUOTES))

    def _break(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data) + 1)
        return data[:at] + self._random.choice(BROKEN) + data[at:]
