"""Comparing package versions: as dpkg does (the real one is asked where it is), and as rpm does (by rpm's own test table)."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waguard.agent.pkgversion import compare, compare_deb, compare_rpm

DEB = [
    ("2.7.3.0-4.1", "2.7.3.0-4.1", 0),
    ("2.7.3.0-4", "2.7.3.0-4.1", -1),
    ("2.7.3.0-4.1", "2.10.0.8-1", -1),
    ("2.9.1.1-0ubuntu1~22.04.1", "2.9.1.1-0ubuntu1", -1),
    ("2.9.1.1-0ubuntu1~22.04.1", "2.9.1.1-0ubuntu1~22.04.2", -1),
    ("2.11.1.4-0ubuntu3", "2.11.1.4-0ubuntu3~24.04", 1),
    ("1:1.0-1", "2.11.1.4-0ubuntu3", 1),
    ("0:1.0-1", "1.0-1", 0),
    ("1.0-0", "1.0", 0),
    ("1.0~rc1", "1.0", -1),
    ("1.0+b1", "1.0", 1),
    ("1.0a", "1.0+", -1),
    ("1.0-1-1", "1.0-1-2", -1),
    ("1.00", "1.0", 0),
    ("1.2-9", "1.10-1", -1),
]
# rpm tests/rpmvercmp.at
RPM = [
    ("1.0", "1.0", 0), ("1.0", "2.0", -1), ("2.0.1", "2.0", 1), ("2.0.1a", "2.0.1", 1), ("5.5p1", "5.5p2", -1), ("5.5p10", "5.5p1", 1),
    ("10xyz", "10.1xyz", -1), ("xyz10", "xyz10.1", -1), ("xyz.4", "xyz.4", 0), ("xyz.4", "8", -1), ("xyz.4", "2", -1),
    ("5.5p2", "5.6p1", -1), ("6.0.rc1", "6.0", 1), ("10b2", "10a1", 1), ("1.0aa", "1.0a", 1), ("10.0001", "10.1", 0),
    ("10.0001", "10.0039", -1), ("4.999.9", "5.0", -1), ("20101121", "20101122", -1), ("2_0", "2.0", 0), ("a", "a+", 0), ("a+", "a_", 0),
    ("1.0~rc1", "1.0", -1), ("1.0~rc1", "1.0~rc2", -1), ("1.0~rc1~git123", "1.0~rc1", -1), ("1.0^", "1.0", 1), ("1.0^git1", "1.0", 1),
    ("1.0^git1", "1.0^git2", -1), ("1.0^git1", "1.01", -1), ("1.0^20160101", "1.0.1", -1), ("1.0^20160101^git1", "1.0^20160101", 1),
    ("1.0~rc1^git1", "1.0~rc1", 1), ("1.0^git1~pre", "1.0^git1", -1),
    ("2.7.0.6-9.el9", "2.7.0.6-10.el9", -1), ("2.7.0.6-10.el9", "2.9.0.4-1.el9", -1), ("1:2.7-1", "2.9-1", 1), ("0:2.7-1", "2.7-1", 0),
    ("2.11.1.4-3.azl3", "2.11.8.8-1.azl3", -1), ("2.7", "2.7-5", 0), ("2.9.1.1-150100.3.26.1", "2.9.1.1-150100.3.31.1", -1),
]
DPKG = shutil.which("dpkg")
versions = st.from_regex(r"(?:[0-9]{1,2}:)?[0-9][A-Za-z0-9.+~]{0,8}(?:-[A-Za-z0-9.+~]{1,6})?", fullmatch=True)


@pytest.mark.parametrize(("one", "other", "order"), DEB)
def test_as_dpkg(one: str, other: str, order: int) -> None:
    assert (compare_deb(one, other), compare_deb(other, one)) == (order, -order)


@pytest.mark.parametrize(("one", "other", "order"), RPM)
def test_as_rpm(one: str, other: str, order: int) -> None:
    assert (compare_rpm(one, other), compare_rpm(other, one)) == (order, -order)


def test_each_package_manager_has_its_rules() -> None:
    assert (compare("apt", "1.0^1", "1.0.1"), compare("dnf", "1.0^1", "1.0.1")) == (1, -1)


def dpkg_says(one: str, other: str) -> int:
    assert DPKG is not None
    for order, name in ((-1, "lt"), (0, "eq"), (1, "gt")):
        if subprocess.run([DPKG, "--compare-versions", one, name, other], check=False, stderr=subprocess.DEVNULL).returncode == 0:
            return order
    raise AssertionError((one, other))


@pytest.mark.skipif(DPKG is None, reason="no dpkg here")
class TestRealDpkg:
    @pytest.mark.parametrize(("one", "other", "order"), DEB)
    def test_the_table_is_right(self, one: str, other: str, order: int) -> None:
        assert dpkg_says(one, other) == order

    @given(versions, versions)
    @settings(max_examples=150, deadline=None)
    def test_both_agree(self, one: str, other: str) -> None:
        assert compare_deb(one, other) == dpkg_says(one, other)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_compared_and_the_order_turns_round(one: str, other: str) -> None:
    for by in (compare_deb, compare_rpm):
        assert by(one, other) == -by(other, one)
        assert by(one, one) == 0


def test_hostile_numbers_are_no_work() -> None:
    """int() refuses more than 4300 digits, and takes quadratic time for fewer."""
    for by in (compare_deb, compare_rpm):
        assert by("9" * 100000, "1" + "0" * 100000) == 1, "only the beginning of such a thing counts"
        assert by("1." + "9" * 200, "1." + "9" * 199) == 1
