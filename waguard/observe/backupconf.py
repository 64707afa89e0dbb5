"""What an administrator set for backups on the VM: vmbackup.conf, and the pre and post scripts of consistent applications.

Source: azure-linux-extensions VMBackup/main: PluginHost.py (pre_check, load_modules), ScriptRunner.py (get_config,
validate_scripts), fsfreezer.py, backuplogger.py; learn.microsoft.com backup-azure-linux-app-consistent.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from waguard.agent import vmsnapshot
from waguard.i18n import say
from waguard.observe import files

VMBACKUP = "etc/azure/vmbackup.conf"
PLUGIN_HOST = "etc/azure/VMSnapshotPluginHost.conf"
SCRIPTS = "etc/azure/VMSnapshotScriptPluginConfig.json"
_SECTION = "SnapshotThread"
_LIMIT = 262144
_ROOT = 0
_NO_TEXT = "it is not UTF-8 text"
_SHELLS = frozenset(("sh", "bash", "dash", "ash", "ksh", "zsh", "mksh", "rbash", "env"))


@dataclass(frozen=True)
class Options:
    """Settings of /etc/azure/vmbackup.conf that matter; the extension's defaults where it sets nothing.

    ``timeout``: seconds until safefreeze thaws by itself. ``freeze_wait``: seconds the extension waits for the freeze.
    ``write_log`` False silences extension.log. ``only_local``: mounts of other machines are not asked for. ``problem``: why the
    file does not tell; the defaults hold then.
    """

    timeout: float = vmsnapshot.FREEZE_TIMEOUT
    freeze_wait: float = vmsnapshot.FREEZE_WAIT
    method: str = ""
    write_log: bool = True
    only_local: bool = False
    present: bool = False
    problem: str = ""


@dataclass(frozen=True)
class ScriptProblem:
    """A thing wrong with the script configuration. ``code``: the extension's, 300 to 318. ``fails``: the backup fails by it,
    instead of only losing application consistency."""

    code: int
    path: str
    text: str
    fails: bool = False


@dataclass(frozen=True)
class Scripts:
    """Pre and post scripts. ``wanted``: a configuration for them exists. ``unknown``: why it could not be told whether they are
    usable; then ``problems`` may be incomplete."""

    wanted: bool = False
    problems: tuple[ScriptProblem, ...] = ()
    unknown: str = ""


def options(root: Path = Path("/")) -> Options:
    """Read vmbackup.conf. Never raises."""
    path = root / VMBACKUP
    try:
        parsed = _ini(files.read(path, _LIMIT))
    except FileNotFoundError:
        return Options()
    except files.Unusable as error:
        return Options(problem=str(error))
    except ValueError as error:
        text = str(error)
        return Options(present=True, problem=say("{path}: it is not UTF-8 text", path=path) if text == _NO_TEXT
                       else f"{path}: {text}")
    values = parsed.get(_SECTION, {})

    def seconds(key: str, default: float) -> float:
        word = values.get(key, "")
        return float(word) if word.isascii() and word.isdigit() and len(word) <= 6 else default

    return Options(
        timeout=seconds("timeout", vmsnapshot.FREEZE_TIMEOUT),
        freeze_wait=seconds("safefreezewaitinseconds", vmsnapshot.FREEZE_WAIT),
        method=values.get("snapshotmethod", "")[:40], write_log=values.get("writelog", "True") == "True",
        only_local=values.get("onlylocalfilesystems", "") == "True", present=True)


def scripts(folder: Optional[Path], root: Path = Path("/")) -> Scripts:
    """Check the scripts' configuration as the extension does before a snapshot. Never raises.

    ``folder``: the extension's own, whose default host configuration is used where there is none in /etc/azure. No configuration
    of scripts at all is normal (316) and no problem.
    """
    host = root / PLUGIN_HOST
    chosen = host if os.path.isfile(host) else (folder / "main" / host.name if folder is not None else None)
    json_path, problem, unknown = root / SCRIPTS, None, ""
    if chosen is not None:
        json_path, problem, unknown = _host(chosen, root)
    try:
        os.stat(json_path)
    except FileNotFoundError:
        # Nobody wants scripts; what is wrong with their host's configuration makes no difference then.
        return Scripts(unknown=unknown)
    except (OSError, ValueError) as error:
        return Scripts(unknown=f"{json_path}: {getattr(error, 'strerror', None) or error}")
    if problem is not None:
        return Scripts(True, (problem,), unknown)
    found, why = _config(json_path, root)
    return Scripts(True, tuple(found), unknown or why)


def _host(path: Path, root: Path) -> tuple[Path, Optional[ScriptProblem], str]:
    """(the scripts' configuration that it names, what is wrong with it, why that is not known)."""
    named = root / SCRIPTS
    try:
        info = os.stat(path)
        if any((info.st_mode >> shift) & 7 not in (0, 4) for shift in (3, 0)) or info.st_uid != _ROOT:
            return named, ScriptProblem(314, str(path), say(
                "{path} has to be root's, and readable at most for others: it is uid {uid}, mode {mode:04o}", path=path,
                **_shape(info))), ""
        values = _ini(files.read(path, _LIMIT)).get("pre_post", {})
        if int(values.get("numberofplugins", "0")) > 0:
            given = values["pluginconfigpath0"]
            named = root / given.lstrip("/") if given.startswith("/") else named
        int(values.get("timeoutinseconds", "0"))
    except FileNotFoundError:
        return named, ScriptProblem(313, str(path), say("{path} is missing", path=path)), ""
    except (OSError, files.Unusable) as error:
        return named, None, str(error)
    except (KeyError, ValueError) as error:
        text = _short(error)
        return named, ScriptProblem(304, str(path), say("{path} cannot be parsed: it is not UTF-8 text", path=path)
                                    if text == _NO_TEXT else
                                    say("{path} cannot be parsed: {said_error}", path=path, said_error=text)), ""
    return named, None, ""


def _config(path: Path, root: Path) -> tuple[list[ScriptProblem], str]:
    """What is wrong with the scripts' configuration and the scripts, and why that is not wholly known."""
    try:
        info = os.stat(path)
        if info.st_mode & 0o177 or info.st_uid != _ROOT:
            return [ScriptProblem(317, str(path), say(
                "{path} has to be root's with mode 0600: it is uid {uid}, mode {mode:04o}", path=path, **_shape(info)))], ""
        tree = json.loads(files.read(path, _LIMIT).decode("utf-8", "strict"))
    except FileNotFoundError:
        return [], ""
    except (OSError, files.Unusable) as error:
        return [], str(error)
    except (ValueError, RecursionError) as error:
        return [ScriptProblem(305, str(path), say("{path} is no JSON: {error}", path=path, error=_short(error)))], ""
    if not isinstance(tree, dict):
        return [ScriptProblem(305, str(path), say("{path} is not a JSON object", path=path))], ""
    lacking = {"preScriptLocation": say("{path} lacks preScriptLocation", path=path),
               "postScriptLocation": say("{path} lacks postScriptLocation", path=path)}
    found = [ScriptProblem(305, str(path), text) for key, text in lacking.items() if not isinstance(tree.get(key), str)]
    if found:
        return found, ""
    timeout = tree.get("timeoutInSeconds", 10)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        found.append(ScriptProblem(304, str(path), say("{path}: timeoutInSeconds is no number", path=path)))
    elif timeout <= 0:
        text = say("{path}: timeoutInSeconds leaves no time for a script", path=path)
        found.append(ScriptProblem(308, str(path), text, _fails(tree)))
    unknown = ""
    for key, missing, permission in (("preScriptLocation", 302, 306), ("postScriptLocation", 303, 307)):
        problem, why = _script(tree[key], key, missing, permission, root, _fails(tree))
        found += [problem] if problem is not None else []
        unknown = unknown or why
    return found, unknown


def _fails(tree: dict[str, Any]) -> bool:
    return not tree.get("continueBackupOnFailure", True)


def _script(named: str, key: str, missing: int, permission: int, root: Path, fails: bool) -> tuple[Optional[ScriptProblem], str]:
    """What is wrong with one script. It is run as ``sh SCRIPT``, so that its #! line does not count."""
    if not named.startswith("/"):
        return ScriptProblem(missing, named[:200], say("{key} is no absolute path", key=key), fails), ""
    path, shown = root / named.lstrip("/"), repr(named[:200])
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            return ScriptProblem(missing, named[:200], say("{key} {path} is no file", key=key, path=shown), fails), ""
        if info.st_mode & 0o077 or info.st_uid != _ROOT:
            text = say("{key} {path} has to be root's with mode 0700: it is uid {uid}, mode {mode:04o}", key=key, path=shown,
                       **_shape(info))
            return ScriptProblem(permission, named[:200], text, fails), ""
        interpreter = _interpreter(path)
    except FileNotFoundError:
        return ScriptProblem(missing, named[:200], say("{key} {path} is missing", key=key, path=shown), fails), ""
    except (OSError, ValueError) as error:
        return None, f"{named[:200]!r}: {getattr(error, 'strerror', None) or error}"
    if interpreter and interpreter not in _SHELLS:
        text = say("{key} {path} is written for {interpreter}, but the extension runs it with sh", key=key, path=shown,
                   interpreter=interpreter)
        return ScriptProblem(300 if missing == 302 else 301, named[:200], text, fails), ""
    return None, ""


def _interpreter(path: Path) -> str:
    """The program in the #! line; "" for none."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        first = os.read(fd, 256).split(b"\n", 1)[0]
    finally:
        os.close(fd)
    words = first[2:].decode("ascii", "replace").split() if first.startswith(b"#!") else []
    if words and words[0].endswith("/env") and len(words) > 1:
        words = [word for word in words[1:] if not word.startswith("-")] or words[:1]
    return words[0].rpartition("/")[2][:40] if words else ""


def _ini(data: bytes) -> dict[str, dict[str, str]]:
    """Sections of an INI file as the extension reads it, keys in lower case. Raises ValueError."""
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(data.decode("utf-8", "strict"))
    except UnicodeDecodeError:
        raise ValueError(_NO_TEXT) from None
    except configparser.Error as error:
        # The error's own text quotes the line.
        raise ValueError(say("{error}, line {line}", error=type(error).__name__, line=getattr(error, "lineno", "?"))) from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _shape(info: os.stat_result) -> dict[str, int]:
    return {"uid": info.st_uid, "mode": stat.S_IMODE(info.st_mode)}


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text if text.isprintable() else repr(text))[:120] or type(error).__name__
