"""The status page as markup: what it says, that nobody's name becomes markup, and that it stays small."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waguard import __version__
from waguard.clock import Clock
from waguard.ctl import doctor, status
from waguard.exporter import cards, markup, page
from waguard.guard.loop import Loop
from waguard.guard.methods import DESCRIPTION
from waguard.guard.sockets import Listener
from waguard.judge.catalogue import CATALOGUE
from waguard.varlink import Call, Connection, Interface, Service

from . import vms

STYLE = Path(page.__file__).parents[1] / "data" / "page.css"
VMS = {"sample": vms.sample, "healthy": vms.healthy, "troubled": vms.troubled, "young": vms.young, "crowded": vms.crowded}
KINDS = {"html", "head", "meta", "title", "link", "style", "body", "a", "svg", "symbol", "use", "path", "circle", "rect", "header",
         "nav", "main", "footer", "section", "article", "div", "span", "p", "ul", "li", "dl", "dt", "dd", "h1", "h2", "h3", "h4",
         "code", "b", "details", "summary", "time", "wbr"}
ATTRIBUTES = {"lang", "charset", "name", "content", "rel", "href", "class", "id", "tabindex", "aria-label", "aria-labelledby",
              "aria-hidden", "focusable", "viewbox", "d", "cx", "cy", "r", "x", "y", "rx", "width", "height", "stroke",
              "stroke-width", "stroke-linejoin", "datetime"}
EMPTY = {"meta", "link", "wbr", "use", "path", "circle", "rect"}


class Element(NamedTuple):
    kind: str
    attributes: dict[str, str]
    content: list[Any]

    @property
    def text(self) -> str:
        return "".join(item if isinstance(item, str) else item.text for item in self.content)

    def each(self, kind: str = "", **attributes: str) -> list[Element]:
        """All below of this kind that have these attributes; ``class_``: among its classes."""
        found = [self] if self.fits(kind, attributes) else []
        return found + [one for item in self.content if isinstance(item, Element) for one in item.each(kind, **attributes)]

    def fits(self, kind: str, wanted: dict[str, str]) -> bool:
        classes = self.attributes.get("class", "").split()
        return kind in ("", self.kind) and all(value in classes if name == "class_" else self.attributes.get(name) == value
                                               for name, value in wanted.items())


class Reader(HTMLParser):
    """A tree; what is not closed as it was opened is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {}, [])
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        element = Element(tag, {name: value or "" for name, value in attrs}, [])
        self._open[-1].content.append(element)
        if tag not in EMPTY:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        assert tag in EMPTY
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().kind == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].content.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def close(self) -> None:
        super().close()
        assert self._open == [self.root]


def read(body: bytes, lang: str = "en") -> Element:
    """The page as a tree, after what holds for all pages has been seen to hold."""
    assert body.startswith(f'<!DOCTYPE html>\n<html lang="{lang}">'.encode())
    assert len(body) < 60_000
    reader = Reader()
    reader.feed(body.decode())
    reader.close()
    elements = reader.root.each()
    assert {element.kind for element in elements} <= KINDS | {""}
    assert {name for element in elements for name in element.attributes} <= ATTRIBUTES
    ids = [element.attributes["id"] for element in elements if "id" in element.attributes]
    assert len(set(ids)) == len(ids)
    for element in elements:
        target = element.attributes.get("href", "")
        assert not target.startswith("#") or target[1:] in ids, target
        assert element.attributes.get("aria-labelledby", ids[0]) in ids
    levels = [int(element.kind[1]) for element in elements if re.fullmatch("h[1-6]", element.kind)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    return reader.root


def render(snapshot: Any, events: Any = None, **more: Any) -> Element:
    now = snapshot["at"] if isinstance(snapshot, dict) and isinstance(snapshot.get("at"), float) else 1763556212.5
    return read(page.render(snapshot, events, now, **more))


def facts(tree: Element, card: str) -> dict[str, str]:
    (section,) = tree.each("section", id=card)
    rows = [row for group in section.each("dl") for row in group.each("div")]
    return {row.each("dt")[0].text: row.each("dd")[0].text for row in rows}


@pytest.mark.parametrize("vm", VMS)
def test_it_has_the_rows_of_waguardctl_status_in_its_words(vm: str) -> None:
    snapshot = VMS[vm]()
    if vm == "crowded":
        snapshot["agent"] = vms.sample()["agent"]
        snapshot["policy"] = vms.sample()["policy"]
    shown = facts(render(snapshot), "agent")
    said = dict(status.facts(snapshot, snapshot["at"]))
    assert list(shown) == list(said)
    clock = r" ?(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d UTC"
    for name, words in said.items():
        if name == "Verbose":
            assert re.sub(clock, "", shown[name]) == re.sub(r" \d\d:\d\d:\d\d", "", words)
        else:
            assert re.sub(clock, "", shown[name]) == words


def test_it_has_the_words_of_waguardctl_where_a_terminal_would_have_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", type("Terminal", (), {"isatty": lambda self: True, "write": lambda self, text: len(text)})())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    snapshot = vms.troubled()
    snapshot["agent"]["unit"]["load"] = "not-found"
    assert "\x1b[31mno such unit\x1b[0m" in dict(status.facts(snapshot, snapshot["at"])).values()
    tree = render(snapshot)
    assert facts(tree, "agent")["Unit"] == "no such unit"
    assert "timed out, 32s ago" in tree.each("section", id="probes")[0].text


def test_every_finding_is_told_with_evidence_remedy_meaning_and_cause() -> None:
    snapshot = vms.troubled()
    tree = render(snapshot)
    articles = {article.attributes["id"]: article for article in tree.each("article")}
    assert set(articles) == {finding["id"] for finding in snapshot["findings"]}
    for finding in snapshot["findings"]:
        article = articles[finding["id"]]
        assert finding["severity"] in article.attributes["class"].split()
        assert article.each(class_="tone")[0].text.strip() == finding["severity"]
        assert article.each("h4")[0].text.strip() == f"{finding['severity']} {finding['id']}: {finding['summary']}"
        assert article.each(class_="remedy")[0].each("code")[0].text == finding["remedy"]
        assert article.each(class_="evidence")[0].text[:400] == finding["evidence"].replace("\u202e", "\ufffd")[:400]
        (details,) = article.each("details")
        assert CATALOGUE[finding["id"]].meaning in details.text
        assert f"waguardctl explain {finding['id']}" in details.text
        assert details.each("summary")[0].text == f"Meaning of {finding['id']}"
        assert ("a snapshot asked for now would fail" in article.text) == finding["blocks"]
    causes = [heading.text for heading in tree.each("section", id="findings")[0].each("h3")]
    assert causes == [doctor.CAUSES[number] for number in (4, 3, 1, 2, 0)]
    order = [article.attributes["id"] for article in tree.each("article")]
    assert order[0] == "disk-full"


@pytest.mark.parametrize(("length", "whole"), [(700, True), (701, False)])
def test_a_remedy_is_shown_whole_or_not_at_all(length: int, whole: bool) -> None:
    snapshot = vms.troubled()
    snapshot["findings"] = [{**snapshot["findings"][0], "remedy": "x" * length}]
    told = render(snapshot).each(class_="remedy")[0].each("code")[0].text
    assert told == ("x" * length if whole else "waguardctl explain disk-full")


def test_what_stands_in_the_way_of_a_backup_leads_to_its_finding() -> None:
    (card,) = render(vms.troubled()).each("section", id="backup")
    assert [link.attributes["href"] for link in card.each("a")] == [
        "#wireserver-unreachable", "#extension-cannot-load", "#disk-full"]
    assert "backup not ready: a snapshot asked for now would fail" in card.text
    assert "error (code 400039)" in card.text


def test_nobody_names_an_element() -> None:
    """Two findings of one id, ids that are no findings and ids that other elements have."""
    snapshot = vms.troubled()
    one = snapshot["findings"][0]
    snapshot["findings"] = [one, one, *({**one, "id": name} for name in ("agent", "main", vms.IMAGE, "x\" id=\"y", 7, None, ["a"]))]
    anchors = [article.attributes["id"] for article in render(snapshot).each("article")]
    assert anchors == ["disk-full", *(f"finding-{number}" for number in range(1, 9))]


@pytest.mark.parametrize("hostile", [vms.SCRIPT, vms.IMAGE, "</style><script>", "</title>", "]]>", "&lt;b&gt;", "<!--", "javascript:x"])
def test_hostile_text_is_text_everywhere(hostile: str) -> None:
    snapshot = vms.troubled()
    ours = set(json.dumps(snapshot).replace('"', " ").replace(":", " ").split()) - set(snapshot["extensions"])

    def spoilt(value: Any) -> Any:
        if isinstance(value, dict):
            return {name if name in ours else f"{hostile}{name}": spoilt(item) for name, item in value.items()}
        if isinstance(value, list):
            return [spoilt(item) for item in value]
        return f"{hostile}{value}" if isinstance(value, str) else value

    tree = render(spoilt(snapshot), host=f"vm{hostile}", trouble=hostile)  # read() looks at every element and attribute
    assert tree.text.count(hostile) > 30
    assert not tree.each("script")
    assert all(link.attributes["href"].startswith(("#", "./", "metrics", "-/", "data:image/svg+xml,"))
               for link in tree.each() if "href" in link.attributes)
    gone = render(None, host=hostile, trouble=hostile)
    assert gone.each("section", id="guard")[0].text.count(hostile) == 1


def test_an_attribute_ends_where_it_was_to_end() -> None:
    tree = Reader()
    tree.feed(markup.tag("a", "<b>&amp;", markup.tag("b", "x"), href=vms.IMAGE, aria_label="'"))
    (link,) = tree.root.each("a")
    assert link == Element("a", {"href": vms.IMAGE, "aria-label": "'"}, ["<b>&amp;", Element("b", {}, ["x"])])
    assert "'" not in markup.text(vms.IMAGE)


def test_what_turns_or_hides_text_does_not() -> None:
    assert markup.text("a\u202eb\u200bc\x1b[1md\x00e\ud800f\ng") == "a\ufffdb\ufffdc\ufffd[1md\ufffde\ufffdf; g"


def test_no_more_than_fits_and_where_the_rest_is() -> None:
    tree = render(vms.crowded(), events=vms.crowded()["events"])
    left = {card: re.search(r"and (\d+) more: (waguardctl [a-z]+)", tree.each("section", id=card)[0].text)
            for card in ("findings", "parts", "extensions", "probes")}
    assert {card: match and match[2] for card, match in left.items()} == dict.fromkeys(left, "waguardctl doctor")
    shown = {"findings": len(tree.each("article")), "extensions": len(tree.each("section", id="extensions")[0].each("li"))}
    snapshot = vms.crowded()
    for card, count in shown.items():
        match = left[card]
        assert match is not None
        assert count >= 2
        assert count + int(match[1]) == len(snapshot[card])


def test_a_page_of_ordinary_length_shows_all() -> None:
    snapshot = vms.troubled()
    snapshot["findings"] = [vms.found(name, "something was seen here, as it is with every finding", 1763550003.0)
                            for name in list(CATALOGUE)[:15]]
    tree = render(snapshot)
    assert len(tree.each("article")) == 15
    assert "more:" not in tree.each("section", id="findings")[0].text


@pytest.mark.parametrize(("vm", "level", "words"), [
    ("healthy", "ok", "agent is running, last seen working 3 s ago"),
    ("troubled", "critical", "agent is running, but a filesystem that the agent needs is full"),
    ("young", "unknown", "the guard has only just started"),
])
def test_the_verdict_comes_first_as_a_word_and_a_shape(vm: str, level: str, words: str) -> None:
    tree = render(VMS[vm](), host="vm-1")
    (heading,) = tree.each("h1")
    assert heading.text == f"{level}: {words}"
    assert heading.each("use")[0].attributes["href"] == f"#mark-{level}"
    assert tree.each("title")[0].text == f"{level}: {words} · waguard on vm-1"
    assert tree.each("main")[0].each()[1].attributes["class"] == f"verdict {level}"


@pytest.mark.parametrize("level", ["fine", "OK", "", "info ok", 7, None, True, ["ok"]])
def test_a_level_that_is_none_is_not_taken_for_good(level: Any) -> None:
    snapshot = vms.healthy()
    snapshot["verdict"]["level"] = level
    heading = render(snapshot).each("h1")[0]
    assert heading.each("use")[0].attributes["href"] == "#mark-unknown"
    assert heading.text.startswith(f"{level}: ")
    snapshot = vms.troubled()
    snapshot["findings"] = [{**snapshot["findings"][0], "severity": level}]
    tree = render(snapshot)
    assert tree.each("article")[0].attributes["class"] == "finding unknown"
    assert tree.each(class_="tiles")[0].each("a")[2].text == "Findings unknown"


@pytest.mark.parametrize("flag", [1, 0, "true", "", [], {}, 1.0])
def test_what_is_neither_true_nor_false_is_not_known(flag: Any) -> None:
    snapshot = vms.healthy()
    snapshot["backup"]["ready"] = snapshot["verbose"]["conf"] = snapshot["doctor"]["parts"][0]["ok"] = flag
    snapshot["extensions"] = {"x": flag}
    tree = render(snapshot)
    assert [link.text for link in tree.each(class_="tiles")[0].each("a")][1::2] == ["Backup unknown", "Verbose unknown"]
    assert tree.each("section", id="parts")[0].each("li")[0].text.startswith("Agent not known: ")
    assert tree.each("section", id="extensions")[0].each("li")[0].text == "x is unknown"


def test_the_tiles() -> None:
    def tiles(snapshot: Any) -> list[str]:
        return [link.text for link in render(snapshot).each(class_="tiles")[0].each("a")]

    assert tiles(vms.healthy()) == ["Agent running", "Backup ready", "Findings none", "Verbose off"]
    assert tiles(vms.troubled()) == ["Agent running", "Backup not ready", "Findings 3 critical, 4 warning, 1 info", "Verbose on"]
    assert tiles(vms.young()) == ["Agent unknown", "Backup unknown", "Findings none so far", "Verbose unknown"]
    assert tiles({}) == ["Agent unknown", "Backup unknown", "Findings unknown", "Verbose unknown"]
    for state in status_states():
        snapshot = vms.healthy()
        snapshot["agent"]["state"] = state
        assert tiles(snapshot)[0] == f"Agent {state}"


def status_states() -> tuple[str, ...]:
    from waguard.exporter.metrics import STATES

    assert set(cards._STATES) == set(STATES) - {"unknown"}
    return STATES


def test_a_guard_that_does_not_answer() -> None:
    tree = render(None, trouble="/run/waguard/status: Connection refused")
    assert tree.each("h1")[0].text == "unknown: the guard does not answer"
    words = tree.each("main")[0].text
    assert "Nothing is known about the agent and about backups" in words
    assert "/run/waguard/status: Connection refused" in words
    assert "not known: the guard does not answer" in tree.each("section", id="recent")[0].text
    assert [code.text for code in tree.each("code", class_="command")] == [
        "systemctl status waguard", "systemctl start waguard; journalctl -u waguard -n 20", "waguardctl doctor --local"]
    assert "running" not in words


def test_nothing_known_is_said_to_be_not_known() -> None:
    tree = render(vms.young())
    words = tree.each("main")[0].text
    assert "not looked at yet" in tree.each("section", id="parts")[0].text
    assert facts(tree, "backup") == {"Last snapshot": "not known", "Last success": "not known"}
    assert set(facts(tree, "versions").values()) == {"not known"}
    assert "Nothing found so far: not everything was looked at yet." in words
    assert not re.search(r"\bNone\b|1970|\bnan\b", words)
    told = render({})
    assert set(facts(told, "agent").values()) == {"not told by this guard"}
    assert "Nothing found" not in told.text


def test_the_newest_event_comes_first_and_the_guards_answer_before_the_snapshots() -> None:
    snapshot = vms.healthy()
    asked = [*snapshot["events"], {"seq": 9, "at": 1763556200.0, "id": "paused", "message": "paused for 1h", "fields": {}}]
    lines = [line.text for line in render(snapshot, asked).each("section", id="recent")[0].each("li")]
    assert lines[0] == "12s ago 12:43:20 UTCpaused for 1h"
    assert len(lines) == len(asked)
    assert len(render(snapshot, None).each("section", id="recent")[0].each("li")) == len(snapshot["events"])
    assert "no events" in render(snapshot, []).each("section", id="recent")[0].text
    del snapshot["events"]
    assert "not known" in render(snapshot, None).each("section", id="recent")[0].text


@pytest.mark.parametrize(("at", "said", "machine"), [
    (1763556212.0, "just now 12:43:32 UTC", "2025-11-19T12:43:32Z"), (1763556032.5, "3m ago 12:40:32 UTC", "2025-11-19T12:40:32Z"),
    (1763470000.0, "23h56m ago 2025-11-18 12:46:40 UTC", "2025-11-18T12:46:40Z"), (0, "20411d12h ago 1970-01-01 00:00:00 UTC",
                                                                                  "1970-01-01T00:00:00Z"),
])
def test_moments(at: float, said: str, machine: str) -> None:
    tree = Reader()
    tree.feed(markup.moment(at, 1763556212.5))
    (found,) = tree.root.each("time")
    assert (found.text, found.attributes["datetime"]) == (said, machine)


@pytest.mark.parametrize("at", [None, True, "1763556212", -1.0, 1e300, float("nan"), float("inf"), 10**400, [1.0]])
def test_what_is_no_moment(at: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        markup.moment(at, 1763556212.5)


def test_the_style_is_the_one_that_the_policy_allows() -> None:
    style = STYLE.read_bytes()
    right = f"sha256-{base64.b64encode(hashlib.sha256(style).digest()).decode()}"
    assert right == page.STYLE_HASH, "put the right one into waguard/exporter/page.py"
    assert render(vms.healthy()).each("style")[0].text.encode() == style
    headers = dict(page.HEADERS)
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy == {"default-src": "'none'", "style-src": f"'{page.STYLE_HASH}'", "img-src": "data:", "base-uri": "'none'",
                      "form-action": "'none'", "frame-ancestors": "'none'"}
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"


def test_nothing_is_from_elsewhere() -> None:
    assert not re.search(r"url\(|@import|//", STYLE.read_text())
    body = page.render(vms.troubled(), None, 1763556212.5).decode()
    assert re.findall(r"https?://[^'\"< %]*", body) == ["http://www.w3.org/2000/svg"]  # a name, not an address
    assert "http-equiv" not in body


def test_links_and_footer() -> None:
    tree = render(vms.healthy(), telemetry_path="/a/agent")
    assert [(link.text, link.attributes["href"]) for link in tree.each("header")[0].each("a")] == [
        ("Refresh", "./"), ("Metrics", "a/agent"), ("Health", "-/healthy"), ("Readiness", "-/ready")]
    assert f"waguard-exporter {__version__}" in tree.each("footer")[0].text
    assert "waguardctl doctor --all" in tree.text


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place:place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def palettes() -> Iterator[tuple[str, dict[str, str]]]:
    blocks = re.findall(r":root \{([^}]*)\}", STYLE.read_text())
    for name, block in zip(("light", "dark"), blocks):
        yield name, dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


@pytest.mark.parametrize(("name", "colours"), list(palettes()))
def test_the_palette_has_the_contrast_of_wcag_aa(name: str, colours: dict[str, str]) -> None:
    assert round(contrast("#ffffff", "#000000"), 6) == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48
    levels = ("ok", "warning", "critical", "info", "unknown")
    grounds = ["page", "card", "code", *(f"{level}-tint" for level in levels)]
    pairs = [(ink, ground) for ink in ("ink", "soft", "link") for ground in grounds]
    pairs += [(level, ground) for level in levels for ground in ("card", "page", f"{level}-tint")]
    assert {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs
            if contrast(colours[pair[0]], colours[pair[1]]) < 4.5} == {}


def test_both_palettes_are_whole() -> None:
    light, dark = (colours for _, colours in palettes())
    assert set(light) == set(dark)
    assert len(light) == 17
    assert all(light[name] != dark[name] for name in light)


ANYTHING = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), lambda inner: st.lists(
    inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=6)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Ways to everything in a snapshot."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*way, key)
        yield from places(item, (*way, key))


@pytest.mark.once
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_snapshot_that_is_wrong_somewhere_still_makes_a_page(data: st.DataObject) -> None:
    snapshot = vms.troubled()
    for way in data.draw(st.lists(st.sampled_from(list(places(snapshot))), min_size=1, max_size=3)):
        at = snapshot
        with contextlib.suppress(LookupError, TypeError):  # an earlier change took the place away
            for step in way[:-1]:
                at = at[step]
            at[way[-1]] = data.draw(ANYTHING)
    render(snapshot, data.draw(st.none() | st.lists(ANYTHING, max_size=3)))


@settings(max_examples=50, deadline=None)
@given(st.none() | st.dictionaries(st.sampled_from(list(vms.sample())), ANYTHING))
def test_any_object_makes_a_page(snapshot: Any) -> None:
    render(snapshot)


def test_a_snapshot_of_a_thousand_floors() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    snapshot = vms.healthy()
    snapshot["backup"]["says"] = snapshot["backup"]["outcome"] = snapshot["extensions"] = snapshot["findings"] = snapshot["events"] = deep
    render(snapshot)


def answering(path: Path, reply: Any, calls: list[Any]) -> contextlib.ExitStack:
    """A status socket whose GetEvents gives this."""
    def get_events(connection: Connection, call: Call) -> None:
        calls.append(call.parameters)
        connection.reply(call, reply)

    stack = contextlib.ExitStack()
    loop = Loop(Clock(), calls.append)
    service = Service("waguard", "waguard", "0", "", [Interface(DESCRIPTION.read_text(), {"GetEvents": get_events})])
    listener = Listener(loop, path, 0o600, None, service, calls.append)
    thread = threading.Thread(target=loop.run)
    thread.start()
    for end in (listener.close, thread.join, loop.stop):
        stack.callback(end)
    return stack


@pytest.mark.parametrize(("reply", "events"), [
    ({"events": [{"seq": 1}]}, [{"seq": 1}]), ({"events": []}, []), ({"events": "many"}, None), ({}, None)])
def test_the_last_events_are_asked_for(tmp_path: Path, reply: Any, events: Any) -> None:
    calls: list[Any] = []
    with answering(tmp_path / "status", reply, calls):
        assert page.recent(str(tmp_path / "status"), 30) == events
    assert calls == [{"last": cards.EVENTS}]


def test_events_of_a_guard_that_is_gone_or_silent(tmp_path: Path) -> None:
    path = tmp_path / "status"
    assert page.recent(str(path)) is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        assert page.recent(str(path), 0.05) is None
