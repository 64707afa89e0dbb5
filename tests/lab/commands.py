"""The commands of README and docs: which there are, and how each is known to work. Used by tests/unit/test_docs.py and test_85_docs.py.

A block of commands is one marked ``console`` or ``sh``, or one without a mark whose first line begins with a program. Commands within a
sentence count too, if they begin with one of SPANS and hold no placeholder: those are forms, of which only the options are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

PROGRAMS = frozenset(
    "apt apt-get chgrp chmod chown curl df dmesg dnf export findmnt grep htpasswd install ip iptables journalctl ls make mkdir nft openssl "
    "promtool ps python3 rm sudo systemctl systemd-analyze tail tar tdnf waguardctl waguard-exporter zypper".split())
SPANS = re.compile(r"(?:sudo )?(?:apt|apt-cache|apt-get|apt-mark|curl|dnf|dpkg|gpg|journalctl|make|promtool|python3|rpm|systemctl|systemd-analyze|"
                   r"tdnf|waguardctl|waguardd|zypper) \S.*")
PLACEHOLDER = re.compile(r"\b(?:HOST-TIME|FINDING|CODE|FILE|DIR|UNIT|USER|HANDLER|ADDRESS|TIME|N)\b")
FILL = {"FINDING": "disk-full", "CODE": "4", "UNIT": "walinuxagent.service", "HOST-TIME": "*",
        "HANDLER": "Microsoft.Azure.RecoveryServices.VMSnapshotLinux"}
"""What stands in the lab for the placeholders of a block."""
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_GENERATED = re.compile(r"<!-- findings: .*?<!-- /findings -->", re.DOTALL)
_COMMENT = re.compile(r"(?:^| +)# .*$")


@dataclass(frozen=True)
class Command:
    """``text``: one line for a shell, without a comment. ``span``: it stands within a sentence."""

    file: str
    line: int
    text: str
    span: bool = False

    @property
    def form(self) -> bool:
        """It shows how a command may look, and is none itself: only its options count."""
        return self.span and bool(PLACEHOLDER.search(self.text) or re.search(r"[\[|]", self.text))

    @property
    def filled(self) -> str:
        """With something in the place of each placeholder, and without sudo: who runs it is root."""
        return PLACEHOLDER.sub(lambda match: FILL.get(match[0], match[0]), self.text.removeprefix("sudo "))


def documents(root: Path) -> list[Path]:
    """What a reader reads."""
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]


def commands(root: Path) -> Iterator[Command]:
    """Every command, in the order of the pages. What is made from the catalogue of findings is left to its own tests."""
    for path in documents(root):
        name = str(path.relative_to(root))
        text = _GENERATED.sub(lambda match: "\n" * match[0].count("\n"), path.read_text("utf-8"))
        for match in _FENCE.finditer(text):
            if is_shell(match[2], match[3]):
                yield from _lines(name, text.count("\n", 0, match.start(3)) + 1, match[3])
        if name == "docs/findings.md":
            continue
        prose = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
        for number, line in enumerate(prose.splitlines(), 1):
            for said in _SPAN.findall(line):
                said = said.replace("\\|", "|")
                if SPANS.fullmatch(said) and "…" not in said:
                    yield Command(name, number, said, span=True)


def is_shell(mark: str, block: str) -> bool:
    """Is that a block of commands?"""
    if mark:
        return mark in ("console", "sh", "shell", "bash")
    first = next((line for line in block.splitlines() if line.strip() and not line.startswith("#")), "")
    return first.split(" ")[0] in PROGRAMS


def _lines(name: str, first: int, block: str) -> Iterator[Command]:
    whole, begun = "", first
    for number, line in enumerate(block.splitlines(), first):
        if not whole:
            begun = number
        if line.endswith("\\"):
            whole += line[:-1].strip() + " "
            continue
        text = _COMMENT.sub("", (whole + line.strip())).strip()
        whole = ""
        if text and not re.match(r"\[|ListenStream=", text):  # what is typed into systemctl edit
            yield Command(name, begun, text)


@dataclass(frozen=True)
class How:
    """How a command is known to work. ``lab``: it is run in the machine of test_85_docs.py, else ``why`` says what does instead.

    ``codes``: exit statuses that are right. ``before``, ``after``: for the shell, before it and to undo it. ``turn``: those with a lower one
    are run first.
    """

    pattern: str
    why: str = ""
    codes: tuple[int, ...] = (0,)
    before: str = ""
    after: str = ""
    turn: int = 0

    @property
    def lab(self) -> bool:
        return not self.why


_PACKAGES = "https://packages.example/waguard"
_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "test_84_packages.py does it with a repository on loopback": (
        f"curl -fsS --create-dirs -o /etc/apt/keyrings/waguard.asc {_PACKAGES}/waguard.asc",
        f"curl -fsS -o /etc/apt/sources.list.d/waguard.sources {_PACKAGES}/waguard.sources",
        f"curl -fsS -o /etc/yum.repos.d/waguard.repo {_PACKAGES}/rpm/el9/waguard.repo",
        f"zypper addrepo {_PACKAGES}/rpm/suse1500/waguard.repo", "zypper --gpg-auto-import-keys install waguard",
        "apt-get update", "apt-get install waguard", "apt-get -o Dpkg::Options::=--force-confold upgrade",
        "apt-get install --allow-downgrades waguard=0.1.0", "apt-get remove waguard", "apt-get purge waguard",
        "dnf install waguard", "dnf downgrade waguard-0.1.0", "dnf remove waguard",
        "zypper addlock waguard", "zypper install --oldpackage waguard=0.1.0", "zypper remove waguard"),
    "test_84_packages.py does it on a machine that has the rpm": ("rpm -q --changelog waguard",),
    "test_84_packages.py does it with a keyring of its own": ("gpg --list-secret-keys",),
    "wants a plugin that Debian does not install beside zypper": ("dnf versionlock add waguard",),
    "no machine of the lab has the distribution's mirror": (
        "dnf install epel-release", "apt install python3-bcrypt", "dnf install python3-bcrypt"),
}
"""Exact commands that this machine does not run, by the reason."""
_VMSNAPSHOT = f"/var/log/azure/{FILL['HANDLER']}"
_LOGS = f"mkdir -p {_VMSNAPSHOT} /etc/azure/MicrosoftRecoverySvcsSafeFreezeLock; " \
        f"touch {_VMSNAPSHOT}/shell.log {_VMSNAPSHOT}/CommandExecution.log {_VMSNAPSHOT}/extension.log"
HOWS: tuple[How, ...] = (
    # Not here
    How(r"make (?:demo|demo ARGS=--once|test|check|deb|lab|browser)", "by .ci/run"),
    How(r"make (?:repo|rpm)|export WAGUARD_.*", "by test_84_packages.py"),
    How(r"make bench(?: ARGS=--quick)?", "takes a quarter of an hour; .ci/run makes the quick one; tests/unit/test_bench_beside.py"),
    How(r"make fleet", "takes twelve minutes and all CPUs; tests/unit/test_bench_fleet.py tests its parts"),
    How(r"make messages", "writes po/es.po; tests/unit/test_i18n.py tests it"),
    How(r"make picture", "makes the pictures anew; tests/unit/test_picture.py tests its parts"),
    How(r"make help", "shows a list"),
    How(r"apt install \./dist/waguard_[0-9.]+_all\.deb", "guard.py installs that file with apt in every machine"),
    *(How(re.escape(text), why) for why, texts in _ELSEWHERE.items() for text in texts),
    How(r"systemctl edit .*", "opens an editor; test_81_textfile.py writes such a file"),
    How(r"htpasswd .*|python3 -c 'import bcrypt, getpass; .*", "asks for a password on a terminal"),
    How(r"iptables -t security .*", "the kernel of the lab need not have that table"),
    How(r"python3 (?:-m waguard|monitoring).*", "by tools/check"),
    How(r"promtool (?:tsdb|check web-config).*", "by bench/fleet; by tests/integration/test_web_config.py"),
    How(r"less .*", "a pager, which the lab has not"),
    How(r"journalctl -x|python3 -X importtime|promtool check config|systemd-analyze security|systemctl (?:start|status|cat)", "a name, not a whole command"),
    # Looking
    How(r"waguardctl (?:status|versions|metrics|events(?: --since \w+)?|verbose status|autorestart status|--version)"),
    How(r"waguardctl (?:config check|config show(?: --origin| --help-text)?|explain .*)"),
    How(r"apt-cache show waguard"),
    How(r"waguardctl (?:doctor(?: --local| --all)?|lint)", codes=(0, 2)),
    How(r"waguardctl check", codes=(0, 1, 2)),
    How(r"waguardctl collect(?: .*)?", before="cd /var/tmp", after="rm -f /var/tmp/waguard-* /mnt/waguard-*"),
    How(r"tar xzf waguard-\*.*", before="cd /var/tmp && waguardctl collect >/dev/null", after="rm -rf /var/tmp/waguard-*"),
    How(r"waguardctl metrics --textfile", after="rm -f /var/lib/prometheus/node-exporter/waguard.prom"),
    How(r"systemctl status [\w@*.' -]+", codes=(0, 3, 4)),
    How(r"journalctl -u '[^']*\*' .*", codes=(0, 1)),  # 1: "No data available", there is nothing yet
    How(r"systemctl (?:cat|list-units) .*|journalctl .*|systemd-analyze security waguard.*"),
    How(r"(?:ls|ps|df|findmnt|tail|ip route get|grep Cap)\b.*", before=_LOGS),
    How(r"(?:dmesg|grep -n) .*", codes=(0, 1)),
    How(r"curl -sS (?:--max-time 5 'http://168\.63\.129\.16/.*|http://127\.0\.0\.1:10168/metrics)"),
    # Changing
    How(r"waguardctl verbose on(?: --for \w+)?", after="waguardctl verbose off", turn=1),
    How(r"waguardctl pause(?: --for \w+)?", after="waguardctl resume", turn=1),
    How(r"waguardctl resume", before="waguardctl pause", turn=1),
    How(r"waguardctl restart(?: --force)?", turn=2),
    How(r"systemctl reload waguard", turn=2),
    How(r"waguardctl autorestart enable", after="waguardctl autorestart disable", turn=2),
    How(r"waguardctl autorestart disable", before="waguardctl autorestart enable", turn=2),
    How(r"apt-mark hold waguard", after="apt-mark unhold waguard", turn=2),
    How(r"systemctl enable --now waguard-textfile\.timer", after="systemctl disable --now waguard-textfile.timer", turn=2),
    How(r"systemctl enable --now waguard\.service .*", turn=2),
    How(r"systemctl disable --now waguard-exporter.*", turn=3,
        after="systemctl enable --now waguard-exporter.socket waguard-exporter.service"),
    How(r"systemctl (?:re)?start (?:(?:waguard|waguard-exporter|waguard-exporter\.socket|waguard-exporter\.service|waguard-doctor\.socket) ?)+",
        turn=4),
    # Prometheus beside it, and TLS
    How(r"install -D -m 644 -t /etc/prometheus/waguard .*", before="cd /usr/share/waguard", turn=5),
    How(r"promtool check config /etc/prometheus/prometheus\.yml && systemctl reload prometheus", before="systemctl start prometheus",
        after="systemctl stop prometheus", turn=6),
    How(r"mkdir -p /etc/waguard/tls", turn=6), How(r"openssl req -x509 .*", turn=7),
    How(r"chgrp waguard-exporter .*|chmod 0640 .*", turn=8),
)


def how(text: str) -> Optional[How]:
    """How a command (``filled``) is known to work; None when nobody has said."""
    return next((rule for rule in HOWS if re.fullmatch(rule.pattern, text)), None)
