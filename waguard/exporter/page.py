"""The status page: what ``waguardctl status`` and ``waguardctl doctor`` say, for a browser. Pure, but for ``recent``.

No scripts, nothing from elsewhere, one request. It does not reload itself: that would take the place and the open parts from
who reads with a screen reader (WCAG 2.2, 2.2.1 and technique F41); there is a link for it. What comes from the guard may be
named by anybody, so all of it goes through waguard.exporter.markup. Every list has an end, and says where the rest is.

Imported when the first page is asked for: who only scrapes does not pay for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from waguard import __version__, varlink
from waguard.ctl import common
from waguard.exporter import cards, language
from waguard.exporter.cards import EVENTS, Look, attempt
from waguard.exporter.markup import LEVELS, LONGEST, NOTHING, SHAPES, Html, code, fill, icon, join, mark, moment, tag, text
from waguard.i18n import tr

CONTENT_TYPE = "text/html; charset=utf-8"
STYLE_HASH = "sha256-UjuRC2ZSFPbTfTjcYmuPMCRv0RP3xIDQy4iO25KqDns="
"""Of data/page.css. A constant: hashlib would bring OpenSSL along, 3.6 MB. The right one is told by the test of it."""
HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", f"default-src 'none'; style-src '{STYLE_HASH}'; img-src data:; base-uri 'none'; "
                                "form-action 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
)
"""What goes with a page, besides its Content-Type and nosniff."""


def recent(path: str, timeout: float = 1.0) -> Optional[list[Any]]:
    """The last events, asked for at the status socket ``path`` within ``timeout`` seconds; None when they are not to be had."""
    try:
        found = varlink.call(path, "io.waguard.GetEvents", {"last": EVENTS}, timeout).get("events")
    except varlink.VarlinkError:
        return None
    return found if isinstance(found, list) else None


def render(snapshot: Optional[Mapping[str, Any]], events: Optional[Sequence[Any]], now: float, *, host: str = "",
           telemetry_path: str = "/metrics", trouble: str = "") -> bytes:
    """The page, below 60 kB whatever comes in, in the language that is being spoken: language.speaking().

    ``snapshot``: None when the guard does not answer; ``trouble`` is then what it failed with, if that is known. ``events``: from
    ``recent``; without them those of the snapshot are shown. ``host``: this machine's name. ``telemetry_path``: of the metrics.
    """
    look = Look(dict(snapshot or {}), events, now)
    if snapshot is None:
        level, summary, body = "unknown", tr("the guard does not answer"), cards.silent(trouble)
    else:
        level = attempt(lambda: str(look.told["verdict"]["level"]), "unknown")
        summary = attempt(lambda: str(look.told["verdict"]["summary"]), tr("this guard gives no verdict"))
        body = cards.cards(look)
    known = level if level in LEVELS else "unknown"
    word, says = common.shown(level[:LONGEST]), common.shown(summary[:LONGEST])
    asof = attempt(lambda: moment(look.told["at"] if snapshot is not None else now, now), NOTHING)
    heading = (tag("span", text(word, 40), tag("span", ":", class_="spoken"), class_="word"), " ",
               tag("span", text(says, 300), class_="says"))
    verdict = tag("section", tag("h1", mark(known), tag("span", *heading)),
                  tag("p", fill(tr("seen {when}") if snapshot is not None else tr("asked {when}"), when=asof)),
                  class_=f"verdict {known}")
    return _document(known, f"{word}: {says}", host, telemetry_path, join((verdict, body)))


def _document(level: str, title: str, host: str, telemetry_path: str, body: Html) -> bytes:
    links = (("./", tr("Refresh")), (telemetry_path.lstrip("/"), tr("Metrics")), ("-/healthy", tr("Health")),
             ("-/ready", tr("Readiness")))
    before, name, after = tr("waguard on {host}").partition("waguard") if host else ("", "waguard", "")
    head = tag("head", tag("meta", charset="utf-8"),
               tag("title", text(title, 120), " · ", fill(before + name + after, host=text(host[:80]))),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("meta", name="color-scheme", content="light dark"),
               tag("link", rel="icon", href=icon(level)), tag("style", Html(_style())))
    footer = fill(tr("{program}. The same in a terminal: {status}, {doctor}. This page does not reload by itself."),
                  program=f"waguard-exporter {__version__}", status=code("waguardctl status"), doctor=code("waguardctl doctor"))
    page = tag("html", head, tag(
        "body", tag("a", tr("Skip to the verdict"), class_="skip", href="#verdict"), SHAPES,
        tag("header", tag("p", before, name, tag("span", fill(after, host=text(host, 80))) if host else NOTHING, class_="brand"),
            tag("nav", tag("ul", *(tag("li", tag("a", words, href=href)) for href, words in links)), aria_label=tr("Pages"))),
        tag("main", body, id="verdict", tabindex="-1"),
        tag("footer", tag("p", footer))), lang=language.spoken().code)
    return f"<!DOCTYPE html>\n{page}\n".encode("utf-8", "backslashreplace")


_read: list[str] = []


def _style() -> str:
    if not _read:
        with open(os.path.join(os.path.dirname(__file__), "..", "data", "page.css"), encoding="utf-8", newline="") as file:
            _read.append(file.read())
    return _read[0]
