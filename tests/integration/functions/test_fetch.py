"""Fetching, against the publishers' servers: what is let through, what is refused, what is tried
again.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import gzip
import itertools
import socket
import threading
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from functions.download import http as fetching
from functions.download.http import (
    CHUNK_BYTES,
    FetchFailedError,
    FetchRefusedError,
    Limits,
    Network,
    Response,
    Validators,
    fetch,
    is_public,
)
from local_cloud.publishers import Answer, PublisherFault, Publishers

HOST = "opendata.paris.fr"
URL = f"https://{HOST}/api/explore/v2.1/export?lang=fr"
OTHER = "https://other.example.org/data.csv"
HOSTS = frozenset({HOST})
LIMITS = Limits(max_bytes=2_000_000, max_decoded_bytes=4_000_000)
CSV = b"Code Site;Nom du site\r\nPW0134;BIB CHARLOTTE DELBO\r\n" * 2000
PACKED = {"Content-Encoding": "gzip"}
DATE = "Thu, 05 Jun 2025 02:10:00 GMT"


def read(url: str = URL, limits: Limits = LIMITS, network: Network | None = None) -> bytes:
    with fetch(url, hosts=HOSTS, limits=limits, network=network) as response:
        return b"".join(response.chunks())


@dataclass(frozen=True)
class Good:
    name: str
    answer: Answer
    body: bytes = CSV


GOOD = [
    Good("length", Answer(CSV)),
    Good("chunked", Answer(CSV, framing="chunked")),
    Good("ends with the connection", Answer(CSV, framing="close")),
    Good("empty", Answer(b""), b""),
    Good("gzip", Answer(gzip.compress(CSV), headers=PACKED)),
    Good("gzip chunked", Answer(gzip.compress(CSV), headers=PACKED, framing="chunked")),
    Good("x-gzip", Answer(gzip.compress(CSV), headers={"Content-Encoding": "x-gzip"})),
    Good("gzip members", Answer(gzip.compress(CSV) + gzip.compress(b"z"), headers=PACKED), CSV + b"z"),
    Good("gzip padded", Answer(gzip.compress(CSV) + bytes(512), headers=PACKED)),
    Good("gzip of nothing", Answer(gzip.compress(b""), headers=PACKED), b""),
    Good("a .gz file stays packed", Answer(gzip.compress(CSV, mtime=0)), gzip.compress(CSV, mtime=0)),
    Good("just at the bound", Answer(b"x" * 2_000_000), b"x" * 2_000_000),
]  # fmt: skip


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_body_arrives_whole(publishers: Publishers, case: Good) -> None:
    publishers.serve(URL, case.answer)
    assert read() == case.body


@dataclass(frozen=True)
class Bad:
    name: str
    error: type[FetchRefusedError | FetchFailedError]
    reason: str
    answer: Answer
    limits: Limits = LIMITS
    retry_after: float | None = None


def to(location: str, status: int = 302) -> Answer:
    return Answer(status=status, headers={"Location": location})


TIGHT = Limits(max_bytes=1000, max_decoded_bytes=2000)
BRISK = Limits(max_bytes=2_000_000, max_decoded_bytes=4_000_000, seconds=0.5)
IMPATIENT = replace(LIMITS, read_seconds=0.3)
ZEROS = gzip.compress(bytes(3_900_000))
NOISE = gzip.compress(b"".join(i.to_bytes(4) for i in range(0, 400_000_000, 7919)))

BAD = [
    Bad("401", FetchRefusedError, "not authorised", Answer(status=401)),
    Bad("403", FetchRefusedError, "not authorised", Answer(status=403)),
    Bad("404", FetchRefusedError, "not found", Answer(status=404)),
    Bad("410", FetchRefusedError, "not found", Answer(status=410)),
    Bad("400", FetchRefusedError, "status", Answer(status=400)),
    Bad("204", FetchRefusedError, "status", Answer(status=204)),
    Bad("304 unasked", FetchRefusedError, "status", Answer(status=304)),
    Bad("429", FetchFailedError, "throttled", Answer(status=429)),
    Bad("429 seconds", FetchFailedError, "throttled",
        Answer(status=429, headers={"Retry-After": "120"}), retry_after=120.0),
    Bad("429 nonsense", FetchFailedError, "throttled", Answer(status=429, headers={"Retry-After": "soon"})),
    Bad("429 long ago", FetchFailedError, "throttled",
        Answer(status=429, headers={"Retry-After": DATE}), retry_after=0.0),
    Bad("503 seconds", FetchFailedError, "unavailable",
        Answer(status=503, headers={"Retry-After": "30"}), retry_after=30.0),
    Bad("500", FetchFailedError, "unavailable", Answer(status=500)),
    Bad("502", FetchFailedError, "unavailable", Answer(status=502)),
    Bad("408", FetchFailedError, "unavailable", Answer(status=408)),
    Bad("redirect to another host", FetchRefusedError, "host not allowed", to(OTHER)),
    Bad("redirect down to http", FetchRefusedError, "not https", to(f"http://{HOST}/x")),
    Bad("redirect to loopback", FetchRefusedError, "private address", to("https://127.0.0.1/x")),
    Bad("redirect to the metadata server", FetchRefusedError, "private address",
        to("https://169.254.169.254/computeMetadata/v1/")),
    Bad("redirect to IPv6 loopback", FetchRefusedError, "private address", to("https://[::1]/")),
    Bad("redirect to a port", FetchRefusedError, "bad url", to(f"https://{HOST}:8443/")),
    Bad("redirect with a user", FetchRefusedError, "bad url", to(f"https://a:b@{HOST}/")),
    Bad("redirect to a file", FetchRefusedError, "not https", to("file:///etc/passwd")),
    Bad("redirect to nonsense", FetchRefusedError, "bad redirect", to("https://[x")),
    Bad("redirect to nowhere", FetchRefusedError, "bad redirect", Answer(status=302)),
    Bad("redirect in a circle", FetchRefusedError, "too many redirects", to(URL)),
    Bad("too large by header", FetchRefusedError, "too large", Answer(CSV, fault=PublisherFault.stall()), TIGHT),
    Bad("too large by stream", FetchRefusedError, "too large", Answer(CSV, framing="chunked"),
        replace(TIGHT, max_decoded_bytes=4_000_000)),
    Bad("too large decoded", FetchRefusedError, "too large",
        Answer(gzip.compress(CSV), headers=PACKED), replace(TIGHT, max_bytes=100_000)),
    Bad("bomb", FetchRefusedError, "decompression ratio", Answer(ZEROS, headers=PACKED)),
    Bad("brotli", FetchRefusedError, "encoding", Answer(CSV, headers={"Content-Encoding": "br"})),
    Bad("gzip in name only", FetchRefusedError, "encoding", Answer(CSV, headers=PACKED)),
    Bad("truncated gzip", FetchFailedError, "cut body", Answer(NOISE[:-4], headers=PACKED)),
    Bad("gzip with nothing in it", FetchFailedError, "cut body", Answer(b"", headers=PACKED)),
    Bad("gzip with a wrong sum", FetchFailedError, "corrupt body",
        Answer(NOISE[:-8] + bytes(8), headers=PACKED)),
    Bad("gzip with a tail", FetchFailedError, "corrupt body", Answer(NOISE + b"<html>", headers=PACKED)),
    Bad("cut before its length", FetchFailedError, "cut body", Answer(CSV, fault=PublisherFault.cut(5000))),
    Bad("cut politely before its length", FetchFailedError, "cut body",
        Answer(CSV, fault=PublisherFault.cut(5000, goodbye=True))),
    Bad("cut politely between chunks", FetchFailedError, "cut body",
        Answer(CSV, fault=PublisherFault.cut(5000, goodbye=True), framing="chunked")),
    Bad("cut at once", FetchFailedError, "cut body", Answer(CSV, fault=PublisherFault.cut(0))),
    Bad("cut between chunks", FetchFailedError, "cut body",
        Answer(CSV, fault=PublisherFault.cut(5000), framing="chunked")),
    Bad("cut with no length", FetchFailedError, "cut body",
        Answer(CSV, fault=PublisherFault.cut(5000), framing="close")),
    Bad("length too long", FetchFailedError, "cut body", Answer(CSV, fault=PublisherFault.wrong_length(10))),
    Bad("gzip's length too short", FetchFailedError, "cut body",
        Answer(NOISE, headers=PACKED, fault=PublisherFault.wrong_length(-9))),
    Bad("reset in mid-body", FetchFailedError, "connection", Answer(CSV, fault=PublisherFault.reset(5000))),
    Bad("drip", FetchFailedError, "too slow", Answer(CSV, fault=PublisherFault.drip(50)), BRISK),
    Bad("headers that drip", FetchFailedError, "too slow", Answer(fault=PublisherFault.drip_headers(50)), BRISK),
    Bad("stall up to the deadline", FetchFailedError, "too slow", Answer(CSV, fault=PublisherFault.stall(5000)), BRISK),
    Bad("silence", FetchFailedError, "timed out", Answer(CSV, fault=PublisherFault.stall(5000)), IMPATIENT),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_named_reason(publishers: Publishers, case: Bad) -> None:
    publishers.serve(URL, case.answer)
    with pytest.raises(case.error) as caught:
        read(limits=case.limits)
    assert isinstance(caught.value, FetchRefusedError | FetchFailedError)
    assert caught.value.reason == case.reason
    assert getattr(caught.value, "retry_after", None) == case.retry_after


def test_an_error_names_the_place_and_keeps_the_query_to_itself(publishers: Publishers) -> None:
    publishers.serve(URL, Answer(CSV, fault=PublisherFault.reset(0)))
    for url in (f"{URL}&apikey=s3cret", f"https://{HOST}/gone?apikey=s3cret"):
        with pytest.raises((FetchRefusedError, FetchFailedError)) as caught:
            read(url)
        assert HOST in str(caught.value)
        assert "s3cret" not in str(caught.value)


def test_retry_after_as_a_date_counts_from_the_servers_clock(publishers: Publishers) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=90)
    date = email.utils.format_datetime(later, usegmt=True)
    publishers.serve(URL, Answer(status=503, headers={"Retry-After": date}))
    with pytest.raises(FetchFailedError) as caught:
        read()
    assert caught.value.retry_after == pytest.approx(90, abs=5)


def test_validators_go_and_come(publishers: Publishers) -> None:
    publishers.serve(URL, Answer(CSV, headers={"Last-Modified": DATE, "X-Rows": "4000"}))
    with fetch(URL, hosts=HOSTS, limits=LIMITS) as first:
        assert (first.status, first.url, first.headers["x-rows"]) == (200, URL, "4000")
        held = first.validators
    for validators in (held, Validators(None, held.last_modified)):
        with fetch(URL, hosts=HOSTS, limits=LIMITS, validators=validators) as second:
            assert (second.status, list(second.chunks())) == (304, [])
    publishers.serve(URL, Answer(CSV + b"new"))
    with fetch(URL, hosts=HOSTS, limits=LIMITS, validators=held) as third:
        assert (third.status, b"".join(third.chunks())) == (200, CSV + b"new")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_hosts_is_followed(publishers: Publishers, status: int) -> None:
    publishers.serve(URL, to("../exports/été.csv#top", status))
    publishers.serve(f"https://{HOST}/api/explore/exports/%C3%A9t%C3%A9.csv", Answer(CSV))
    with fetch(URL, hosts=HOSTS, limits=LIMITS) as response:
        assert b"".join(response.chunks()) == CSV
        assert response.url == f"https://{HOST}/api/explore/exports/%C3%A9t%C3%A9.csv"


def test_secrets_stay_with_the_host_they_were_given_for(publishers: Publishers) -> None:
    publishers.serve(URL, to(OTHER))
    publishers.serve(OTHER, Answer(CSV))
    secret = {"X-API-Key": "s3cret", "Authorization": "Bearer s3cret", "Accept": "text/csv"}
    allowed = HOSTS | {"other.example.org"}
    with fetch(URL, hosts=allowed, limits=LIMITS, headers=secret) as response:
        assert b"".join(response.chunks()) == CSV
    here, there = (request.headers for request in publishers.requests)
    assert (here["x-api-key"], here["accept"]) == ("s3cret", "text/csv")
    assert there["accept"] == "text/csv"
    assert not {"x-api-key", "authorization"} & set(there)
    assert there["user-agent"].startswith("citypulse/")
    assert there["accept-encoding"] == "gzip, identity"


def test_memory_is_bounded_by_a_chunk(publishers: Publishers) -> None:
    publishers.serve(URL, Answer(ZEROS, headers=PACKED))
    limits = replace(LIMITS, max_ratio=2000)
    with fetch(URL, hosts=HOSTS, limits=limits) as response:
        sizes = [len(chunk) for chunk in response.chunks()]
    assert sum(sizes) == 3_900_000
    assert max(sizes) <= CHUNK_BYTES


def test_an_abandoned_body_ends_the_connection_and_the_timer(publishers: Publishers) -> None:
    publishers.serve(URL, Answer(CSV, fault=PublisherFault.stall(5000)))
    before = set(threading.enumerate())
    with fetch(URL, hosts=HOSTS, limits=LIMITS) as response:
        next(response.chunks())
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(2)
    assert [thread for thread in left if thread.is_alive()] == []


def test_the_clock_given_ends_the_fetch(publishers: Publishers) -> None:
    publishers.serve(URL, Answer(CSV, framing="chunked"))
    ticks = itertools.chain([0.0] * 6, itertools.repeat(401.0))
    with (
        pytest.raises(FetchFailedError) as caught,
        fetch(URL, hosts=HOSTS, limits=LIMITS, now=lambda: next(ticks)) as response,
    ):
        list(response.chunks())
    assert caught.value.reason == "too slow"


URLS = [
    ("http://opendata.paris.fr/x", "not https"),
    ("opendata.paris.fr/x", "not https"),
    ("ftp://opendata.paris.fr/x", "not https"),
    ("", "not https"),
    ("https://evil.example.org/x", "host not allowed"),
    ("https://opendata.paris.fr.evil.example.org/", "host not allowed"),
    ("https://evil.example.org\\@opendata.paris.fr/", "host not allowed"),
    ("https://opendata.paris.fr:8443/", "bad url"),
    ("https://opendata.paris.fr@127.0.0.1/", "bad url"),
    ("https://[fe80::1%25eth0]/", "private address"),
    ("https://[::ffff:169.254.169.254]/", "private address"),
    ("https:///x", "bad url"),
    ("https://10.0.0.1/", "private address"),
    ("https://8.8.8.8/", "host not allowed"),
    ("https://opendata.paris.fr:port/", "bad url"),
]


@pytest.mark.parametrize(("url", "reason"), URLS)
def test_a_url_that_is_not_the_contracts_is_never_asked(url: str, reason: str) -> None:
    def never(*_: object) -> str:
        raise AssertionError("the network was touched")

    with pytest.raises(FetchRefusedError) as caught:
        read(url, network=Network(proxy=never))
    assert caught.value.reason == reason


ADDRESSES = {
    "8.8.8.8": True,
    "2606:4700::1111": True,
    "64:ff9b::808:808": True,
    "64:ff9b::a9fe:a9fe": False,
    "::ffff:8.8.8.8": True,
    "::ffff:10.0.0.1": False,
    "2002:a9fe:a9fe::1": False,
    "10.1.2.3": False,
    "172.16.0.1": False,
    "192.168.1.1": False,
    "100.64.0.1": False,
    "127.0.0.1": False,
    "0.0.0.0": False,
    "169.254.169.254": False,
    "224.0.0.1": False,
    "255.255.255.255": False,
    "::": False,
    "::1": False,
    "fe80::1%eth0": False,
    "fd20:ce::254": False,
    "ff02::1": False,
}


@pytest.mark.parametrize(("address", "public"), ADDRESSES.items())
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


@dataclass
class Wire:
    """A network without a proxy whose every connection ends at `host`'s site."""

    publishers: Publishers
    host: str
    asked: list[str] = field(default_factory=list)
    dead: frozenset[str] = frozenset()

    def network(self, resolve: Callable[[str], list[str]]) -> Network:
        return Network(proxy=lambda _: None, resolve=resolve, connect=self.connect)

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        self.asked.append(f"{address}:{port}")
        if address in self.dead:
            raise TimeoutError("timed out")
        sock = socket.create_connection(("127.0.0.1", self.publishers.port), timeout=seconds)
        sock.sendall(f"CONNECT {self.host}:443 HTTP/1.1\r\n\r\n".encode())
        reply = b""
        while not reply.endswith(b"\r\n\r\n"):
            reply += sock.recv(1)
        return sock


RESOLVED = [
    ["127.0.0.1"],
    ["10.0.0.7"],
    ["169.254.169.254"],
    ["fe80::1%eth0"],
    ["::1"],
    ["8.8.8.8", "192.168.0.1"],
    ["2606:4700::1111", "fd00::1"],
]


@pytest.mark.parametrize("addresses", RESOLVED, ids=str)
def test_without_a_proxy_one_private_address_refuses(
    publishers: Publishers, addresses: list[str]
) -> None:
    publishers.serve(URL, Answer(CSV))
    wire = Wire(publishers, HOST)
    with pytest.raises(FetchRefusedError) as caught:
        read(network=wire.network(lambda _: addresses))
    assert caught.value.reason == "private address"
    assert wire.asked == []


def test_without_a_proxy_the_checked_address_is_the_one_connected_to(
    publishers: Publishers,
) -> None:
    publishers.serve(URL, Answer(CSV))
    wire = Wire(publishers, HOST, dead=frozenset({"2606:4700::1111"}))
    answers = iter([["2606:4700::1111", "8.8.8.8"], ["127.0.0.1"]])
    assert read(network=wire.network(lambda _: next(answers))) == CSV
    assert wire.asked == ["2606:4700::1111:443", "8.8.8.8:443"]


def test_without_a_proxy_each_hop_is_resolved_and_checked(publishers: Publishers) -> None:
    publishers.serve(URL, to(f"https://{HOST}/next"))
    publishers.serve(f"https://{HOST}/next", Answer(CSV))
    wire = Wire(publishers, HOST)
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])
    with pytest.raises(FetchRefusedError) as caught:
        read(network=wire.network(lambda _: next(answers)))
    assert caught.value.reason == "private address"
    assert wire.asked == ["8.8.8.8:443"]


def test_a_certificate_for_another_host_is_refused(publishers: Publishers) -> None:
    publishers.serve(URL, Answer(CSV))
    publishers.serve(OTHER, Answer(CSV))
    wire = Wire(publishers, "other.example.org")
    with pytest.raises(FetchRefusedError) as caught:
        read(network=wire.network(lambda _: ["8.8.8.8"]))
    assert caught.value.reason == "tls"
    assert publishers.requests == []


def test_an_unknown_authority_is_refused(
    publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishers.serve(URL, Answer(CSV))
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(FetchRefusedError) as caught:
        read()
    assert caught.value.reason == "tls"
    assert publishers.requests == []


def test_no_address_and_no_connection_are_tried_again(publishers: Publishers) -> None:
    def none(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    dead = Wire(publishers, HOST, dead=frozenset({"8.8.8.8"}))
    for network, reason in (
        (dead.network(none), "no address"),
        (dead.network(lambda _: []), "no address"),
        (dead.network(lambda _: ["8.8.8.8"]), "connection"),
        (Network(proxy=lambda _: "http://127.0.0.1:1"), "proxy"),
        (Network(proxy=lambda _: "ftp://proxy"), "proxy"),
    ):
        with pytest.raises(FetchFailedError) as caught:
            read(network=network)
        assert caught.value.reason == reason
        assert HOST in str(caught.value)


def test_a_host_the_proxy_cannot_reach_is_tried_again(publishers: Publishers) -> None:
    unserved = frozenset({"unserved.example.org"})
    with (
        pytest.raises(FetchFailedError, match="502") as caught,
        fetch("https://unserved.example.org/", hosts=unserved, limits=LIMITS),
    ):
        pass
    assert caught.value.reason == "proxy"


def test_the_environment_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert fetching.environment_proxy(HOST) is None
    monkeypatch.setenv("HTTPS_PROXY", "egress:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,.example.org")
    assert fetching.environment_proxy(HOST) == "http://egress:3128"
    assert fetching.environment_proxy("data.example.org") is None


def test_the_version_told_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == fetching.VERSION
    assert fetching.USER_AGENT.startswith(f"citypulse/{fetching.VERSION} ")


def test_a_response_hides_its_body_from_logs() -> None:
    assert "_body" not in repr(Response(URL, 200, {}, iter(())))
