"""Reads a waagent.log to its end as the guard does (guard FILE) or as the doctor does (doctor FILE). Prints what was counted."""

import json
import sys
from pathlib import Path


def guard(path):
    from waguard.observe import logs

    logs.LOOK_BACK = 0
    follower = logs.Follower(path)
    follower._first = False  # What is there counts, as what is written later does.
    while True:
        seen = follower.look()
        if not seen.behind:
            return {"records": seen.counts.as_dict()}


def doctor(path):
    from waguard.agent import signatures
    from waguard.agent.logtally import Tally
    from waguard.observe.tail import Tail

    state, tally = {"v": 1, "spots": [], "heads": []}, Tally(None, 2e9)
    while True:
        read = Tail(path, state, 0, 4 << 20).read()
        state = read.state
        tally.read(signatures.WAAGENT, str(path), read.lines, None, True, not read.behind)
        if not read.behind:
            return {"records": tally.records[signatures.WAAGENT],
                    "signatures": {name: count for name, count in tally.signatures.items() if count}}


print(json.dumps({"guard": guard, "doctor": doctor}[sys.argv[1]](Path(sys.argv[2]))))
