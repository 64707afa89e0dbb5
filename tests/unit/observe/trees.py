"""Fake roots for observers: files by their path, as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Union


def plant(root: Path, found: Mapping[str, Union[str, bytes]]) -> Path:
    for name, text in found.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def program(path: Path, body: str) -> str:
    """An executable shell script."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)
