"""How large a tree of logs is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from waguard.observe import logsizes
from waguard.observe.logsizes import Sizes, walk


def plant(top: Path, name: str, size: int) -> Path:
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def walked(top: Path) -> Sizes:
    sizes = Sizes()
    walk(top, "/logs", sizes)
    sizes.finish()
    return sizes


def test_adds_up_files_folders_and_all(tmp_path: Path) -> None:
    plant(tmp_path, "A/x.log", 5000)
    plant(tmp_path, "A/deep/y.log", 3000)
    plant(tmp_path, "B/z.log", 100)
    plant(tmp_path, "top.log", 10)
    found = walked(tmp_path)
    assert (found.total, found.lengths, found.count, found.complete) == (8110, 8110, 4, True)
    assert found.parts == {"A": 8000, "B": 100}
    assert found.files[:2] == [("/logs/A/x.log", 5000), ("/logs/A/deep/y.log", 3000)]


def test_holes_take_no_room(tmp_path: Path) -> None:
    """A writer without O_APPEND leaves one behind each copytruncate."""
    path = plant(tmp_path, "x.log", 8192)
    os.truncate(path, 1 << 30)
    found = walked(tmp_path)
    assert found.lengths == 1 << 30 and found.total < 1 << 20


def test_links_are_not_followed_and_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    path = plant(tmp_path, "logs/x.log", 1000)
    os.link(path, tmp_path / "logs" / "y.log")
    plant(tmp_path, "outside/z.log", 1000)
    (tmp_path / "logs" / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "logs" / "round").symlink_to(tmp_path / "logs")
    (tmp_path / "logs" / "file").symlink_to(tmp_path / "outside" / "z.log")
    assert walked(tmp_path / "logs").total == 1000


def test_what_is_no_file_is_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert walked(tmp_path).count == 0


def test_a_missing_folder_is_empty(tmp_path: Path) -> None:
    found = walked(tmp_path / "nowhere")
    assert (found.total, found.count, found.complete) == (0, 0, True)


def test_a_file_in_its_place_is_said_not_to_be_all(tmp_path: Path) -> None:
    plant(tmp_path, "x", 1)
    assert not walked(tmp_path / "x").complete


def test_entries_and_depth_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "1/2/3/4/5/6/x.log", 10)
    assert walked(tmp_path).count == 1 and walked(tmp_path).complete
    plant(tmp_path, "1/2/3/4/5/6/7/y.log", 10)
    found = walked(tmp_path)
    assert found.count == 1 and not found.complete
    monkeypatch.setattr(logsizes, "ENTRIES", 100)
    for number in range(200):
        plant(tmp_path, f"many/{number}", 1)
    found = walked(tmp_path)
    assert found.count < 100 and not found.complete


def test_how_many_are_over_a_limit(tmp_path: Path) -> None:
    for size in (99, 100, 101):
        plant(tmp_path, f"{size}.log", size)
    sizes = Sizes(100)
    walk(tmp_path, "/logs", sizes)
    assert sizes.over == 2


def test_only_the_largest_are_kept(tmp_path: Path) -> None:
    for number in range(300):
        plant(tmp_path, f"{number}.log", number)
    found = walked(tmp_path)
    assert [size for _, size in found.files] == list(range(299, 299 - logsizes.LARGEST, -1))
    assert found.total == sum(range(300))
