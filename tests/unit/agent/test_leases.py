"""DHCP leases, and option 245 in each form in which clients keep it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import leases
from waguard.agent.leases import Entry

WIRE = "168.63.129.16"
NOW = 1763640000.0  # 2025-11-20 12:00:00 UTC


def block(option: str = "option unknown-245 a8:3f:81:10;", expire: str = "expire 4 2025/11/20 13:00:00;", interface: str = "eth0") -> str:
    return f"""lease {{
  interface "{interface}";
  fixed-address 10.0.0.4;
  option subnet-mask 255.255.255.0;
  option rfc3442-classless-static-routes 0,10,0,0,1,32,168,63,129,16,10,0,0,1;
  {option}
  renew 4 2025/11/20 12:30:00;
  {expire}
}}
"""


class TestDhclient:
    @pytest.mark.parametrize(("option", "told"), [
        ("option unknown-245 a8:3f:81:10;", WIRE), ("option private-245 a8:3f:81:10;", WIRE), ("option option-245 168.63.129.16;", WIRE),
        ("option unknown-245  A8:3F:81:10 ;", WIRE), ("option unknown-245 64:64:0:1;", "100.100.0.1"),
        ("", None), ("option unknown-244 a8:3f:81:10;", None), ("option unknown-245 a8:3f:81;", None), ("option unknown-245 a8:3f:81:10:11;", None),
        ("option unknown-245 \"abcd\";", None), ("# option unknown-245 a8:3f:81:10;", None), ("option unknown-245 999.1.1.1;", None)])
    def test_the_option(self, option: str, told: str | None) -> None:
        assert [entry.option_245 for entry in leases.dhclient(block(option))] == [told]

    @pytest.mark.parametrize(("expire", "told"), [
        ("expire 4 2025/11/20 13:00:00;", NOW + 3600), ("expire never;", None), ("expire epoch 1763643600; # Thu Nov 20 13:00:00 2025", NOW + 3600),
        ("", None), ("expire 4 2025/13/20 13:00:00;", None), ("expire 4 0000/01/01 00:00:00;", None), ("expire soon;", None)])
    def test_its_end_is_in_utc(self, expire: str, told: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()
        try:
            assert [entry.expires for entry in leases.dhclient(block(expire=expire))] == [told]
        finally:
            monkeypatch.undo()
            time.tzset()

    def test_the_last_unexpired_one_counts(self) -> None:
        text = (block("option unknown-245 1:1:1:1;") + block("option unknown-245 2:2:2:2;")
                + block("option unknown-245 3:3:3:3;", "expire 4 2025/11/20 11:00:00;"))
        assert [entry.option_245 for entry in leases.newest(leases.dhclient(text), NOW)] == ["2.2.2.2"]

    def test_a_renewal_that_lost_the_option_counts_more_than_the_old_lease_with_it(self) -> None:
        assert [entry.option_245 for entry in leases.newest(leases.dhclient(block() + block("")), NOW)] == [None]

    def test_each_interface_has_one_of_its_own(self) -> None:
        found = leases.newest(leases.dhclient(block() + block("", interface="eth1")), NOW)
        assert [(entry.interface, entry.option_245) for entry in found] == [("eth0", WIRE), ("eth1", None)]

    def test_all_are_expired(self) -> None:
        assert leases.newest(leases.dhclient(block(expire="expire 4 2025/11/20 11:00:00;")), NOW) == ()

    def test_dhcpv6_leases_are_none(self) -> None:
        assert leases.dhclient("default-duid \"\\000\";\nlease6 {\n  interface \"eth0\";\n}\n") == ()

    def test_half_a_lease_is_none(self) -> None:
        assert leases.dhclient(block()[:-3]) == ()

    def test_very_many_beginnings_without_an_end_take_no_time(self) -> None:
        assert leases.dhclient("lease {\n" * 30000) == ()

    @given(st.text())
    def test_nothing_raises(self, text: str) -> None:
        leases.newest(leases.dhclient(text), NOW)
        leases.dhclient(block(text, text))
        leases.networkd(text)
        leases.network_manager(text)


class TestNetworkd:
    @pytest.mark.parametrize(("text", "told"), [
        ("ADDRESS=10.0.0.4\nOPTION_245=a83f8110\n", WIRE), ("OPTION_245=A83F8110", WIRE), ("ADDRESS=10.0.0.4\n", None),
        ("XOPTION_245=a83f8110\n", None), ("OPTION_245=a83f81\n", None), ("OPTION_245=a83f811000\n", None), ("", None)])
    def test_the_option(self, text: str, told: str | None) -> None:
        assert leases.networkd("# This is private data. Do not parse.\n" + text) == Entry("", told)


class TestOthers:
    def test_network_manager_has_only_an_end(self) -> None:
        assert leases.network_manager("ADDRESS=10.0.0.4\nEXPIRY=1763643600\nOPTION_245=a83f8110\n") == Entry("", None, NOW + 3600)

    def test_dhcpcd_keeps_the_packet(self) -> None:
        head = bytes(236) + b"\x63\x82\x53\x63"
        assert leases.dhcpcd(head + b"\x35\x01\x05\x00\xf5\x04\xa8\x3f\x81\x10\xff") == Entry("", WIRE)

    @pytest.mark.parametrize("options", [b"", b"\xf5", b"\xf5\x04\xa8\x3f", b"\xf5\x03\xa8\x3f\x81\xff", b"\xff\xf5\x04\xa8\x3f\x81\x10",
                                         b"\x0c\x06\xf5\x04\xa8\x3f\x81\x10\xff"])
    def test_a_packet_without_it(self, options: bytes) -> None:
        assert leases.dhcpcd(b"\x63\x82\x53\x63" + options) == Entry()

    @given(st.binary())
    def test_no_packet_raises(self, data: bytes) -> None:
        leases.dhcpcd(data)
        leases.dhcpcd(b"\x63\x82\x53\x63" + data)
