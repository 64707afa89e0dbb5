"""Where tests get their machines from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import artefacts
from .agent import Agent
from .fabric import Fabric
from .machine import Machine


class Lab:
    """Makes machines, and knows which there are, so that a failure can be documented."""

    def __init__(self, root: Path, machines: Path) -> None:
        self.root = root
        self.machines = machines
        self.live: list[Machine] = []

    @contextmanager
    def machine(self, *, agent: bool = True, boot: bool = True) -> Iterator[Machine]:
        """A machine that is thrown away at the end of the block, with the fabric in it.

        With `agent`, waagent starts at boot, and has turned its loop when the block begins; without, its unit is as
        Debian ships it, which does not start here. Without `boot` it is off, for files to be laid or moods to be set.
        """
        with Machine(self.root, self.machines) as machine:
            self.live.append(machine)
            try:
                Fabric(machine).install()
                if agent:
                    Agent(machine).configure()
                if boot:
                    machine.boot()
                    if agent:
                        Agent(machine).wait_for_turn(since=0)
                yield machine
            except BaseException:
                # Of a machine that a fixture made, the test's failure is seen in conftest.py; but here it did not come
                # up, or the test made it, and when pytest comes to report this the machine is gone.
                self.document(os.environ.get("PYTEST_CURRENT_TEST", "no test").rpartition(" ")[0])
                raise
            finally:
                self.live.remove(machine)

    def document(self, test: str) -> Path | None:
        """Keeps what can be known of all live machines for `test` (a node id). Returns where, None if none lives."""
        for machine in self.live:
            artefacts.save(machine, artefacts.directory_for(test))
        return artefacts.directory_for(test) if self.live else None
