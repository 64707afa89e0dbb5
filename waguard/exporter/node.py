"""Places in a snapshot: typed, with the path of what is wrong, and a way to tell which parts have changed. Pure."""

from __future__ import annotations

import marshal
import math
from collections.abc import Mapping
from typing import Any, Optional, Union


class Wrong(ValueError):
    """A value in the snapshot is not of the type that the contract says. The message has its path."""


class Node:
    """A place in the snapshot: typed getters that give None for what is not known and raise Wrong with the path."""

    __slots__ = ("_key", "_parent", "_value")

    def __init__(self, value: Any, parent: Optional[Node] = None, key: Union[str, int] = "") -> None:
        self._value = value
        self._parent = parent
        self._key = key

    def __getitem__(self, key: str) -> Node:
        return Node(self._mapping().get(key), self, key)

    def items(self) -> list[tuple[str, Node]]:
        return [(key, Node(value, self, key)) for key, value in self._mapping().items()]

    def each(self) -> list[Node]:
        if self._value is not None and not isinstance(self._value, list):
            raise self._wrong("a list")
        return [Node(value, self, index) for index, value in enumerate(self._value or ())]

    def known(self) -> bool:
        return self._value is not None

    def number(self) -> Optional[float]:
        value = self._value
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong("a number")
        if (isinstance(value, int) and abs(value) >= 1 << 1023) or not math.isfinite(value):
            raise self._wrong("a finite number")
        return float(value)

    def flag(self) -> Optional[bool]:
        if self._value is None or isinstance(self._value, bool):
            return self._value
        raise self._wrong("true or false")

    def text(self) -> Optional[str]:
        if self._value is None or isinstance(self._value, str):
            return self._value
        raise self._wrong("a string")

    def _mapping(self) -> Mapping[str, Any]:
        if self._value is None:
            return {}
        if not isinstance(self._value, dict):
            raise self._wrong("an object")
        return self._value

    def _path(self) -> str:
        """Made only where it is said: there are hundreds of places, and nearly all of them are right."""
        if self._parent is None:
            return ""
        before = self._parent._path()
        return f"{before}[{self._key}]" if isinstance(self._key, int) else f"{before}.{self._key}" if before else self._key

    def _wrong(self, wanted: str) -> Wrong:
        return Wrong(f"{self._path() or 'snapshot'} is {type(self._value).__name__}, not {wanted}")


class Root(Node):
    """The snapshot, and which of its parts were asked for."""

    __slots__ = ("asked",)

    def __init__(self, snapshot: Optional[Mapping[str, Any]]) -> None:
        super().__init__(snapshot)
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Node:
        self.asked.add(key)
        return super().__getitem__(key)


class Marks(dict[str, object]):
    """Of each part of a snapshot, once it is asked for, what is equal only for parts that are the same, type for type."""

    def __init__(self, snapshot: Mapping[str, Any]) -> None:
        super().__init__()
        self._snapshot = snapshot

    def __missing__(self, part: str) -> object:
        try:
            self[part] = marshal.dumps(self._snapshot.get(part), 2)
        except ValueError:  # It is nested too deeply.
            self[part] = object()
        return self[part]
