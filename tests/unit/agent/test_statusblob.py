"""The host of the status blob, and nothing else, out of a goal state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import statusblob

XML = """<Extensions version="1.0.0.0" goalStateIncarnation="9"><GuestAgentExtension><GAFamilies/></GuestAgentExtension>
<StatusUploadBlob statusBlobType="BlockBlob">{url}</StatusUploadBlob><InVMArtifactsProfileBlob>https://other.example/</InVMArtifactsProfileBlob></Extensions>"""
JSON = """{{"hostGAPluginVersion": "1.0.8.1", "statusUploadBlob": {{"statusBlobType": "BlockBlob", "value": "{url}"}}, "x": "https://other.example/"}}"""


@pytest.mark.parametrize("form", [XML, JSON, JSON.replace("statusUploadBlob", "StatusUploadBlob"), JSON.replace(": ", ":").replace(" ", "\n ")])
@pytest.mark.parametrize(("url", "told"), [
    ("https://test.blob.core.windows.net/vhds/a.status?sr=b&amp;sig=SECRET", "test.blob.core.windows.net"),
    ("https://md-hdd-x.z1.blob.storage.azure.net/$system/a.status?***REDACTED***", "md-hdd-x.z1.blob.storage.azure.net"),
    ("https://TEST.blob.core.chinacloudapi.cn", "test.blob.core.chinacloudapi.cn"),
    ("http://127.0.0.1:8443/a", "127.0.0.1:8443"),
    ("https://user:SECRET@test.blob.core.windows.net/", None), ("https://user@test/", None), ("ftp://test/", None), ("https:///", None),
    ("***REDACTED***", None), ("", None), ("https://" + "a" * 300 + "/", None), ("https://a b/", "a")])
def test_only_the_host_is_taken(form: str, url: str, told: str | None) -> None:
    assert statusblob.host(form.format(url=url).encode()) == told


def test_a_document_without_one() -> None:
    assert statusblob.host(b"<Extensions/>") is None and statusblob.host(b"{}") is None and statusblob.host(b"") is None


@given(st.binary())
def test_nothing_raises(data: bytes) -> None:
    statusblob.host(data)
    statusblob.host(b"<StatusUploadBlob>https://" + data)
    statusblob.host(b'"statusUploadBlob":{"value":"https://' + data)


def test_hostile_repetition_takes_no_time() -> None:
    assert statusblob.host(b'"statusUploadBlob":{' * 100000) is None
    assert statusblob.host(b'"statusUploadBlob"' + b" " * 1000000) is None


def test_the_newest_files_come_first() -> None:
    root = ["ExtensionsConfig.7.xml", "ExtensionsConfig.12.xml", "VmSettings.3.json", "GoalState.12.xml", "x.prv", "ExtensionsConfig.xml.prv"]
    history = ["2025-11-19T12-41-22__3-123", "2025-11-18T12-41-22__2", "2025-11-20T12-41-22__4.zip"]
    assert statusblob.candidates(root, history) == (
        "history/2025-11-19T12-41-22__3-123/ExtensionsConfig.xml", "history/2025-11-19T12-41-22__3-123/VmSettings.json",
        "history/2025-11-18T12-41-22__2/ExtensionsConfig.xml", "history/2025-11-18T12-41-22__2/VmSettings.json",
        "ExtensionsConfig.12.xml", "ExtensionsConfig.7.xml", "VmSettings.3.json")
