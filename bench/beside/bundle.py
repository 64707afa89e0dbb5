"""A support bundle of many logs beside `tar cz` of the same: time, and memory against size."""

from __future__ import annotations

import json

from bench.beside import corpus
from bench.beside.figures import OURS, Comparison, Figure, Goal, NotDone
from bench.beside.vm import VM

LOGS = "/var/log/azure/Microsoft.Bench.Logs"
BUNDLE = "/var/tmp/bench-bundle.tar.gz"
TARBALL = "/var/tmp/bench-tar.tar.gz"
PIECE = "/var/tmp/bench-piece"
FILES = 10
TAR = "tar cz"
MB = 1e6
_SECRET = "https://bench.blob.core.windows.net/c/b?sv=2018-03-28&sr=b&sig=Zm9v{:08d}YmFyYmF6%2BcXV4PQ%3D%3D&se=9999"


def measure(vm: VM, size: int, rounds: int) -> list[Comparison]:
    """Of ``size`` bytes of logs, and of a tenth of that for what memory does."""
    small, large = (_bundle(vm, length, rounds) for length in (size // 10, size))
    peaks = tuple(max(found[OURS]["peak"]) / MB for found in (small, large))
    wall = {who: tuple(one["wall"]) for who, one in large.items()}
    mb = size / MB
    return [
        Comparison("bundle", f"support bundle of {mb:.0f} MB of logs", "s",
                   tuple(Figure(who, values) for who, values in wall.items()), (Goal(TAR, 2.0),),
                   "its manifest says that no log was cut or left out, and the secret in each thousandth line is masked"),
        Comparison("bundle-memory", f"peak memory at {mb:.0f} MB of logs", "MB",
                   (Figure(OURS, peaks[1:]), Figure("waguard, a tenth of it", peaks[:1]),
                    Figure(TAR, (max(large[TAR]["peak"]) / MB,), "the larger of tar and gzip")),
                   (Goal("waguard, a tenth of it", 1.1),)),
    ]


def _bundle(vm: VM, size: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    each = size // FILES
    secrets = _lay(vm, each)
    collect = f"rm -f {BUNDLE}; exec waguardctl collect --output {BUNDLE} --max-size 8G --json"
    commands = {
        OURS: {"argv": ["sh", "-c", collect], "rc": [0]},
        TAR: {"argv": ["tar", "czf", TARBALL, LOGS], "rc": [0]},
    }
    found = dict(zip(commands, vm.spawn(rounds, list(commands.values()), timeout=900)))
    _check(vm, secrets)
    vm.run("rm", "-rf", LOGS, BUNDLE, TARBALL)
    return found


def _lay(vm: VM, each: int) -> int:
    """FILES logs of so many bytes. Returns how many secrets are in them."""
    lines = corpus.text(min(each, 8 << 20), seed=2)[0].splitlines(keepends=True)
    for number in range(0, len(lines), 1000):
        lines[number] = lines[number].rstrip(b"\n") + b" " + _SECRET.format(number).encode() + b"\n"
    piece = b"".join(lines)
    times = max(1, each // len(piece))
    vm.machine.write(PIECE, piece)
    many = f"for time in $(seq {times}); do cat {PIECE}; done"
    vm.run("sh", "-ec", f"mkdir -p {LOGS}; for file in $(seq {FILES}); do {many} >{LOGS}/extension.log.$file; done; rm {PIECE}",
           timeout=300)
    return len(range(0, len(lines), 1000)) * times * FILES


def _check(vm: VM, secrets: int) -> None:
    manifest = json.loads(vm.run("sh", "-c", f"tar xzOf {BUNDLE} --wildcards '*/manifest.json'", timeout=300).out)
    mine = [member for member in manifest["members"] if f"files{LOGS}/" in member["member"]]
    cut = [member for member in mine if member.get("cut")]
    masked = sum(member.get("masked", {}).get("sas-signature", 0) for member in mine)
    if len(mine) != FILES or cut or masked != secrets:
        raise NotDone(f"of {FILES} logs {len(mine)} are in the bundle, {len(cut)} cut; {masked} of {secrets} secrets are masked")
