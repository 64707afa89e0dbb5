"""The clocks, in one place, so that tests hand in their own."""

from __future__ import annotations

import time
from pathlib import Path


class Clock:
    """The machine's clocks."""

    def now(self) -> float:
        """CLOCK_BOOTTIME seconds: steady, counts suspend, starts at 0 with the boot."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Seconds since the epoch. May jump."""
        return time.time()

    def boot_id(self) -> str:
        """The kernel's id of this boot; empty if it cannot be read."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return ""
