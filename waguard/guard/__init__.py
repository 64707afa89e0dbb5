"""waguardd, the guard: life cycle, event loop, state, control methods."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """A module that is imported when something of it is wanted."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)

    @staticmethod
    def get_annotations(cls: type) -> dict[str, Any]:
        """What dataclasses of Python 3.12 and later ask inspect of a class."""
        return dict(cls.__dict__.get("__annotations__", {}))


if "inspect" not in sys.modules and "dataclasses" not in sys.modules:
    # dataclasses wants inspect for the docstring of a class that has none; ours have one. It and what it imports take 1 MB.
    sys.modules["inspect"] = _Later("inspect")
    import dataclasses  # noqa: F401

    sys.modules.pop("inspect")
