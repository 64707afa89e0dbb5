"""Texts in the reader's language."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from po import messages
from waguard import i18n
from waguard.i18n import Language, from_environment, say, tr, translated, trn


class Catalogue:
    """What gettext gives for a .mo, from a dictionary."""

    def __init__(self, known: dict[str, str], plurals: Any = ()) -> None:
        self._catalog: dict[Any, str] = {"": "Language: es\n", **known}
        self._plurals = dict(plurals)
        self._catalog.update({(one, form): text for (one, _), texts in self._plurals.items() for form, text in enumerate(texts)})

    def gettext(self, text: str) -> str:
        return self._catalog.get(text, text)

    def ngettext(self, one: str, many: str, count: int) -> str:
        return self._plurals.get((one, many), (one, many))[count != 1]

    def info(self) -> dict[str, str]:
        return {"language": "es"}


SPANISH = Language(Catalogue({
    "the agent is not running": "el agente no se ejecuta",
    "the kernel knows no way": "el núcleo no conoce camino",
    "there is no route to {host}: {said_why}": "{said_why}: no hay ruta hacia {host}",
    "{path}: {said}": "{path}: {said}",
    "sent only {count} bytes in {seconds:.1f} s": "solo envió {count} bytes en {seconds:.1f} s",
    "{unit} was started": "se inició {unit}",
    "a {kind} with {{braces}} in it": "un {kind} con {{llaves}}",
    "no events": "ningún evento",
    "off": "desactivado",
    "{a}{b} side by side": "{a}{b} juntos",
    "of {x} and {x}": "de {x} y {x}",
}, {("{count} line", "{count} lines"): ("{count} línea", "{count} líneas")}))


@pytest.fixture(autouse=True)
def _spanish_for_this_test_only(request: pytest.FixtureRequest) -> Any:
    i18n.use(SPANISH)
    yield
    i18n.use(Language())


def test_what_travels_is_english() -> None:
    assert say("sent only {count} bytes in {seconds:.1f} s", count=5, seconds=2) == "sent only 5 bytes in 2.0 s"
    assert say("no {words} are asked for") == "no {words} are asked for"


def test_what_is_shown_here() -> None:
    assert tr("no events") == "ningún evento"
    assert tr("sent only {count} bytes in {seconds:.1f} s", count=5, seconds=2) == "solo envió 5 bytes en 2.0 s"
    assert tr("nobody has translated this") == "nobody has translated this"
    assert tr("") == ""  # whose translation would be the header of the file
    assert [trn("{count} line", "{count} lines", count) for count in (0, 1, 2)] == ["0 líneas", "1 línea", "2 líneas"]
    i18n.use(Language())
    assert [trn("{count} line", "{count} lines", count) for count in (0, 1, 2)] == ["0 lines", "1 line", "2 lines"]


@pytest.mark.parametrize(("said", "expected"), [
    ("the agent is not running", "el agente no se ejecuta"),
    ("there is no route to 1.2.3.4: the kernel knows no way", "el núcleo no conoce camino: no hay ruta hacia 1.2.3.4"),
    ("there is no route to 1.2.3.4: nobody translated this", "nobody translated this: no hay ruta hacia 1.2.3.4"),
    ("sent only 5 bytes in 2.0 s", "solo envió 5 bytes en 2.0 s"),
    ("sent only  bytes in  s", "solo envió  bytes en  s"),
    ("off was started", "se inició off"),  # a word stays what it is
    ("{x} was started", "se inició {x}"),
    ("a {b} with {braces} in it", "un {b} con {llaves}"),
    ("the agent is not running; sent only 1 bytes in 2 s; and more", "el agente no se ejecuta; solo envió 1 bytes en 2 s; and more"),
    ("/etc/x: the agent is not running", "/etc/x: el agente no se ejecuta"),
    ("the agent is not running: 1: 2", "el agente no se ejecuta: 1: 2"),
    ("ab side by side", "ab side by side"),  # where one word ends and the next begins cannot be told
    ("of 1 and 2", "of 1 and 2"),
    ("off and on was started", "off and on was started"),  # a short message fits too much
    ("", ""), ("; ", "; "), ("Language: es\n", "Language: es\n"), ("nothing of this kind", "nothing of this kind"),
])
def test_what_another_process_said(said: str, expected: str) -> None:
    assert translated(said) == expected


def test_english_is_left_alone() -> None:
    i18n.use(Language())
    assert translated("the agent is not running") == "the agent is not running"


@pytest.mark.parametrize("text", ["there is no route to " * 900, "; ".join(["x"] * 9000), "there is no route to " + ": " * 9000, "\0" * 19000])
def test_hostile_texts_cost_little(text: str) -> None:
    begun = time.process_time()
    translated(text)
    assert time.process_time() - begun < 20  # that is: it is not exponential


def test_a_language_for_each_reader() -> None:
    reader = {"now": Language()}
    i18n.use(lambda: reader["now"])
    assert tr("no events") == "no events"
    reader["now"] = SPANISH
    assert tr("no events") == "ningún evento"


# where languages come from


@pytest.fixture
def folder(tmp_path: Path) -> str:
    messages.compile_to(tmp_path)
    return str(tmp_path)


def test_the_real_catalogue(folder: str) -> None:
    spanish = i18n.find("es", folder=folder)
    assert spanish.code == "es"
    assert spanish.tr("the agent is not running", {}) not in ("", "the agent is not running")


@pytest.mark.parametrize(("codes", "code"), [
    (("es",), "es"), (("es_ES.UTF-8",), "es"), (("es_MX",), "es"), (("es_AR.ISO-8859-1",), "es"), (("de_DE", "es"), "es"), (("en_GB", "es"), "en"),
    (("C", "es"), "en"), (("POSIX",), "en"), (("C.UTF-8",), "en"), (("de_DE.UTF-8",), "en"), (("../../etc",), "en"), (("",), "en"), ((), "en"), (("\0",), "en")])
def test_which_language(folder: str, codes: tuple[str, ...], code: str) -> None:
    assert i18n.find(*codes, folder=folder).code == code


@pytest.mark.parametrize("damage", [b"", b"\xde\x12\x04\x95", b"no catalogue at all", b"\0" * 4096])
def test_a_damaged_catalogue_is_english(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "es/LC_MESSAGES").mkdir(parents=True)
    (tmp_path / "es/LC_MESSAGES/waguard.mo").write_bytes(damage)
    assert i18n.find("es", folder=str(tmp_path)).code == "en"


@pytest.mark.parametrize(("environ", "asked"), [
    ({}, ()), ({"LANG": "C.UTF-8", "LANGUAGE": "es"}, ()), ({"LANG": "es_ES.UTF-8"}, ("es_ES.UTF-8",)),
    ({"LANG": "es_ES.UTF-8", "LC_ALL": "C"}, ()), ({"LANG": "C", "LC_MESSAGES": "es"}, ("es",)), ({"LC_ALL": "", "LANG": "es"}, ("es",)),
    ({"LANG": "en_US.UTF-8", "LANGUAGE": "es:de"}, ("es", "de", "en_US.UTF-8")), ({"LANG": "es", "LANGUAGE": "::"}, ("es",)),
])
def test_the_environment(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], asked: tuple[str, ...]) -> None:
    seen: list[tuple[str, ...]] = []
    monkeypatch.setattr(i18n, "find", lambda *codes: seen.append(codes) or Language())
    from_environment(environ)
    assert (seen or [()]) == [asked]


def test_gettext_is_not_even_imported_for_english() -> None:
    import subprocess
    import sys

    code = "import sys; from waguard import i18n; i18n.use(i18n.from_environment({'LANG': 'en_US.UTF-8'})); sys.exit('gettext' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


# po/messages.py


@pytest.mark.once
def test_translations_are_complete_and_in_step() -> None:
    """What to do if not: make messages, then translate what po/es.po lacks."""
    assert messages.problems("es") == []


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small tree of code with its translations."""
    (tmp_path / "waguard").mkdir()
    (tmp_path / "po").mkdir()
    (tmp_path / "waguard/a.py").write_text(
        'from waguard.i18n import message, say, tr, trn\nX = message("one")\n'
        'def f(x):\n    tr(X)\n    trn("{count} two", "{count} twos", x)\n    return f"{say(\'three of {x}\', x=x)} {tr(\'fo\' \'ur\')}"\n')
    (tmp_path / "waguard/b.py").write_text('def say(x): ...\nsay("not a message")\ntr = print\ntr("neither")\n')
    shutil.copy(messages.PO / "es.po", tmp_path / "po/es.po")
    monkeypatch.setattr(messages, "TOP", tmp_path)
    monkeypatch.setattr(messages, "PO", tmp_path / "po")
    return tmp_path


def test_what_counts_as_a_message(tree: Path) -> None:
    found = messages.messages()
    assert {text: one.plural for text, one in found.items()} == {"one": None, "{count} two": "{count} twos", "three of {x}": None, "four": None}
    assert found["three of {x}"].used == ["waguard/a.py:6"]


@pytest.mark.parametrize("call", ['say(f"x {y}")', 'say("a" + b)', "message(NAME)", 'tr(f"x")', 'trn("one", MANY, 2)', "say()"])
def test_a_message_that_cannot_be_told_from_the_code(tree: Path, call: str) -> None:
    (tree / "waguard/c.py").write_text(f"from waguard.i18n import message, say, tr, trn\n\n{call}\n")
    with pytest.raises(messages.Unfit, match=r"waguard/c.py:3: \w+\(\) takes a plain string"):
        messages.messages()


def test_update_then_nothing_is_missing_but_translations(tree: Path) -> None:
    stale = messages.problems("es")
    assert any("not in the code" in line for line in stale) and any("missing: four" in line for line in stale)
    other = tree / "more.po"
    other.write_text('msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "one"\nmsgstr "uno"\n\nmsgid "four"\nmsgstr "cuatro"\n')
    assert messages.main(["update", str(other)]) == 0
    assert sorted(messages.problems("es")) == ["es.po: not translated: three of {x}", "es.po: not translated: {count} two"]
    text = (tree / "po/es.po").read_text()
    assert 'msgid "four"\nmsgstr "cuatro"' in text and "#: waguard/a.py\n" in text
    assert messages.main(["check"]) == 1


@pytest.mark.parametrize("broken", ['msgid "three of {x}"\nmsgstr "tres de {y}"', 'msgid "three of {x}"\nmsgstr "tres"'])
def test_words_in_braces_have_to_be_the_same(tree: Path, broken: str) -> None:
    (tree / "more.po").write_text(f'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n#, python-brace-format\n{broken}\n')
    assert messages.main(["update", str(tree / "more.po")]) == 0
    with pytest.raises(messages.subprocess.CalledProcessError):
        messages.compile_to(tree / "mo")
    assert not list((tree / "mo").rglob("waguard.mo"))
