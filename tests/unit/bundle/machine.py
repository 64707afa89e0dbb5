"""A machine's files in a folder, with planted secrets."""

from __future__ import annotations

import gzip
import lzma
import re
import tarfile
from pathlib import Path

from agent import test_redact as known

from waguard.bundle import collect
from waguard.bundle.looking import Looking
from waguard.bundle.output import Output
from waguard.bundle.places import Places
from waguard.bundle.redact import MASK

from . import test_redact

RECORD = "\n2025-11-19T12:41:22.123456Z INFO ExtHandler ExtHandler a message\n"
HANDLER = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0.9216.0"
FOLDER = "history/2025-11-19T12-41-22__3"
EXACT = [text for _, text in test_redact._cases() if "\xff" not in text and (not text.endswith("⟧") or "BEGIN" not in text)]
"""Without what nothing closes: that goes on to the end of the file."""
PLAIN = RECORD + RECORD.join(text.replace("⟦", "").replace("⟧", "") for text in EXACT) + RECORD
MASKED = RECORD + RECORD.join(re.sub("⟦.*?⟧", MASK.decode(), text, flags=re.DOTALL) for text in EXACT) + RECORD
"""The same, each secret masked, by the test's own marks."""
TEXTS = (
    "lib/SharedConfig.xml", "lib/Prod.1.manifest.xml", "lib/waagent_status.json", f"lib/{FOLDER}/GoalState.xml",
    f"lib/{FOLDER}/ExtensionsConfig.xml", f"lib/{FOLDER}/waagent_status.json", f"lib/{HANDLER}/HandlerManifest.json",
    f"lib/{HANDLER}/config/HandlerStatus", f"lib/{HANDLER}/config/HandlerState", f"lib/{HANDLER}/status/3.status", f"lib/{HANDLER}/mrseq",
    "log/waagent.log", "log/waagent.log.1", "log/azure/Any.Ext/extension.log", "log/azure/Any.Ext/1.0/CommandExecution.log",
    "log/azure/cluster.json", "log/azure/Any.Ext/no suffix", "settings/conf.d/10.yaml", "state/events.json", "run/guard.json",
)
PACKED = {"log/waagent.log-2025-11-19-1763500000.gz": gzip.compress, "log/azure/Any.Ext/shell.log.2.xz": lzma.compress}
FORBIDDEN = ("lib/ABCDEF.prv", "lib/TransportPrivate.pem", "lib/Certificates.pfx", "lib/Certificates.p7m", "lib/Certificates.xml",
             "lib/ovf-env.xml", "lib/CustomData", "lib/ManagedIdentity-1.json", f"lib/{FOLDER}/RemoteAccess.xml", "lib/VmSettings.3.json",
             "lib/ExtensionsConfig.3.xml", "lib/logcollector/logs.zip", "log/azure/Any.Ext/id_rsa", "log/azure/Any.Ext/bundle.tar.gz",
             "lib/events/1.waagent.tld")


class Machine:
    """``root`` holds etc, lib, log, settings, state and run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = Places(str(root / "etc/waagent.conf"), str(root / "lib"), str(root / "log/waagent.log"), str(root / "log/azure"),
                             str(root / "settings"), str(root / "state"), str(root / "run"))
        self.count = 0
        self.planted: dict[str, str] = {}
        for name in ("etc", "lib", "log/azure", "settings", "state", "run"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self.file("etc/waagent.conf", f"Lib.Dir={root}/lib\nExtension.LogDir={root}/log/azure\nLogs.Verbose=n\n")
        self.file("settings/waguard.yaml", f"agent:\n  conf: {root}/etc/waagent.conf\n  log: {root}/log/waagent.log\n")

    def file(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def secret(self, where: str) -> str:
        """A new one, of the kind that every rule takes."""
        self.count += 1
        found = f"Pl4ntedS3cret{self.count:05}Zq"
        self.planted[found] = where
        return found

    def plant(self) -> None:
        """Every secret that is known, in every kind of file."""
        for name in (*TEXTS, *PACKED):
            dressed = RECORD + RECORD.join(dress.format(self.secret(f"{name}: {dress}")) for dress in known.DRESSES) + RECORD
            data = (PLAIN + dressed + RECORD).encode()
            self.file(name, PACKED[name](data) if name in PACKED else data)
        settings = '{"runtimeSettings": [{"handlerSettings": {"protectedSettings": "%s", "publicSettings": {"commandToExecute": "%s"}}}]}'
        self.file(f"lib/{HANDLER}/config/3.settings", settings % (self.secret("settings"), self.secret("settings")))
        for name in FORBIDDEN:
            self.file(name, f"nothing says that {self.secret(name)} is one\n")

    def collect(self, target: Path, **more: object) -> collect.Collector:
        """A bundle of this machine at ``target``."""
        wanted = collect.Wanted(self.places, doctor=False, **more)  # type: ignore[arg-type]
        looking = Looking()
        try:
            collector = collect.Collector(wanted, looking, lambda _what: None)
            made = collect.plan(wanted, looking, lambda _what: None)
            with Output(str(target), f"{collector.top}.tar.gz") as output:
                collector.run(made, output)
                output.keep()
            return collector
        finally:
            looking.close()

    def member(self, name: str) -> str:
        """What a file of this machine is called in the bundle, without the folder at the top."""
        return "files/" + str(self.root / re.sub(r"\.(gz|xz)$", "", name)).lstrip("/").replace(" ", "%20")


def unpack(path: Path) -> dict[str, bytes]:
    """All members by name, without the folder at the top."""
    found = {}
    with tarfile.open(path) as archive:
        for info in archive:
            file = archive.extractfile(info)
            assert file is not None and info.isreg()
            found[info.name.partition("/")[2]] = file.read()
    return found


