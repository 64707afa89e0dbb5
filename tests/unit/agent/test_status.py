"""Status JSON of every generation, and whatever else the file may hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import status
from waguard.agent.status import Fault, Handler, StatusError, parse
from waguard.agent.versions import parse as version

NEW = {
    "version": "1.1",
    "timestampUTC": "2025-11-19T12:43:29Z",
    "aggregateStatus": {
        "guestAgentStatus": {
            "version": "2.15.0.1", "status": "Ready",
            "formattedMessage": {"lang": "en-US", "message": "Guest Agent is running"},
            "updateStatus": {"expectedVersion": "2.16.0.1", "status": "Transitioning", "code": 0,
                             "formattedMessage": {"lang": "en-US", "message": ""}},
        },
        "handlerAggregateStatus": [
            {
                "handlerVersion": "1.0.9216.0", "handlerName": "Microsoft.Azure.RecoveryServices.VMSnapshotLinux",
                "status": "Ready", "code": 0, "useExactVersion": True,
                "formattedMessage": {"lang": "en-US", "message": "Plugin enabled"},
                "runtimeSettingsStatus": {
                    "settingsStatus": {
                        "status": {"name": "VMSnapshotLinux", "configurationAppliedTime": "2025-11-19T12:40:00Z",
                                   "operation": "Enable", "status": "success", "code": 1,
                                   "formattedMessage": {"lang": "en-US", "message": "success"}},
                        "version": 1.0, "timestampUTC": "2025-11-19T12:43:29Z",
                    },
                    "sequenceNumber": "7",
                },
            },
            {"handlerVersion": "2.1.10", "handlerName": "Microsoft.Azure.Extensions.CustomScript", "status": "NotReady",
             "code": -1, "useExactVersion": True,
             "runtimeSettingsStatus": {"settingsStatus": {"status": {"operation": None, "status": "error",
                                                                      "code": "12"}},
                                       "sequenceNumber": 3, "extensionName": "first"}},
        ],
        "vmArtifactsAggregateStatus": {"goalStateAggregateStatus": {"status": "Success", "code": 0, "inSvdSeqNo": "1"}},
    },
    "guestOSInfo": {"computerName": "vm", "osName": "debian", "osVersion": "12.5", "version": "2.15.0.1"},
    "supportedFeatures": [{"Key": "MultipleExtensionsPerHandler", "Value": "1.0"}],
}
AT = 1763556209.0


def test_2_8_and_newer() -> None:
    found = parse(json.dumps(NEW).encode())
    assert (found.version, found.at, found.status) == (version("2.15.0.1"), AT, "Ready")
    assert (found.update_expected, found.update_status) == (version("2.16.0.1"), "Transitioning")
    assert (found.goal_state_status, found.daemon_version, found.python) == ("Success", None, None)
    assert found.handlers == (
        Handler("Microsoft.Azure.RecoveryServices.VMSnapshotLinux", "1.0.9216.0", "Ready", 0, "Plugin enabled", None, 7,
                "Enable", "success", 1, "success"),
        Handler("Microsoft.Azure.Extensions.CustomScript", "2.1.10", "NotReady", -1, None, "first", 3, None, "error",
                12, None),
    )


def test_2_5_to_2_9_tell_the_daemon() -> None:
    private = {"agentName": "WALinuxAgent", "daemonVersion": "2.2.46", "pythonVersion": "Python: 3.11.2"}
    found = parse(json.dumps({**NEW, "_metadataNotSentToCRP": private}).encode())
    assert (found.daemon_version, found.python) == (version("2.2.46"), "3.11.2")
    unknown = {**private, "daemonVersion": "0.0.0.0"}
    assert parse(json.dumps({"_metadataNotSentToCRP": unknown}).encode()).daemon_version is None


def test_before_2_5() -> None:
    old = {
        "agent_name": "WALinuxAgent", "current_version": "2.2.53.1", "goal_state_version": "2.2.53",
        "distro_details": "debian:10.8", "last_successful_status_upload_time": "2025-11-19T12:43:29Z",
        "python_version": "Python: 3.7.3",
        "extensions_status": [{"name": "Ext", "version": "1.0", "status": "Ready", "supports_multi_config": False}],
    }
    found = parse(json.dumps(old).encode())
    assert (found.version, found.at, found.python) == (version("2.2.53.1"), AT, "3.7.3")
    assert found.handlers == (Handler("Ext", "1.0", "Ready", None, None),)
    assert found.status is None


def test_a_young_agent_writes_an_empty_object() -> None:
    assert parse(b"{}") == status.Status(None, None, None, ())


@pytest.mark.parametrize(
    ("data", "fault", "words"),
    [
        (b"", Fault.EMPTY, "empty"),
        (b" \n", Fault.EMPTY, "empty"),
        (b"\0" * 4096, Fault.EMPTY, "empty"),
        (b'{"version": "1.1", "timest', Fault.TRUNCATED, "ends in the middle, after 26 bytes"),
        (b'{"version": "1.1", "a": tr', Fault.TRUNCATED, "middle"),
        (b'{"version": "1.1", "a": {}', Fault.TRUNCATED, "middle"),
        (b"{", Fault.TRUNCATED, "middle"),
        (b"\x7fELF\x02\x01\xff", Fault.NOT_JSON, "byte 6 is not UTF-8"),
        (b'{"a": "\xff"}', Fault.NOT_JSON, "byte 7 is not UTF-8"),
        (b"hello", Fault.NOT_JSON, "no JSON"),
        (b"{'a': 1}", Fault.NOT_JSON, "no JSON"),
        (b'{"a": 1} {"b": 2}', Fault.NOT_JSON, "no JSON"),
        (b"\xef\xbb\xbf{}", Fault.NOT_JSON, "no JSON"),
        (b"[]", Fault.WRONG_SHAPE, "list"),
        (b"null", Fault.WRONG_SHAPE, "NoneType"),
        (b"3", Fault.WRONG_SHAPE, "int"),
        (b"[" * 200_000, Fault.TOO_DEEP, "deeply"),
        (b'{"a":' * 200_000, Fault.TOO_DEEP, "deeply"),
        (b"{" + b" " * status.MAX_BYTES + b"}", Fault.TOO_BIG, "more than"),
    ],
)
def test_what_is_no_status(data: bytes, fault: Fault, words: str) -> None:
    with pytest.raises(StatusError, match=words) as caught:
        parse(data)
    assert caught.value.fault is fault


def test_a_number_too_long_is_no_crash() -> None:
    data = b'{"aggregateStatus": {"guestAgentStatus": {"version": ' + b"9" * 10_000 + b"}}}"
    try:
        assert parse(data).version is None
    except StatusError as error:
        assert error.fault is Fault.NOT_JSON  # which of both depends on the Python


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(
        ["aggregateStatus", "guestAgentStatus", "handlerAggregateStatus", "runtimeSettingsStatus", "settingsStatus",
         "status", "version", "timestampUTC", "extensions_status", "formattedMessage", "message", "code"]), inner),
)


@given(st.binary() | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_nothing_but_status_errors(data: bytes) -> None:
    try:
        found = parse(data)
    except StatusError as error:
        assert str(error)
        return
    assert all(isinstance(handler, Handler) for handler in found.handlers)


@given(st.data())
def test_wrong_types_anywhere_leave_the_rest(data: st.DataObject) -> None:
    """Any one leaf or branch of a good status replaced by anything."""
    tree = json.loads(json.dumps(NEW))
    node = tree
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else list(range(len(node)))))
        if not (isinstance(node[key], (dict, list)) and node[key]) or data.draw(st.booleans()):
            node[key] = data.draw(JSON)
            break
        node = node[key]
    parse(json.dumps(tree).encode())


@pytest.mark.parametrize("size", [1, 50, 400, -3])
def test_every_cut_of_a_status_is_told(size: int) -> None:
    with pytest.raises(StatusError) as caught:
        parse(json.dumps(NEW).encode()[:size])
    assert caught.value.fault is Fault.TRUNCATED


def test_times() -> None:
    for text in ("2025-11-19T12:43:29", "2025-13-19T12:43:29Z", "/Date(1763556209000)/", "", "2025-11-19T24:43:29Z"):
        assert parse(json.dumps({"timestampUTC": text}).encode()).at is None
    assert parse(b'{"timestampUTC": "2016-12-31T23:59:60Z"}').at == 1483228799.0


def test_texts_are_bounded() -> None:
    handler = {"handlerName": "E", "formattedMessage": {"message": "x" * 10**6}}
    found = parse(json.dumps({"aggregateStatus": {"handlerAggregateStatus": [handler]}}).encode())
    assert len(found.handlers[0].message or "") == 4096
