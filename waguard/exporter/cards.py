"""The cards of the status page (waguard.exporter.page), each from its share of the snapshot. Pure.

The words are those of ``waguardctl``. What a guard of another version does not tell, or tells in another form, costs its own line
or its own card, not the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from waguard.ctl import common, doctor, status, versions
from waguard.exporter.markup import NOTHING, Child, Html, code, dotted, fill, join, mark, moment, said, tag, text
from waguard.i18n import message, tr, trn
from waguard.judge.catalogue import CATALOGUE

EVENTS = 20
"""As many of them as are asked for and shown, the newest."""
_SILENT = message("not known: the guard does not answer")
_UNTOLD = message("not told by this guard")
_SEVERITIES = (message("critical"), message("warning"), message("info"))
_STATES = {message("running"): "ok", message("busy"): "ok", message("starting"): "warning", message("provisioning"): "warning",
           message("resting"): "warning", message("down"): "critical", message("hung"): "critical",
           message("handler-missing"): "critical", message("not-installed"): "critical"}
_PAINT = re.compile(r"\x1b\[[0-9]*m")


class Look(NamedTuple):
    """What a page is made of. ``now``: seconds since the epoch. ``events``: newest last; None: not known."""

    told: dict[str, Any]
    events: Optional[Sequence[Any]]
    now: float


def attempt(found: Callable[[], Any], otherwise: Any) -> Any:
    """What ``found`` gives, or ``otherwise``: for what a guard of another version may not tell, or tell in another form."""
    try:
        return found()
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, OSError, RecursionError, StopIteration):
        return otherwise


def _card(name: str, title: str, *children: Child) -> Html:
    heading = f"{name}-title"
    return tag("section", tag("h2", title, id=heading), *children, class_="card", id=name, aria_labelledby=heading)


def _each(items: Iterable[Any], make: Callable[[Any], Html]) -> Iterator[Html]:
    """What is made of each item, without those of which nothing can be made."""
    for item in items:
        made = attempt(lambda: make(item), NOTHING)  # noqa: B023 - called at once
        if made:
            yield made


def _fit(items: Iterable[Html], count: int, room: int) -> list[Html]:
    """The first items, at most ``count`` of them and ``room`` bytes."""
    fitting: list[Html] = []
    for item in items:
        room -= len(item.encode("utf-8", "backslashreplace"))
        if room < 0 or len(fitting) == count:
            break
        fitting.append(item)
    return fitting


def _more(left: int, command: str) -> Html:
    words = fill(tr("and {count} more: {command}"), count=str(left), command=code(command))
    return tag("p", words, class_="more") if left > 0 else NOTHING


def _facts(pairs: Iterable[tuple[str, Child]], room: int) -> Html:
    return tag("dl", *_fit((tag("div", tag("dt", name), tag("dd", text(value, 300))) for name, value in pairs), 20, room))


def _whole(command: object, instead: str) -> Html:
    """What people paste into a root shell is shown whole or not at all."""
    words = str(command) if len(str(command)) > 700 else common.shown(command)
    return text(instead, 100) if len(words) > 700 else text(words, 700)


def _line(level: str, *children: Child) -> Html:
    return tag("li", mark(level), tag("span", *children), class_=level)


def _level_of(flag: Any) -> str:
    return {True: "ok", False: "critical"}.get(flag, "unknown") if isinstance(flag, bool) else "unknown"


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# The cards

def cards(look: Look) -> Html:
    """Tiles that lead to the cards, and the cards in two columns."""
    return join((_tiles(look), _columns(look)))


def silent(trouble: str) -> Html:
    """What is left to say when the guard does not answer, and ``trouble`` is how, "" for not known."""
    commands = ("systemctl status waguard", "systemctl start waguard; journalctl -u waguard -n 20", "waguardctl doctor --local")
    guard = _card(
        "guard", tr("Guard"),
        tag("p", tr("Nothing is known about the agent and about backups while waguard.service does not answer.")),
        tag("p", fill(tr("Why: {reason}"), reason=code(said(trouble)))) if trouble else NOTHING,
        tag("p", tr("On the VM, as root:")),
        *(tag("code", command, class_="command") for command in commands),
        tag("p", tr("The last one looks at everything without the guard."), class_="more"))
    return tag("div", tag("div", guard), tag("div", _card("recent", tr("Recent"), tag("p", tr(_SILENT)))), class_="columns")


def _tiles(look: Look) -> Html:
    state = attempt(lambda: str(look.told["agent"]["state"]), "unknown")
    ready = attempt(lambda: look.told["backup"]["ready"], None)
    on = attempt(lambda: look.told["verbose"]["conf"], None)
    verbose = ("unknown", tr("unknown")) if not isinstance(on, bool) else ("info", tr("on")) if on else ("ok", tr("off"))
    ready_said = {"ok": tr("ready"), "critical": tr("not ready"), "unknown": tr("unknown")}[_level_of(ready)]
    tiles = (("agent", tr("Agent"), _STATES.get(state, "unknown"), said(state, 60)),
             ("backup", tr("Backup"), _level_of(ready), ready_said),
             ("findings", tr("Findings"), *_tally(look)), ("verbose", tr("Verbose"), *verbose))
    return tag("nav", tag("ul", *(
        tag("li", tag("a", tag("span", name, class_="name"), " ", tag("span", mark(level), tag("span", text(value, 60)),
                                                                  class_=f"value {level}"), href=f"#{where}"))
        for where, name, level, value in tiles), class_="tiles"), aria_label=tr("Summary"))


def _tally(look: Look) -> tuple[str, str]:
    """Level and words for all findings."""
    if not isinstance(look.told.get("findings"), list):
        return "unknown", tr("unknown")
    told = [one.get("severity") for one in look.told["findings"] if isinstance(one, Mapping)]
    if not look.told["findings"]:
        return ("ok", tr("none")) if _looked(look) else ("unknown", tr("none so far"))
    counts = {name: told.count(name) for name in _SEVERITIES}
    words = {"critical": trn("{count} critical", "{count} critical", counts["critical"]),
             "warning": trn("{count} warning", "{count} warning", counts["warning"]),
             "info": trn("{count} info", "{count} info", counts["info"])}
    found = [name for name in _SEVERITIES if counts[name]]
    return (found[0], ", ".join(words[name] for name in found)) if found else ("unknown", tr("unknown"))


def _looked(look: Look) -> bool:
    """Has everything been looked at, so that no finding means that there is nothing to find?"""
    return isinstance(look.told.get("doctor"), Mapping) and attempt(lambda: look.told["verdict"]["level"], "unknown") != "unknown"


def _columns(look: Look) -> Html:
    anchors: dict[str, str] = {}

    def card(name: str, title: str, make: Callable[[], Html]) -> Html:
        return attempt(make, _card(name, title, tag("p", tr(_UNTOLD))))  # type: ignore[no-any-return]

    findings = card("findings", tr("Findings"), lambda: _findings(look, anchors))  # first: it tells the anchors
    first = [card("backup", tr("Backup"), lambda: _backup(look, anchors)), findings,
             card("recent", tr("Recent"), lambda: _recent(look))]
    second = [card("agent", tr("Agent"), lambda: _agent(look)), card("versions", tr("Versions"), lambda: _versions(look)),
              card("extensions", tr("Extensions"), lambda: _extensions(look)),
              card("probes", tr("Probes"), lambda: _probes(look))]
    shorter, place = (first, 2) if len(_items(look.told.get("findings"))) <= 2 else (second, 1)
    shorter.insert(place, card("parts", tr("Looked at"), lambda: _parts(look)))
    return tag("div", tag("div", *first), tag("div", *second), class_="columns")


def _backup(look: Look, anchors: Mapping[str, str]) -> Html:
    backup = attempt(lambda: dict(look.told["backup"]), {})
    ready = backup.get("ready")
    rows: list[tuple[str, Child]] = []
    if backup.get("link") and ready is False:
        rows.append((tr("Broken link"), said(backup["link"], 200)))
    causes = [tag("a", text(one, 80), href=f"#{anchors[one]}") if one in anchors else code(one[:80])
              for one in _items(backup.get("causes"))[:8] if isinstance(one, str)]
    if causes:
        rows.append((tr("In the way"), join(causes, ", ")))
    snapshot, success = (next(_each([backup.get(key)], lambda at: moment(at, look.now)), None)
                         for key in ("last_snapshot", "last_success"))
    if snapshot is not None and backup.get("outcome"):
        snapshot = fill(tr("{when}, {outcome} (code {code})"), when=snapshot, outcome=said(backup["outcome"], 60),
                        code=text(backup.get("code"), 12))
    rows += [(tr("Last snapshot"), tr("not known") if snapshot is None else snapshot),
             (tr("Last success"), tr("not known") if success is None else success)]
    level = _level_of(ready)
    words = {"ok": tr("backup ready"), "critical": tr("backup not ready"), "unknown": tr("backup unknown")}
    return _card(
        "backup", tr("Backup"), tag("p", mark(level), " ", tag("span", words[level], class_="tone"), ": ",
                                    said(backup.get("says") or _UNTOLD, 400), class_=level),
        _facts(rows, 4000),
        tag("p", fill(tr("What cannot be seen from inside a VM, and where to look: {command}"),
                      command=code("waguardctl doctor --all")), class_="more"))


def _findings(look: Look, anchors: dict[str, str]) -> Html:
    """``anchors`` is told the anchor of each finding's id that is shown."""
    told = look.told.get("findings")
    if not isinstance(told, list):
        return _card("findings", tr("Findings"), tag("p", tr(_UNTOLD)))
    groups: dict[int, list[Html]] = {}
    shown, room = 0, 18000
    for number, finding in enumerate(sorted((one for one in told if isinstance(one, Mapping)), key=_gravity)[:40]):
        anchor = _anchor(finding, number, anchors)
        for item in _fit(_each([finding], lambda one: _finding(one, anchor, look.now)), 1, room):  # noqa: B023 - called at once
            groups.setdefault(_cause(finding), []).append(item)
            shown, room = shown + 1, room - len(item.encode())
            if finding["id"] == anchor:
                anchors[anchor] = anchor
    content = [join((tag("h3", tr(doctor.CAUSES[cause])), *items)) for cause, items in groups.items()]
    nothing = tr("Nothing found.") if _looked(look) else tr("Nothing found so far: not everything was looked at yet.")
    return _card("findings", tr("Findings"), *content, NOTHING if told else tag("p", nothing),
                 _more(len(told) - shown, "waguardctl doctor"))


def _cause(finding: Mapping[str, Any]) -> int:
    cause = finding.get("cause")
    return cause if isinstance(cause, int) and cause in doctor.CAUSES else 0


def _gravity(finding: Mapping[str, Any]) -> tuple[bool, int]:
    severity = finding.get("severity")
    return finding.get("blocks") is not True, _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def _anchor(finding: Mapping[str, Any], number: int, anchors: Mapping[str, str]) -> str:
    """The finding's id where it is one of the catalogue's, and once; nobody else may choose the id of an element."""
    name = finding.get("id")
    return name if isinstance(name, str) and name in CATALOGUE and name not in anchors else f"finding-{number}"


def _finding(finding: Mapping[str, Any], anchor: str, now: float) -> Html:
    severity, name = str(finding["severity"]), finding["id"]
    level = severity if severity in _SEVERITIES else "unknown"
    since = _each([finding.get("since")], lambda at: tag("p", fill(tr("since {when}"), when=moment(at, now)), class_="since"))
    entry = CATALOGUE.get(name) if isinstance(name, str) else None
    command = f"waguardctl explain {name}" if entry else "waguardctl doctor"
    why = [tag("p", tr(entry.meaning))] if entry else []
    if finding.get("link"):
        why.append(tag("p", fill(tr("Broken link: {said_link}"), said_link=said(finding["link"], 200))))
    why.append(tag("p", code(command)))
    return tag(
        "article", tag("h4", tag("span", mark(level), " ", said(severity, 40), class_="tone"), " ",
                       tag("a", text(name, 80), href=f"#{anchor}"), ": ", said(finding.get("summary", ""), 200)),
        tag("p", said(finding["evidence"], 500), class_="evidence"), *since,
        tag("p", tr("a snapshot asked for now would fail"), class_="tone") if finding.get("blocks") is True else NOTHING,
        tag("p", tag("span", tr("Remedy"), class_="name"), code(_whole(finding["remedy"], command)), class_="remedy"),
        tag("details", tag("summary", tr("Meaning"), tag("span", " ", fill(tr("of {finding}"), finding=text(name, 80)),
                                                         class_="hidden")), *why),
        class_=f"finding {level}", id=anchor)


def _recent(look: Look) -> Html:
    events = look.events if look.events is not None else look.told.get("events")
    if not isinstance(events, (list, tuple)):
        return _card("recent", tr("Recent"), tag("p", tr(_SILENT)))
    lines = _each(reversed(events[-EVENTS:]), lambda one: tag("li", moment(one["at"], look.now),
                                                              tag("span", said(one["message"], 300))))
    shown = _fit(lines, EVENTS, 6000)
    return _card("recent", tr("Recent"), tag("ul", *shown, class_="lines recent") if shown else tag("p", tr("no events")),
                 tag("p", fill(tr("All of them: {command}"), command=code("waguardctl events")), class_="more"))


def _agent(look: Look) -> Html:
    """The rows of ``waguardctl status``, with the moments in them marked up."""
    rows: list[tuple[str, Child]] = []
    for name, words in status.facts(look.told, look.now):
        if name == "Heartbeat":
            rows.append((tr(name), attempt(lambda: _heartbeat(look.told["agent"]["heartbeat"], look.now), words)))
        elif name == "Verbose":
            rows.append((tr(name), tag("span", attempt(lambda: _verbose(look.told["verbose"], look.now), words), id="verbose")))
        else:
            rows.append((tr(name), _PAINT.sub("", words)))
    return _card("agent", tr("Agent"), _facts(rows, 6000))


def _heartbeat(heartbeat: Mapping[str, Any], now: float) -> Child:
    if heartbeat["at"] is None:
        return tr("none seen yet")
    by = {"status": tr("{ago} by the status file"), "line": tr("{ago} by its log line")}.get(heartbeat["source"], "{ago}")
    seen = fill(by, ago=moment(heartbeat["at"], now))
    if heartbeat["line_at"] is None or heartbeat["source"] == "line":
        return seen
    return fill(tr("{beat}; log line {ago}"), beat=seen, ago=moment(heartbeat["line_at"], now))


def _verbose(state: dict[str, Any], now: float) -> Child:
    lease = state["lease"]
    if lease is None or lease["phase"] != "active" or lease["remaining"] is None or state["conf"] is False:
        return status.verbose(state, now)
    return fill(tr("on for another {remaining} (till {when}), asked for by {by}"), remaining=text(lease["remaining"]),
                when=moment(lease["expires"], now, past=False), by=text(lease["by"]))


def _parts(look: Look) -> Html:
    told = look.told.get("doctor")
    if not isinstance(told, Mapping):
        return _card("parts", tr("Looked at"), tag("p", tr("not looked at yet")))
    words = {"ok": tr("ok"), "critical": tr("not ok"), "unknown": tr("not known")}

    def line(part: Mapping[str, Any]) -> Html:
        level = _level_of(part["ok"])
        return _line(level, tag("b", said(part["title"], 40)), tag("span", " ", words[level], ": ", class_="hidden"), " ",
                     said(part["says"], 240))

    parts = _items(told.get("parts"))
    shown = _fit(_each(parts, line), 24, 6000)
    return _card("parts", tr("Looked at"), tag("ul", *shown, class_="lines"), _more(len(parts) - len(shown), "waguardctl doctor"),
                 *_each([told.get("at")], lambda at: tag("p", moment(at, look.now), class_="more")))


def _versions(look: Look) -> Html:
    found: Mapping[str, Any] = attempt(lambda: dict(next(
        part["facts"] for part in look.told["doctor"]["parts"] if part["name"] == "versions")), {})
    told: dict[str, Any] = {"guard": None, **found} if found else {}
    facts: tuple[tuple[str, Callable[[], Any]], ...] = (
        (tr("Goal state agent"), lambda: (told or look.told["agent"]["versions"])["goal_state"]),
        (tr("Daemon"), lambda: (told or look.told["agent"]["versions"])["daemon"]),
        (tr("Package"), lambda: f"{told['package']} {told['installed']}" if told["installed"] else None),
        (tr("Distribution"), lambda: versions.offer(told, look.now)),
        (tr("Upstream"), lambda: versions.upstream(told, look.now)),
        (tr("Supported from"), lambda: told["support_floor"]),
        (tr("Disabled"), lambda: ", ".join(told["disabled"]) or tr("none")))
    rows = [(name, text(attempt(find, None) or tr("not known"), 300)) for name, find in facts]
    command = told.get("upgrade")
    upgrade = (tag("p", tr("To upgrade, as root:"), class_="more"),
               tag("code", _whole(command, "waguardctl versions"), class_="command"))
    return _card("versions", tr("Versions"), _facts(rows, 3500), *(upgrade if command else ()))


def _extensions(look: Look) -> Html:
    told = attempt(lambda: dict(look.told["extensions"]), {})
    ranks = ("critical", "unknown", "ok")
    names = sorted(told, key=lambda name: (ranks.index(_level_of(told[name])), str(name)))
    words = {"ok": tr("{extension} is ready"), "critical": tr("{extension} is not ready"),
             "unknown": tr("{extension} is unknown")}
    levels = ((name, _level_of(told[name])) for name in names)
    lines = (_line(level, fill(words[level], extension=tag("b", dotted(name)))) for name, level in levels)
    shown = _fit(lines, 30, 4000)
    return _card("extensions", tr("Extensions"), tag("ul", *shown, class_="lines") if told else tag("p", tr("none known")),
                 _more(len(told) - len(shown), "waguardctl doctor"))


def _probes(look: Look) -> Html:
    told = attempt(lambda: dict(look.told["probes"]), {})

    def line(name: str) -> Html:
        probe = told[name]
        says = text(_PAINT.sub("", status.probe(probe)), 200)
        when = _each([probe.get("at")], lambda at: join((", ", moment(at, look.now))))
        return _line(_level_of(probe["success"]), tag("b", text(name, 60)), " ", says, *when)

    shown = _fit(_each(told, line), 12, 3000)
    return _card("probes", tr("Probes"), tag("ul", *shown, class_="lines") if shown else tag("p", tr("none known")),
                 _more(len(told) - len(shown), "waguardctl doctor"))
