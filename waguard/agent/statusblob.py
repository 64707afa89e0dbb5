"""The host of the blob that the agent reports its status to, out of a goal state. Nothing else of a goal state is kept.

Source: azurelinuxagent/common/protocol/extensions_goal_state_from_extensions_config.py and …_from_vm_settings.py; the copies in
the history have the URL's query redacted, not its host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Optional

from waguard.agent import layout

_HOST = rb"https?://([A-Za-z0-9][A-Za-z0-9.-]{0,252})(?::([0-9]{1,5}))?(?![\w@:%!~*'()+,;=$&-])"
_XML = re.compile(rb"<StatusUploadBlob(?:\s[^<>]{0,200})?>\s{0,20}" + _HOST)
_JSON = re.compile(rb'"statusUploadBlob"\s{0,20}:\s{0,20}\{[^{}]{0,2000}?"value"\s{0,20}:\s{0,20}"' + _HOST, re.IGNORECASE)
_TRIES = 5
_NUMBERED = re.compile(r"(?:ExtensionsConfig|VmSettings)\.([0-9]{1,18})\.(?:xml|json)")


def host(data: bytes) -> Optional[str]:
    """``HOST`` or ``HOST:PORT`` of the status blob; None when there is none. Raises nothing."""
    for word, pattern in ((b"<StatusUploadBlob", _XML), (b'"statusuploadblob"', _JSON)):
        text = data.lower() if pattern is _JSON else data
        at = -1
        for _ in range(_TRIES):
            at = text.find(word, at + 1)
            match = pattern.match(data, at) if at >= 0 else None
            if match is not None:
                port = f":{match.group(2).decode()}" if match.group(2) else ""
                return match.group(1).decode("ascii").lower() + port
            if at < 0:
                break
    return None


def candidates(root: Iterable[str], history: Iterable[str]) -> tuple[str, ...]:
    """Files that may hold it, relative to the lib dir, by their names: the history of 2.8 on, then the lib dir of older."""
    found = [f"{layout.HISTORY}/{name}/{file}" for name in layout.history_folders(history)
             for file in ("ExtensionsConfig.xml", "VmSettings.json")]
    numbered = [(int(match.group(1)), name) for name in root for match in [_NUMBERED.fullmatch(name)] if match]
    return (*found, *(name for _, name in sorted(numbered, reverse=True)[:4]))
