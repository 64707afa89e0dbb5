"""Settings for the property tests of this folder."""

from __future__ import annotations

from hypothesis import settings

# A slow machine is no failed test.
settings.register_profile("waguard", deadline=None)
settings.load_profile("waguard")
