"""``waguardctl lint``: waagent.conf as the agent reads it, and what its writer may not have meant."""

from __future__ import annotations

import errno
import os
from typing import Any

from waguard.ctl import common
from waguard.i18n import message, say, tr

HELP = message("check a waagent.conf: what the agent does not read, or reads otherwise than it looks")
EXAMPLES = ("waguardctl lint", "waguardctl lint ./waagent.conf", "waguardctl lint --json ./waagent.conf")


def add(parser: Any) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE",
                        help=tr("what to check (default: the waagent.conf of this machine)"))


def run(args: Any) -> int:
    """Exit status 0: nothing to say; 2: there are problems; 1: the file cannot be read."""
    from pathlib import Path

    from waguard.agent import conf
    from waguard.observe import conf as observed
    from waguard.observe import files

    path = Path(args.file) if args.file else observed.find("auto")
    try:
        parsed = conf.parse(files.read(path, observed.LIMIT))
    except FileNotFoundError:
        raise common.Failure(say("{path}: there is no such file", path=common.plain(path)),
                             "" if args.file else say("name the file that the agent uses: waguardctl lint FILE")) from None
    except files.Unusable as error:
        denied = os.strerror(errno.EACCES) in str(error)
        raise common.Failure(common.plain(error), say("try it with sudo") if denied else "") from None
    refusal = conf.refusal(parsed)
    problems = [*([refusal] if refusal is not None else []), *conf.lint(parsed)]
    result = {"file": str(path), "usable": refusal is None,
              "problems": [{"line": one.line, "id": one.id, "key": one.key or None, "message": one.message} for one in problems]}
    text = "\n".join(common.plain(f"{path}:{one.line}: {one.id}: ") + common.shown(one.message) for one in problems)
    common.emit(args, result, text or tr("{path}: good", path=common.plain(path)))
    return 2 if problems else 0
