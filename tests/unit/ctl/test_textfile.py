"""waguardctl metrics --textfile: which directory, and that a reader never sees a part."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from waguard.ctl import textfile

from .conftest import Ctl, FakeGuard, environment

SERVICE = "0::/system.slice/prometheus-node-exporter.service\n"
FLAG = "--collector.textfile.directory"
DEBIAN, UPSTREAM = (place.lstrip("/") for place in textfile.PLACES)


class Tree:
    """A machine's root, with what is asked of it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def directory(self, path: str) -> str:
        (self.root / path).mkdir(parents=True)
        return str(self.root / path / "waguard.prom")

    def file(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(text.encode("utf-8", "surrogateescape"))

    def process(self, pid: int, *words: str, cgroup: str = SERVICE) -> None:
        self.file(f"proc/{pid}/cmdline", "".join(f"{word}\0" for word in words))
        self.file(f"proc/{pid}/cgroup", cgroup)

    def find(self) -> textfile.Place:
        return textfile.find(str(self.root))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "root")


# -- which directory


@pytest.mark.parametrize("place", [DEBIAN, UPSTREAM])
def test_either_known_place_is_found_and_said(tree: Tree, place: str) -> None:
    path = tree.directory(place)
    assert tree.find() == (path, "a place where node_exporter reads by default")


def test_debians_place_comes_first_where_both_are(tree: Tree) -> None:
    tree.directory(UPSTREAM)
    path = tree.directory(DEBIAN)
    assert tree.find().path == path


@pytest.mark.parametrize("words", [[f"{FLAG}=/srv/prom"], [FLAG, "/srv/prom"], ["--web.max-requests=1", f"{FLAG}=/srv/prom", "--x"],
                                   [f"{FLAG}=/srv/gone", f"{FLAG}=/srv/prom"]])
@pytest.mark.parametrize("program", ["/usr/bin/prometheus-node-exporter", "/usr/local/bin/node_exporter"])
@pytest.mark.parametrize("cgroup", [SERVICE, "0::/system.slice/node_exporter.service\n",
                                    "12:pids:/system.slice/x.service\n1:name=systemd:/system.slice/node_exporter.service\n0::/\n"])
def test_the_directory_of_a_running_service_goes_before_all_else(tree: Tree, words: list[str], program: str, cgroup: str) -> None:
    tree.directory(DEBIAN)
    tree.directory(UPSTREAM)
    path = tree.directory("srv/prom")
    tree.process(77, program, *words, cgroup=cgroup)
    tree.file("etc/default/prometheus-node-exporter", f'ARGS="{FLAG}=/{UPSTREAM}"\n')
    found = tree.find()
    assert found.path == path
    assert re.fullmatch(f"[a-z_-]+.service runs with {FLAG}", found.found)


@pytest.mark.parametrize("cgroup", ["0::/user.slice/user-1000.slice/session-1.scope\n", "0::/system.slice/nginx.service\n",
                                    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/node_exporter.service\n",
                                    "0::/system.slice/docker-0123.scope\n", "0::/system.slice/node_exporter.service/../../etc\n", ""])
def test_a_process_that_only_bears_the_name_is_not_believed(tree: Tree, cgroup: str) -> None:
    """Anybody may start one, and would have root write where he likes."""
    path = tree.directory(DEBIAN)
    tree.directory("etc")
    tree.process(4711, "/tmp/node_exporter", f"{FLAG}=/etc", cgroup=cgroup)
    assert tree.find().path == path


@pytest.mark.parametrize("words", [[], ["/usr/bin/node_exporter"], ["/usr/bin/node_exporter", FLAG], ["/usr/bin/node_exporter", f"{FLAG}="],
                                   ["/usr/bin/node_exporter", f"{FLAG}=srv/prom"], ["/usr/bin/node_exporter", f"{FLAG}=/srv/gone"],
                                   ["/usr/bin/other", f"{FLAG}=/srv/prom"], ["/usr/bin/node_exporter", f"{FLAG}.other=/srv/prom"],
                                   ["/usr/bin/node_exporter", f"--x={FLAG}=/srv/prom"], ["\udcff\udcfe", f"{FLAG}=/srv/prom"]])
def test_a_command_line_that_names_no_directory_that_is_there_says_nothing(tree: Tree, words: list[str]) -> None:
    tree.directory("srv/prom")
    path = tree.directory(DEBIAN)
    tree.process(1, *words)
    assert tree.find().path == path


@pytest.mark.parametrize(("file", "text"), [
    ("etc/default/prometheus-node-exporter", f'# ARGS="{FLAG}=/srv/no"\nARGS="--no-collector.xfs {FLAG}=/srv/prom"\n'),
    ("etc/default/prometheus-node-exporter", f"ARGS='{FLAG}=/srv/no'\nARGS=\"--x='y z' \\\n  {FLAG} /srv/prom\"\n"),
    ("etc/sysconfig/node_exporter", f'OPTIONS="{FLAG} /srv/prom"\n')])
def test_what_the_settings_of_the_service_say_goes_before_the_known_places(tree: Tree, file: str, text: str) -> None:
    tree.directory(DEBIAN)
    tree.directory("srv/no")
    path = tree.directory("srv/prom")
    tree.file(file, text)
    assert tree.find() == (path, f"/{file} has {FLAG}")


@pytest.mark.parametrize("text", ["", "ARGS=", 'ARGS="', f'ARGS="{FLAG}=/srv/prom', f"ARGS=\"'{FLAG}=/srv/prom\"", f'OPTS="{FLAG}=/srv/prom"',
                                  f'NOARGS="{FLAG}=/srv/prom"', "\udcff\udc80=\x01", "x" * 100_000])
def test_settings_that_say_nothing_or_cannot_be_read_cost_nothing(tree: Tree, text: str) -> None:
    tree.directory("srv/prom")
    path = tree.directory(DEBIAN)
    tree.file("etc/default/prometheus-node-exporter", text)
    assert tree.find().path == path


def test_a_pipe_in_the_place_of_the_settings_is_not_waited_for(tree: Tree) -> None:
    path = tree.directory(DEBIAN)
    (tree.root / "etc/default").mkdir(parents=True)
    os.mkfifo(tree.root / "etc/default/prometheus-node-exporter")
    assert tree.find().path == path


def test_no_directory_is_a_refusal_with_a_hint(tree: Tree) -> None:
    tree.file(DEBIAN, "a file, not a directory")
    with pytest.raises(textfile.Unusable, match="no directory of node_exporter's textfile collector was found") as caught:
        tree.find()
    assert "waguardctl metrics --textfile DIR" in caught.value.hint


# -- the file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "collector"
    path.mkdir()
    return path


def test_into_a_directory_with_the_values_of_now_for_everybody_to_read(guard: FakeGuard, ctl: Ctl, folder: Path) -> None:
    before = os.umask(0o077)
    try:
        said = ctl("metrics", "--textfile", str(folder))
    finally:
        os.umask(before)
    path = folder / "waguard.prom"
    assert said == (0, f"{path}: written (the directory that was named)\n", "")
    assert "\nwaguard_agent_up 1.0\n" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(folder) == ["waguard.prom"]
    guard.snapshot["agent"]["state"] = "down"
    said = ctl("metrics", "--textfile", str(folder / "waguard.prom"), "--json")
    assert said.json["result"] == {"path": str(path), "found": "the file that was named", "guard": True}
    assert "\nwaguard_agent_up 0.0\n" in path.read_text()


def test_without_a_name_into_what_is_found(guard: FakeGuard, ctl: Ctl, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile, "PLACES", ("/nonexistent", str(folder)))
    monkeypatch.setattr(textfile, "SETTINGS", ())
    said = ctl("metrics", "--textfile")
    assert said == (0, f"{folder}/waguard.prom: written (a place where node_exporter reads by default)\n", "")
    monkeypatch.setattr(textfile, "PLACES", ("/nonexistent",))
    said = ctl("metrics", "--textfile")
    assert said.code == 1 and "no directory of node_exporter's" in said.err and "--textfile DIR" in said.err


def test_without_a_guard_the_file_says_so_and_holds_nothing_old(ctl: Ctl, folder: Path) -> None:
    path = folder / "waguard.prom"
    path.write_text("waguard_guard_up 1.0\nwaguard_agent_up 1.0\n")
    said = ctl("metrics", "--textfile", str(folder))
    assert said == (0, f"{path}: written (the directory that was named)\nthe guard does not run: it says waguard_guard_up 0\n", "")
    text = path.read_text()
    assert "\nwaguard_guard_up 0.0\n" in text
    assert "agent_up" not in text
    assert ctl("metrics", "--textfile", str(folder), "--json").json["result"]["guard"] is False


def test_the_collector_takes_what_is_written(guard: FakeGuard, ctl: Ctl, folder: Path) -> None:
    """It refuses timestamps, and a family whose HELP or TYPE comes twice."""
    ctl("metrics", "--textfile", str(folder))
    lines = (folder / "waguard.prom").read_text().splitlines()
    described = [tuple(line.split(" ", 3)[1:3]) for line in lines if line.startswith("#")]
    assert len(described) == len(set(described)) > 40
    assert len(described) == 2 * len({name for _, name in described})
    for line in lines:
        assert line.startswith("# ") or re.fullmatch(r'waguard_\w+(\{[^}]*\})? [-+.e0-9]+', line), line


@pytest.mark.parametrize(("name", "message", "hint"), [
    ("gone", "gone: there is no such directory", "--collector.textfile.directory="),
    ("gone/", "gone/: there is no such directory", "--collector.textfile.directory="),
    ("gone/waguard.prom", "gone: there is no such directory", "--collector.textfile.directory="),
    ("file/waguard.prom", "file: there is no such directory", "--collector.textfile.directory="),
    ("waguard.txt", "waguard.txt: node_exporter reads only files whose name ends in .prom", "waguard.txt.prom"),
    ("full.prom", "full.prom: Is a directory", "a directory is in the way")])
def test_what_cannot_be_written_to_is_refused_with_a_hint(
    guard: FakeGuard, ctl: Ctl, folder: Path, name: str, message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").touch()
    if name == "full.prom":
        monkeypatch.setattr(textfile, "named", lambda path: textfile.Place(path, "the file that was named"))
        (folder / "full.prom").mkdir()
    before = sorted(os.listdir(folder))
    said = ctl("metrics", "--textfile", f"{folder}/{name}")
    assert (said.code, said.out) == (1, "")
    assert f"waguardctl: {folder}/{message}\n  (" in said.err
    assert hint in said.err
    assert sorted(os.listdir(folder)) == before


def test_a_directory_of_somebody_else_is_refused_with_a_hint(folder: Path, powerless: object) -> None:
    with powerless():  # type: ignore[operator]
        with pytest.raises(textfile.Unusable, match="Permission denied") as caught:
            textfile.write(textfile.Place(str(folder / "waguard.prom"), ""), b"x 1\n")
    assert "sudo" in caught.value.hint
    assert os.listdir(folder) == []


def test_a_full_disk_leaves_the_old_file_and_no_litter(folder: Path) -> None:
    """RLIMIT_FSIZE stops a write half-way, as a full disk does."""
    (folder / "waguard.prom").write_text("old 1\n")
    script = ("import resource, signal, sys; from waguard.ctl import textfile; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
              "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
              "try: textfile.write(textfile.Place(sys.argv[1], ''), b'x 1\\n' * 10000)\n"
              "except textfile.Unusable as error: print(error)")
    ran = subprocess.run([sys.executable, "-c", script, str(folder / "waguard.prom")], env=environment(folder), stdout=subprocess.PIPE,
                         text=True, timeout=60, check=True)
    assert "File too large" in ran.stdout
    assert os.listdir(folder) == ["waguard.prom"]
    assert (folder / "waguard.prom").read_text() == "old 1\n"


@pytest.mark.parametrize("planted", ["link", "file"])
def test_what_was_planted_under_the_temporary_name_is_not_written_through(folder: Path, tmp_path: Path, planted: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    temporary = folder / f".waguard.prom.{os.getpid()}.new"
    if planted == "link":
        temporary.symlink_to(victim)
    else:
        os.link(victim, temporary)
    textfile.write(textfile.Place(str(folder / "waguard.prom"), ""), b"x 1\n")
    assert victim.read_text() == "precious"
    assert (folder / "waguard.prom").read_bytes() == b"x 1\n"


def test_nor_what_is_planted_in_the_very_moment(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / f".waguard.prom.{os.getpid()}.new").symlink_to(victim)
    fd = os.open(folder, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            textfile._replace(fd, "waguard.prom", b"x 1\n")
    finally:
        os.close(fd)
    assert victim.read_text() == "precious"
    assert not (folder / "waguard.prom").exists()


def test_a_link_in_the_place_of_the_file_is_replaced_not_followed(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / "waguard.prom").symlink_to(victim)
    textfile.write(textfile.Place(str(folder / "waguard.prom"), ""), b"x 1\n")
    assert victim.read_text() == "precious"
    assert not (folder / "waguard.prom").is_symlink()


def test_it_removes_its_own_stale_temporary_files_and_nothing_else(folder: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale = [f".waguard.prom.{dead.pid}.new", f".waguard.prom.{os.getpid()}.new"]
    kept = [f".waguard.prom.{os.getppid()}.new", f".other.prom.{dead.pid}.new", f"waguard.prom.{dead.pid}.new", ".waguard.prom.x.new",
            f".waguard.prom.{'9' * 30}.new", f".waguard.prom.{dead.pid}.new.prom", "other.prom"]
    for name in (*stale, *kept):
        (folder / name).touch()
    (folder / ".waguard.prom.999999999.new").mkdir()  # of no process, but no file of ours either
    textfile.write(textfile.Place(str(folder / "waguard.prom"), ""), b"x 1\n")
    assert set(os.listdir(folder)) == {*kept, "waguard.prom", ".waguard.prom.999999999.new"}


def test_a_reader_never_sees_a_part(guard: FakeGuard, folder: Path, run_dir: Path) -> None:
    """Writers as processes, as the timer and a person at once; one of them killed in the middle now and then."""
    path = folder / "waguard.prom"
    textfile.write(textfile.Place(str(path), ""), b"x 1\n" * 5000)
    script = ("import sys; from waguard.ctl import textfile\n"
              "for turn in range(400): textfile.write(textfile.Place(sys.argv[1], ''), b'x %d\\n' % (turn % 10) * 5000)\n")
    argv = [sys.executable, "-c", script, str(path)]
    writers = [subprocess.Popen(argv, env=environment(run_dir)) for _ in range(2)]
    victim = subprocess.Popen(argv, env=environment(run_dir))
    threading.Timer(0.4, victim.kill).start()
    seen = set()
    for text in _read_while(writers, path):
        assert len(text) == 20_000 and text[:4] * 5000 == text
        seen.add(text[:4])
    victim.wait()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(seen) > 1, "the file never changed while it was read"
    textfile.write(textfile.Place(str(path), ""), b"x 1\n")
    assert os.listdir(folder) == ["waguard.prom"]


def _read_while(writers: list[subprocess.Popen[bytes]], path: Path) -> Iterator[bytes]:
    deadline = time.monotonic() + 60
    while any(writer.poll() is None for writer in writers):
        assert time.monotonic() < deadline
        names = [name for name in os.listdir(path.parent) if name.endswith(".prom")]
        assert names == ["waguard.prom"], "the collector would read a temporary file"
        yield path.read_bytes()
