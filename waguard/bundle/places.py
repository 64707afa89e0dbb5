"""Where the things of this machine are, and the trees that are gone through for them, in order."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path

from waguard.agent import layout
from waguard.bundle import members
from waguard.bundle.members import LOG, Rule, Tree

STATE = "/var/lib/waguard"


@dataclass(frozen=True)
class Places:
    """Absolute paths. ``problem``: waguard's own settings could not be used, so the usual places are taken."""

    conf: str = layout.CONF
    lib_dir: str = layout.LIB_DIR
    log: str = layout.LOG
    extension_log_dir: str = layout.EXTENSION_LOG_DIR
    settings_dir: str = "/etc/waguard"
    state_dir: str = STATE
    run_dir: str = "/run/waguard"
    problem: str = ""


def find(settings_dir: str, run_dir: str) -> Places:
    """By waguard's settings and the agent's conf. Never raises."""
    from waguard import settings
    from waguard.observe import conf

    problem, agent = "", settings.AgentSettings()
    try:
        agent = settings.load(Path(settings_dir)).agent
    except settings.SettingsError as error:
        problem = f"waguard's settings cannot be used, so the usual places are taken: {error}"
    path = conf.find(agent.conf)
    values: dict[str, str] = {}
    try:
        values = _values(path)
    except Exception as error:  # Then the defaults are the best guess, and the file itself says the rest.
        problem = problem or f"{path} cannot be used, so the usual places are taken: {error}"
    lib = agent.lib_dir if agent.lib_dir != "auto" else values.get("Lib.Dir", layout.LIB_DIR)
    extensions = values.get("Extension.LogDir", layout.EXTENSION_LOG_DIR)
    return Places(str(path), lib, agent.log, extensions, settings_dir, STATE, run_dir, problem)


def _values(path: Path) -> dict[str, str]:
    from waguard.agent import conf
    from waguard.observe import files

    parsed = conf.parse(files.read(path, 1 << 20))
    found = {name: parsed.string(name) for name in ("Lib.Dir", "Extension.LogDir")}
    return {name: value for name, value in found.items() if value}


def trees(places: Places) -> tuple[Tree, ...]:
    """What is taken of this machine's files."""
    log = glob.escape(os.path.basename(places.log))
    logs = dict.fromkeys((places.extension_log_dir, layout.EXTENSION_LOG_DIR)) if places.log == layout.LOG else \
        (places.extension_log_dir,)
    return (
        Tree(os.path.dirname(places.conf), (Rule(glob.escape(os.path.basename(places.conf))),), True),
        Tree("/etc", (Rule("waagent_policy.json"), Rule("logrotate.d/waagent*"), Rule("logrotate.d/walinuxagent*")), True),
        Tree(places.settings_dir, (Rule("*.yaml"), Rule("*.yml"), Rule("conf.d/*.yaml")), True),
        Tree(places.run_dir, (Rule("*.json*"),), True),
        Tree(places.state_dir, (Rule("*.json*"),), True),
        Tree(places.lib_dir, members.LIB_RULES),
        Tree(os.path.dirname(places.log), (Rule(log, LOG, 2), Rule(f"{log}?*", LOG, 3)), True),
        *(Tree(folder, members.ALL_LOGS) for folder in logs),
    )
