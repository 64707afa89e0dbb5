"""Real shells on a pseudo-terminal, asked what they would complete a line to.

bash and zsh each have a way to put all matches into the line itself, and to hand the line to a command: what comes back is what a
person would get, quotes and all. fish has ``complete -C``. The programs that are completed need not exist.
"""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Optional

import pytest

DEADLINE = 30.0
_BASH = """
bind 'set bell-style none'; bind 'set completion-query-items 0'; bind '"\\C-xa": insert-completions'
__told() { printf '%s\\0' "$READLINE_LINE" >"$TOLD"; READLINE_LINE=; READLINE_POINT=0; }; bind -x '"\\C-xd": __told'
"""
_ZSH = """
unsetopt beep listbeep; fpath=(@DIRECTORY@ $fpath); autoload -Uz compinit; compinit -u -D
zstyle ':completion:all:*' completer _all_matches _complete; zstyle ':completion:all:*' insert yes
zle -C all complete-word _generic; bindkey '^Xa' all
__told() { print -rn -- "$BUFFER"$'\\0' >$TOLD; BUFFER= }; zle -N __told; bindkey '^Xd' __told
"""
_LEFT_BY_ZSH = "="
"""Behind a long option that takes a value."""


def needed(name: str) -> str:
    """Path of a program. In CI a missing one fails; elsewhere it skips."""
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{name} is not there: tools/shells installs it")
    assert found is not None
    return found


class Shell:
    """``directory``: of the scripts, as `python3 -m waguard.reference completion` lays them out; ``home``: where the shell is."""

    def offers(self, line: str) -> list[str]:
        """The words that may stand at the end of the line."""
        raise NotImplementedError

    def close(self) -> None:
        pass


class _Typed(Shell):
    """A shell that is typed into. ``more``: lines for it to begin with."""

    def __init__(self, argv: list[str], begin: str, home: Path) -> None:
        self._told = home / f".told-{os.path.basename(argv[0])}-{time.monotonic_ns()}"
        os.mkfifo(self._told)
        self._read = os.open(self._told, os.O_RDWR | os.O_NONBLOCK)
        environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "TERM": "dumb", "LANG": "C.UTF-8", "INPUTRC": "/dev/null",
                       "TOLD": str(self._told)}  # fmt: skip
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(home)
            os.execve(argv[0], argv, environment)
        self._type("".join(f"{line}\n" for line in begin.splitlines()) + "printf 'ready\\0' >\"$TOLD\"\n")
        assert self._answer() == "ready"

    def complete(self, line: str) -> str:
        """The line with all matches in the place of its last word; as it was where there are none."""
        self._type(f"{line}\x18a\x18d")
        return self._answer()

    def _type(self, text: str) -> None:
        for start in range(0, len(text), 512):
            os.write(self._terminal, text[start:start + 512].encode())
            self._echo()

    def _echo(self) -> None:
        while select.select([self._terminal], [], [], 0.0)[0]:
            os.read(self._terminal, 65536)

    def _answer(self) -> str:
        data, until = b"", time.monotonic() + DEADLINE
        while not data.endswith(b"\0"):
            assert time.monotonic() < until, f"the shell did not answer; it has told {data!r}"
            ready = select.select([self._read, self._terminal], [], [], 0.2)[0]
            if self._terminal in ready:
                os.read(self._terminal, 65536)
            if self._read in ready:
                data += os.read(self._read, 65536)
        return data[:-1].decode()

    def offers(self, line: str) -> list[str]:
        found = self.complete(line)
        if found == line:
            return []
        start = max(line.rfind(" "), line.rfind("=")) + 1
        option = line[line.rfind(" ") + 1:start]  # zsh says it again with each word
        words = shlex.split(found[start:])
        return [word[len(option):] if option and word.startswith(option) else word for word in words]

    def close(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)
        os.close(self._read)


class Bash(_Typed):
    """``begin``: lines of shell, instead of the scripts of the directory."""

    def __init__(self, directory: Path, home: Path, begin: Optional[str] = None) -> None:
        scripts = "\n".join(f". {shlex.quote(str(path))}" for path in sorted((directory / "bash").iterdir()))
        # No program can be started from here on.
        super().__init__([needed("bash"), "--norc", "--noprofile", "-i"],
                         _BASH + (f"{scripts}\nPATH=/nonexistent" if begin is None else begin), home)


class Zsh(_Typed):
    def __init__(self, directory: Path, home: Path) -> None:
        begin = _ZSH.replace("@DIRECTORY@", shlex.quote(str(directory / "zsh")))
        super().__init__([needed("zsh"), "-f", "-i"], f"{begin}path=(/nonexistent)", home)

    def offers(self, line: str) -> list[str]:
        return [word[:-1] if word.endswith(_LEFT_BY_ZSH) else word for word in super().offers(line)]


class Fish(Shell):
    def __init__(self, directory: Path, home: Path) -> None:
        self._fish, self._home = needed("fish"), home
        self._begin = "\n".join(f"source {shlex.quote(str(path))}" for path in sorted((directory / "fish").iterdir()))

    def told(self, line: str) -> list[tuple[str, str]]:
        """Words and what is said about them."""
        script = f"{self._begin}\nset PATH /nonexistent\ncomplete -C {shlex.quote(line)}"
        ran = subprocess.run([self._fish, "-N", "-c", script], cwd=self._home, timeout=DEADLINE, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True,
                             env={"HOME": str(self._home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})  # fmt: skip
        assert ran.stderr == ""
        return [(word, about) for word, _, about in (line.partition("\t") for line in ran.stdout.splitlines())]

    def offers(self, line: str) -> list[str]:
        option = line.rpartition(" ")[2].rpartition("=")[0]
        return [word[len(option) + 1:] if option and word.startswith(f"{option}=") else word for word, _ in self.told(line)]


SHELLS = {"bash": Bash, "zsh": Zsh, "fish": Fish}
