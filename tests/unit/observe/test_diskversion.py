"""The installed agent's version, read from its source in trees of the distributions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from waguard.observe import diskversion
from waguard.observe.files import Unusable

LIBRARY = "azurelinuxagent/common/version.py"
SOURCE = """\
# Licensed …
import re

AGENT_NAME = "WALinuxAgent"
AGENT_LONG_NAME = "Azure Linux Agent"
# AGENT_VERSION = '1.0'
AGENT_VERSION = '{version}'
AGENT_LONG_VERSION = "{{0}}-{{1}}".format(AGENT_NAME, AGENT_VERSION)
"""


def install(root: Path, place: str, text: str) -> Path:
    path = root / place / LIBRARY
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("place", [
    "usr/lib/python3/dist-packages",  # Debian, Ubuntu
    "usr/lib/python3.9/site-packages",  # RHEL 9
    "usr/lib/python3.12/site-packages",  # Azure Linux 3
    "usr/lib/python2.7/site-packages",  # RHEL 7
])
def test_each_distributions_place(tmp_path: Path, place: str) -> None:
    install(tmp_path, place, SOURCE.format(version="2.7.3.0"))
    assert str(diskversion.read(root=tmp_path)) == "2.7.3.0"


def test_of_two_the_newest(tmp_path: Path) -> None:
    install(tmp_path, "usr/lib/python3.6/site-packages", SOURCE.format(version="2.2.46"))
    install(tmp_path, "usr/lib/python3.9/site-packages", SOURCE.format(version="2.11.1.4"))
    assert str(diskversion.read(root=tmp_path)) == "2.11.1.4"


@pytest.mark.parametrize("text", ["", "AGENT_VERSION = None\n", "AGENT_VERSION = 'soon'\n", "  AGENT_VERSION = '2.0'\n", "\0" * 100])
def test_a_file_that_does_not_tell(tmp_path: Path, text: str) -> None:
    install(tmp_path, "usr/lib/python3/dist-packages", text)
    assert diskversion.read(root=tmp_path) is None


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    install(tmp_path, "usr/lib/python3/dist-packages", "").write_bytes(b"\xff\nAGENT_VERSION = \"2.9.1.1\"\n\xfe")
    assert str(diskversion.read(root=tmp_path)) == "2.9.1.1"


def test_none_installed(tmp_path: Path) -> None:
    assert diskversion.read(root=tmp_path) is None


def test_one_that_a_package_manager_takes_away_meanwhile(tmp_path: Path) -> None:
    """The name is found and the file is gone when it is opened."""
    path = install(tmp_path, "usr/lib/python3/dist-packages", "")
    path.unlink()
    path.symlink_to("nowhere")
    assert diskversion.read(root=tmp_path) is None


@pytest.mark.parametrize("kind", ["directory", "fifo", "huge"])
def test_what_cannot_be_read_is_said(tmp_path: Path, kind: str) -> None:
    path = install(tmp_path, "usr/lib/python3/dist-packages", "")
    if kind == "huge":
        os.truncate(path, 1 << 30)
    else:
        path.unlink()
        path.mkdir() if kind == "directory" else os.mkfifo(path)
    with pytest.raises(Unusable):
        diskversion.read(root=tmp_path)
