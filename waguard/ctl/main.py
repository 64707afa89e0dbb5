"""waguardctl: one verb a call."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Optional

from waguard import __version__, i18n
from waguard.ctl import common
from waguard.i18n import tr

VERBS = ("status", "doctor", "check", "explain", "lint", "versions", "autorestart", "verbose",
         "restart", "pause", "resume", "events", "metrics", "config", "collect")
"""One module each, of the same name, in this package; imported only when it is wanted."""
_ENVELOPE = '{"schema": 1, "result": …, "warnings": []}'


def parser(only: str = "") -> argparse.ArgumentParser:
    """The whole command line, also for man page and completion; or with one verb ``only``, which is sooner there."""
    top = argparse.ArgumentParser(
        prog="waguardctl", description=tr("Ask and order waguard, which keeps this VM's Azure Linux agent (waagent) working."),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_examples("waguardctl status", "waguardctl doctor", "waguardctl verbose on --for 2h", "waguardctl pause --for 1h")
        + "\n\n" + tr("Orders (verbose, restart, pause, resume) need root or group waguard; the rest is for everybody."))
    top.add_argument("--version", action="version", version=f"waguardctl {__version__}",
                     help=tr("show program's version number and exit"))
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in (only,) if only else VERBS:
        module = importlib.import_module(f"waguard.ctl.{name}")
        about = tr(module.HELP)
        sub = verbs.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".",
                               formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_examples(*module.EXAMPLES))
        module.add(sub)
        sub.add_argument("--json", action="store_true", help=tr("the result as JSON: {envelope}", envelope=_ENVELOPE))
        sub.add_argument("--run-dir", default=os.environ.get("WAGUARD_RUN_DIR", common.RUN_DIR), metavar="DIR",
                         help=tr("where the guard's sockets are (default: %(default)s)"))
    return top


def _examples(*commands: str) -> str:
    return "\n".join([tr("examples:"), *(f"  {command}" for command in commands)])


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The program. Exit status: that of the verb; 2 for wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8
    _speak()
    try:
        try:
            words = sys.argv[1:] if argv is None else argv
            return _run(parser(words[0] if words and words[0] in VERBS else "").parse_args(argv))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a pipe that was closed is nothing to complain about
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print("waguardctl: " + tr("the output cannot be written: {said_error}", said_error=common.shown(error.strerror)),
              file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _speak() -> None:
    """Everything is shown in the language of the environment from now on, argparse's own texts as well."""
    language = i18n.from_environment()
    i18n.use(language)
    if language.code != "en":
        from waguard.ctl import usage

        usage.bind()


def _run(args: argparse.Namespace) -> int:
    """The verb, and what went wrong, for people or as JSON."""
    try:
        try:
            return int(importlib.import_module(f"waguard.ctl.{args.verb}").run(args))
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise common.unusable(f"{type(error).__name__}: {error}") from error
    except common.Failure as error:
        if args.json:
            print(json.dumps({"schema": common.SCHEMA, "result": None, "warnings": [],
                              "error": {"message": str(error), "hint": error.hint}}, indent=2))
        else:
            print(f"{common.paint('waguardctl:', 'red', sys.stderr)} {common.shown(error)}", file=sys.stderr)
            if error.hint:
                print(f"  ({common.shown(error.hint)})", file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
