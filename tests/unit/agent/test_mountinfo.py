"""The kernel's list of mounts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import mountinfo
from waguard.agent.mountinfo import Tree

ROOT = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,discard,errors=remount-ro"


def tree(*lines: str) -> Tree:
    return Tree(mountinfo.parse("\n".join(lines) + "\n"))


class TestParse:
    def test_every_field(self) -> None:
        (mount,) = mountinfo.parse(ROOT + "\n")
        assert (mount.id, mount.parent, mount.device, mount.root, mount.point, mount.type, mount.source) == (
            27, 1, "254:0", "/", "/", "ext4", "/dev/sda1")
        assert mount.options == {"rw", "relatime"} and mount.super_options == {"rw", "discard", "errors=remount-ro"}

    @pytest.mark.parametrize("optional", ["", "shared:1 ", "shared:1 master:2 propagate_from:3 "])
    def test_any_number_of_optional_fields(self, optional: str) -> None:
        (mount,) = mountinfo.parse(f"1 0 0:1 / /a ro {optional}- nfs4 host:/x rw,vers=4.2")
        assert (mount.type, mount.source, mount.options) == ("nfs4", "host:/x", {"ro"})

    def test_a_mount_point_may_hold_blanks_newlines_backslashes_and_a_hyphen(self) -> None:
        (mount,) = mountinfo.parse(r"1 0 0:1 / /a\040b\011c\012d\134e/- rw - ext4 /dev/x rw")
        assert mount.point == "/a b\tc\nd\\e/-"

    @pytest.mark.parametrize("line", ["", "x", "1 0 0:1 / /a rw", "1 0 0:1 / /a rw - ext4", "a 0 0:1 / /a rw - ext4 x rw",
                                      "1 0 0:1 / a rw - ext4 x rw", "² 0 0:1 / /a rw - ext4 x rw", "1 0 0:1 / /" + "a" * 9000 + " rw - ext4 x rw"])
    def test_what_is_no_line_is_left_out(self, line: str) -> None:
        assert [mount.point for mount in mountinfo.parse(f"{line}\n{ROOT}\n")] == ["/"]

    @given(st.text())
    def test_nothing_raises(self, text: str) -> None:
        mountinfo.parse(text)
        Tree(mountinfo.parse(f"1 2 0:1 / {text} rw - ext4 x rw")).holder(text)

    @pytest.mark.parametrize(("kind", "network"), [("nfs", True), ("nfs4", True), ("cifs", True), ("smb3", True), ("9p", True),
                                                   ("ceph", True), ("fuse", True), ("fuse.sshfs", True), ("fuseblk", False),
                                                   ("ext4", False), ("tmpfs", False), ("autofs", False)])
    def test_which_depend_on_somebody_else(self, kind: str, network: bool) -> None:
        assert mountinfo.parse(f"1 0 0:1 / /a rw - {kind} x rw")[0].network is network

    @pytest.mark.parametrize(("options", "broken"), [("rw", False), ("ro", False), ("rw,emergency_ro", True), ("rw,shutdown", True)])
    def test_ext4_that_stopped_writing_says_so_in_words_of_its_own(self, options: str, broken: bool) -> None:
        assert mountinfo.parse(f"1 0 0:1 / /a rw - ext4 x {options}")[0].broken is broken


class TestHolder:
    def test_the_nearest_mount_above(self) -> None:
        found = tree(ROOT, "30 27 0:3 / /var rw - xfs /dev/sdb rw", "31 30 0:4 / /var/log rw - ext4 /dev/sdc rw")
        told = {path: found.holder(path) for path in ("/", "/etc", "/var", "/var/lib/waagent", "/var/log", "/var/log/azure", "/var/logs", "/variable")}
        assert {path: mount and mount.point for path, mount in told.items()} == {
            "/": "/", "/etc": "/", "/var": "/var", "/var/lib/waagent": "/var", "/var/log": "/var/log", "/var/log/azure": "/var/log",
            "/var/logs": "/var", "/variable": "/"}

    def test_of_two_on_one_mount_point_the_upper_one_whatever_the_order(self) -> None:
        lower, upper = "40 27 0:5 / /tmp rw - ext4 /dev/sdd rw", "41 40 0:6 / /tmp rw - tmpfs tmpfs rw"
        for lines in ((ROOT, lower, upper), (upper, lower, ROOT)):
            mount = tree(*lines).holder("/tmp/x")
            assert mount is not None and mount.type == "tmpfs"

    def test_a_mount_below_another_one_is_hidden(self) -> None:
        """Mounted at /var/lib first, and then something on /var: by its mount point alone it would be the holder."""
        lines = (ROOT, "30 27 0:3 / /var/lib rw - xfs /dev/sdb rw", "31 27 0:4 / /var rw - ext4 /dev/sdc rw")
        mounts = mountinfo.parse("\n".join(lines))
        found = Tree(mounts)
        mount = found.holder("/var/lib/waagent")
        assert mount is not None and mount.point == "/var"
        assert [one.point for one in mounts if found.visible(one)] == ["/", "/var"]

    def test_a_second_root_on_top_of_the_first(self) -> None:
        """As after switch_root, or in a container."""
        mount = tree(ROOT, "50 27 0:9 / / rw - overlay overlay rw").holder("/etc")
        assert mount is not None and mount.type == "overlay"

    def test_no_root_is_told(self) -> None:
        assert tree().holder("/") is None
        assert tree("30 27 0:3 / /var rw - xfs /dev/sdb rw").holder("/var") is None

    def test_a_list_that_goes_in_circles_ends(self) -> None:
        tree(ROOT, "28 29 0:1 / /a rw - ext4 x rw", "29 28 0:1 / /a rw - ext4 x rw", "27 27 0:1 / / rw - ext4 x rw").holder("/a/b")


class TestTwice:
    def test_one_freezable_filesystem_at_two_places(self) -> None:
        mounts = mountinfo.parse("\n".join((ROOT, "30 27 8:17 / /data rw - xfs /dev/sdb1 rw", "31 27 8:17 / /backup rw - xfs /dev/sdb1 rw",
                                            "32 27 0:40 / /a rw - tmpfs tmpfs rw", "33 27 0:40 / /b rw - tmpfs tmpfs rw")))
        assert [[mount.point for mount in group] for group in mountinfo.twice(mounts)] == [["/data", "/backup"]]
