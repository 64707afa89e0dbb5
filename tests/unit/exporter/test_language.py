"""The page in its reader's language: which that is, that all of it is, and that nothing but the page is."""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from po import messages
from waguard import i18n
from waguard.ctl import common, usage
from waguard.exporter import cards, language, main, page
from waguard.exporter.messages import Request
from waguard.i18n import Language

from . import vms
from .test_page import ANYTHING, VMS, Element, places, read

pytestmark = pytest.mark.once

NOW = 1763556212.5
COMMANDS = {"waguardctl status", "waguardctl doctor", "waguardctl doctor --all", "waguardctl doctor --local", "waguardctl events",
            "waguardctl versions", "systemctl status waguard", "systemctl start waguard; journalctl -u waguard -n 20"}
AS_THEY_ARE = {"waguard", "exporter", "UTC", "vm", "Restart"}
"""Names and units of the page. The rest that is no message is an id or a name from the snapshot."""


class Catalogue:
    """As GNUTranslations, of these texts; ``made`` is a text's translation."""

    def __init__(self, texts: Iterable[str], made: Callable[[str], str] = lambda text: f"⟦{text}⟧") -> None:
        self._catalog = {text: made(text) for text in texts}

    def info(self) -> dict[str, str]:
        return {"language": "es"}

    def gettext(self, message: str) -> str:
        return self._catalog.get(message, message)

    def ngettext(self, one: str, many: str, count: int) -> str:
        return self.gettext(one if count == 1 else many)


@functools.lru_cache
def of_the_code() -> frozenset[str]:
    """Every message there is, both forms of a plural."""
    found = messages.messages().values()
    return frozenset(one for message in found for one in (message.text, message.plural) if one)


def strings(value: Any) -> Iterator[str]:
    """All there are in a snapshot, but for keys, as they are shown."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(item)
    if isinstance(value, str):
        yield common.plain(value)


def rendered(snapshot: Any, catalogue: Catalogue, lang: str = "es", **more: Any) -> Element:
    with language.speaking(Language(catalogue)):
        return read(page.render(snapshot, None, NOW, **{"host": "vm-1", **more}), lang)


def shown(element: Element) -> Iterator[str]:
    """Everything to be read or heard, in the page's order; commands are left out."""
    if element.kind in ("style", "symbol") or (element.kind == "code" and (
            element.text in COMMANDS or element.text.startswith("waguardctl explain "))):
        return
    yield element.attributes.get("aria-label", "")
    for item in element.content:
        yield from [item] if isinstance(item, str) else shown(item)
    yield " " if element.kind not in ("span", "code", "a", "b", "wbr") else ""


def unmarked(tree: Element, snapshot: Any) -> set[str]:
    """Words that stand outside of every ⟦…⟧ and are no id or name of the snapshot."""
    left, before = "".join(shown(tree)), ""
    while left != before:
        left, before = re.sub("⟦[^⟦⟧]*⟧", " ", left), left
    assert not re.search("[⟦⟧]", left), left
    told: dict[str, Any] = {"findings": [], "extensions": {}, "probes": {}, "agent": {"unit": None, "conf": {}}, **(snapshot or {})}
    names = [finding["id"] for finding in told["findings"]] + [*told["extensions"]] + [*told["probes"]]
    names += [*strings(told["agent"]["unit"]), *strings(told["agent"]["conf"])]  # systemd's words, and a path
    known = AS_THEY_ARE | {word for name in names for word in re.findall("[A-Za-z]+", name)}
    return {word for word in re.findall("[A-Za-z]{2,}", left) if word not in known}


@pytest.fixture(autouse=True)
def english_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(language, "_loaded", {})
    yield
    i18n.use(Language())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    monkeypatch.setattr(vms, "LONG", "/mnt/short")  # what is cut has no ⟧
    return {**VMS, "gone": lambda: None, "mute": dict}[request.param]()


@pytest.mark.parametrize("told", ["sample", "healthy", "troubled", "young", "gone", "mute"], indirect=True)
def test_every_word_of_the_page_is_a_message_or_was_said_by_the_guard(told: Any) -> None:
    catalogue = Catalogue(of_the_code() | set(strings(told)))
    assert unmarked(rendered(told, catalogue, trouble="x"), told) == set()


@pytest.mark.parametrize("told", ["sample"], indirect=True)
@pytest.mark.parametrize(("message", "words"), [
    ("Remedy", {"Remedy"}), ("Summary", {"Summary"}), ("Skip to the verdict", {"Skip", "to", "the", "verdict"}),
    ("since {when}", {"since"}), ("Health", {"Health"}), ("waguard on {host}", {"on"}),
    ("neither chronyc nor timedatectl tells", {"neither", "chronyc", "nor", "timedatectl", "tells"}),
    ("agent daemon 399 was killed by SIGKILL", {"daemon", "was", "killed", "by", "SIGKILL"}),
    ("waguardctl autorestart enable", {"waguardctl", "enable"}), ("{extension} is ready", {"is", "ready"}),
])
def test_a_text_without_a_mark_would_be_found(told: Any, message: str, words: set[str]) -> None:
    assert unmarked(rendered(told, Catalogue((of_the_code() | set(strings(told))) - {message})), told) == words


@pytest.mark.parametrize("told", ["sample"], indirect=True)
def test_a_text_that_is_marked_but_not_translated_would_be_found(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalogue(of_the_code() | set(strings(told)))
    monkeypatch.setattr(cards, "tr", lambda text, **values: text)
    assert {"Remedy", "Meaning", "Looked", "snapshot"} <= unmarked(rendered(told, catalogue), told)
    monkeypatch.undo()
    monkeypatch.setattr(common, "shown", common.plain)
    assert {"nor", "Agent", "seen", "critical"} - unmarked(rendered(told, catalogue), told) == {"critical"}


def test_levels_and_states_are_words_for_people_and_names_for_machines() -> None:
    snapshot = vms.troubled()
    plain, tree = read(page.render(snapshot, None, NOW, host="vm-1")), rendered(snapshot, Catalogue(of_the_code()))
    assert tree.each(class_="verdict")[0].attributes["class"] == "verdict critical"
    assert tree.each(class_="word")[0].text == "⟦critical⟧:"
    assert [link.text.split(" ", 1)[1] for link in tree.each(class_="tiles")[0].each("a")] == [
        "⟦running⟧", "⟦not ready⟧", "⟦3 critical⟧, ⟦4 warning⟧, ⟦1 info⟧", "⟦on⟧"]

    def machines(of: Element) -> list[tuple[str, ...]]:
        return [tuple(one.attributes.get(name, "") for name in ("id", "class", "href", "datetime", "aria-labelledby"))
                for one in of.each()]

    assert machines(tree) == machines(plain)


@pytest.mark.parametrize("level", ["fine", "", "⟦", 7, None])
def test_a_level_that_is_none_is_shown_as_it_came(level: Any) -> None:
    snapshot = vms.healthy()
    snapshot["verdict"]["level"] = level
    assert rendered(snapshot, Catalogue(of_the_code())).each(class_="word")[0].text == f"{level}:"


def test_a_remedy_whose_translation_is_too_long_is_not_shown_in_part() -> None:
    snapshot = vms.troubled()
    snapshot["findings"] = [{**snapshot["findings"][0], "remedy": "df -h"}]
    for length, remedy in ((700, "x" * 700), (701, "waguardctl explain disk-full")):
        tree = rendered(snapshot, Catalogue(["df -h"], lambda _, length=length: "x" * length))  # type: ignore[misc]
        assert tree.each(class_="remedy")[0].each("code")[0].text == remedy


HOSTILE = "</title></style><img src=x onerror=alert(1)>\"' x=\"&lt;"


@pytest.mark.parametrize("vm", VMS)
def test_no_translation_becomes_markup(vm: str) -> None:
    tree = rendered(VMS[vm](), Catalogue(of_the_code(), lambda text: HOSTILE + text))  # read() looks at every element and attribute
    assert tree.text.count(HOSTILE) > 20
    assert tree.each("nav")[0].attributes["aria-label"].startswith(HOSTILE)
    gone = rendered(None, Catalogue(of_the_code(), lambda text: HOSTILE + text), trouble=HOSTILE)
    assert HOSTILE in gone.each("h1")[0].text


@pytest.mark.parametrize("value", [vms.IMAGE, "{0.__class__}", "{when}", "{", "}}", "%s", "⟦", "\u202e", "x; y; {said}"])
def test_no_value_becomes_markup_or_a_message(value: str) -> None:
    snapshot = vms.healthy()
    template = "it is {value} that was seen"
    snapshot["events"] = [{"at": NOW, "message": template.format(value=value)}]
    tree = rendered(snapshot, Catalogue([template], lambda text: f"⟦{text}⟧"))
    line = tree.each("section", id="recent")[0].each("li")[0].text
    assert line.endswith(f"⟦it is {value} that was seen⟧".replace("\u202e", "\ufffd"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_snapshot_that_is_wrong_somewhere_still_makes_a_page(data: st.DataObject) -> None:
    snapshot = vms.troubled()
    for way in data.draw(st.lists(st.sampled_from(list(places(snapshot))), min_size=1, max_size=3)):
        at = snapshot
        try:
            for step in way[:-1]:
                at = at[step]
            at[way[-1]] = data.draw(ANYTHING)
        except (LookupError, TypeError):
            continue  # an earlier change took the place away
    rendered(snapshot, Catalogue(of_the_code()))


def test_the_fullest_page_does_not_take_long() -> None:
    reader = Language(Catalogue(of_the_code()))
    with language.speaking(reader):
        page.render(vms.sample(), None, NOW)
        began = time.process_time()
        page.render(vms.crowded(), None, NOW)
        assert time.process_time() - began < 2


@pytest.mark.parametrize(("header", "code"), [
    ("", "en"), ("es", "es"), ("es-MX", "es"), ("ES-mx", "es"), ("es-419,es;q=0.9,en;q=0.8", "es"), ("en", "en"), ("en-GB,es", "en"),
    ("es,en", "es"), ("en,es", "en"), ("en;q=0.5, es", "es"), ("en;q=0.5,es;q=0.4", "en"), ("es;q=0.4,en;q=0.5", "en"),
    ("fr", "en"), ("fr, es;q=0.1", "es"), ("de-DE,de;q=0.9", "en"), ("*", "en"), ("fr, *;q=0.5", "en"), ("es;q=0.5, *", "en"),
    ("*;q=0.5, en;q=0.1", "es"), ("*, en;q=0", "es"), ("*, es;q=0", "en"), ("es;q=0", "en"), ("es;q=0.000", "en"),
    ("en;q=0", "en"), ("en;q=0, es;q=0", "en"), ("*;q=0", "en"), ("es-ES;q=0.3, es;q=0, en;q=0.2", "es"),
    ("es \t;\t q=0.5 ,en;Q=0.4", "es"), ("en;q=0.5,,es;q=0.6,", "es"), ("es;q=1.000", "es"), ("es;q=1.", "es"), ("es;q=0.", "en"),
    ("es;q=1.001", "en"), ("es;q=2", "en"), ("es;q=-1", "en"), ("es;q=", "en"), ("es;q", "en"), ("es;level=1", "en"),
    ("es;q=0.1234", "en"), ("es;q=nan", "en"), ("es;q=inf", "en"), ("es;q=1e3", "en"), ("es;q=\xb2", "en"),
    ("est", "en"), ("es_MX", "en"), ("-es", "en"), ("es-", "en"), ("i-klingon, es", "es"), ("../es", "en"), ("es/../../etc", "en"),
    ("es\x00", "en"), ("e\u017f", "en"), ("esperanto9", "en"), ("\u202ees", "en"), (",".join(["fr"] * 99) + ",es", "es"),
    (",".join(["fr"] * 100) + ",es", "en"), ("e" * 16000, "en"), ("es" + "-a" * 8000, "es"), ("es" + " " * 16000 + "x", "en"),
    ("," * 16000, "en"), (";" * 16000, "en"), ("es;q=0." + "0" * 16000, "en"), ("*" * 16000, "en"), ("es-" * 5000, "en"),
])
def test_the_language_that_is_asked_for(header: str, code: str) -> None:
    began = time.process_time()
    assert language.choose(header) == code
    assert time.process_time() - began < 0.2


@given(st.text(alphabet="es,;q=0.1*- n\tx") | st.text())
def test_any_header_asks_for_some_language(header: str) -> None:
    assert language.choose(header) in ("en", *language.TRANSLATIONS)


def test_there_is_a_choice_of_all_translations() -> None:
    assert language.TRANSLATIONS == messages.LANGUAGES


def test_a_catalogue_is_loaded_once_for_the_first_who_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def find(*codes: str) -> Language:
        asked.append(codes)
        return Language(Catalogue([]))

    monkeypatch.setattr(i18n, "find", find)
    for header in ("", "en", "fr", "../../x", "es;q=0"):
        assert language.wanted(header).code == "en"
    assert asked == []
    first = language.wanted("es-MX")
    assert first.code == "es"
    assert language.wanted("es, en;q=0.1") is first
    assert asked == [("es",)]


def test_without_a_catalogue_all_is_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i18n, "find", lambda *codes: Language())
    answer = answered("/", accept_language="es")
    assert dict(answer.headers)["Content-Language"] == "en"
    read(answer.body)


class Guard:
    """One that answers, without events."""

    path = "/nonexistent/status"
    trouble: Optional[str] = None

    def snapshot(self) -> Any:
        return vms.troubled()


def answered(path: str, **headers: str) -> Any:
    request = Request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return main.Exporter(Guard()).respond(request)  # type: ignore[arg-type]


def test_what_goes_with_the_page_says_its_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(language._loaded, "es", Language(Catalogue(of_the_code())))
    for header, lang in (("es-MX", "es"), ("fr", "en"), ("en, es", "en"), ("", "en")):
        answer = answered("/", accept_language=header)
        assert dict(answer.headers)["Content-Language"] == lang
        assert {one.strip() for one in dict(answer.headers)["Vary"].split(",")} == {"Accept-Encoding", "Accept-Language"}
        assert ("⟦Remedy⟧" in read(answer.body, lang).text) == (lang == "es")


def test_english_is_the_same_whoever_asks_and_whatever_was_said_before() -> None:
    plain = page.render(vms.troubled(), None, NOW)
    rendered(vms.troubled(), Catalogue(of_the_code()))
    assert page.render(vms.troubled(), None, NOW) == plain
    with language.speaking(language.wanted("en")):
        assert page.render(vms.troubled(), None, NOW) == plain


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready", "/nothing"])
def test_nothing_but_the_page_is_translated(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setitem(language._loaded, "es", Language(Catalogue(of_the_code())))
    answered("/", accept_language="es")
    assert answered(path, accept_language="es") == answered(path)


def test_readers_of_two_languages_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are at the page at once, and metrics are asked for meanwhile."""
    together = threading.Barrier(3, timeout=30)
    whole = cards.cards

    def slowly(look: cards.Look) -> Any:
        together.wait()
        made = whole(look)
        together.wait()
        return made

    monkeypatch.setattr(cards, "cards", slowly)
    monkeypatch.setitem(language._loaded, "es", Language(Catalogue(of_the_code())))
    with ThreadPoolExecutor(2) as pool:
        spanish, english = (pool.submit(answered, "/", accept_language=header) for header in ("es", "en"))
        together.wait()
        metrics = answered("/metrics").body
        together.wait()
    assert "⟦Remedy⟧" in read(spanish.result().body, "es").text
    assert "⟦" not in read(english.result().body).text
    assert b"\xe2\x9f\xa6" not in metrics


def test_the_language_ends_with_the_page_also_when_it_fails() -> None:
    spanish = Language(Catalogue([]))
    with pytest.raises(ZeroDivisionError), language.speaking(spanish):
        assert language.spoken() is spanish
        raise ZeroDivisionError
    assert language.spoken().code == "en"


def test_help_is_in_the_language_of_the_terminal_and_no_other_start_loads_one(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bound: list[None] = []
    monkeypatch.setattr(usage, "bind", lambda: bound.append(None))
    monkeypatch.setattr(main, "from_environment", lambda: Language(Catalogue(of_the_code())))
    with pytest.raises(SystemExit) as end:
        main.main(["--help"])
    assert end.value.code == 0
    help_ = " ".join(capsys.readouterr().out.split())
    assert "⟦Prometheus metrics about this Azure VM's agent, as waguard sees it.⟧" in help_
    assert bound == [None]
    assert "⟦where the metrics are (default /metrics)⟧" in help_
    assert "⟦the guard's status socket (default /run/waguard/status)⟧" in help_
    i18n.use(Language())
    with pytest.raises(SystemExit):
        main.main(["--web.telemetry-path=x"])
    assert "⟦" not in capsys.readouterr().err
