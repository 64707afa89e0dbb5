"""The support bundle of a machine with the real agent: what is asked for is there, its keys and planted secrets are not."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from .agent import CONF, LIB, LOG, UNIT, Agent
from .guard import Guard
from .machine import Machine

OUT = "/root/unpacked"
SECRET = "Pl4ntedS3cret"
PLANTED = f"""\
2025-11-19T12:41:22.123456Z VERBOSE ExtHandler ExtHandler GET https://md.blob.core.windows.net/c/b?sv=1&sig={SECRET}1%2B&se=2030
2025-11-19T12:41:22.123456Z INFO ExtHandler ExtHandler Authorization: Bearer {SECRET}2
2025-11-19T12:41:22.123456Z INFO ExtHandler [Any.Ext-1.0] {{"password": "{SECRET}3", "n": 1}}
https_proxy=http://user:{SECRET}4@proxy.example:3128/
"""


def collect(machine: Machine, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(machine.run(["waguardctl", "collect", "--json", *words], timeout=240).out)["result"]
    return found


def unpack(machine: Machine, path: str) -> dict[str, Any]:
    """Into OUT. Returns the manifest."""
    machine.run(f"rm -rf {OUT} && mkdir {OUT} && tar xzf {shlex.quote(path)} -C {OUT} --strip-components=1")
    told: dict[str, Any] = json.loads(machine.read(f"{OUT}/manifest.json"))
    return told


def test_the_bundle_of_a_real_agent(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install()
    agent.wait_for_turn()
    machine.run(f"cat >>{LOG}", stdin=PLANTED)
    machine.run("mkdir -p /var/log/azure/Any.Ext && gzip >/var/log/azure/Any.Ext/extension.log.1.gz", stdin=PLANTED)
    machine.run("cd /var/log/azure/Any.Ext && ln -s /etc/shadow a.log && ln /etc/shadow b.log && mkfifo c.log && ln -s / d")
    machine.run(f"""mkdir -p {LIB}/Any.Ext-1.0/config {LIB}/Any.Ext-1.0/status && cd {LIB}/Any.Ext-1.0 &&
        printf '{{"runtimeSettings": [{{"publicSettings": {{"run": "{SECRET}5"}}}}]}}' >config/0.settings &&
        printf '[{{"status": {{"message": "token={SECRET}6"}}}}]' >status/0.status""")
    machine.write(f"{LIB}/ovf-env.xml", f"<UserPassword>{SECRET}7</UserPassword>")
    conf = machine.run(["sha256sum", CONF]).out

    listed = collect(machine, "--dry-run")
    assert LOG in [one["path"] for one in listed["files"]] and f"{LIB}/TransportPrivate.pem" in [one["path"] for one in listed["left_out"]]
    made = collect(machine, "-o", "/root")
    assert machine.run(["stat", "-c", "%a %U", made["path"]]).out.split() == ["600", "root"]
    told = unpack(machine, made["path"])

    there = {one["member"] for one in told["members"]}
    assert {f"files{LOG}", f"files{CONF}", f"files{LIB}/Any.Ext-1.0/status/0.status", "files/var/log/azure/Any.Ext/extension.log.1",
            "waguard/doctor.txt", "waguard/doctor.json", "waguard/snapshot.json", "waguard/events.json", "waguard/versions.txt",
            "machine/systemctl-cat-agent.txt", "machine/journal-agent.txt", "machine/journal-waguard.txt", "machine/packages.txt",
            "machine/uname.txt", "machine/df.txt", "machine/etc-os-release", "machine/ip-route.txt"} <= there
    assert any(re.fullmatch(rf"files{LIB}/.*\.xml", name) for name in there)
    assert any(name.startswith("files/run/waguard/") for name in there)
    assert f"# /lib/systemd/system/{UNIT}" in machine.read(f"{OUT}/machine/systemctl-cat-agent.txt").replace("/usr/lib", "/lib")
    assert "waguardd" in machine.read(f"{OUT}/machine/journal-waguard.txt")
    assert "waagent " in machine.read(f"{OUT}/machine/packages.txt") and "waguard " in machine.read(f"{OUT}/machine/packages.txt")
    assert machine.read(f"{OUT}/files{CONF}") == machine.read(CONF) and machine.run(["sha256sum", CONF]).out == conf
    assert told["problems"] == []

    # Nothing planted, no byte of the agent's own keys, nothing from outside the trees.
    assert machine.run(f"grep -rl {SECRET} {OUT}", check=False).out == ""
    keys = machine.run(f"cat {LIB}/*.prv {LIB}/TransportPrivate.pem | grep -v -e '-----' | cut -c1-40 | sort -u").out.split()
    assert keys
    machine.write("/root/keys", "\n".join(keys) + "\n")
    assert machine.run(f"grep -rlFf /root/keys {OUT}", check=False).out == ""
    assert machine.run(f"grep -rl '^root:' {OUT}", check=False).out == ""
    assert "sig=***REDACTED***&se=2030" in machine.read(f"{OUT}/files{LOG}")
    assert machine.read(f"{OUT}/files/var/log/azure/Any.Ext/extension.log.1").count("***REDACTED***") == 4
    left = {one["path"]: one["why"] for one in told["left_out"]}
    assert left["/var/log/azure/Any.Ext/a.log"] == "a symbolic link to /etc/shadow"
    assert "hard links" in left["/var/log/azure/Any.Ext/b.log"] and left["/var/log/azure/Any.Ext/c.log"] == "a FIFO"
    assert left["/var/log/azure/Any.Ext/d"] == "a symbolic link to /" and f"{LIB}/ovf-env.xml" in left
    assert f"{LIB}/TransportPrivate.pem" in left

    # Somebody who is not root: what he may, and it says so.
    ran = machine.run(["runuser", "-u", "nobody", "--", "waguardctl", "collect", "-o", "/tmp/mine.tar.gz"], timeout=240)
    assert "as root the bundle holds more" in ran.err
    assert machine.run(["stat", "-c", "%a %U", "/tmp/mine.tar.gz"]).out.split() == ["600", "nobody"]
    told = unpack(machine, "/tmp/mine.tar.gz")
    assert {one["path"]: one["why"] for one in told["left_out"]}[LIB] == "Permission denied"
    assert "waguard/doctor.json" in {one["member"] for one in told["members"]}
    # And on a full disk, nothing.
    full = machine.run("mkdir -p /mnt/full && mount -t tmpfs -o size=8M none /mnt/full && waguardctl collect -o /mnt/full", check=False,
                       timeout=120)
    assert full.rc == 1 and "MB free" in full.err and "--output" in full.err
    assert machine.run("ls -A /mnt/full").out == ""


FLOOD = """\
[Service]
LogRateLimitIntervalSec=0
LogLevelMax=info
StandardOutput=journal
ExecStart=
ExecStart=/bin/sh /usr/local/bin/flood
"""
FLOODING = """for n in $(seq 6000); do printf 'flood %d %02000d\\n' "$n" 0; done; echo 'the newest line'"""


def test_of_a_journal_that_floods_the_bundle_has_the_newest(machine: Machine) -> None:
    Guard(machine).install()
    machine.write("/etc/systemd/system/waguard-textfile.service.d/flood.conf", FLOOD)
    machine.write("/usr/local/bin/flood", FLOODING)
    machine.run("systemctl daemon-reload && systemctl start waguard-textfile.service && journalctl --sync", timeout=90)
    told = unpack(machine, collect(machine, "-o", "/root")["path"])
    (one,) = (one for one in told["members"] if one["member"] == "machine/journal-waguard.txt")
    assert "newest whole lines" in one["cut"] and "machine/journal-waguard.txt" not in " ".join(told["problems"]), one
    lines = machine.read(f"{OUT}/machine/journal-waguard.txt").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in lines)
    numbers = [int(number) for number in re.findall(r": flood (\d+) ", "\n".join(lines))]
    assert numbers == list(range(numbers[0], 6001)) and 3000 < len(numbers) < 5000
    assert any(line.endswith(": the newest line") for line in lines[-10:])
