"""Runs commands in turn, each several times: spawn.py ROUNDS JSON, where JSON is a list of {"argv": [...], "rc": [...]}.

Prints JSON: for each command its wall seconds, CPU seconds and peak resident bytes of each run, by wait4(2), and the end of its
output. A first round is not counted. A command that ends with another status than one of "rc" ends it all.
"""

import json
import os
import sys
import tempfile
import time


def run(command):
    with tempfile.TemporaryFile() as out:
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
                   (os.POSIX_SPAWN_DUP2, out.fileno(), 2)]
        begun = time.perf_counter()
        pid = os.posix_spawnp(command["argv"][0], command["argv"], {**os.environ, **command.get("env", {})}, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - begun
        out.seek(0)
        text = out.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    if code not in command["rc"]:
        sys.exit(f"{command['argv']} ended with {code}: {text[-500:]}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024, "text": text[-4000:]}


def main(rounds, commands):
    found = [{"wall": [], "cpu": [], "peak": [], "text": ""} for _ in commands]
    for number in range(rounds + 1):
        for command, into in zip(commands, found):
            took = run(command)
            into["text"] = took["text"]
            if number or rounds == 0:
                for name in ("wall", "cpu", "peak"):
                    into[name].append(took[name])
    print(json.dumps(found))


main(int(sys.argv[1]), json.loads(sys.argv[2]))
