"""Makes an agent's library directory: tree.py FOLDER EXTENSIONS FILES, so many settings and statuses in each extension."""

import json
import os
import sys


def main(folder, extensions, files):
    os.makedirs(folder, exist_ok=True)
    for number in range(extensions):
        name = f"{folder}/Microsoft.Bench.Extension{number:03d}-1.0.{number}"
        for part in ("config", "status"):
            os.makedirs(f"{name}/{part}", exist_ok=True)
        put(f"{name}/config/HandlerState", "Enabled")
        put(f"{name}/config/HandlerStatus", json.dumps({
            "name": f"Microsoft.Bench.Extension{number:03d}", "version": f"1.0.{number}", "status": "Ready", "code": 0,
            "message": "Plugin enabled", "sequenceNumber": files - 1, "supports_multi_config": False}))
        for sequence in range(files):
            put(f"{name}/config/{sequence}.settings", json.dumps({"runtimeSettings": [{"handlerSettings": {}}]}))
            put(f"{name}/status/{sequence}.status", json.dumps([{
                "version": "1.0", "timestampUTC": "2026-03-01T00:00:00Z",
                "status": {"name": "bench", "operation": "Enable", "status": "success", "code": 0,
                           "formattedMessage": {"lang": "en-US", "message": "done"}}}]))
    print("null")


def put(path, text):
    with open(path, "w") as file:
        file.write(text)


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
