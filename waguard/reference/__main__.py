"""`python3 -m waguard.reference WHAT`: see ``main``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Writes man pages or completion into a directory, or docs/configuration.md to standard output. Exit status 0."""
    parser = argparse.ArgumentParser(
        prog="python3 -m waguard.reference", description="Make man pages, completion and docs/configuration.md from the code.",
        epilog="The date in the man pages is that of SOURCE_DATE_EPOCH; without it there is none.")
    parser.add_argument("what", choices=("man", "completion", "configuration"))
    parser.add_argument("directory", nargs="?", type=Path, help="default: build/man or build/completion")
    args = parser.parse_args(argv)
    # All of it is in English, whoever builds the package.
    os.environ.update(LC_ALL="C.UTF-8", LANGUAGE="")
    if args.what == "configuration":
        from waguard.reference import configuration

        sys.stdout.write(configuration.markdown())
        return 0
    directory = args.directory or Path("build", args.what)
    _write(directory, _man() if args.what == "man" else _completion())
    return 0


def _man() -> Mapping[str, str]:
    from waguard.reference import manual

    return {f"{page.name}.{page.section}": page.done() for page in manual.pages(date())}


def _completion() -> Mapping[str, str]:
    from waguard.reference import completion

    return completion.files()


def date() -> str:
    """YYYY-MM-DD of the release that is being packaged (https://reproducible-builds.org/specs/source-date-epoch/), or ""."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return time.strftime("%Y-%m-%d", time.gmtime(int(epoch))) if epoch else ""


def _write(directory: Path, files: Mapping[str, str]) -> None:
    for name, text in sorted(files.items()):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
