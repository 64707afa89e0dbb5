"""The version of the agent that is installed, read from its source without running it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from waguard.agent import versions
from waguard.agent.versions import AgentVersion
from waguard.observe import files

# azurelinuxagent/common/version.py: AGENT_VERSION = '2.15.0.1'
_LINE = re.compile(rb"^AGENT_VERSION\s*=\s*['\"]([^'\"]{1,60})['\"]", re.MULTILINE)


PLACES = tuple(f"usr/lib/python{python}-packages/azurelinuxagent/common/version.py"
               for python in ("3/dist", "3*/dist", "3*/site", "2*/site"))


def read(patterns: Sequence[str] = PLACES, root: Path = Path("/")) -> Optional[AgentVersion]:
    """The newest one found in the usual places; None when there is none. Raises files.Unusable when it cannot be read."""
    found = []
    for pattern in patterns:
        for path in root.glob(pattern):
            try:
                match = _LINE.search(files.read(path, 1 << 20))
            except FileNotFoundError:
                continue  # A package manager is at work on it.
            version = versions.try_parse(match[1].decode("ascii", "replace")) if match else None
            if version is not None:
                found.append(version)
    return max(found, default=None)
