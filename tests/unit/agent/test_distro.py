"""Who the distribution is, and what to type there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import distro

UBUNTU = ('PRETTY_NAME="Ubuntu 24.04.1 LTS"\nNAME="Ubuntu"\nVERSION_ID="24.04"\nID=ubuntu\nID_LIKE=debian\n'
          'HOME_URL="https://www.ubuntu.com/"\n')
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nPRETTY_NAME="Rocky Linux 9.3 (Blue Onyx)"\n'
SLES = 'NAME="SLES"\nID="sles"\nID_LIKE="suse"\nPRETTY_NAME="SUSE Linux Enterprise Server 15 SP5"\n'
AZURE = 'NAME="Microsoft Azure Linux"\nID=azurelinux\nPRETTY_NAME="Microsoft Azure Linux 3.0"\n'


class TestOsRelease:
    @pytest.mark.parametrize(("text", "ids"), [
        (UBUNTU, ("ubuntu", "debian")),
        (ROCKY, ("rocky", "rhel", "centos", "fedora")),
        (SLES, ("sles", "suse")),
        (AZURE, ("azurelinux",)),
        ("", ()),
        ("ID_LIKE=debian\n", ("debian",)),
        ("ID='debian'\nID_LIKE='debian  ubuntu debian'\n", ("debian", "ubuntu")),
        ("# ID=arch\n  ID=debian  \nID =fedora\n", ("debian",)),
        ("ID=debian\nID=ubuntu\n", ("ubuntu",)),
        ('ID="debian\nPRETTY_NAME="', ()),
        ("ID=$(reboot)\nID_LIKE='debian; a/b \x1b[2J Fedora'\n", ()),
    ])
    def test_is_read(self, text: str, ids: tuple[str, ...]) -> None:
        assert distro.ids_of(text) == ids

    def test_of_hostile_ones_little_is_kept(self) -> None:
        many = "ID_LIKE='" + " ".join(f"d{number}" for number in range(1000)) + "'\nPRETTY_NAME='\x1b[31m" + "x" * 1000 + "'\n"
        assert len(distro.ids_of(many)) == 16
        assert distro.ids_of("#" * 100000 + "\nID=debian\n") == ()

    @given(st.text() | st.text(st.sampled_from("ID_LIKE='\"\\\n =adebin")))
    def test_any_text_is_read_and_only_ids_come_out(self, text: str) -> None:
        for name in distro.ids_of(text):
            assert name and len(name) <= 64 and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")


@pytest.mark.parametrize(("ids", "manager", "package", "upgrade"), [
    (("debian",), "apt", "waagent", "apt-get update && apt-get install --only-upgrade waagent"),
    (("ubuntu", "debian"), "apt", "walinuxagent", "apt-get update && apt-get install --only-upgrade walinuxagent"),
    (("linuxmint", "ubuntu", "debian"), "apt", "walinuxagent", "apt-get update && apt-get install --only-upgrade walinuxagent"),
    (("fedora",), "dnf", "WALinuxAgent", "dnf --refresh upgrade WALinuxAgent"),
    (("rhel", "fedora"), "yum", "WALinuxAgent", "yum clean expire-cache && yum upgrade WALinuxAgent"),
    (("rocky", "rhel", "centos", "fedora"), "yum", "WALinuxAgent", "yum clean expire-cache && yum upgrade WALinuxAgent"),
    (("ol", "fedora"), "yum", "WALinuxAgent", "yum clean expire-cache && yum upgrade WALinuxAgent"),
    (("sles", "suse"), "zypper", "python-azure-agent", "zypper refresh && zypper update python-azure-agent"),
    (("sle-micro",), "zypper", "python-azure-agent", "zypper refresh && zypper update python-azure-agent"),
    (("opensuse-leap", "suse", "opensuse"), "zypper", "python-azure-agent", "zypper refresh && zypper update python-azure-agent"),
    (("azurelinux",), "tdnf", "WALinuxAgent", "tdnf --refresh update WALinuxAgent"),
    (("mariner",), "tdnf", "WALinuxAgent", "tdnf --refresh update WALinuxAgent"),
])
def test_what_to_type(ids: tuple[str, ...], manager: str, package: str, upgrade: str) -> None:
    found = distro.commands(ids)
    assert (found.manager, found.package, found.upgrade) == (manager, package, upgrade)
    assert found.manager == distro.manager(ids)
    for command in (found.install, found.upgrade, found.reinstall):
        assert command.endswith(f" {package}") and len({found.install, found.upgrade, found.reinstall}) == 3


def test_the_package_that_is_installed_is_the_one_that_is_meant() -> None:
    assert distro.commands(("sles", "suse"), "python3-azure-agent").upgrade == "zypper refresh && zypper update python3-azure-agent"
    assert distro.commands(("debian",), "walinuxagent").reinstall == "apt-get update && apt-get install --reinstall walinuxagent"


@pytest.mark.parametrize("package", ["; reboot", "-y", "a b", "$(x)", "a\nb", "", "x" * 200])
def test_a_name_that_is_none_never_comes_into_a_command(package: str) -> None:
    assert distro.commands(("debian",), package) == distro.commands(("debian",))


@pytest.mark.parametrize("ids", [(), ("arch",), ("alpine",), ("; reboot",)])
def test_where_the_package_manager_is_not_known_it_is_said_in_words(ids: tuple[str, ...]) -> None:
    found = distro.commands(ids)
    assert (found.manager, found.package) == ("", "")
    assert found.upgrade == "upgrade the Azure Linux agent (WALinuxAgent) with this distribution's package manager"
    assert found.install.startswith("install ") and found.reinstall.startswith("reinstall ")


def test_an_image_is_updated_as_a_whole() -> None:
    assert "update the operating system" in distro.commands(("flatcar", "coreos")).upgrade
