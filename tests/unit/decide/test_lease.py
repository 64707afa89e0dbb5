"""The verbose lease as a record: what was written is read back, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waguard.agent import confedit
from waguard.decide import lease, term
from waguard.decide.lease import Lease, Phase
from waguard.decide.term import Moment

EDIT = confedit.set_value(b"Logs.Verbose=n\n", lease.KEY, lease.VALUE)
LEASE = Lease("/etc/waagent.conf", EDIT, Phase.ACTIVE, 1_700_000_000.0, term.of(3600.0, Moment(5.0, 1_700_000_000.0, "boot")),
              True, "root")


@pytest.mark.parametrize("phase", list(Phase))
def test_what_was_written_is_read_back(phase: Phase) -> None:
    record = json.loads(json.dumps(lease.to_json(Lease(**{**vars(LEASE), "phase": phase}))))
    again = lease.from_json(record)
    assert again == Lease(**{**vars(LEASE), "phase": phase})
    assert again.edit.data == b"", "the file itself is not part of the record: it may hold a proxy's address"


@pytest.mark.parametrize("damage", [
    {"phase": "forgotten"}, {"granted": "yesterday"}, {"granted": float("nan")}, {"granted": 10**400}, {"edit": []}, {"edit": None},
    {"edit": {"key": 1}}, {"term": {}}, {"term": None},
])
def test_a_damaged_record_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        lease.from_json({**lease.to_json(LEASE), **damage})


@pytest.mark.parametrize("missing", sorted(lease.to_json(LEASE)))
def test_so_is_one_with_a_part_missing(missing: str) -> None:
    record = lease.to_json(LEASE)
    del record[missing]
    with pytest.raises((ValueError, TypeError, KeyError)):
        lease.from_json(record)


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_so_is_what_is_no_object(data: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        lease.from_json(data)
