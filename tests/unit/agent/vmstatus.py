"""Statuses as VMSnapshot writes them (azure-linux-extensions Utils/HandlerUtil.py do_status_report)."""

from __future__ import annotations

import json
from typing import Any, Optional

from waguard.agent import handler

NOW = 1.75e9


def status(code: object = "1", word: str = "success", outer: str = "success", message: str = "", health: Optional[int] = None,
           disks: Optional[list[Any]] = None, at: float = NOW, inner: bool = True, telemetry: Any = None) -> bytes:
    """A status as HandlerUtil.do_status_report writes it: the truth is the string in substatus[0].name."""
    def body(word: str, substatus: list[Any], disks: Any, telemetry: Any, health: Any) -> dict[str, Any]:
        return {"status": word, "code": code, "snapshotInfo": disks, "name": handler.VMSNAPSHOT, "taskId": "t", "vmHealthInfo": health,
                "formattedMessage": {"lang": "en-US", "message": json.dumps({"messageStr": message, "snapshotConsistency": 0})},
                "telemetryData": telemetry, "substatus": substatus, "operation": "Enable"}

    told = json.dumps([{"status": body(word, [], disks, telemetry, {"vmHealthStatusCode": health, "vmHealthState": 0}), "version": "1.0",
                        "timestampUTC": f"\\/Date({int(at * 1000)})\\/"}])
    listed = [{"code": "0", "name": told, "status": "success", "formattedMessage": None}] if inner else []
    return json.dumps([{"version": "1.0", "timestampUTC": "2019-06-06T23:52:59Z", "status": body(outer, listed, None, None, None)}]).encode()


def disk(successful: object = True) -> dict[str, Any]:
    return {"isSuccessful": successful, "snapshotUri": "https://md-x.blob.core.windows.net/SECRETPATH?snapshot=2019", "errorMessage": "",
            "directDriveSnapshotIdentifier": {"token": "SECRETTOKEN"}}
