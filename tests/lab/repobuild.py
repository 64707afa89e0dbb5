"""Packages of this tree and of its next version, and repositories of them. Each is built once, by whichever test asks first."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PARTS = ("LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "bench", "demo", "docs", "monitoring", "packaging",
         "po", "pyproject.toml", "setup.cfg", "systemd", "tests", "tools", "waguard")
BUILT = TOP / "build/lab-packages"


def version() -> str:
    """Of this tree, as the code says it."""
    match = re.search(r'^__version__ = "(.+)"$', (TOP / "waguard/__init__.py").read_text(), re.MULTILINE)
    assert match
    return match[1]


def next_version() -> str:
    head, _, tail = version().rpartition(".")
    return f"{head}.{int(tail) + 1}"


def rpm() -> Path:
    """The rpm in dist/. Fails, rather than testing another, when there is none."""
    found = list((TOP / "dist").glob("waguard-*.noarch.rpm"))
    if not found:
        pytest.fail("dist/ holds no rpm: run `make rpm` first (`make lab` does)")
    return found[0]


def copy_tree(to: Path) -> Path:
    """The source, without what was built of it."""
    to.mkdir(parents=True)
    for part in PARTS:
        if (TOP / part).is_dir():
            shutil.copytree(TOP / part, to / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(TOP / part, to / part)
    return to


def bump(tree: Path) -> None:
    """Makes `tree` the source of the next version, which says something else in its web.yml."""
    new = next_version()
    _change(tree / "waguard/__init__.py", version(), new)
    _change(tree / "packaging/waguard.spec", f"Version:        {version()}\n", f"Version:        {new}\n")
    author = "The waguard authors <waguard@waguard.example>"
    _change(tree / "packaging/waguard.spec", "%changelog\n", f"%changelog\n* Tue Nov 24 2026 {author} - {new}-1\n- The next one.\n\n")
    changelog = tree / "packaging/debian/changelog"
    changelog.write_text(f"waguard ({new}) unstable; urgency=medium\n\n  * The next one.\n\n"
                         f" -- {author}  Tue, 24 Nov 2026 08:00:00 +0000\n\n" + changelog.read_text())
    with (tree / "packaging/web.yml").open("a") as web:
        web.write("# The next version has more to say.\n")


def _change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{file} has no {old!r}"
    file.write_text(text.replace(old, new, 1))


def build(tree: Path, kind: str, **environment: str) -> Path:
    """Runs packaging/build-KIND.sh ("deb", "rpm" without its tests) in `tree`, whatever the caller's umask. Returns the package."""
    done = subprocess.run([tree / f"packaging/build-{kind}.sh"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env={**os.environ, "WAGUARD_RPM_CHECK": "no", **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    (package,) = (tree / "dist").glob({"deb": "*.deb", "rpm": "*.noarch.rpm"}[kind])
    return package


def next_package(kind: str) -> Path:
    """The next version's package."""
    def make(to: Path) -> None:
        tree = copy_tree(to.parent / "tree")
        bump(tree)
        to.mkdir()
        shutil.copy2(build(tree, kind), to)
        shutil.rmtree(tree)

    (package,) = _once(f"next-{kind}", make).iterdir()
    return package


def again(kind: str) -> Path:
    """This version's package, built once more: elsewhere, with other times and modes, by somebody with another umask and clock."""
    def make(to: Path) -> None:
        tree = copy_tree(to.parent / "another/place")
        for path in tree.rglob("*"):
            os.utime(path, (1234567890, 1234567890))
            path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)
        to.mkdir()
        before = os.umask(0o077)
        try:
            shutil.copy2(build(tree, kind, TZ="Pacific/Kiritimati", LANG="C.UTF-8"), to)
        finally:
            os.umask(before)
        shutil.rmtree(tree)

    (package,) = _once(f"again-{kind}", make).iterdir()
    return package


def _once(name: str, make: Callable[[Path], None]) -> Path:
    """What `make` laid at the path it was given: from now, from another process, or from an earlier run of the same source."""
    place = BUILT / _source_key() / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with (BUILT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=BUILT) as work:
                make(Path(work) / "done")
                (Path(work) / "done").rename(place)
    return place


def _source_key() -> str:
    digest = hashlib.sha256()
    for part in PARTS:
        root = TOP / part
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(TOP)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def gpg_home(name: str) -> Iterator[str]:
    """A GNUPGHOME with one key, of `name`. Its path is short, because that of the agent's socket has to be."""
    home = tempfile.mkdtemp(prefix="gpg-", dir="/tmp")
    environment = {**os.environ, "GNUPGHOME": home}
    try:
        subprocess.run(["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", name, "rsa2048", "sign", "1d"],
                       check=True, capture_output=True, env=environment)
        yield home
    finally:
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=environment)
        shutil.rmtree(home, ignore_errors=True)


class Repository:
    """A repository at `place`/repo, published by packaging/repo with a throw-away key of its own."""

    def __init__(self, place: Path, url: str) -> None:
        self.path = place / "repo"
        self.url = url
        self._place = place

    def publish(self, *packages: Path, key: str = "", home: str = "") -> subprocess.CompletedProcess[str]:
        """As `make repo` with these packages in dist/. Returns what it said; it may have failed."""
        top = self._place / "top"
        for old in (top / "dist").glob("*"):
            old.unlink()
        for part in ("packaging", "dist"):
            (top / part).mkdir(parents=True, exist_ok=True)
        for program in ("repo", "need"):
            shutil.copy2(TOP / "packaging" / program, top / "packaging" / program)
        for package in packages:
            shutil.copy2(package, top / "dist")
        environment = {**os.environ, "WAGUARD_REPO": str(self.path), "WAGUARD_REPO_URL": self.url, "WAGUARD_SIGNING_KEY": key}
        if home:
            environment["GNUPGHOME"] = home
        return subprocess.run([top / "packaging/repo"], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
