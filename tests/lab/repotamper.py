"""What somebody could do to a repository who has its web server, but not its key."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from .repobuild import Repository, gpg_home


def flip(path: Path) -> None:
    """One bit in the middle is another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _package(repository: Repository) -> None:
    (deb,) = repository.path.rglob("*.deb")
    flip(deb)


def _lists(repository: Repository) -> None:
    for path in (repository.path / "apt/dists/stable/main").rglob("*"):
        if path.is_file() and path.read_bytes().startswith(b"\xfd7zXZ"):
            path.unlink()
        elif path.is_file():
            path.write_bytes(path.read_bytes().replace(b"Section: admin", b"Section: games"))


def _signed(repository: Repository) -> None:
    path = repository.path / "apt/dists/stable/InRelease"
    path.write_text(path.read_text().replace("Origin: waguard", "Origin: somebody"))


def _sign_anew(repository: Repository) -> None:
    release = repository.path / "apt/dists/stable/Release"
    with gpg_home("somebody") as home:
        subprocess.run(["gpg", "--batch", "--quiet", "--yes", "--clearsign", "--output", release.with_name("InRelease"), release],
                       check=True, capture_output=True, env={**os.environ, "GNUPGHOME": home})


def _unsign(repository: Repository) -> None:
    for name in ("InRelease", "Release.gpg"):
        (repository.path / "apt/dists/stable" / name).unlink()


# What is done to it, and the pattern of what apt has to say.
TAMPERED: dict[str, tuple[Callable[[Repository], None], str]] = {
    "a package": (_package, "Hash Sum mismatch|unexpected size"),
    "a list": (_lists, "Hash Sum mismatch|unexpected size"),
    "the signed file": (_signed, "BADSIG|invalid"),
    "the signature, by another key": (_sign_anew, "NO_PUBKEY"),
    "the signature, taken away": (_unsign, "is not signed"),
}
