"""The publishers' servers, asked by an ordinary client."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_cloud.publishers import Answer, PublisherFault, Publishers

HOST = "velib.example.org"
URL = f"https://{HOST}/stations.json"


@pytest.fixture
def publishers() -> Iterator[Publishers]:
    with Publishers() as servers:
        yield servers


type Dial = Callable[..., http.client.HTTPSConnection]


@pytest.fixture
def dial(publishers: Publishers) -> Iterator[Dial]:
    """Makes connections to a host through the proxy, and closes them."""
    context = ssl.create_default_context(cafile=str(publishers.ca_file))
    with contextlib.ExitStack() as stack:

        def connection(host: str = HOST) -> http.client.HTTPSConnection:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", publishers.port, context=context, timeout=5
            )
            connection.set_tunnel(host, 443)
            stack.callback(connection.close)
            return connection

        yield connection


def get(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    return response.status, response.read()


def test_an_exact_url_goes_before_its_path(publishers: Publishers, dial: Dial) -> None:
    publishers.serve(URL, Answer(b"any"))
    publishers.serve(f"{URL}?page=2", Answer(b"two"))
    connection = dial()
    assert get(connection, "/stations.json?page=1") == (200, b"any")
    assert get(connection, "/stations.json?page=2") == (200, b"two")
    assert get(connection, "/elsewhere")[0] == 404


def test_one_answer_a_request_the_last_again_and_again(publishers: Publishers, dial: Dial) -> None:
    publishers.serve_sequence(URL, [Answer(status=503), Answer(b"a"), Answer(b"b")])
    connection = dial()
    seen = [get(connection, "/stations.json") for _ in range(4)]
    assert seen == [(503, b""), (200, b"a"), (200, b"b"), (200, b"b")]
    publishers.serve(URL, Answer(b"c"))
    assert get(connection, "/stations.json") == (200, b"c")


def test_requests_are_noted(publishers: Publishers, dial: Dial) -> None:
    publishers.serve(URL, Answer(b"a"))
    get(dial(), "/stations.json?x=1", {"X-Tried": "yes"})
    (seen,) = publishers.requests
    assert (seen.method, seen.url) == ("GET", f"{URL}?x=1")
    assert seen.headers["x-tried"] == "yes"
    assert seen.time.utcoffset() is not None


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_file_is_streamed_and_tagged(
    publishers: Publishers, dial: Dial, tmp_path: Path, framing: str
) -> None:
    body = bytes(range(256)) * 1000
    file = tmp_path / "stations.bin"
    file.write_bytes(body)
    publishers.serve(URL, Answer(file, framing=framing))  # type: ignore[arg-type]
    connection = dial()
    connection.request("GET", "/stations.json")
    response = connection.getresponse()
    assert response.read() == body
    tag = response.getheader("ETag", "")
    assert get(dial(), "/stations.json", {"If-None-Match": tag}) == (304, b"")
    file.write_bytes(body + b"more")
    assert get(dial(), "/stations.json", {"If-None-Match": tag})[0] == 200


def test_head_has_no_body(publishers: Publishers, dial: Dial) -> None:
    publishers.serve(URL, Answer(b"four"))
    connection = dial()
    connection.request("HEAD", "/stations.json")
    response = connection.getresponse()
    assert (response.getheader("Content-Length"), response.read()) == ("4", b"")
    assert get(connection, "/stations.json") == (200, b"four")


def test_an_unknown_host_is_no_ones(publishers: Publishers, dial: Dial) -> None:
    publishers.serve(URL, Answer(b"a"))
    with pytest.raises(OSError, match="502"):
        get(dial("unknown.example.org"), "/")
    assert publishers.requests == []


@pytest.mark.parametrize("url", ["http://velib.example.org/", "velib.example.org/x", "https:///x"])
def test_only_https_urls_are_served(publishers: Publishers, url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        publishers.serve(url, Answer(b"a"))


def test_cut_and_reset_are_different_ends(publishers: Publishers, dial: Dial) -> None:
    publishers.serve(URL, Answer(bytes(1000), fault=PublisherFault.cut(10)))
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(dial(), "/stations.json")
    assert len(cut.value.partial) == 10
    publishers.serve(URL, Answer(bytes(1000), fault=PublisherFault.reset(10)))
    with pytest.raises(ConnectionResetError):
        get(dial(), "/stations.json")


def test_a_wrong_length_is_what_it_says(publishers: Publishers, dial: Dial) -> None:
    publishers.serve(URL, Answer(b"four", fault=PublisherFault.wrong_length(-1)))
    assert get(dial(), "/stations.json") == (200, b"fou")


def test_stop_ends_a_stalled_answer(publishers: Publishers, dial: Dial) -> None:
    publishers.serve(URL, Answer(bytes(1000), fault=PublisherFault.stall(10)))
    connection = dial()
    connection.request("GET", "/stations.json")
    response = connection.getresponse()
    assert response.read(10) == bytes(10)
    stopper = threading.Thread(target=publishers.stop)
    stopper.start()
    with contextlib.suppress(OSError):
        assert response.read(1) == b""
    stopper.join(5)
    assert not stopper.is_alive()


def test_many_clients_at_once(publishers: Publishers, dial: Dial) -> None:
    publishers.serve(URL, Answer(bytes(100_000)))
    seen: list[tuple[int, bytes]] = []
    threads = [
        threading.Thread(target=lambda: seen.append(get(dial(), "/stations.json")))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == [(200, bytes(100_000))] * 16


def test_a_client_that_goes_away_harms_no_one(
    publishers: Publishers, dial: Dial, capfd: pytest.CaptureFixture[str]
) -> None:
    publishers.serve(URL, Answer(bytes(5_000_000)))
    for _ in range(3):
        connection = dial()
        connection.request("GET", "/stations.json")
        connection.getresponse().read(1)
        connection.close()
    with socket.create_connection(("127.0.0.1", publishers.port)) as sock:
        sock.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\nnot tls at all\r\n\r\n".encode())
    assert get(dial(), "/stations.json")[0] == 200
    publishers.stop()
    assert capfd.readouterr().err == ""


def test_the_port_can_be_chosen_and_is_free_again(publishers: Publishers) -> None:
    port = publishers.port
    publishers.stop()
    with Publishers(port) as again:
        assert again.proxy_url == f"http://127.0.0.1:{port}"
        assert again.env["HTTPS_PROXY"] == again.proxy_url
    with pytest.raises(RuntimeError, match="start"):
        _ = publishers.port
