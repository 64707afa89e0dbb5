"""``waguardctl collect``: the support bundle, with no secret in it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, Optional

from waguard.ctl import common
from waguard.ctl.common import paint
from waguard.i18n import message, say, tr, trn

HELP = message("collect what support asks for into one file: logs, states, a diagnosis, with every secret masked")
EXAMPLES = ("waguardctl collect", "waguardctl collect --dry-run", "waguardctl collect --output /mnt --max-size 50M",
            "waguardctl collect --since 2d")
_UNITS = {"": 1, "K": 10 ** 3, "M": 10 ** 6, "G": 10 ** 9}
_LEAST = 10 ** 6
_MOST = 10 ** 12
_LISTED = 400
_DENIED = ("Permission denied", "Operation not permitted")


def add(parser: Any) -> None:
    parser.add_argument("-o", "--output", default=".", metavar="FILE|DIR", help=tr("where to write it (default: this directory)"))
    parser.add_argument("--dry-run", action="store_true", help=tr("only list what would be taken, and what not; opens no file"))
    parser.add_argument("--max-size", type=parse_size, default=200 * 10 ** 6, metavar="SIZE",
                        help=tr("bytes of files at most, before compression, the newest logs first (default: 200M)"))
    parser.add_argument("--since", type=common.parse_duration, metavar="TIME",
                        help=tr("only logs that were written to in the last TIME, such as 2d (default: all; of the journal"
                                " a week)"))
    parser.add_argument("--settings-dir", default="/etc/waguard", metavar="DIR",
                        help=tr("where the settings are (default: %(default)s)"))


def parse_size(text: str) -> int:
    """For argparse: ``200M`` in bytes."""
    import argparse

    found = re.fullmatch(r"(\d{1,12})([KMG]?)B?", text.strip().upper())
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if found is None or not _LEAST <= size <= _MOST:
        raise argparse.ArgumentTypeError(tr("'{size}' is not a size from 1M to 1000G (write 50M or 2G)", size=text[:40]))
    return size


def run(args: Any) -> int:
    """Exit status 0: the bundle is written, or would be; 1: not."""
    from waguard.bundle import collect
    from waguard.bundle.looking import Looking
    from waguard.bundle.output import Unwritable

    progress = _Progress()
    looking = Looking()
    try:
        with _interruptible():
            wanted = _wanted(args)
            made = collect.plan(wanted, looking, progress)
            if args.dry_run:
                progress.clear()
                return _listed(args, made)
            return _collected(args, collect.Collector(wanted, looking, progress), made, progress)
    except Unwritable as error:
        raise common.Failure(common.plain(error), error.hint) from None
    except OSError as error:
        raise common.Failure(say("the bundle cannot be written: {said_error}", said_error=error.strerror or error),
                             say("another place with --output")) from None
    finally:
        progress.clear()
        looking.close()


def _wanted(args: Any) -> Any:
    from waguard.bundle import collect, places

    snapshot: Any
    events: Any
    try:
        snapshot = common.snapshot(args)
        events = common.read(args, "GetEvents", {"last": None})["events"]
    except common.Failure as error:
        snapshot = events = str(error)
    where = places.find(args.settings_dir, args.run_dir)
    since = None if args.since is None else time.time() - args.since
    return collect.Wanted(where, args.max_size, since, snapshot=snapshot, events=events)


def _collected(args: Any, collector: Any, made: Any, progress: Any) -> int:
    from waguard.bundle.output import Output

    with Output(args.output, f"{collector.top}.tar.gz") as output:
        collector.run(made, output)
        output.keep()
        size = os.fstat(output.fd).st_size
        path = output.path
    progress.clear()
    manifest = collector.manifest
    content = sum(member["bytes"] for member in manifest.members)
    result = {"path": path, "size": size, "content_bytes": content, "members": len(manifest.members), "cut": manifest.cut,
              "masked": dict(manifest.masked), "left_out": manifest.left_out, "problems": manifest.problems}
    common.emit(args, result, _told(path, size, content, collector), _warnings(manifest))
    return 0


def _told(path: str, size: int, content: int, collector: Any) -> str:
    manifest = collector.manifest
    pairs = [(tr("Size"), tr("{size}, {count} members of {content}", size=common.size(size), count=len(manifest.members),
                             content=common.size(content))),
             (tr("Masked"), trn("{count} secret", "{count} secrets", sum(manifest.masked.values())) + _by_rule(manifest.masked)),
             (tr("Left out"), tr("{count} (why: README.txt)", count=len(manifest.left_out) + manifest.unlisted)),
             *([(tr("Cut"), tr("{count} to their newest part", count=manifest.cut))] if manifest.cut else []),
             *([(tr("Not had"), tr("{count} (see README.txt)", count=len(manifest.problems)))] if manifest.problems else [])]
    return "\n".join([
        paint(common.plain(path), "bold"), common.rows(pairs), "",
        f"  {tr('Look into it first:')}  tar xzOf {_quoted(path)} {collector.top}/README.txt | less",
        "  " + tr("Then hand it over where the support request asks for files. Only its owner can read it (mode 0600).")])


def _by_rule(masked: Any) -> str:
    return f" ({', '.join(f'{count} {rule}' for rule, count in sorted(masked.items()))})" if masked else ""


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(common.plain(path))


def _warnings(manifest: Any) -> tuple[str, ...]:
    denied = sum(one["why"] in _DENIED for one in manifest.left_out)
    if os.geteuid() == 0 or not denied:
        return ()
    return (say("1 place may not be read by {user}: as root the bundle holds more", user=manifest.user) if denied == 1 else
            say("{count} places may not be read by {user}: as root the bundle holds more", count=denied, user=manifest.user),)


def _listed(args: Any, made: Any) -> int:
    """--dry-run: what would be taken."""
    rows = [{"path": one.path, "size": one.found.size, "take": min(one.most, one.found.size), "mtime": one.found.mtime,
             "mode": one.found.rule.mode} for one in made.files if one.most]
    left = [{"path": path, "why": why, "count": count} for path, why, count in
            (*made.left, *((one.path, one.why, 1) for one in made.files if not one.most))]
    lines = [paint(tr("Files that would be taken, in this order"), "bold")]
    lines += [f"  {common.size(row['take']):>10}  {common.plain(row['path'])}" + _note(row) for row in rows[:_LISTED]]
    if len(rows) > _LISTED:
        lines.append("  " + tr("and {count} more", count=len(rows) - _LISTED))
    lines += ["", paint(tr("Left out"), "bold")]
    lines += [f"  {common.plain(one['path'])}: {common.shown(one['why'])}" + (f" ({one['count']})" if one["count"] > 1 else "")
              for one in left[:_LISTED]]
    if len(left) > _LISTED:
        lines.append("  " + tr("and {count} more", count=len(left) - _LISTED))
    lines += ["", "  " + tr("{count} files, {size} as they are on the disk; and what programs, the journal and the guard say.",
                            count=len(rows), size=common.size(made.size)),
              "  " + tr("Compressed logs are stored as plain text, so they count for more than is shown.")]
    common.emit(args, {"files": rows, "left_out": left, "bytes": made.size}, "\n".join(lines))
    return 0


def _note(row: dict[str, Any]) -> str:
    if row["mode"] == "keys":
        return "  " + paint(tr("(only the names in it, no value)"), "dim")
    if row["take"] >= row["size"]:
        return ""
    return "  " + paint(tr("(the newest part of {size})", size=common.size(row["size"])), "dim")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end it as Ctrl-C does, so that nothing half-made is left behind."""
    def stop(_number: int, _frame: Optional[Any]) -> None:
        raise KeyboardInterrupt

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError):  # Not the main thread.
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Progress:
    """One line that is written over, on a terminal only."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()

    def __call__(self, what: str) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K" + tr("collecting {said_what} ...", said_what=common.shown(what)[:60]))
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
