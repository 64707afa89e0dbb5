"""waguard.varlink's client: against our own service on a real socket, and against services that misbehave."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from waguard import varlink

DESCRIPTION = """\
# Things to try a Varlink client with
interface io.waguard.test

# Returns what it was given
method Echo(text: string) -> (text: string)

# Counts up from 1; one reply a number
method Count(to: int) -> (number: int)

# Fails in a way that it declares
method Fail() -> ()

# Never answers
method Never() -> ()

error Refused (why: string, colour: (red, green))
"""


def echo(connection: varlink.Connection, call: varlink.Call) -> None:
    connection.reply(call, {"text": call.parameters["text"]})


def count(connection: varlink.Connection, call: varlink.Call) -> None:
    last = call.parameters["to"]
    for number in range(1, last + 1):
        connection.reply(call, {"number": number}, continues=number < last)


def fail(connection: varlink.Connection, call: varlink.Call) -> None:
    raise varlink.RemoteError("io.waguard.test.Refused", {"why": "because"})


def never(connection: varlink.Connection, call: varlink.Call) -> None:
    pass


METHODS = {"Echo": echo, "Count": count, "Fail": fail, "Never": never}


class Served:
    """Those methods on a real socket, turned by a thread."""

    def __init__(self, path: Path) -> None:
        interface = varlink.Interface(DESCRIPTION, METHODS)
        self._service = varlink.Service("us", "test", "1", "https://example.org", [interface])
        self._selector = selectors.DefaultSelector()
        self._stop, self._stopped = socket.socketpair()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._stopped, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.close()
        self._thread.join()
        self._selector.close()
        self._listener.close()

    def _run(self) -> None:
        while True:
            for key, ready in self._selector.select():
                if key.fileobj is self._stopped:
                    self._stopped.close()
                    return
                if key.fileobj is self._listener:
                    connection = varlink.Connection(self._listener.accept()[0])
                    self._selector.register(connection, selectors.EVENT_READ)
                elif isinstance(key.fileobj, varlink.Connection):
                    self._turn(key.fileobj, ready)

    def _turn(self, connection: varlink.Connection, ready: int) -> None:
        calls = connection.on_readable() if ready & selectors.EVENT_READ else []
        calls += connection.on_writable() if ready & selectors.EVENT_WRITE else []
        for call in calls:
            self._service.dispatch(connection, call)
        wanted = selectors.EVENT_READ * connection.wants_read | selectors.EVENT_WRITE * connection.wants_write
        if connection.closed or not wanted:
            self._selector.unregister(connection)
            connection.close()
        else:
            self._selector.modify(connection, wanted)


@pytest.fixture
def address(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
def served(address: Path) -> Iterator[Path]:
    served = Served(address)
    yield address
    served.stop()


def test_call(served: Path) -> None:
    assert varlink.call(served, "io.waguard.test.Echo", {"text": "x"}) == {"text": "x"}
    assert varlink.call(str(served), "io.waguard.test.Echo", {"text": "y" * 60000})["text"] == "y" * 60000


def test_stream(served: Path) -> None:
    stream = varlink.stream(served, "io.waguard.test.Count", {"to": 5000}, timeout=None)
    assert [reply["number"] for reply in stream] == list(range(1, 5001))
    stream = varlink.stream(served, "io.waguard.test.Count", {"to": 3})
    assert next(stream) == {"number": 1}
    stream.close()
    assert list(varlink.stream(served, "io.waguard.test.Echo", {"text": "x"})) == [{"text": "x"}]


def test_remote_errors_are_typed(served: Path) -> None:
    with pytest.raises(varlink.RemoteError) as caught:
        varlink.call(served, "io.waguard.test.Fail")
    assert (caught.value.name, caught.value.parameters) == ("io.waguard.test.Refused", {"why": "because"})
    assert str(caught.value) == 'io.waguard.test.Refused {"why":"because"}'
    with pytest.raises(varlink.RemoteError):
        list(varlink.stream(served, "io.waguard.test.Fail"))


def test_a_silent_service_is_a_time_out(served: Path) -> None:
    with pytest.raises(varlink.TimedOut):
        varlink.call(served, "io.waguard.test.Never", timeout=0.05)
    with pytest.raises(varlink.TimedOut):
        next(varlink.stream(served, "io.waguard.test.Never", timeout=0.05))
    with pytest.raises(varlink.TimedOut):
        varlink.call(served, "io.waguard.test.Echo", {"text": ""}, timeout=0)


def test_a_request_that_the_service_refuses_for_its_length(served: Path) -> None:
    with pytest.raises(varlink.Unreachable) as caught:
        varlink.call(served, "io.waguard.test.Echo", {"text": "x" * 1_000_000})
    assert caught.value.errno in (errno.ECONNRESET, errno.EPIPE)


def test_nobody_there(address: Path) -> None:
    with pytest.raises(varlink.Unreachable, match="No such file") as caught:
        varlink.call(address, "a.b")
    assert caught.value.errno == errno.ENOENT
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(address))
    with pytest.raises(varlink.Unreachable) as caught:
        varlink.call(address, "a.b")
    assert caught.value.errno == errno.ECONNREFUSED
    with pytest.raises(varlink.Unreachable) as caught:
        varlink.call("/" + "x" * 200, "a.b")
    assert caught.value.errno == errno.ENAMETOOLONG


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_permission_denied_has_its_number() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        Path(folder).chmod(0o755)
        address = Path(folder, "socket")
        listener.bind(str(address))
        listener.listen()
        address.chmod(0o600)
        os.seteuid(65534)
        try:
            with pytest.raises(varlink.Unreachable) as caught:
                varlink.call(address, "a.b")
        finally:
            os.seteuid(0)
    assert caught.value.errno == errno.EACCES


def test_a_listener_that_never_accepts_is_a_time_out_even_with_a_full_backlog(address: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(1)
        for _ in range(5):
            with pytest.raises(varlink.TimedOut):
                varlink.call(address, "a.b", timeout=0.05)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", varlink.Unreachable),
        (b'{"parameters":', varlink.Unreachable),
        (b"hello\0", varlink.ProtocolError),
        (b'{"parameters": 1}\0', varlink.ProtocolError),
        (b'{"error": 1}\0', varlink.ProtocolError),
        (b'{"continues": 1}\0', varlink.ProtocolError),
        (b'{"continues": true}\0', varlink.ProtocolError),
    ],
)
def test_a_service_that_answers_nonsense(address: Path, answer: bytes, error: type[Exception]) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()

        def serve() -> None:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(error):
            varlink.call(address, "a.b")
        thread.join()


def test_replies_without_parameters_are_empty(address: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()

        def serve() -> None:
            for answer in (b"{}\0", b'{"parameters": null}\0'):
                with listener.accept()[0] as peer:
                    peer.recv(65536)
                    peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert varlink.call(address, "a.b") == {}
        assert varlink.call(address, "a.b") == {}
        thread.join()


def test_an_independent_client_understands_us(served: Path) -> None:
    """The reference binding for Python (PyPI: varlink) reads our interfaces and our replies."""
    reference = pytest.importorskip("varlink", reason="PyPI's varlink is not installed")
    with reference.Client("unix:" + str(served)) as client:
        assert sorted(client.get_interfaces()) == ["io.waguard.test", "org.varlink.service"]
        with client.open("io.waguard.test") as things:
            assert things.Echo("x") == {"text": "x"}
            assert [reply["number"] for reply in things.Count(3, _more=True)] == [1, 2, 3]
            with pytest.raises(reference.VarlinkError) as caught:
                things.Fail()
            assert caught.value.error() == "io.waguard.test.Refused"
