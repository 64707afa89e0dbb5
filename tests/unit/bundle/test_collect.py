"""The whole bundle: no planted secret survives in it, nothing else is changed, and what is not in it is said."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.parse
import zlib
from pathlib import Path
from typing import Any

import pytest

from waguard.bundle import asked, collect, looking, members, output
from waguard.bundle.asked import Question, Said
from waguard.bundle.looking import Looking
from waguard.bundle.manifest import member_name
from waguard.bundle.redact import MASK

from .machine import FORBIDDEN, HANDLER, MASKED, PACKED, PLAIN, TEXTS, Machine, unpack

PACKAGES = str(Path(__file__).resolve().parents[3])


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "m")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program is asked."""
    monkeypatch.setattr(asked, "questions", lambda *_: ())


def _bundle(folder: Path) -> Path:
    (found,) = folder.glob("waguard-*.tar.gz")
    return found


def _manifest(found: dict[str, bytes]) -> Any:
    return json.loads(found["manifest.json"])


def _left(found: dict[str, bytes]) -> dict[str, str]:
    return {one["path"]: one["why"] for one in _manifest(found)["left_out"]}


Made = tuple[Machine, bytes, dict[str, bytes]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("planted")
    machine = Machine(root / "m")
    machine.plant()
    name = machine.secret("a file's name")
    machine.file(f"log/azure/x?sig={name}.log", "x\n")
    journal = machine.root / "journal"
    journal.write_text(PLAIN + f"\npassword={machine.secret('the journal')}\n")
    snapshot = {"password": machine.secret("the snapshot"), "url": f"https://x/?sig={machine.secret('the snapshot')}&se=1"}
    before, asked.questions = asked.questions, lambda *_: (  # type: ignore[assignment]
        Question("machine/journal-agent.txt", ("cat", str(journal))),
        Question("machine/fails.txt", ("sh", "-c", f"echo token={machine.secret('stderr')} >&2; exit 7")))
    try:
        machine.collect(root, snapshot=snapshot, events=[f"Authorization: Bearer {machine.secret('events')}"])
    finally:
        asked.questions = before
    path = _bundle(root)
    return machine, zlib.decompress(path.read_bytes(), 31), unpack(path)


class TestSecrets:
    def test_none_survives_anywhere_in_whatever_form(self, made: Made) -> None:
        machine, raw, _ = made
        assert len(machine.planted) > 700
        lower = raw.lower()
        for secret, where in machine.planted.items():
            assert secret.lower().encode() not in lower, where
            inner = base64.b64encode(secret[2:-3].encode()).rstrip(b"=")[2:-2]
            assert inner not in raw and urllib.parse.quote(secret).encode() not in raw, where
        assert re.search(rb"Pl4nted|hunter2|MIIEv|BEGIN [A-Z ]*PRIVATE KEY-----\n", raw) is None

    @pytest.mark.parametrize("name", [*TEXTS, *PACKED])
    def test_no_byte_outside_a_secret_is_changed(self, made: Made, name: str) -> None:
        machine, _, found = made
        assert found[machine.member(name)].startswith(MASKED.encode())

    def test_what_programs_said_is_redacted_too(self, made: Made) -> None:
        _, _, found = made
        assert found["machine/journal-agent.txt"].startswith(MASKED.encode())
        assert _manifest(found)["problems"] == [f"machine/fails.txt: exit status 7: token={MASK.decode()}"]

    def test_of_settings_only_the_names_are_there(self, made: Made) -> None:
        machine, _, found = made
        told = json.loads(found[machine.member(f"lib/{HANDLER}/config/3.settings")])
        assert told["runtimeSettings"][0]["handlerSettings"]["publicSettings"] == {"commandToExecute": MASK.decode()}

    def test_what_is_forbidden_is_not_there_and_said_to_be_left_out(self, made: Made) -> None:
        machine, _, found = made
        left = _left(found)
        for name in FORBIDDEN:
            path = machine.root / name
            assert machine.member(name) not in found
            if not name.startswith("lib/events"):
                assert str(path) in left or str(path.parent) in left, name
        assert left[str(machine.root / "lib")] == "not asked for"

    def test_each_member_is_what_the_manifest_says(self, made: Made) -> None:
        machine, _, found = made
        told = _manifest(found)
        assert {one["member"] for one in told["members"]} == set(found) - {"manifest.json", "README.txt"}
        for one in told["members"]:
            data = found[one["member"]]
            assert (one["bytes"], one["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        counts = {rule: told["rules"][rule]["masked"] for rule in told["rules"]}
        assert all(count for rule, count in counts.items() if rule != "wide-text")
        assert counts["sas-signature"] == sum(one["masked"].get("sas-signature", 0) for one in told["members"])
        packed = {one["path"]: one for one in told["members"] if one.get("decompressed")}
        assert set(packed) == {str(machine.root / name) for name in PACKED}

    def test_the_readme_says_what_was_done(self, made: Made) -> None:
        _, _, found = made
        text = found["README.txt"].decode()
        assert "sas-signature" in text and "ovf-env.xml: holds what the VM was provisioned with" in text and MASK.decode() in text


@pytest.mark.usefixtures("quick")
class TestFiles:
    def test_the_file_is_for_its_owner_only_whatever_the_umask(self, machine: Machine, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            machine.collect(tmp_path)
        finally:
            os.umask(before)
        assert stat.S_IMODE(_bundle(tmp_path).stat().st_mode) == 0o600
        assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []

    def test_an_own_name_can_be_given_and_nothing_is_written_over(self, machine: Machine, tmp_path: Path) -> None:
        machine.collect(tmp_path / "mine.tgz")
        data = (tmp_path / "mine.tgz").read_bytes()
        with pytest.raises(output.Unwritable, match="exists already"):
            machine.collect(tmp_path / "mine.tgz")
        (tmp_path / "link.tgz").symlink_to("/tmp/nowhere")
        with pytest.raises(output.Unwritable, match="exists already"):
            machine.collect(tmp_path / "link.tgz")
        assert (tmp_path / "mine.tgz").read_bytes() == data

    def test_one_that_comes_meanwhile_is_not_written_over(self, tmp_path: Path) -> None:
        with pytest.raises(output.Unwritable), output.Output(str(tmp_path / "x"), "n") as made:
            (tmp_path / "x").write_text("other")
            made.keep()
        assert (tmp_path / "x").read_text() == "other" and len(list(tmp_path.iterdir())) == 1

    def test_a_folder_that_is_not_there_is_said(self, machine: Machine, tmp_path: Path) -> None:
        with pytest.raises(output.Unwritable, match="none") as error:
            machine.collect(tmp_path / "out/none/x.tgz")
        assert error.value.hint
        # A slash at the end names a folder, which a Path forgets.
        with pytest.raises(output.Unwritable, match="none/: no such folder") as error:
            output.Output(f"{tmp_path}/none/", "n")
        assert error.value.hint and {path.name for path in tmp_path.iterdir()} == {"m"}

    def test_a_failure_half_way_leaves_nothing_behind(self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.file("log/waagent.log", "x\n" * 100000)

        def fail(*_args: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Looking, "read", fail)
        (tmp_path / "out").mkdir()
        with pytest.raises(KeyboardInterrupt):
            machine.collect(tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []

    def test_a_disk_that_is_short_is_refused_with_a_way_out(self, machine: Machine, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "out").mkdir()
        monkeypatch.setattr(output.Output, "room", lambda _self: -5)
        with pytest.raises(output.Unwritable, match="MB free") as error:
            machine.collect(tmp_path / "out")
        assert "--max-size" in error.value.hint and list((tmp_path / "out").iterdir()) == []

    def test_a_disk_that_fills_up_meanwhile_is_not_filled(self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.file("log/waagent.log", os.urandom(2 << 20).hex())
        monkeypatch.setattr(collect, "_CHECK_EVERY", 1 << 20)
        (tmp_path / "out").mkdir()
        rooms = iter([1 << 40])
        monkeypatch.setattr(output.Output, "room", lambda _self: next(rooms, -1))
        with pytest.raises(output.Unwritable, match="left on the disk"):
            machine.collect(tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []

    def test_newest_logs_come_first_and_one_that_floods_leaves_room_for_others(self, machine: Machine, tmp_path: Path) -> None:
        line = "2025-11-19T12:41:22.123456Z INFO x\n"
        for number in range(12):
            path = machine.file(f"log/azure/e/{number}.log", line * 30000)
            os.utime(path, (1.7e9 + number, 1.7e9 + number))
        machine.file("log/waagent.log", line * 300000)
        collector = machine.collect(tmp_path, max_size=4_000_000)
        found = unpack(_bundle(tmp_path))
        kept = [one["member"].rpartition("/")[2] for one in collector.manifest.members if one.get("path", "").endswith(".log")]
        assert kept[:2] == ["waagent.log", "11.log"] and "0.log" not in kept
        assert 1_970_000 < len(found[machine.member("log/waagent.log")]) <= 2_000_000
        told = {one["member"]: one for one in _manifest(found)["members"]}
        assert "only its newest" in told[machine.member("log/waagent.log")]["cut"]
        assert "no room" in _left(found)[str(machine.root / "log/azure/e/0.log")]
        assert sum(len(data) for name, data in found.items() if name.startswith("files/")) <= 4_000_000

    def test_older_logs_are_left_out_when_asked(self, machine: Machine, tmp_path: Path) -> None:
        for name, age in (("old.log", 5 * 86400), ("new.log", 60)):
            path = machine.file(f"log/azure/{name}", "x\n")
            os.utime(path, (time.time() - age, time.time() - age))
        machine.collect(tmp_path, since=time.time() - 86400)
        found = unpack(_bundle(tmp_path))
        assert machine.member("log/azure/new.log") in found
        assert _left(found)[str(machine.root / "log/azure/old.log")] == "older than was asked for"

    def test_hostile_names_and_trees_end_up_harmless(self, machine: Machine, tmp_path: Path) -> None:
        azure = os.fsencode(machine.root / "log/azure")
        for name in (b"new\nline.log", b"\xff.log", b"-rf.log", b"b" * 250, b"a b'\"$(x).log", b"\x1b[2J.log"):
            with open(os.path.join(azure, name), "wb") as file:
                file.write(b"x\n")
        (machine.root / "log/azure/out").symlink_to("/etc")
        os.mkfifo(machine.root / "log/azure/fifo.log")
        with (machine.root / "log/azure/hole.log").open("wb") as file:
            file.truncate(1 << 34)  # No line in it ends.
        machine.collect(tmp_path)
        found = unpack(_bundle(tmp_path))
        assert all(re.fullmatch(r"[A-Za-z0-9._+=@,:~%/-]+", name) for name in found)
        assert sum("log/azure/" in name for name in found) == 6
        left = _left(found)
        assert left[str(machine.root / "log/azure/out")] == "a symbolic link to /etc"
        assert left[str(machine.root / "log/azure/fifo.log")] == "a FIFO"
        assert "\x1b" not in found["README.txt"].decode() and "\n" not in "".join(one["path"] for one in _manifest(found)["members"]
                                                                                   if "path" in one)

    def test_what_vanishes_between_the_list_and_its_turn_is_said(self, machine: Machine, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
        machine.file("log/azure/a.log", "x\n")
        read = Looking.read

        def gone(self: Looking, tree: Any, found: Any, most: int, take: Any) -> Any:
            if found.parts == ("a.log",):
                (machine.root / "log/azure/a.log").unlink()
            return read(self, tree, found, most, take)

        monkeypatch.setattr(Looking, "read", gone)
        machine.collect(tmp_path)
        assert _left(unpack(_bundle(tmp_path)))[str(machine.root / "log/azure/a.log")] == "it was gone when its turn came"

    def test_a_member_that_fails_half_way_is_not_in_the_bundle(self, machine: Machine, tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
        machine.file("log/azure/a.log", "x\n")
        read = Looking.read

        def fail(self: Looking, tree: Any, found: Any, most: int, take: Any) -> Any:
            if found.parts == ("a.log",):
                take(b"half of it" * 100000)
                return {"problem": "Input/output error"}
            return read(self, tree, found, most, take)

        monkeypatch.setattr(Looking, "read", fail)
        machine.collect(tmp_path)
        raw = unpack(_bundle(tmp_path))
        assert machine.member("log/azure/a.log") not in raw and _left(raw)[str(machine.root / "log/azure/a.log")] == "Input/output error"

    def test_two_files_of_one_name_are_both_there(self, machine: Machine, tmp_path: Path) -> None:
        machine.file("log/azure/a.log", "1\n")
        machine.file("log/azure/a.log.gz", gzip.compress(b"2\n"))
        machine.collect(tmp_path)
        found = unpack(_bundle(tmp_path))
        name = machine.member("log/azure/a.log")
        assert {found[name], found[f"{name}~2"]} == {b"1\n", b"2\n"}

    def test_without_an_agent_there_is_a_bundle_all_the_same(self, tmp_path: Path) -> None:
        from waguard.bundle.places import Places

        nowhere = str(tmp_path / "none")
        machine = Machine(tmp_path / "m")
        machine.places = Places(*(f"{nowhere}/{name}" for name in ("conf", "lib", "log", "ext", "settings", "state", "run")))
        machine.collect(tmp_path)
        assert _left(unpack(_bundle(tmp_path)))[f"{nowhere}/lib"] == "not there"


WATCHED = """
import os, sys
sys.path.append(sys.argv[1])
from waguard.bundle import reader
really = os.open
def seen(path, flags, *args, **more):
    with open(%r, "a") as file:
        file.write(("folder " if flags & os.O_DIRECTORY else "file ") + os.path.basename(str(path)) + "\\n")
    return really(path, flags, *args, **more)
os.open = seen
sys.exit(reader.main())
"""


@pytest.mark.usefixtures("quick")
def test_what_is_forbidden_is_never_opened_and_a_list_opens_no_file(machine: Machine, tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    machine.plant()
    (machine.root / "log/azure/link.log").symlink_to("/etc/shadow")
    os.mkfifo(machine.root / "log/azure/fifo.log")
    monkeypatch.setattr(looking, "_PROGRAM", WATCHED % str(tmp_path / "opened"))
    asker = Looking()
    collect.plan(collect.Wanted(machine.places), asker, lambda _what: None)
    asker.close()
    assert "file " not in (tmp_path / "opened").read_text()
    machine.collect(tmp_path / "x.tgz")
    opened = {line.partition(" ")[2] for line in (tmp_path / "opened").read_text().splitlines() if line.startswith("file ")}
    assert {"waagent.log", "3.settings", "GoalState.xml"} <= opened
    assert not opened & {*(Path(name).name for name in FORBIDDEN), "link.log", "fifo.log"}


RUN = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/tests/unit"]
from pathlib import Path
from bundle.machine import Machine
from waguard.bundle import asked
from waguard.bundle.looking import Looking
asked.questions = lambda *_: ()
def peak(process):
    # Not ru_maxrss: that begins with what the process weighed that this one was forked from.
    (line,) = [line for line in open(f"/proc/{process}/status") if line.startswith("VmHWM:")]
    return int(line.split()[1])
close = Looking.close
def closed(self):
    if self.pid:
        print(peak(self.pid))
    close(self)
Looking.close = closed
Machine(Path(sys.argv[2])).collect(Path(sys.argv[3]), max_size=1 << 40)
print(peak("self"))
"""


def _peak(machine: Machine, target: Path) -> list[int]:
    ran = subprocess.run([sys.executable, "-c", RUN, PACKAGES, str(machine.root), str(target)], check=True, stdout=subprocess.PIPE)
    return [int(word) for word in ran.stdout.split()[-2:]]


@pytest.mark.once
@pytest.mark.parametrize("kind", ["text", "packed", "hole", "one line"])
def test_memory_is_the_same_whatever_the_logs_weigh(machine: Machine, tmp_path: Path, kind: str) -> None:
    block = b"".join(b"2025-11-19T12:41:22.%06dZ INFO ExtHandler https://x/?sig=abc%d&se=1\n" % (number, number) for number in range(15000))
    peaks = []
    for times in (4, 24):
        data = block * times
        if kind == "packed":
            machine.file("log/waagent.log.1.gz", gzip.compress(data, 1))
        elif kind == "hole":
            with machine.file("log/waagent.log", b"").open("wb") as file:
                file.truncate(len(data) * 2)
        else:
            machine.file("log/waagent.log", data if kind == "text" else data.replace(b"\n", b" "))
        peaks.append(_peak(machine, tmp_path / f"{times}.tgz"))
    for small, large in zip(*peaks):
        assert large < 1.25 * small, f"{small} KiB for 5 MB, {large} KiB for 30 MB"


def test_ending_it_by_a_signal_leaves_nothing_behind(machine: Machine, tmp_path: Path) -> None:
    with machine.file("log/waagent.log", b"").open("wb") as file:
        file.truncate(4 << 30)
    (tmp_path / "out").mkdir()
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 130)):
        program = f"import sys; sys.path.insert(0, {PACKAGES!r}); from waguard.ctl.main import main; sys.exit(main())"
        with subprocess.Popen([sys.executable, "-c", program, "collect", "--settings-dir", machine.places.settings_dir, "--run-dir",
                               machine.places.run_dir, "--max-size", "10G", "-o", str(tmp_path / "out")], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            for _ in range(600):
                if any(path.stat().st_size > 100 for path in (tmp_path / "out").iterdir()):
                    break
                time.sleep(0.05)
            assert list((tmp_path / "out").iterdir())
            process.send_signal(number)
            try:
                assert process.wait(60) == code
            finally:
                process.kill()
        assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("path", "name"), [
    ("/var/log/a.log", "var/log/a.log"), ("/a b/ü", "a%20b/%C3%BC"), ("/x/../y/.", "x/%2E%2E/y/%2E"), ("/x?sig=abc", "x%3Fsig=%2A%2A%2AREDACTED%2A%2A%2A"),
    ("/x.gz", "x"), ("//x", "x"), ("/a%b", "a%25b"),
])
def test_names_in_the_archive_are_tame(path: str, name: str) -> None:
    assert member_name(path) == name


def test_the_programs_that_are_asked_are_bounded_and_print_no_arguments_of_others() -> None:
    found = asked.questions("/run/waguard", "/etc/waguard", None, ("waagent",))
    assert len({one.name for one in found}) == len(found)
    for one in found:
        assert 0 < one.timeout <= 60 and one.limit <= 16 << 20 and one.name.split("/")[0] in ("machine", "waguard")
        assert not {"args", "cmd", "command", "timedatectl", "-a", "env"} & set(",".join(one.argv).split(",")) or one.argv[0] == "uname"
    assert any(one.shown.startswith("waguardctl versions") for one in found)


def test_a_program_that_does_not_end_or_says_too_much_is_noted() -> None:
    assert Question("x", ("sleep", "60"), timeout=0.2).said() == Said("", "no answer within 0.2 s")
    said = Question("x", ("yes",), limit=5000).said()
    assert len(said.text) <= 5000 and "output" in said.trouble
    assert "cannot be started" in Question("x", ("/no/such",)).said().trouble
    said = Question("x", ("sh", "-c", "echo whole; printf 'http://user:hunter2'; sleep 60"), timeout=1.0).said()
    assert said.text == "whole\n" and "no answer" in said.trouble  # Half a secret would not be known for one.
    assert Question("x", ("sh", "-c", "exit 1"), good=(0, 1)).said() == Said("")


BACKWARDS = "for n in $(seq 3000 -1 1); do echo \"2025-11-19T12:41:22+0000 vm waagent[1]: entry $n\"; echo \"    of two lines\"; done"


def test_what_is_told_backwards_reads_forwards_and_loses_its_oldest_part() -> None:
    whole = Question("x", ("sh", "-c", BACKWARDS), backwards=True).said()
    lines = whole.text.splitlines()
    assert (whole.trouble, whole.cut) == ("", "") and len(lines) == 6000
    assert [line.rpartition(" ")[2] for line in lines[::2]] == [str(n) for n in range(1, 3001)] and set(lines[1::2]) == {"    of two lines"}
    for limit in range(5000, 5070):
        said = Question("x", ("sh", "-c", BACKWARDS), limit=limit, backwards=True).said()
        assert limit - 70 < len(said.text) <= limit
        assert whole.text.endswith(said.text) or whole.text.endswith(said.text.partition("\n")[2]), "no whole lines, or not the newest"
        assert said.cut == f"only the newest whole lines within {limit} bytes: it says more" and said.trouble == ""
    slow = Question("x", ("sh", "-c", "echo 2; echo 1; printf 0; sleep 60"), timeout=0.5, backwards=True).said()
    assert slow == Said("1\n2\n", "no answer within 0.5 s: 0", "only the newest whole lines that came in time")
    assert Question("x", ("sleep", "60"), timeout=0.2, backwards=True).said().cut == ""


def test_of_a_long_journal_the_bundle_has_the_newest_and_says_that_it_is_cut(machine: Machine, tmp_path: Path,
                                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    (journal,) = (one for one in asked.questions("/run/waguard", "/etc/waguard", None, ()) if one.name == "machine/journal-agent.txt")
    assert journal.backwards and "--reverse" in journal.argv
    stand_in = dataclasses.replace(journal, argv=("sh", "-c", BACKWARDS), limit=5000)
    monkeypatch.setattr(asked, "questions", lambda *_: (stand_in,))
    machine.collect(tmp_path)
    found = unpack(_bundle(tmp_path))
    assert found["machine/journal-agent.txt"].decode().splitlines()[-2].endswith(" entry 3000")
    (told,) = (one for one in _manifest(found)["members"] if one["member"] == "machine/journal-agent.txt")
    assert "newest whole lines" in told["cut"] and "problem" not in told and _manifest(found)["problems"] == []
    assert "machine/journal-agent.txt: only the newest whole lines within 5000 bytes" in found["README.txt"].decode()


def test_the_history_is_bounded(machine: Machine) -> None:
    for day in range(1, 29):
        machine.file(f"lib/history/2025-11-{day:02}T12-41-22__{day}/GoalState.xml", "<a/>")
    asker = Looking()
    made = collect.plan(collect.Wanted(machine.places), asker, lambda _what: None)
    asker.close()
    assert sum("/history/2025-" in one.path for one in made.files) == members.HISTORY
