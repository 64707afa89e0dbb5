"""The package speaks Spanish to whoever's locale or browser is Spanish, and programs read what they always do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from .guard import Guard
from .lab import Lab
from .machine import Machine

SPANISH = {"LANG": "es_ES.UTF-8"}
ENGLISH = re.compile(r"\b(the|is|was|not|of|with|and|by|has|no longer|since|ago|unknown|running|answers)\b")
"""Common words of English that are none in Spanish."""


@pytest.fixture(scope="module")
def installed(lab: Lab) -> Iterator[Machine]:
    """A machine whose agent was killed once, with verbose logging on and a setting that stands in a backup's way."""
    with lab.machine() as machine:
        guard = Guard(machine)
        guard.install("restart:\n  backoff_first: 0s\n")
        machine.run(["systemctl", "start", "waguard-exporter.socket"])
        machine.run(["kill", "-9", machine.show("walinuxagent.service", "MainPID")["MainPID"]])
        guard.wait_for("agent-proved", timeout=120)
        machine.run("sed -i 's/^Extensions.Enabled=.*/Extensions.Enabled=n/' /etc/waagent.conf")
        guard.wait_for("conf-changed", timeout=60)
        machine.run(["waguardctl", "pause", "--for", "1h"])
        machine.run(["waguardctl", "doctor"], check=False, timeout=150)
        yield machine


@pytest.mark.parametrize(("words", "code", "expected"), [
    (["status"], 0, "en pausa"), (["doctor", "--all"], 2, "las extensiones están desactivadas"), (["events", "-n", "200"], 0, "pausa"),
    (["explain", "extensions-disabled"], 0, "Significado"), (["explain", "--list"], 0, "crítico"), (["versions"], 0, "demonio"),
    (["verbose", "status"], 0, "desactivado"), (["check"], 2, "WAGUARD CRITICAL - "), (["--help"], 0, "opciones"),
    (["autorestart", "status"], 0, "systemd no reinicia el agente (Restart=no, por el valor predeterminado de systemd)"),
    (["lint"], 2, "extensions-disabled: Las extensiones están desactivadas"), (["collect", "--dry-run"], 0, "Archivos que se tomarían, en este orden")])
def test_every_verb(installed: Machine, words: list[str], code: int, expected: str) -> None:
    ran = installed.run(["env", "LANG=es_ES.UTF-8", "waguardctl", *words], check=False, timeout=150)
    text = ran.out
    assert ran.rc == code and expected.lower() in text.lower(), ran
    without_ids = re.sub(r"[a-z]+(?:-[a-z]+)+", "", text)
    english = [line for line in without_ids.splitlines() if len(ENGLISH.findall(line)) > 1]
    assert not english, english


def test_refusals_and_wrong_usage(installed: Machine) -> None:
    for words, expected in ((["pause", "--for", "soon"], "no es una duración"), (["nonsense"], "waguardctl: error: argumento"), (["explain", "disk-ful"], "disk-full")):
        ran = installed.run(["env", "LANG=es_ES.UTF-8", "waguardctl", *words], check=False)
        assert ran.rc and expected in ran.err, ran.err
        assert len(ENGLISH.findall(ran.err)) <= 1, ran.err


def test_programs_read_the_same_in_every_language(installed: Machine) -> None:
    for words in (["explain", "--list"], ["explain", "snapshot-stuck"], ["lint"], ["config", "show"], ["explain", "no-such"]):
        spanish, english = (installed.run(["env", f"LANG={lang}", "waguardctl", *words, "--json"], check=False) for lang in ("es_ES.UTF-8", "C"))
        assert (spanish.rc, spanish.out) == (english.rc, english.out) and json.loads(spanish.out)["schema"] == 1
    assert "waguard_guard_up 1" in installed.run(["env", "LANG=es_ES.UTF-8", "waguardctl", "metrics"]).out


def test_the_page_is_in_the_browsers_language(installed: Machine) -> None:
    get = "curl -sSi -H 'Accept-Language: {}' http://127.0.0.1:10168/{}"
    spanish = installed.run(get.format("es-MX,es;q=0.9,en;q=0.5", "")).out
    assert 'Content-Language: es' in spanish and '<html lang="es"' in spanish and "las extensiones están desactivadas" in spanish
    english = installed.run(get.format("de,en;q=0.5", "")).out
    assert '<html lang="en"' in english and "extensions are switched off" in english
    bodies = [installed.run(get.format(lang, "metrics")).out.partition("\r\n\r\n")[2] for lang in ("es", "en")]
    names = [[line.partition(" ")[0] for line in body.splitlines()] for body in bodies]
    assert names[0] == names[1] and len(names[0]) > 100


def test_the_journals_explanations(installed: Machine) -> None:
    """systemd takes the catalogue of the process's locale, which has to exist: a copy of C.UTF-8 under that name is enough."""
    installed.run("cp -r /usr/lib/locale/C.utf8 /usr/lib/locale/es_ES.utf8")
    explained = "journalctl -x --no-pager -u waguard MESSAGE_ID=88e466a2b67e4b5396550bcf1c1065e8"
    assert "Subject: waguard was paused" in installed.run(explained).out
    spanish = installed.run(["env", "LC_ALL=es_ES.UTF-8", *explained.split()]).out
    assert "Subject: waguard was paused" not in spanish and "pausa" in spanish
