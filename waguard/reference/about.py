"""What the manual pages say that stands nowhere in the code: files, environment, signals, introductions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SECTIONS: Mapping[str, int] = {
    "waguardctl": 1, "waguard.yaml": 5, "waguard-findings": 7, "waguard-metrics": 7, "waguard-doctor": 8,
    "waguard-exporter": 8, "waguardd": 8,
}
"""Every page and its section, in the order of SEE ALSO."""

SUMMARIES: Mapping[str, str] = {
    "waguardctl": "ask and order waguard, which keeps the Azure Linux agent working",
    "waguardd": "keeps the Azure Linux agent (waagent) working",
    "waguard-exporter": "Prometheus metrics about the Azure Linux agent",
    "waguard-doctor": "looks once at everything that could make a backup fail",
    "waguard.yaml": "settings of waguard",
    "waguard-metrics": "metrics that waguard exports to Prometheus",
    "waguard-findings": "what waguard finds wrong, and what to do about it",
}

_SETTINGS = ("/etc/waguard/waguard.yaml, /etc/waguard/conf.d/*.yaml", "The settings: waguard.yaml(5).")
_STATUS = ("/run/waguard/status", "Socket on which the guard tells what it knows, open to everybody. It speaks Varlink.")
_CONTROL = ("/run/waguard/control", "Socket on which the guard takes orders, open to root and group `waguard`.")


@dataclass(frozen=True)
class Program:
    """What a page says beside what the parser does. Pairs: what is typed, and a text with marks (roff.py)."""

    description: tuple[str, ...] = ()
    sections: tuple[tuple[str, tuple[str, ...]], ...] = ()
    examples: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    see_also: tuple[str, ...] = ()


_CTL = Program(
    description=(
        "It asks the guard, waguardd(8), and prints what that says, for people or, with `--json`, for programs. `status`, "
        "`doctor`, `check`, `events` and the other commands that only read are for everybody. The orders `verbose on` and "
        "`verbose off`, `restart`, `pause` and `resume` are for root and the members of group `waguard`; `autorestart enable` "
        "and `disable` write below /etc/systemd and are for root. `collect` takes what its caller may read, so that one is best "
        "called by root, too.",
    ),
    sections=(
        ("TIMES", (
            "*TIME* is a number with a unit, `ms`, `s`, `m`, `h`, `d` or `w`, or several of them, as in `90s`, `30m`, `1h30m` "
            "and `2d`. A number alone is seconds.",)),
        ("JSON", (
            "With `--json` the result is one object: {\"schema\": 1, \"result\": ..., \"warnings\": []}. What went wrong is told "
            "in it as well: \"result\" is null then, and \"error\" has a \"message\" and a \"hint\". `events --follow` prints "
            "one object a line, without all that. What is not known is null.",)),
        ("EXIT STATUS", (
            "That of the command, as said above. With every command 1 also means that the guard does not answer or refuses "
            "(`check`: 3), 2 also wrong usage, and 130 that it was interrupted.",)),
    ),
    environment=(
        ("WAGUARD_RUN_DIR", "Where the guard's sockets are, instead of /run/waguard; `--run-dir` counts more."),
        ("NO_COLOR", "Not empty: no colours. There are none either when `TERM` is `dumb` and where the output is no terminal."),
        ("LC_ALL, LC_MESSAGES, LANG, LANGUAGE",
         "The language of what is shown, as in locale(7): English or Spanish (`LANG=es_ES.UTF-8`). What `--json` prints is the "
         "same in all."),
        ("http_proxy, https_proxy, no_proxy", "Count when `versions` and `doctor --local` ask for the releases of the agent."),
    ),
    files=(
        _STATUS, _CONTROL, _SETTINGS,
        ("/etc/systemd/system/walinuxagent.service.d/50-waguard.conf",
         "What `autorestart enable` writes, in the folder of the agent's unit, whatever its name is."),
        ("/etc/waagent.conf", "The configuration of the agent, which `lint` reads and `verbose on` has edited for a time."),
    ),
    see_also=("systemctl(1)", "journalctl(1)"),
)

_GUARD = Program(
    description=(
        "It follows the agent's processes, its heartbeat, its configuration and its log. It starts the agent when it has ended, "
        "restarts it when it hangs, and leaves it alone when an administrator stopped it, disabled or masked its unit, when a "
        "package manager is at work on it, and while waguard is paused. Every ten minutes it has waguard-doctor(8) look at what "
        "else could make a backup fail.",
        "It runs as root, but without any capability, and opens no network port. waguardctl(1) talks to it.",
    ),
    sections=(
        ("SIGNALS", (
            "`SIGHUP` (`systemctl reload waguard`) has it read its settings again. When there is an error in them it keeps those "
            "it has, and says so in its events. `SIGTERM` and `SIGINT` end it in good order; the agent is not touched.",)),
    ),
    examples=("systemctl reload waguard", "journalctl -u waguard -x",
              "waguardd --settings-dir ./etc --run-dir ./run --lib-dir ./lib"),
    environment=(
        ("NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID", "Set by systemd, which is told that the guard is ready and goes on."),
        ("DBUS_SYSTEM_BUS_ADDRESS", "Where the system bus is over which systemd is asked, if it is not at the usual place."),
        ("PATH", "Where the command backend looks for the programs that start and stop the agent."),
    ),
    files=(
        _SETTINGS, _STATUS, _CONTROL,
        ("/run/waguard/doctor", "Socket on which systemd starts the doctor, open to root."),
        ("/run/waguard/lock", "Held by the one guard of this machine."),
        ("/run/waguard/*.json, /run/waguard/events.jsonl", "State and events, written at once."),
        ("/var/lib/waguard", "The same, written a moment later, to outlive a reboot. While a backup has the file systems frozen "
         "the guard waits with that."),
    ),
    see_also=("systemctl(1)", "journalctl(1)", "systemd.unit(5)"),
)

_EXPORTER = Program(
    description=(
        "It keeps nothing: each scrape asks the guard, waguardd(8), for what it knows now. While the guard does not answer it "
        "exports `waguard_guard_up` 0, and nothing that would be old. The metrics are in waguard-metrics(7).",
        "It is meant to run as a user of its own, on a socket that systemd hands over: waguard-exporter.service and "
        "waguard-exporter.socket, which listens on 127.0.0.1:10168 until `systemctl edit waguard-exporter.socket` says "
        "otherwise.",
    ),
    sections=(
        ("PAGES", (
            "`/metrics`: the metrics, as text or as OpenMetrics. `/`: a page for people, without scripts. `/-/healthy`: 200 "
            "while the exporter runs. `/-/ready`: 200 while the guard answers, else 503.",)),
        ("SIGNALS", ("`SIGTERM` and `SIGINT` end it, after the requests that are being answered.",)),
    ),
    examples=(
        "waguard-exporter --web.listen-address=:10168 --web.config.file=/etc/waguard/web.yml",
        "curl http://127.0.0.1:10168/metrics", "systemctl enable --now waguard-exporter.socket"),
    environment=(
        ("LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES", "Set by systemd: the sockets to listen on."),
        ("NOTIFY_SOCKET", "Set by systemd: where it is told that the exporter is ready."),
        ("JOURNAL_STREAM", "Set by systemd: lines of the log then begin with their priority, for the journal."),
    ),
    files=(
        ("/etc/waguard/web.yml", "TLS, users, headers and rate limit of the service, in the form of Prometheus' own exporters. "
         "It is read again when it changes."),
        _STATUS,
    ),
    see_also=("systemd.socket(5)",),
)

_DOCTOR = Program(
    description=(
        "It looks at the agent's configuration and versions, the network, DHCP, the extensions and their Python, the last "
        "snapshot, file systems and mounts, load, clock and logs, and judges what it saw. It keeps no state and writes no file.",
        "systemd starts it for each connection to /run/waguard/doctor, in a sandbox of its own that reaches the network and can "
        "write nothing. waguardd(8) asks for a visit every ten minutes, and whenever `waguardctl doctor` does.",
    ),
    sections=(
        ("PROTOCOL", (
            "It reads one line, a JSON object, from standard input; every key may be missing: \"agent\" (what is known of the "
            "agent), \"state\" (what the last visit left behind), \"probed\" and \"settings_dir\". It writes one JSON object a "
            "line to standard output: {\"progress\": ...} meanwhile, and {\"result\": ...} or {\"error\": ...} at the end. Asked "
            "{\"probe\":{\"address\":\"HOST:PORT\",\"timeout\":SECONDS}} it only asks whether a wire server answers there. It "
            "is made for the guard, and may change with it.",)),
    ),
    examples=("echo '{}' | waguard-doctor", "waguardctl doctor --local"),
    environment=(
        ("http_proxy, https_proxy, no_proxy", "Count when it asks for the releases of the agent."),
        ("TMPDIR", "Handed to package managers that it asks, for what they note down."),
    ),
    files=(("/run/waguard/doctor", "The socket of waguard-doctor.socket, open to root."), _SETTINGS),
    see_also=("systemd.socket(5)",),
)

PROGRAMS: Mapping[str, Program] = {
    "waguardctl": _CTL, "waguardd": _GUARD, "waguard-exporter": _EXPORTER, "waguard-doctor": _DOCTOR,
    "waguard.yaml": Program(files=(
        ("/etc/waguard/waguard.yaml", "The first file that is read; as it is packaged it sets nothing."),
        ("/etc/waguard/conf.d", "For files of your own. Those whose names begin with a dot, or do not end in .yaml, are left "
         "out."))),
}

YAML = (
    "The settings of waguardd(8). waguard works without a line of them. The files are YAML: sections with keys. waguard.yaml is "
    "read first, then the files in conf.d in the order of their names; a later one wins, key by key, and what no file sets has "
    "its default.",
    "An unknown section or key, a value of the wrong type and one out of its range are errors, told with file and line and with "
    "what may have been meant. With an error nothing of the files is taken: a guard that runs keeps the settings it has, and one "
    "that starts ends with exit status 2. `waguardctl config check` says what is wrong, before `systemctl reload waguard`; "
    "`waguardctl config show --origin` says what is set and where.",
)

YAML_EXAMPLE = """\
restart:
  backoff_cap: 5m
  live_per_hour: 2
network:
  storage: [account.blob.core.windows.net]
resources:
  cpu_for: 15m"""

METRICS = (
    "What waguard-exporter(8) answers at /metrics, and what `waguardctl metrics` prints or writes for the textfile collector of "
    "node_exporter.",
    "What is not known is left out: there is no metric with a made-up 0. While the guard does not answer there are only "
    "`waguard_guard_up` (0) and `waguard_build_info`. Times are moments, in seconds since 1970-01-01 UTC; the age of one is "
    "time() less the metric. Counters may begin anew.",
)

METRICS_EXAMPLE = """\
time() - waguard_agent_heartbeat_timestamp_seconds > 3900
increase(waguard_agent_restarts_total{actor="waguard"}[1h]) > 2
waguard_finding_active{severity="critical"} == 1"""

FINDINGS = (
    "What `waguardctl status`, `waguardctl doctor`, `waguardctl check` and the metric `waguard_finding_active` speak of, by the "
    "causes of Azure's support article \"Could not communicate with the VM agent for snapshot status\". `waguardctl explain "
    "FINDING` says the same with a machine's own paths; words in capitals in a remedy stand for those. The ids do not change.",
    "Critical: the next backup fails. Warning: it may, or somebody has to act. Info: worth knowing.",
)
