"""WALinuxAgent's newest release: from a feed in the form of GitHub's releases API, else from the table that waguard ships.

The feed is asked about once an interval (a day), a part of which is random, with If-None-Match; after a failure later and later,
and never before the server's own Retry-After or X-RateLimit-Reset. Source of the form: docs.github.com, REST API, Releases: a
JSON array of objects with tag_name, draft, prerelease, published_at.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Optional

from waguard.agent import versions
from waguard.agent.versions import LATEST_KNOWN
from waguard.i18n import say
from waguard.observe import files
from waguard.settings import VersionSettings

LIMIT = 2 << 20
DEADLINE = 10.0
_FIRST_RETRY = 900.0
_LONGEST_RETRY = 86400.0
_TAG = re.compile(r"v?([0-9]{1,5}(?:\.[0-9]{1,9}){1,3})", re.ASCII)
_MARKS = (("etag", "If-None-Match"), ("last_modified", "If-Modified-Since"))


class NotFetched(Exception):
    """The feed did not give what it should. The text is for a person and has no URL; ``wait``: seconds the server asked for."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass(frozen=True)
class Upstream:
    """``source`` is "feed" or "table". ``released`` is an ISO date, "" if not told. ``fetched_at``: epoch seconds of the feed's
    last answer, None for the table. ``problem``: why the last fetch failed. ``state`` is plain JSON, for the next ``look``.
    """

    newest: str
    released: str
    source: str
    fetched_at: Optional[float]
    problem: str
    state: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Answer:
    """What a server said. ``body`` is None for 304, "as you know it"."""

    body: Optional[bytes]
    etag: str = ""
    last_modified: str = ""


def look(settings: VersionSettings, state: Optional[Mapping[str, Any]], now_wall: float, proxy: Optional[str],
         allowed: bool) -> Upstream:
    """The newest release, fetched if that is due and ``allowed``. Within DEADLINE seconds; raises nothing.

    ``proxy`` is HOST:PORT or a URL of the proxy that the agent would use, by its HttpProxy.Host and HttpProxy.Port; without one
    http_proxy, https_proxy and no_proxy of the environment count, as they do for the agent (common/utils/restutil.py).
    """
    feed = settings.feed
    if feed == "off":
        return _table({}, "")
    known = _valid(state, feed, now_wall)
    if not allowed or now_wall < known.get("next", 0.0) <= now_wall + 2 * max(settings.interval, _LONGEST_RETRY):
        return _upstream(known)
    try:
        answer = fetch(feed, known, proxy, now_wall)
        if answer.body is None:
            if "version" not in known:
                raise NotFetched(say("the feed says that nothing changed, but there is nothing to have changed"))
            found = {name: known[name] for name in ("version", "released")}
        else:
            version, released = newest(answer.body)
            found = {"version": version, "released": released}
        marks = {"etag": answer.etag or (known.get("etag", "") if answer.body is None else ""),
                 "last_modified": answer.last_modified or (known.get("last_modified", "") if answer.body is None else "")}
        return _upstream({"feed": _mark(feed), **found, **marks, "fetched_at": now_wall, "failures": 0, "problem": "",
                          "next": now_wall + settings.interval * _jitter()})
    except NotFetched as error:
        failures = min(known.get("failures", 0) + 1, 30)
        wait = max(min(_FIRST_RETRY * 2 ** (failures - 1), _LONGEST_RETRY) * _jitter(), min(error.wait, _LONGEST_RETRY))
        return _upstream({**known, "feed": _mark(feed), "failures": failures, "problem": str(error), "next": now_wall + wait})


def newest(body: bytes) -> tuple[str, str]:
    """Version and date of the newest full release in a feed. Raises NotFetched when there is none.

    Drafts, pre-releases (by their flag or their tag, pre-v2.16.0.1) and 9.9.9.9 do not count.
    """
    import json

    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise NotFetched(say("the feed is not JSON")) from None
    if not isinstance(told, list):
        raise NotFetched(say("the feed is not a list of releases"))
    found = []
    for release in told:
        if not isinstance(release, dict) or release.get("draft") or release.get("prerelease"):
            continue
        tag = release.get("tag_name")
        match = _TAG.fullmatch(tag) if isinstance(tag, str) else None
        version = versions.try_parse(match[1]) if match else None
        if version is not None and not version.is_placeholder:
            found.append((version, _day(release.get("published_at"))))
    if not found:
        raise NotFetched(say("the feed has no release in it"))
    version, day = max(found)
    return str(version), day


def fetch(feed: str, known: Mapping[str, Any], proxy: Optional[str], now_wall: float) -> Answer:
    """The feed's answer, within DEADLINE seconds. Raises NotFetched."""
    scheme = feed.partition("://")[0].lower()
    if scheme == "file":
        try:
            return Answer(files.read(Path(feed[len("file://"):]), LIMIT))
        except FileNotFoundError:
            raise NotFetched(say("the feed's file does not exist")) from None
        except files.Unusable as error:
            raise NotFetched(str(error)) from None
    if scheme not in ("http", "https"):
        raise NotFetched(say("the feed has to begin with https://, http:// or file://"))
    from waguard.observe import webfetch

    headers = {header: known[name] for name, header in _MARKS if known.get(name)} if "version" in known else {}
    return webfetch.within(DEADLINE, LIMIT, feed, headers, proxy, now_wall)


def _upstream(state: dict[str, Any]) -> Upstream:
    if "version" not in state:
        return _table(state, state.get("problem", ""))
    return Upstream(state["version"], state["released"], "feed", state["fetched_at"], state["problem"], state)


def _table(state: Mapping[str, Any], problem: str) -> Upstream:
    return Upstream(str(LATEST_KNOWN.version), LATEST_KNOWN.tagged.isoformat(), "table", None, problem, state)


def _valid(state: Optional[Mapping[str, Any]], feed: str, now_wall: float) -> dict[str, Any]:
    """What an earlier look left, if it is of this feed and in order; {} otherwise."""
    told = dict(state) if isinstance(state, Mapping) else {}
    kinds: Mapping[str, Any] = {"feed": int, "failures": int, "next": (int, float), "problem": str}
    if told.get("feed") != _mark(feed) or any(not isinstance(told.get(name), kind) for name, kind in kinds.items()):
        return {}
    kept = {name: told[name] for name in kinds}
    whole: Mapping[str, Any] = {"version": str, "released": str, "etag": str, "last_modified": str, "fetched_at": (int, float)}
    if all(isinstance(told.get(name), kind) for name, kind in whole.items()) and _TAG.fullmatch(told["version"]):
        kept.update({name: told[name] for name in whole})
    return kept


def _mark(feed: str) -> int:
    """A number for a URL, which may hold a token and is kept nowhere."""
    return zlib.crc32(feed.encode("utf-8", "replace"))


def _day(text: Any) -> str:
    try:
        return date.fromisoformat(text[:10]).isoformat() if isinstance(text, str) else ""
    except ValueError:
        return ""


def _jitter() -> float:
    """0.75 to 1.25, so that a thousand VMs that were started at once do not ask at once for ever."""
    from random import uniform

    return uniform(0.75, 1.25)
