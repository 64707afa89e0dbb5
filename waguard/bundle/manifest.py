"""What the bundle says of itself: manifest.json for programs, README.txt for people."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Optional

from waguard.bundle import content, redact, secrets

SCHEMA = 1
_MOST_LEFT = 5000


@dataclass
class Manifest:
    """Grows while the bundle is made."""

    machine: str
    version: str
    user: str
    began: float
    max_size: int
    since: Optional[float]
    members: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    masked: Counter[str] = field(default_factory=Counter)
    unlisted: int = 0
    cut: int = 0

    def took(self, member: str, length: int, sha256: str, masked: dict[str, int], **more: Any) -> None:
        """A member is in the bundle. ``length`` and ``sha256``: as stored. What says nothing of ``more`` goes unsaid."""
        known = {name: clean(value) if isinstance(value, str) else value for name, value in more.items()
                 if value or name == "size"}
        self.members.append({"member": member, "bytes": length, "sha256": sha256, "masked": masked, **known})
        self.masked.update(masked)
        self.cut += "cut" in known

    def left(self, path: str, why: str, count: int = 1) -> None:
        """Something is not in the bundle."""
        if len(self.left_out) >= _MOST_LEFT:
            self.unlisted += count
            return
        self.left_out.append({"path": clean(path), "why": clean(why), **({"count": count} if count > 1 else {})})

    def dump(self) -> bytes:
        """manifest.json."""
        told = {
            "schema": SCHEMA, "waguard": self.version, "machine": self.machine, "collected_at": self.began, "user": self.user,
            "max_size": self.max_size, "since": self.since, "mask": redact.MASK.decode("ascii"),
            "rules": {rule: {"what": what, "masked": self.masked[rule]} for rule, what in secrets.RULES.items()},
            "problems": [clean(problem) for problem in self.problems], "members": self.members, "left_out": self.left_out,
            "left_out_unlisted": self.unlisted}
        return (json.dumps(told, indent=1) + "\n").encode("ascii")

    def readme(self) -> bytes:
        """README.txt."""
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.began))
        total = sum(member["bytes"] for member in self.members)
        lines = [
            f"Support bundle of {self.machine}, made by waguard {self.version} on {when} as {self.user}.", "",
            f"{len(self.members)} members, {total} bytes. manifest.json lists each: its origin, SHA-256, what was masked in it.",
            "files/    of the machine, under the path they had; compressed logs are stored as plain text",
            "machine/  what programs and the kernel said",
            "waguard/  the diagnosis, the snapshot, events, versions, settings", "",
            f"Secrets are replaced by {redact.MASK.decode('ascii')}. Everything else is as it was. Masked, by rule:",
            *(f"  {self.masked[rule]:6}  {rule}: {what}" for rule, what in secrets.RULES.items() if self.masked[rule]),
            *([] if self.masked else ["  nothing"]), "",
            "No rule knows every secret. Look through the files before you hand them to anybody.", ""]
        lines += self._part("Cut", [f"{member['member']}: {member['cut']}" for member in self.members if member.get("cut")])
        lines += self._part("Did not succeed", self.problems)
        lines += self._part("Left out", [f"{one['path']}: {one['why']}" + (f" ({one['count']})" if "count" in one else "")
                                         for one in self.left_out])
        return "\n".join(lines).encode("utf-8", "backslashreplace") + b"\n"

    @staticmethod
    def _part(title: str, items: list[str]) -> list[str]:
        return [f"{title}:", *(f"  {clean(item)}" for item in items), ""] if items else []


def clean(text: str) -> str:
    """One line without secrets: names of files are made by others too."""
    masked = redact.redact(text.encode("utf-8", "surrogateescape")).decode("utf-8", "backslashreplace")
    return masked if masked.isprintable() else "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in masked)


def member_name(path: str) -> str:
    """A path as it is called in the archive: ASCII, no secret, nothing that a shell or a terminal would take amiss."""
    parts: list[str] = []
    for part in content.plain_name(path).split("/"):
        data = redact.redact(part.encode("utf-8", "surrogateescape"))
        name = "".join(chr(code) if chr(code).isascii() and (chr(code).isalnum() or chr(code) in "._+=@,:~-") else f"%{code:02X}"
                       for code in data)
        if name in (".", ".."):
            name = name.replace(".", "%2E")
        parts.append(name if len(name) <= 220 else name[:200] + f"~{len(parts)}")
    return "/".join(part for part in parts if part)
