"""The lab's stand-in for the backup extension: leaves behind what the real one would, and takes no snapshot.

    handle.py -seqNo:N -enable    the agent's wish: accepts the request, says "in transition", starts the daemon
    handle.py -seqNo:N -daemon    does what the request wants, and says how it ended

What it shall look like comes from "labBehaviour" in /etc/azure/lab-behaviour.json, else in the public settings:

    succeed                     a snapshot that went well (default)
    fail:CODE                   one that failed: CODE in the inner status; the outer one says success all the same
    slow:SECONDS                in transition for so long, then well
    hang                        in transition for ever, with a daemon
    die                         in transition for ever, without one
    freeze:MOUNT:SECONDS[:LIMIT]  freezes MOUNT in earnest for so long, or until safefreeze thaws it by itself (LIMIT, 60)
    silent                      nothing at all, and content with it
    slow-enable:SECONDS         the agent has to wait for so long
    enable-error                enable ends with 51
    import-crash                a module is missing
    no-interpreter              handle.sh finds no Python
"""

import fcntl
import json
import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

NAME = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux"
ORDERS = Path("/etc/azure/lab-behaviour.json")
LOCK = Path("/etc/azure/MicrosoftRecoverySvcsSafeFreezeLock/SafeFreezeLockFile")
MACHINE_ID = Path("/etc/azure/machine_identity_FD76C85E-406F-4CFA-8EB0-CF18B123358B")
FOLDER = Path.cwd()
MRSEQ = FOLDER / "mrseq"
TASK = FOLDER / "task_identity_FD76C85E-406F-4CFA-8EB0-CF18B123365C"
SAFEFREEZE = FOLDER / "main/safefreeze/bin/safefreeze"
KEPT = 60

IN_TRANSITION = 4
GREEN = (0, 1, 2, 3, 4, 12, 17, 173)
RED = (15, 76, 85, 402, 761)
WRITTEN_AS = {761: 76}


def now():
    return datetime.now(timezone.utc)


class Request:
    """The settings of one sequence number, and where to say what becomes of them."""

    def __init__(self, sequence):
        environment = json.loads((FOLDER / "HandlerEnvironment.json").read_text())[0]["handlerEnvironment"]
        self.sequence = sequence
        self.logs = Path(environment["logFolder"])
        self.config = Path(environment["configFolder"])
        self.status = Path(environment["statusFolder"])
        self.file = self.config / f"{sequence}.settings"
        self.settings = json.loads(self.file.read_text())
        self.public = self._handler().get("publicSettings") or {}

    def _handler(self):
        return self.settings["runtimeSettings"][0]["handlerSettings"]

    def behaviour(self):
        """The word, and what follows it."""
        orders = json.loads(ORDERS.read_text()) if ORDERS.exists() else self.public
        word, *rest = orders.get("labBehaviour", "succeed").split(":")
        return word, rest

    def forget_secrets(self):
        if self._handler().pop("protectedSettings", None) is not None:
            self.log("removing the protected settings")
            self.file.write_text(json.dumps(self.settings))

    def retire_others(self):
        """Earlier requests and their ends become history; the newest of it are kept."""
        for folder, kind in ((self.config, "settings"), (self.status, "status")):
            for file in folder.glob(f"*.{kind}"):
                if file.stem.isdigit() and file.stem != str(self.sequence):
                    file.rename(folder / f"{file.stem}_{kind}")
            history = sorted(folder.glob(f"*_{kind}"), key=lambda file: file.stat().st_mtime, reverse=True)
            for file in history[KEPT:]:
                file.unlink()

    # -- extension.log

    def log(self, message):
        """In UTC, without a level."""
        self._write(f"{now().replace(tzinfo=None)} [{NAME}-1.0]{message}")

    def error(self, message):
        """In local time, as the other helper of the real one does it."""
        self._write(f"{datetime.now():%Y/%m/%d %H:%M:%S} ERROR:[{NAME}-1.0]{message}")

    def _write(self, line):
        with (self.logs / "extension.log").open("a") as file:
            file.write(line + "\n")

    # -- N.status

    def report(self, code, text, consistent=False):
        """Two layers: the outer says success to the agent whatever happened, and holds the inner, which is true, as a string."""
        well = code in (0, 1, IN_TRANSITION)
        shown = str(WRITTEN_AS.get(code, code))
        message = json.dumps({"messageStr": text, "snapshotConsistency": 0, "jobMessage": "",
                              "isSizeComputationFailed": False})
        common = {
            "name": NAME, "operation": "Enable", "code": shown, "taskId": self.public.get("taskId", ""),
            "commandStartTimeUTCTicks": self.public.get("commandStartTimeUTCTicks", ""),
            "uniqueMachineId": machine_id(), "formattedMessage": {"lang": "en-US", "message": message},
            "storageDetails": {"partitionCount": 1, "totalUsedSizeInBytes": 1 << 30, "isStoragespacePresent": False,
                               "isSizeComputationFailed": False},
        }
        inner = [{"version": "1.0", "timestampUTC": f"\\/Date({int(time.time() * 1000)})\\/", "status": {
            **common, "status": "success" if well else "error", "substatus": [],
            "telemetryData": self._telemetry(code),
            "snapshotInfo": None if code == IN_TRANSITION else snapshots(consistent, text),
            "vmHealthInfo": {"vmHealthState": health(code), "vmHealthStatusCode": code}}}]
        outer = [{"version": "1.0", "timestampUTC": f"{now():%Y-%m-%dT%H:%M:%SZ}", "status": {
            **common, "status": "success", "telemetryData": None, "snapshotInfo": None, "vmHealthInfo": None,
            "substatus": [{"code": "0", "name": json.dumps(inner), "status": "success", "formattedMessage": None}]}}]
        partial = self.status / "tempStatusFile.status"
        partial.write_text(json.dumps(outer))
        partial.replace(self.status / f"{self.sequence}.status")
        self.log(f"Enable,{'success' if well else 'error'},{shown},{text}")

    def _telemetry(self, code):
        values = {"extensionVersion": FOLDER.name.rpartition("-")[2], "snapshotCreator": "backupHostService",
                  "pythonVersion": ".".join(map(str, sys.version_info[:3])), "extErrorCode": str(code)}
        return [{"Key": key, "Value": value} for key, value in values.items()]


def snapshots(consistent, text):
    return [{"isSuccessful": consistent, "snapshotUri": "https://md-lab.blob.storage.azure.lab/disk?snapshot=lab"
             if consistent else None, "errorMessage": "" if consistent else text, "blobUri": None,
             "directDriveSnapshotIdentifier": None}]


def health(code):
    return 0 if code in GREEN else 256 if code in RED else 128


def machine_id():
    """That of the role; it stays when the handler's folder goes."""
    if not MACHINE_ID.exists():
        hosting = Path("/var/lib/waagent/HostingEnvironmentConfig.xml").read_text()
        role = re.search(r'<Role guid="\{?([^"}]+)', hosting)
        MACHINE_ID.parent.mkdir(parents=True, exist_ok=True)
        MACHINE_ID.write_text(role.group(1) if role else "unknown")
    return MACHINE_ID.read_text()


def enable(request):
    word, rest = request.behaviour()
    if word == "silent":
        return 0
    request.log("starting enable")
    request.log(f"sequence number from environment variable is {request.sequence}")
    if word == "slow-enable":
        time.sleep(float(rest[0]))
    if word == "enable-error":
        request.error("Failed to enable the extension")
        return 51
    last = MRSEQ.read_text() if MRSEQ.exists() else ""
    if last == str(request.sequence):
        request.log(f"the sequence number are same, so skip, current:{request.sequence}== last:{last}")
        return 0
    request.retire_others()
    MRSEQ.write_text(str(request.sequence))
    task = request.public.get("taskId", "")
    if task and TASK.exists() and TASK.read_text() == task:
        request.log("TaskId is same as last, so skip with Processed Status")
        return 0
    TASK.write_text(task)
    request.report(IN_TRANSITION, "Transitioning state in extension")
    subprocess.Popen([FOLDER / "main/handle.sh", "daemon"], start_new_session=True, stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return 0


def daemon(request):
    request.log("starting daemon initially")
    request.forget_secrets()
    word, rest = request.behaviour()
    if word == "die":
        return 0
    if word == "hang":
        while True:
            time.sleep(3600)
    if word == "slow":
        time.sleep(float(rest[0]))
    if word == "freeze":
        code, text = freeze(request, rest[0], float(rest[1]), rest[2] if len(rest) > 2 else "60")
    elif word == "fail":
        code, text = int(rest[0]), "Snapshot failed in the lab"
        request.log(f"T:S Enable failed with error: {text}")
    else:
        request.log("Taking Snapshot through Host")
        code, text = 1, "Enable Succeeded"
    request.report(code, text, consistent=code in (0, 1))
    return 0


def freeze(request, mount, seconds, limit):
    """Returns the code and the text of how it ended. Logs nothing while something is frozen: it might be its own file system."""
    request.log("starting daemon for freezing the file system")
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD})
    with LOCK.open("w") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            request.log(f"Failed to open file or aquire lock: {error}")
            return 121, "Mount Points already freezed by some other processor"
        request.log(f"T:S freeze, timeout value {limit}")
        request.log(f"arg : {[str(SAFEFREEZE), limit, mount]}")
        frozen_at = now()
        helper = subprocess.Popen([sys.executable, SAFEFREEZE, limit, mount], stdout=subprocess.PIPE, text=True)
        if signal.sigwait({signal.SIGUSR1, signal.SIGCHLD}) == signal.SIGUSR1:
            signal.sigtimedwait({signal.SIGCHLD}, seconds)
            if helper.poll() is None:
                helper.send_signal(signal.SIGUSR1)
        output = helper.communicate()[0]
        LOCK.unlink()
    request.log("\n".join(("================== Logs during Freeze Start ==============",
                           f"{frozen_at:%Y/%m/%d %H:%M:%S.%f}  Info  proceeded for accepting signals  ",
                           "============== Binary output traces start =================", output.rstrip(),
                           "============== Binary output traces end ===================",
                           f"{now():%Y/%m/%d %H:%M:%S.%f}  Info  T:S thaw result {helper.returncode}  ",
                           "================== Logs during Freeze End ==============")))
    if helper.returncode == 0:
        return 1, "Enable Succeeded"
    if helper.returncode == 1:
        return 2, "Snapshots are inconsistent"
    return 121, "T:S Enable failed with error: freeze failed for some mount"


def main(arguments):
    sequence = int(next(word.partition(":")[2] for word in arguments if word.startswith("-seqNo:")))
    request = Request(sequence)
    if request.behaviour()[0] == "import-crash":
        raise ModuleNotFoundError("No module named 'imp'", name="imp")
    return daemon(request) if "-daemon" in arguments else enable(request)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
