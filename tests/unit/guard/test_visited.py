"""What of a visit's result reaches the faces, and that no other shape of it ever does."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.guard.visited import read
from waguard.observe.azure import Probe

REFUSED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


def part(name: str, facts: dict[str, Any], findings: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"name": name, "title": name.title(), "says": "well", "ok": True, "facts": facts, "findings": list(findings)}


RESULT: dict[str, Any] = {
    "at": 1000.0, "took": 0.5, "places": {"package": "waagent"}, "state": {},
    "parts": [
        part("snapshot", {"at": 900.0, "last_success": 900, "last_success_ok": True, "outcome": "success", "code": 0}),
        part("extensions", {"handlers": [{"name": "A", "ready": True}, {"name": "A", "ready": None}, {"name": "B", "ready": False}]}),
        part("versions", {"outdated": {"distro": None, "upstream": True}}),
        part("logs", {"tree_bytes": 4096, "signatures": {"x": 2}, "records": {"extension": {"error": 1}}}),
        part("network", {"targets": [
            {"name": "wireserver", "success": True, "seconds": 0.1, "age": 2.0, "problem": None},
            {"name": "imds", "success": None, "seconds": None, "age": 10.0, "problem": "silent"}]}),
        part("filesystems", {}, ({"id": "disk-full", "evidence": "/ is full", "values": {"mount": "/"}, "blocks": None},))]}


def test_what_is_told() -> None:
    told = read(RESULT)
    assert (told.at, told.took, told.places) == (1000.0, 0.5, {"package": "waagent"})
    assert told.snapshot == {"last_snapshot": 900.0, "last_success": 900, "last_ok": True, "outcome": "success", "code": 0}
    assert told.extensions == {"A": None, "B": False}  # ready when all of its extensions are
    assert told.outdated == {"distro": None, "upstream": True}
    assert (told.logs, told.log_records) == ({"tree_bytes": 4096, "signatures": {"x": 2}}, {"extension": {"error": 1}})
    assert told.probes == {"imds": {"success": None, "duration": None, "at": 990.0, "error": "silent"}}  # the other is the guard's
    assert (told.wireserver, told.wireserver_age) == (Probe(True, 0.1), 2.0)
    assert [(one.id, one.values) for one in told.findings] == [("disk-full", (("mount", "/"),))]


def test_parts_that_could_not_be_judged_have_no_facts() -> None:
    told = read({**RESULT, "parts": [part(name, {}) for name in ("snapshot", "extensions", "versions", "logs", "network")]})
    assert told.extensions == {} and told.probes == {} and told.logs == {"tree_bytes": None, "signatures": {}}
    assert set(told.snapshot.values()) == {None}


@pytest.mark.parametrize("routable", [True, False, None])
def test_what_the_guard_learns_of_the_wire_server(routable: object) -> None:
    target = {"name": "wireserver", "success": False, "seconds": 5, "age": 0, "problem": "1.2.3.4:80 is silent", "kind": "silent"}
    told = read({**RESULT, "parts": [part("network", {"targets": [target], "routable": routable})]})
    assert told.wireserver == Probe(False, 5.0, "1.2.3.4:80 is silent", "silent", routable)  # type: ignore[arg-type]
    proves_nothing = {**target, "success": None}
    assert read({**RESULT, "parts": [part("network", {"targets": [proves_nothing]})]}).wireserver is None
    with pytest.raises(REFUSED):
        read({**RESULT, "parts": [part("network", {"targets": [target], "routable": "yes"})]})


@pytest.mark.parametrize(("path", "value"), [
    (("at",), "noon"), (("at",), 10**400), (("took",), None), (("places",), []), (("parts", 0, "name"), 3), (("parts", 0, "says"), None),
    (("parts", 0, "ok"), "yes"), (("parts", 0, "facts"), None), (("parts", 0, "facts", "code"), "0"),
    (("parts", 1, "facts", "handlers", 0, "ready"), "no"), (("parts", 1, "facts", "handlers", 0), 3),
    (("parts", 2, "facts", "outdated", "distro"), 1.5), (("parts", 3, "facts", "signatures", "x"), "2"),
    (("parts", 3, "facts", "records", "extension"), 7), (("parts", 3, "facts", "tree_bytes"), []),
    (("parts", 4, "facts", "targets", 1, "age"), None), (("parts", 4, "facts", "targets"), {"a": 1}),
    (("parts", 5, "findings", 0, "evidence"), 1), (("parts", 5, "findings", 0, "values"), {"mount": 1}),
    (("parts", 5, "findings", 0, "blocks"), "yes")])
def test_another_shape_is_refused(path: tuple[Any, ...], value: Any) -> None:
    """A doctor of another version must not be able to break GetSnapshot for as long as its result stands."""
    result = copy.deepcopy(RESULT)
    place: Any = result
    for word in path[:-1]:
        place = place[word]
    place[path[-1]] = value
    with pytest.raises(REFUSED):
        read(result)


@pytest.mark.parametrize("path", [("at",), ("took",), ("parts",), ("places",), ("parts", 0, "title"), ("parts", 4, "facts", "targets", 1, "seconds")])
def test_what_is_missing_is_refused(path: tuple[Any, ...]) -> None:
    result = copy.deepcopy(RESULT)
    place: Any = result
    for word in path[:-1]:
        place = place[word]
    del place[path[-1]]
    with pytest.raises(REFUSED):
        read(result)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)


@given(st.sampled_from([part["name"] for part in RESULT["parts"]]), st.dictionaries(
    st.sampled_from(["handlers", "targets", "outdated", "signatures", "records", "tree_bytes", "at", "code"]), JSON))
def test_facts_of_any_shape_are_taken_or_refused(name: str, facts: dict[str, Any]) -> None:
    try:
        told = read({**RESULT, "parts": [part(name, facts)]})
    except REFUSED:
        return
    json.dumps([told.snapshot, told.extensions, told.outdated, told.logs, told.log_records, told.probes])
