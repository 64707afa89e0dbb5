"""What a Spanish operator reads first: findings, codes and events, as they arrive, with a machine's own words in them."""

from __future__ import annotations

import gettext
import re
from collections.abc import Mapping
from typing import Callable

import pytest

from po import messages
from waguard.agent import conf, confdiff, distro, handler, signatures, vmsnapshot
from waguard.agent.snapshotcodes import explain
from waguard.guard.events import KINDS, Kind
from waguard.i18n import DOMAIN, Language
from waguard.judge.catalogue import CATALOGUE, PLACES, Entry, Link, fill

pytestmark = pytest.mark.once

PATHS = {"conf": "/etc/waagent.conf", "log": "/var/log/waagent.log", "lib_dir": "/var/lib/waagent", "log_dir": "/var/log/azure",
         "path": "/var/lib/waagent/WALinuxAgent-2.9.1.1/error.json", "mount": "/var", "folder": "/var/lib/waagent/X-1.0",
         "unit": "walinuxagent.service", "pid": "101", "package": "waagent", "handler": "Microsoft.Azure.Extensions.CustomScript",
         "host": "md-x.z1.blob.storage.azure.net:443", "address": "168.63.129.16:80", "version": "2.9.1.1", "code": "121",
         "key": "HttpProxy.Port"}
ODD = {**PATHS, "mount": "/mnt/a b; it's", "path": "/var/lib/waagent/mv x, then {path2} x.seen", "log": "/mnt/a b/waagent.log",
       "conf": "/mnt/a b; c/waagent.conf"}


def commands(*ids: str) -> dict[str, str]:
    found = distro.commands(ids)
    return {"install": found.install, "upgrade": found.upgrade, "reinstall": found.reinstall}


MACHINES: Mapping[str, Mapping[str, str]] = {
    "of Debian": {**PATHS, **commands("debian")}, "of Rocky": {**PATHS, **commands("rocky", "rhel")},
    "of an image": {**PATHS, **commands("flatcar")}, "of no known distribution": {**PATHS, **commands()},
    "with odd names": {**ODD, **commands("sles")}, "of which nothing is known": {}}


@pytest.fixture(scope="module")
def spanish(tmp_path_factory: pytest.TempPathFactory) -> Language:
    folder = tmp_path_factory.mktemp("locale")
    messages.compile_to(folder)
    return Language(gettext.translation(DOMAIN, str(folder), ["es"]))


def code(text: str) -> list[str]:
    """What in a remedy is for the shell, or a name: words with a sign or a digit in them, options, places."""
    words = (word.strip(".,;:()?¿") for word in text.split())
    return sorted(word for word in words if re.search(r"[/=|&{}<>\[\]0-9]|^-|\w\.\w", word))


def test_every_place_has_a_sample() -> None:
    assert set(MACHINES["of Debian"]) == PLACES


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
class TestAFinding:
    def test_summary(self, spanish: Language, entry: Entry) -> None:
        said = spanish.translated(entry.summary)
        assert said not in ("", entry.summary) and said == spanish.tr(entry.summary, {})
        assert len(said) <= 90 and not said.endswith(".") and "\n" not in said
        assert said[0].islower() or entry.summary[0].isupper() or said.startswith(entry.summary.split()[0])

    def test_meaning(self, spanish: Language, entry: Entry) -> None:
        said = spanish.translated(entry.meaning)
        assert said not in ("", entry.meaning) and said == spanish.tr(entry.meaning, {})
        assert said.endswith(".") and "{" not in said and "\n" not in said and "  " not in said

    @pytest.mark.parametrize("machine", MACHINES)
    def test_remedy(self, spanish: Language, entry: Entry, machine: str) -> None:
        """As it arrives, filled in, it is found again: that gives what the Spanish remedy gives when it is filled in."""
        places = MACHINES[machine]
        expected = fill(spanish.tr(entry.remedy, {}), {name: spanish.translated(value) for name, value in places.items()})
        assert spanish.translated(fill(entry.remedy, places)) == expected

    def test_commands_are_left_alone(self, spanish: Language, entry: Entry) -> None:
        assert code(spanish.tr(entry.remedy, {})) == code(entry.remedy)

    def test_a_remedy_with_words_in_it_has_spanish_words(self, spanish: Language, entry: Entry) -> None:
        worded = {"then", "the", "if", "and", "or", "look", "see", "for", "from"} & set(re.findall(r"[a-z]+", entry.remedy))
        assert bool(worded) <= (spanish.tr(entry.remedy, {}) != entry.remedy)


@pytest.mark.parametrize(("ids", "words"), [((), "gestor de paquetes"), (("flatcar",), "actualice el sistema operativo")])
def test_a_remedy_that_is_only_a_command_is_in_spanish_where_it_is_words(spanish: Language, ids: tuple[str, ...], words: str) -> None:
    for name in ("agent-not-installed", "agent-version-unsupported", "agent-crash-loop", "agent-autoupdate-off"):
        assert words in spanish.translated(fill(CATALOGUE[name].remedy, {**PATHS, **commands(*ids)}))


def test_a_remedy_that_is_only_a_command_stays_one(spanish: Language) -> None:
    for places in ({}, commands("debian"), commands("azurelinux")):
        remedy = fill(CATALOGUE["agent-not-installed"].remedy, places)
        assert spanish.translated(remedy) == remedy


@pytest.mark.parametrize("link", [link for link in Link if link.value])
def test_a_link(spanish: Language, link: Link) -> None:
    assert spanish.translated(link.value) != link.value


@pytest.mark.parametrize("number", [*vmsnapshot.CODES, 4711])
def test_a_code_of_the_backup_extension(spanish: Language, number: int) -> None:
    known = explain(number)
    assert spanish.translated(known.meaning) != known.meaning
    assert code(spanish.translated(known.remedy)) == code(known.remedy)
    assert (spanish.translated(known.remedy) != known.remedy) != bool(re.fullmatch(r"chown root \S+", known.remedy))


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_an_event(spanish: Language, kind: Kind) -> None:
    for text in (kind.subject, kind.explanation):
        said = spanish.translated(text)
        assert said != text and said.count("\n") == text.count("\n") and said.endswith(".") == text.endswith(".")


@pytest.mark.parametrize("known", [*signatures.BY_ID.values()], ids=list(signatures.BY_ID))
def test_a_signature(spanish: Language, known: signatures.Signature) -> None:
    assert spanish.translated(known.meaning) != known.meaning


@pytest.mark.parametrize("number", [number for number in handler.CODES if number])
def test_a_code_of_the_agent(spanish: Language, number: int) -> None:
    assert spanish.translated(handler.CODES[number]) != handler.CODES[number]


SPANISH = "á|é|í|ó|ú|ñ|¿| el | la | los | las | un | una | no "


@pytest.mark.parametrize("text", [
    "HttpProxy.Host=x", "HttpProxy.Port=8080", "Extensions.Enabled=n", "Logs.Verbose=maybe", "HttpProxy.Port=x", "Extensions.WaitForCloudInitTimeout=9",
    "Logs.Verbose=y # why", "Lib.Dir=/a\nLib.Dir=/b", "Lib.Dir=/a\n" * 3, "Lib.Dir=/a\n" * 9, " # Logs.Verbose=y", "\ufeffLib.Dir=/a", "=y",
    "Log.Verbose=y", "Entirely.Different=y"])
def test_a_problem_of_waagent_conf(spanish: Language, text: str) -> None:
    found = conf.lint(conf.parse(text.encode()))
    assert found
    for problem in found:
        said = spanish.translated(problem.message)
        assert re.search(SPANISH, said) and " the " not in said and said[-1] == problem.message[-1]
        assert problem.key in said or problem.key.startswith("#")


@pytest.mark.parametrize("data", [b"", b"Lib.Dir=\xff"])
def test_a_waagent_conf_that_the_agent_refuses(spanish: Language, data: bytes) -> None:
    refused = conf.refusal(conf.parse(data))
    assert refused is not None and "se niega" in spanish.translated(refused.message)
    said = f"/etc/waagent.conf: {conf.parse(data).error}"
    assert said.startswith("/etc/waagent.conf: the file is ")
    assert re.fullmatch("/etc/waagent.conf: el archivo .* se niega a .*", spanish.translated(said))


@pytest.mark.parametrize(("before", "after", "expected"), [
    ("Logs.Verbose=n", "Logs.Verbose=y", "Logs.Verbose: n -> y"),
    ("\n", "Logs.Verbose=y", "Logs.Verbose: n (predeterminado) -> y"),
    ("HttpProxy.Port=80", "\n", "HttpProxy.Port: 80 -> {none} (predeterminado)"),
    ("x=1", "\n", "x (el agente no la lee): definida -> no definida"),
    ("x=1", "x=2", "x (el agente no la lee): definida -> definida con otro valor"),
    ("\n", "x=1", "x (el agente no la lee): no definida -> definida"),
    ("x=1\ny=1", "y=2\nz=1", "x (el agente no la lee): definida -> no definida; y (el agente no la lee): definida -> definida con otro valor; "
                             "z (el agente no la lee): no definida -> definida"),
    ("\n", "Logs.Verbose=y\nOS.EnableFIPS=y\nOS.AllowHTTP=y\nLib.Dir=/x", "Lib.Dir: /var/lib/waagent (predeterminado) -> /x; "
     "Logs.Verbose: n (predeterminado) -> y; OS.AllowHTTP: n (predeterminado) -> y; OS.EnableFIPS: n (predeterminado) -> y"),
    ("\n", "a=1\nb=1\nc=1\nd=1\ne=1\nf=1\ng=1", "; y 2 más"),
])
def test_a_change_of_waagent_conf(spanish: Language, before: str, after: str, expected: str) -> None:
    found = confdiff.compare(*(confdiff.values(conf.parse(text.encode())) for text in (before, after)))
    expected = expected.replace("{none}", spanish.translated("none"))
    assert spanish.translated(confdiff.describe(found)).endswith(expected)
    whole = f"/etc/waagent.conf was changed: {confdiff.describe(found)}; the agent reads it at its next start"
    assert expected in spanish.translated(whole)


@pytest.mark.parametrize(("read", "data", "expected"), [
    (handler.state, b"", "está vacío"), (handler.state, b"Gone", "dice 'Gone', que no es ningún estado"),
    (handler.report, b"[]", "no es un objeto JSON"), (handler.report, b"", "está vacío"), (handler.report, b"{", "acaba a la mitad"),
    (handler.report, b"\xff{}", "no es texto UTF-8"), (handler.report, b"x" * (handler.MAX_BYTES + 1), "ocupa más de 1024 KiB"),
    (handler.report, b"{x}", "no es JSON: Expecting property name enclosed in double quotes en el carácter 1"),
    (handler.report, b"[" * 100_000 + b"]" * 100_000, "tiene demasiados niveles anidados"), (handler.status, b"{}", "no es una matriz JSON"),
    (handler.status, b"[]", "es una matriz vacía"), (handler.status, b"[{}]", "no contiene ningún estado"),
])
def test_a_file_that_does_not_tell(spanish: Language, read: Callable[[bytes], object], data: bytes, expected: str) -> None:
    """It is told behind the file's path."""
    with pytest.raises(handler.Unreadable) as caught:
        read(data)
    assert str(caught.value)[0].islower() and "{" not in str(caught.value)
    path = "/var/lib/waagent/X-1.0/config/HandlerState"
    assert spanish.translated(f"{path} {caught.value}") == f"{path} {expected}"
