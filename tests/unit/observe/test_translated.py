"""What observers and settings say in English is found again among the messages, so that a reader of another language gets all of it.

The catalogue of these tests is no language: it puts each message's own letters between brackets, so that what stands outside of them
is what nobody could translate.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import re
import socket
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from po.messages import TOP, messages
from waguard import durations, settings, varlink
from waguard.agent.facts import AgentFacts
from waguard.i18n import Language
from waguard.observe import (
    azure,
    backupconf,
    clocksync,
    conf,
    confstudy,
    extensions,
    files,
    filesystems,
    interpreters,
    libdir,
    load,
    logrotation,
    logs,
    mounttable,
    network,
    packages,
    probes,
    process,
    programs,
    releases,
    snapshots,
    software,
    statvfs,
    systemwords,
    tail,
)
from waguard.settings import NetworkSettings, ResourceSettings, SettingsError, VersionSettings

from . import peers, vmtree
from .trees import plant, program

pytestmark = pytest.mark.once

NOW = 1.75e9
OURS = [*sorted((TOP / "waguard/observe").glob("*.py")), *(TOP / "waguard" / name for name in ("settings.py", "durations.py", "varlink.py"))]


class Brackets:
    """A catalogue in which "{path} is missing" is "{path}⟦ is missing⟧"."""

    def __init__(self, texts: list[str]) -> None:
        self._catalog = {text: self._marked(text) for text in texts}

    def info(self) -> dict[str, str]:
        return {"language": "xx"}

    def gettext(self, text: str) -> str:
        return self._catalog.get(text, text)

    @staticmethod
    def _marked(text: str) -> str:
        return "".join((f"⟦{literal}⟧" if literal else "") + ("" if name is None else "{" + name + "}")
                       for literal, name, _, _ in string.Formatter().parse(text))


READER = Language(Brackets(list(messages())))


def outside(text: str) -> str:
    """What no message accounts for."""
    shown = READER.translated(text)
    assert text and shown.replace("⟦", "").replace("⟧", "") == text
    return re.sub("⟦[^⟧]*⟧", "…", shown)


def known(text: str, *values: object) -> bool:
    """Is every word in it a message's, or one of these values?"""
    left = outside(text)
    for value in sorted(map(str, values), key=len, reverse=True):
        left = left.replace(value, "")
    return not re.search(r"[^\W\d_]", left)


def behind(text: str, path: object) -> str:
    """What the system says, behind a path."""
    assert text.startswith(f"{path}: "), text
    return text[len(f"{path}: "):]


def refused(do: Callable[[], Any]) -> str:
    with pytest.raises(Exception) as caught:
        do()
    return str(caught.value)


def test_the_check_itself_sees_what_is_not_marked() -> None:
    assert known("/x: not a regular file", "/x") and not known("/x: not a regular folder", "/x")
    assert not known("/x: not a regular file") and not known("something else", "/x") and outside("/x is missing") == "/x…"


class TestFiles:
    def test_what_is_none(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "large").write_bytes(bytes(2048))
        for name in ("fifo", "large", ""):
            path = tmp_path / name
            assert known(refused(lambda path=path: files.read(path, 1024)), path)  # type: ignore[misc]
        assert known(refused(lambda: files.names(tmp_path, 1)), tmp_path)
        assert known(refused(lambda: confstudy._lines(tmp_path).__next__()), tmp_path)

    def test_what_the_system_says(self, tmp_path: Path, powerless: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        (tmp_path / "file").touch(0)
        (tmp_path / "loop").symlink_to("loop")
        with powerless():
            assert known(behind(refused(lambda: files.read(tmp_path / "file", 1)), tmp_path / "file"))
        for path in (tmp_path / "file/x", tmp_path / "loop", tmp_path / ("x" * 300)):
            assert known(behind(refused(lambda path=path: files.read(path, 1)), path))  # type: ignore[misc]
            assert known(behind(refused(lambda path=path: libdir.Watcher().look(path)), path))  # type: ignore[misc]

    def test_logs(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "log")
        assert known(refused(logs.Follower(tmp_path / "log").look), tmp_path / "log")
        assert known(tail.Tail(tmp_path / "log").read().problem, tmp_path / "log")
        (tmp_path / "log").unlink()
        (tmp_path / "log").symlink_to("log")
        assert known(behind(tail.Tail(tmp_path / "log").read().problem, tmp_path / "log"))

    @pytest.mark.parametrize("number", [
        errno.EPERM, errno.ENOENT, errno.EIO, errno.EACCES, errno.ENOTDIR, errno.EISDIR, errno.EMFILE, errno.ENOSPC, errno.EROFS, errno.ELOOP,
        errno.ENAMETOOLONG, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ESTALE,
        errno.ENOTCONN, errno.ENOMEM, errno.EUCLEAN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EBUSY, errno.EDQUOT])
    def test_the_words_of_the_c_library_are_those_of_this_one(self, number: int) -> None:
        assert os.strerror(number) in systemwords.WORDS and known(os.strerror(number))


class TestProbes:
    @pytest.mark.parametrize("behaviour", [
        peers.http("500 Internal Server Error"), peers.http("200 OK"), peers.says(b"SSH-2.0\r\n"), peers.says(b""), peers.resets, peers.silent,
        peers.drips(b"HTTP/1.1 200 OK\r\n\r\n")])
    def test_answers_that_are_none(self, behaviour: peers.Behaviour) -> None:
        with peers.peer(behaviour) as found:
            probe = azure.probe(found.address, 0.4)
        assert not probe.success and known(probe.problem, found.address)

    def test_nobody_there(self) -> None:
        assert known(azure.probe("127.0.0.1:1", 5.0).problem, "127.0.0.1:1")
        with peers.dropping() as address:
            assert known(azure.probe(address, 0.3).problem, address)

    @pytest.mark.parametrize("address", ["", "x", "localhost:80", "127.0.0.1:99999"])
    def test_no_address(self, address: str) -> None:
        assert known(azure.probe(address, 1.0).problem, repr(address), address)

    @pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.EPERM, errno.EADDRNOTAVAIL, errno.EMFILE])
    def test_each_way_of_not_being_connected(self, number: int) -> None:
        error = OSError(number, os.strerror(number))
        for told in (probes._refusal(error, "192.0.2.1:80", 5.0), probes._broken(error, "192.0.2.1:80")):
            assert known(told.problem, "192.0.2.1:80")

    def test_an_ordinary_user_is_told_what_it_proves(self, tmp_path: Path) -> None:
        with peers.dropping() as address:
            found = network.look(NetworkSettings(wireserver=address, hostplugin=address, imds=address, probe_timeout=0.4), AgentFacts(), False,
                                 tmp_path, None, NOW, "/nowhere/systemctl")
        for target in found.targets:
            assert known(target.problem, address)
        assert found.storage_why and known(found.storage_why, tmp_path / "var/lib/waagent") and known(found.proxies_why)

    def test_storage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = {"a.example": ([], "Name or service not known"), "b.example": ([(socket.AF_INET, ("127.0.0.1", 1))], ""), "c.example": ([], "")}
        monkeypatch.setattr(probes, "resolve", lambda host, port: answers[host])
        names = (*answers, "d e")
        found = network.look(NetworkSettings(wireserver="127.0.0.1:1", hostplugin="127.0.0.1:1", imds="127.0.0.1:1", storage=names), AgentFacts(),
                             True, tmp_path, None, NOW, "/nowhere/systemctl")
        told = {target.address: target.problem for target in found.named("storage")}
        assert set(told) == set(names) and all(known(problem, address) for address, problem in told.items())
        assert known(found.named("dns")[0].problem, "a.example")

    @pytest.mark.parametrize("behaviour", [peers.says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), peers.resets, peers.silent])
    def test_tls(self, behaviour: peers.Behaviour) -> None:
        import ssl
        import time

        with peers.peer(behaviour, reads=False) as found:
            told = probes.tls("storage.example", "storage.example", [(int(socket.AF_INET), ("127.0.0.1", found.port))], time.monotonic() + 0.4, 0.4,
                              ssl.create_default_context())
        # What OpenSSL calls it is nobody's to translate.
        assert known(re.sub("(TLS with us: ).*", r"\1", told.problem), "storage.example")


class TestPrograms:
    @pytest.mark.parametrize("argv", [["no-such-program"], ["/"], ["false"], ["sh", "-c", "kill -9 $$"], ["sleep", "9"], ["yes"]])
    def test_how_one_ended(self, argv: list[str]) -> None:
        assert known(programs.run(argv, 0.3, 2048).trouble, "y")

    @pytest.mark.parametrize("script", ["exit 7", "kill -9 $$", "sleep 9", "head -c 9000 /dev/zero"])
    def test_and_what_it_said_last(self, script: str) -> None:
        told = programs.run(["sh", "-c", f"echo its own words >&2; {script}"], 1.0 if "sleep" in script else 20.0, 2048)
        assert known(told.trouble, "its own words") and told.trouble.endswith(": its own words")

    def test_of_the_clock(self, tmp_path: Path) -> None:
        for chronyc in ("/nowhere/chronyc", program(tmp_path / "fails", "exit 3"), program(tmp_path / "odd", "echo hello")):
            assert known(clocksync.look(None, NOW, 5.0, tmp_path, chronyc).why)
        for text in ("Leap status : Not synchronised", "Reference ID : 7F7F0101 ()\nLeap status : Normal"):
            assert known(clocksync.look(None, NOW, 5.0, tmp_path, program(tmp_path / "told", f"printf '{text}\\n'".replace("\n", "\\n"))).why)
        plant(tmp_path, {"run/systemd/timesync/x": ""})
        os.utime(tmp_path / "run/systemd/timesync", (NOW, NOW))
        for wall in (NOW, NOW + 9000):
            assert known(clocksync.look(None, wall, 5.0, tmp_path, "/nowhere/chronyc").why)

    def test_of_the_interpreters(self, tmp_path: Path) -> None:
        vmtree.Extension(tmp_path).state()
        plant(tmp_path, {"usr/bin/python": "#!/nowhere\n"})
        for body, mode in (("#!/nowhere\n", 0o755), ("", 0o644), ("#!/bin/sh\nexit 1\n", 0o755), ("#!/bin/sh\necho hello\n", 0o755)):
            (tmp_path / "usr/bin/python").write_text(body)
            (tmp_path / "usr/bin/python").chmod(mode)
            for one in interpreters.look(AgentFacts(), None, tmp_path, tmp_path).tried:
                assert one.problem and known(one.problem)

    @pytest.mark.parametrize("look", ["import nothing_there", "def look(path): time.sleep(9)", "def look(path): raise OSError(5, 'x')"])
    def test_of_filesystems(self, look: str) -> None:
        if look.startswith("import"):
            # The helper itself says the last word.
            assert known(statvfs.ask(["/x"], 0.3, look)["/x"].problem, "ModuleNotFoundError: No module named 'nothing_there'")
        else:
            assert known(statvfs.ask(["/x"], 0.3, look)["/x"].problem)


class TestTrees:
    def test_the_conf(self, tmp_path: Path) -> None:
        path = tmp_path / "waagent.conf"
        assert known(conf.read(path).problem, path) and known(confstudy.study(path, tmp_path).drift_why)
        for data in (b"", b"\xff"):
            path.write_bytes(data)
            assert known(conf.read(path).problem, path)
            assert known(confstudy.study(path, tmp_path).drift_why)

    @pytest.mark.parametrize("entry", [
        "Status: install ok installed\nConffiles:\n /waagent.conf newconffile", "Status: install ok installed\nConffiles:\n /waagent.conf x obsolete",
        "Status: deinstall ok config-files\nConffiles:\n /waagent.conf 0123456789abcdef0123456789abcdef"])
    def test_what_dpkg_knows_of_it(self, tmp_path: Path, entry: str) -> None:
        plant(tmp_path, {"waagent.conf": "x=y\n", "var/lib/dpkg/status": f"Package: walinuxagent\n{entry}\n\n"})
        assert known(confstudy.study(tmp_path / "waagent.conf", tmp_path).drift_why, "walinuxagent")

    @pytest.mark.parametrize("word", ["", "Sleeping"])
    @pytest.mark.parametrize("told", ["", "{", "[]", "7", "[{}]", "\xff", "{]", "[" * 3000])
    def test_extensions(self, tmp_path: Path, word: str, told: str) -> None:
        found = vmtree.Extension(tmp_path).state(word).settings().status(told.encode("latin-1"))
        (found.path / "config/HandlerStatus").write_bytes(told.encode("latin-1"))
        (one,) = extensions.look(AgentFacts(), lambda seconds: None, tmp_path).handlers
        texts = [text for text in (one.problem, one.report_broken, one.status_broken) if text]
        assert one.problem
        for text in texts:  # What Python's own reader of JSON says of a place is its own.
            assert known(re.sub("(is no JSON: ).* at character", r"\1 at character", text), found.path, "config", "status", "HandlerStatus",
                         "HandlerState", "'Sleeping'"), text

    def test_the_last_snapshot(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        folder = vmtree.Extension(tmp_path).state().settings().status("{}").path
        assert known(snapshots.look(AgentFacts(), NOW, tmp_path, tmp_path / "proc").result_problem, folder / "status/7.status")
        (tmp_path / "proc/77").mkdir(parents=True)
        assert known(snapshots.processes(tmp_path / "proc").problem)

    @pytest.mark.parametrize("data", [b"timeout=5\n", b"[SnapshotThread]\nkey=1\nkey=2\n", b"\xff"])
    def test_vmbackup_conf(self, tmp_path: Path, data: bytes) -> None:
        path = plant(tmp_path, {backupconf.VMBACKUP: data}) / backupconf.VMBACKUP
        assert known(backupconf.options(tmp_path).problem, path, "MissingSectionHeaderError", "DuplicateOptionError")
        plant(tmp_path, {backupconf.PLUGIN_HOST: data, backupconf.SCRIPTS: "{}"})
        (tmp_path / backupconf.PLUGIN_HOST).chmod(0o644)
        (problem,) = backupconf.scripts(None, tmp_path).problems
        assert known(problem.text, tmp_path / backupconf.PLUGIN_HOST, "MissingSectionHeaderError", "DuplicateOptionError")

    @pytest.mark.parametrize(("text", "mode"), [
        ("{}", 0o600), ("{", 0o600), ("[]", 0o600), ("{}", 0o644), ('{"preScriptLocation": "x", "postScriptLocation": "/nowhere"}', 0o600),
        ('{"preScriptLocation": "/etc", "postScriptLocation": "/open", "timeoutInSeconds": 0}', 0o600),
        ('{"preScriptLocation": "/snake", "postScriptLocation": "/snake", "timeoutInSeconds": "x"}', 0o600)])
    def test_scripts_of_a_backup(self, tmp_path: Path, text: str, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backupconf, "_ROOT", os.getuid())
        plant(tmp_path, {backupconf.SCRIPTS: text, "open": "x", "snake": "#!/usr/bin/python\n"})
        (tmp_path / backupconf.SCRIPTS).chmod(mode)
        (tmp_path / "open").chmod(0o666)
        (tmp_path / "snake").chmod(0o700)
        problems = backupconf.scripts(None, tmp_path).problems
        assert problems
        for problem in problems:
            assert known(re.sub("(is no JSON: ).*", r"\1", problem.text), tmp_path / backupconf.SCRIPTS, "preScriptLocation", "postScriptLocation",
                         "'/nowhere'", "'/etc'", "'/open'", "'/snake'", "python"), problem.text

    def test_a_machine_that_tells_nothing(self, tmp_path: Path) -> None:
        assert known(refused(lambda: load.look(ResourceSettings(), AgentFacts(), None, 5.0, tmp_path, 0.0)), tmp_path / "proc/stat")
        assert known(refused(lambda: mounttable.look(tmp_path)), tmp_path / "proc/self/mountinfo")
        assert known(logrotation.look("/var/log/waagent.log", 5, 0, tmp_path).why)
        (tmp_path / "7/task/7").mkdir(parents=True)
        with pytest.raises(OSError) as caught:
            process.children(7, tmp_path)
        assert known(str(caught.value.strerror), "CONFIG_PROC_CHILDREN")

    def test_what_folders_are_to_the_agent(self, tmp_path: Path) -> None:
        plant(tmp_path, {"proc/1/mountinfo": "1 0 8:1 / / rw - ext4 /dev/sda rw\n", "proc/self/mountinfo": "1 0 8:2 / / rw - xfs /dev/sdb rw\n"})
        for place in filesystems.look(ResourceSettings(), AgentFacts(), tmp_path).places:
            assert known(place.what) and known(place.problem)

    def test_a_package_manager_at_work(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packages, "holder", lambda lock: 77)
        assert known(packages.transaction((tmp_path / "lock",)) or "", tmp_path / "lock")

    def test_software(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        plant(tmp_path, {"var/lib/waagent/WALinuxAgent-2.9.0.4/error.json": "{", "var/lib/waagent/WALinuxAgent-2.8.0.4/error.json": '{"was_fatal": true}'})
        monkeypatch.setattr(programs, "PATH", str(tmp_path))
        seen = software.look(AgentFacts(distro=("debian",)), tmp_path)
        assert known(seen.daemon_why) and [known(one.reason, "error.json") for one in seen.downloaded] == [True, True]
        assert known(software._downloaded(tmp_path / "nowhere")[1], tmp_path / "nowhere")
        for manager in ("", "apt", "dnf", "zypper"):
            assert known(software._ask(manager, ("debian",), tmp_path).why, "apt-cache", "dnf", "zypper")

    @pytest.mark.parametrize("body", ["exit 0", "echo no >&2; exit 3", "sleep 9"])
    def test_package_managers_that_do_not_tell(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
        for name in ("apt-cache", "rpm", "dnf", "zypper"):
            program(tmp_path / name, body)
        monkeypatch.setattr(programs, "PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setattr(software, "_TIMEOUT", 0.3)
        for why in (software._apt(("waagent", "walinuxagent")).why, software._rpm(("WALinuxAgent",))[2],
                    software._listed("dnf", ("WALinuxAgent",), tmp_path)[1], software._zypper(("WALinuxAgent",))[1]):
            assert not why or known(why, "waagent", "walinuxagent", "apt", "rpm -q", "dnf", "zypper search", "no"), why


class TestFeed:
    @pytest.mark.parametrize("feed", ["ftp://example/", "file:///nowhere", "http://127.0.0.1:1/", "http://user:word@127.0.0.1:1/"])
    def test_one_that_gives_nothing(self, feed: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        problem = releases.look(VersionSettings(feed=feed), None, NOW, None, True).problem
        problem = problem if not problem.endswith(os.strerror(errno.ECONNREFUSED)) else behind(problem, "127.0.0.1:1")
        assert known(problem, "127.0.0.1:1", "https", "http", "file")

    @pytest.mark.parametrize("behaviour", [peers.says(b""), peers.says(b"SSH-2.0\r\n"), peers.says(b"HTTP/1.1 302 x\r\nLocation: ftp://elsewhere/\r\n\r\n"),
                                           peers.http("200 OK", b"{}"), peers.http("200 OK", b"[]"), peers.http("200 OK", b"<"),
                                           peers.http("304 Not Modified"), peers.says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]")])
    def test_servers_that_give_nothing(self, behaviour: peers.Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with peers.peer(behaviour) as found:
            problem = releases.look(VersionSettings(feed=f"http://{found.address}/x"), None, NOW, None, True).problem
        assert known(problem, found.address, "elsewhere", "ftp")


SETTINGS: list[tuple[str, tuple[str, ...]]] = [
    ("restart", ("restart:", "backoff_cap: 10m")), ("restart: [1]", ("restart",)), ("restrt: {}", ("restrt", "restart")), ("zzzzzz: {}", ("zzzzzz",)),
    ("restart: {}\nrestart: {}", ("restart",)), ("restart: {backof_cap: 1m}", ("restart.backof_cap", "backoff_cap")),
    ("restart: {zzzzzz: 1m}", ("restart.zzzzzz",)), ("restart: {enabled: true, enabled: true}", ("restart.enabled",)),
    ("restart: {enabled: 7}", ("restart.enabled",)), ("restart: {backoff_cap: soon}", ("restart.backoff_cap", "soon")),
    ("restart: {backoff_cap: 900d}", ("restart.backoff_cap", "900d", "1s", "1d")), ("restart: {live_per_hour: many}", ("restart.live_per_hour", "many")),
    ("restart: {live_per_hour: 1000}", ("restart.live_per_hour",)), ("restart: {live_per_hour: [1]}", ("restart.live_per_hour",)),
    ("restart: {live_per_hour: {a: 1}}", ("restart.live_per_hour",)), ("agent: {backend: sytemd}", ("agent.backend", "sytemd", "systemd", "auto", "command")),
    ("agent: {backend: zzzz}", ("agent.backend", "zzzz", "systemd", "auto", "command")), ("agent: {log: ''}", ("agent.log",)),
    ("agent: {start_command: []}", ("agent.start_command", "service, waagent, start")), ("restart: {backoff_first: 20m}", ()),
    ("verbose: {default_lease: 8d}", ()), ("network: {wireserver: x}", ()), ("network: {probe_interval: 1s}", ()), ("[" * 50, ()),
]


class TestSettings:
    def told(self, directory: Path) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            settings.load(directory)
        return [problem.message for problem in caught.value.problems]

    @pytest.mark.parametrize(("text", "values"), SETTINGS)
    def test_what_is_wrong_in_a_file(self, tmp_path: Path, text: str, values: tuple[str, ...]) -> None:
        (tmp_path / "waguard.yaml").write_text(text)
        assert [message for message in self.told(tmp_path) if not known(message, *values)] == []

    @pytest.mark.parametrize("kind", ["fifo", "directory", "huge", "dangling", "loop", "binary", "no YAML", "no folder"])
    def test_what_is_no_file(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "waguard.yaml"
        makes: dict[str, Callable[[], Any]] = {
            "fifo": lambda: os.mkfifo(path), "directory": path.mkdir, "huge": lambda: path.write_bytes(bytes(settings.MAX_BYTES + 1)),
            "dangling": lambda: path.symlink_to("nowhere"), "loop": lambda: path.symlink_to(path.name), "binary": lambda: path.write_bytes(b"a: \xff"),
            "no YAML": lambda: path.write_text("a: 'b"), "no folder": (tmp_path / "conf.d").touch}
        makes[kind]()
        (message,) = self.told(tmp_path)
        assert known(message, "found unexpected end of stream")  # PyYAML's own words stay as they are.

    def test_durations(self) -> None:
        assert known(refused(lambda: durations.parse("soon")), "soon")


class TestVarlink:
    @pytest.mark.parametrize("data", [b"{\0", b"[]\0", b"[" * 100000 + b"\0", b"x" * 70000])
    def test_messages_that_are_none(self, data: bytes) -> None:
        decoder = varlink.Decoder(200000 if data.startswith(b"[[") else varlink.REQUEST_LIMIT)
        decoder.feed(data)
        text = refused(lambda: next(decoder))
        assert known(re.sub("(is not JSON: ).*", r"\1", text), "list")

    def test_services_that_do_not_answer(self, tmp_path: Path) -> None:
        path = tmp_path / "socket"
        assert known(behind(refused(lambda: varlink.call(path, "a.b.C")), path))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            assert known(behind(refused(lambda: varlink.call(path, "a.b.C")), path))
            listener.listen(5)
            assert known(refused(lambda: varlink.call(path, "a.b.C", timeout=0.1)), path)

    @pytest.mark.parametrize("reply", [{"parameters": [1]}, {"parameters": {}, "continues": 1}])
    def test_replies_that_are_none(self, reply: dict[str, Any]) -> None:
        assert known(refused(lambda: varlink._answer_of(reply)))


# Where a text for a person stands among what is given to each of these.
TEXTS: dict[str, tuple[int, ...]] = {"Unknown": (0,), "Unusable": (0,), "NotFetched": (0,), "ProtocolError": (0,), "TimedOut": (0,), "_Unfit": (0,),
                                     "Told": (1,), "ScriptProblem": (2,), "Problem": (2,), "wrong": (1,)}
NAMED = ("why", "problem", "reason", "unknown")
MARKS = ("say", "message")
# Words that are the same in every language, or no text: the name of an attribute.
BARE = {"webfetch.py": {": HTTP ", "reason"}}


def _given(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            yield from (node.args[place] for place in TEXTS.get(name, ()) if place < len(node.args))
            yield from (word.value for word in node.keywords if word.arg in NAMED)
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id in NAMED for to in node.targets):
            yield node.value


def _bare(node: ast.AST) -> Iterator[str]:
    """Words in an expression that no mark is around."""
    if isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute):
        if isinstance(node.func, ast.Name) and node.func.id in MARKS:
            return
        yield from (text for argument in node.args for text in _bare(argument))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"[A-Za-z]{2}", node.value):
        yield node.value
    elif isinstance(node, (ast.JoinedStr, ast.IfExp, ast.BoolOp, ast.BinOp)):
        children = [node.body, node.orelse] if isinstance(node, ast.IfExp) else list(ast.iter_child_nodes(node))
        yield from (text for child in children for text in _bare(child))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_text_for_a_person_is_without_a_mark(path: Path) -> None:
    found = [text for node in _given(ast.parse(path.read_text())) for text in _bare(node)]
    assert set(found) - BARE.get(path.name, set()) == set()
