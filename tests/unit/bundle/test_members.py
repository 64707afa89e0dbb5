"""The table: what is taken, what is never opened."""

from __future__ import annotations

import pytest

from waguard.bundle import members
from waguard.bundle.members import ALL_LOGS, LIB_RULES, Rule, Tree

LIB = Tree("/var/lib/waagent", LIB_RULES)
LOGS = Tree("/var/log/azure", ALL_LOGS)
EXTENSION = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0.9216.0"
FOLDER = "history/2025-11-19T12-41-22__3"


@pytest.mark.parametrize("path", [
    "abcdef.prv", "ABC.PRV", "TransportPrivate.pem", "TransportCert.pem", "Certificates.pfx", "Certificates.p7m", "Certificates.xml",
    "certificates.xml", "CustomData", "CustomData.bak", "ovf-env.xml", "ovf-env.xml.1", "ManagedIdentity-1.json", "RemoteAccess.xml",
    f"{FOLDER}/RemoteAccess.xml", f"{FOLDER}/Certificates.json", f"{FOLDER}/VmSettings.json", "VmSettings.3.json", "logcollector/logs.zip",
    "logcollector/results.txt", "GoalState.1.xml", "ExtensionsConfig.12.xml", "ExtensionsConfig.123456.xml", "shadow", "shadow-",
    f"{EXTENSION}/config/key.pem", "a/b/c/id_rsa", "x/.ssh/authorized_keys", "x.tar.gz", "x.zip", "y.so.1", f"{FOLDER}.zip", "a.CRT",
])
@pytest.mark.parametrize("tree", [LIB, LOGS])
def test_never_opened(tree: Tree, path: str) -> None:
    assert members.forbidden(path.split("/"))


@pytest.mark.parametrize(("path", "mode"), [
    ("SharedConfig.xml", "text"), ("HostingEnvironmentConfig.xml", "text"), ("Prod.1.manifest.xml", "text"), ("waagent_status.3.json", "text"),
    (f"{FOLDER}/GoalState.xml", "text"), (f"{FOLDER}/ExtensionsConfig.xml", "text"), (f"{FOLDER}/waagent_status.json", "text"),
    (f"{EXTENSION}/HandlerManifest.json", "text"), (f"{EXTENSION}/config/HandlerState", "text"), (f"{EXTENSION}/status/12.status", "text"),
    (f"{EXTENSION}/config/12.settings", "keys"), ("WALinuxAgent-2.15.0.1/error.json", "text"), ("provisioned", "text"),
])
def test_of_the_agents_library_what_support_asks_for(path: str, mode: str) -> None:
    parts = path.split("/")
    rule = members.wanted(LIB, parts)
    assert rule is not None and rule.mode == mode and not members.forbidden(parts)
    assert all(members.leads(LIB, parts[:depth]) for depth in range(1, len(parts)))


@pytest.mark.parametrize("path", ["events/1.waagent.tld", f"{EXTENSION}/bin/run.sh", "waagent-network-setup.py", "x/SharedConfig.xml",
                                  f"{EXTENSION}/status/deep/1.status", "config/1.settings"])
def test_of_the_agents_library_nothing_else(path: str) -> None:
    assert members.wanted(LIB, path.split("/")) is None


def test_folders_in_which_nothing_is_wanted_are_not_entered() -> None:
    assert not members.leads(LIB, ("events",)) and not members.leads(LIB, (EXTENSION, "bin"))
    assert members.leads(LIB, (EXTENSION, "config")) and members.leads(LOGS, ("any", "thing"))


def test_of_logs_all_at_any_depth() -> None:
    assert members.wanted(LOGS, ("a",)) and members.wanted(LOGS, ("a", "b", "c.log"))


def test_of_the_history_the_newest_folders() -> None:
    names = [f"2025-11-{day:02}T12-41-22__{day}" for day in range(1, 20)] + ["2025-11-30T12-41-22__9.zip", "else"]
    assert members.chosen(("history",), names) == tuple(f"2025-11-{day}T12-41-22__{day}" for day in range(19, 14, -1))
    assert members.chosen(("other",), names) == names


def test_a_tree_is_the_same_after_its_way_to_the_reader() -> None:
    import json

    tree = Tree("/x", (Rule("a/*.b", "log", 2), Rule("**")), True)
    assert Tree.load(json.loads(json.dumps(tree.dump()))) == tree
