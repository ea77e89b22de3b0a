"""The one place that talks HTTP to a publisher: streamed, bounded in bytes and time, and unable to
reach anything but the hosts a contract names.

Two ways out of a failure: `FetchRefusedError` will be the same on the next try, `FetchFailedError` may not be.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import urllib3
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError, ProxyError
from urllib3.exceptions import TimeoutError as HTTPTimeout
from urllib3.util import Timeout, Url, make_headers, parse_url

VERSION = "0.1.0"

USER_AGENT = f"citypulse/{VERSION} (+open city data pipeline; conditional requests, one run a tick)"

CHUNK_BYTES = 256 * 1024

_READ_BYTES = 64 * 1024

# A ratio says nothing yet about a file this small: a header repeated a few times packs very well.
_RATIO_FLOOR_BYTES = 1024 * 1024

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_TRY_LATER = frozenset({408, 425, 429})

_HEADERS_ACROSS_HOSTS = frozenset({"accept", "accept-language", "user-agent"})

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

RefusedReason = Literal[
    "bad url",
    "not https",
    "host not allowed",
    "private address",
    "bad redirect",
    "too many redirects",
    "tls",
    "not authorised",
    "not found",
    "status",
    "too large",
    "decompression ratio",
    "encoding",
]

FailedReason = Literal[
    "no address",
    "connection",
    "proxy",
    "timed out",
    "too slow",
    "cut body",
    "corrupt body",
    "throttled",
    "unavailable",
]


class FetchRefusedError(Exception):
    """The publisher's answer, or the way to it, breaks a rule: trying again changes nothing.

    `reason` is one of `RefusedReason`; the message names the place, what was seen and the way out.
    """

    def __init__(self, reason: RefusedReason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason: RefusedReason = reason


class FetchFailedError(Exception):
    """The publisher could not be read this time; a later try may succeed.

    `reason` is one of `FailedReason`; `retry_after` is the wait in seconds the publisher asked for,
    None when it asked for none. The message names the place, what was seen and the way out.
    """

    def __init__(
        self, reason: FailedReason, sentence: str, retry_after: float | None = None
    ) -> None:
        super().__init__(sentence)
        self.reason: FailedReason = reason
        self.retry_after = retry_after


@dataclass(frozen=True)
class Limits:
    """What one fetch may cost, redirects included.

    `max_bytes` counts bytes on the wire, `max_decoded_bytes` bytes after gzip, `max_ratio` the
    second over the first. `seconds` runs from the call to the last chunk taken, the time of whoever
    takes the chunks included. `connect_seconds` is for one address, `read_seconds` for one silence.
    """

    max_bytes: int
    max_decoded_bytes: int
    max_ratio: float = 200.0
    seconds: float = 400.0
    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    max_redirects: int = 5


@dataclass(frozen=True)
class Validators:
    """What the publisher said of the copy we hold, sent back to ask for it only if it changed."""

    etag: str | None
    last_modified: str | None


@dataclass(frozen=True)
class Network:
    """How a host is reached.

    `proxy(host)` gives the proxy's URL or None; `resolve(host)` gives addresses as text and raises
    `OSError` when there are none; `connect(address, port, seconds)` gives a connected socket.

    Through a proxy the proxy resolves, so it is the proxy's rules that keep private addresses out.
    Without one, every address of the host must be public and the connection goes to one of exactly
    those addresses: a name that changes its answer between check and use gains nothing.
    """

    proxy: Callable[[str], str | None] = field(default_factory=lambda: environment_proxy)
    resolve: Callable[[str], Sequence[str]] = field(default_factory=lambda: resolve_host)
    connect: Callable[[str, int, float], socket.socket] = field(
        default_factory=lambda: connect_address
    )


@dataclass
class Response:
    """A publisher's answer: the final `url`, `status` 200 or 304, and `headers` in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    _body: Iterator[bytes] = field(repr=False)

    def chunks(self) -> Iterator[bytes]:
        """Return the decoded body, once, in pieces of at most `CHUNK_BYTES`; nothing for a 304.

        Raises `FetchRefusedError` or `FetchFailedError` while streaming: the pieces before are no file.
        """
        return self._body

    @property
    def validators(self) -> Validators:
        """What to send with the next request for the same URL."""
        return Validators(self.headers.get("etag"), self.headers.get("last-modified"))


@contextlib.contextmanager
def fetch(
    url: str,
    *,
    hosts: frozenset[str],
    limits: Limits,
    validators: Validators | None = None,
    headers: Mapping[str, str] | None = None,
    now: Callable[[], float] = time.monotonic,
    network: Network | None = None,
) -> Iterator[Response]:
    """GET `url` over HTTPS and give its response, whose body is read inside the `with`.

    Only `hosts` get requests, at every hop of a redirect. `headers` of the caller's are not sent
    to another host, except the ones that say who asks and in what language. TLS trusts what
    `SSL_CERT_FILE` or the system says. Raises `FetchRefusedError` and `FetchFailedError`.
    """
    with _Deadline(limits.seconds, now) as deadline:
        journey = _Journey(hosts, limits, deadline, network or Network())
        target, raw = journey.follow(url, _request_headers(validators, headers))
        try:
            _check_status(raw, target, conditional=validators is not None)
            found = {name.lower(): value for name, value in raw.headers.items()}
            yield Response(target.url, raw.status, found, _body(raw, target, limits, deadline))
        finally:
            raw.close()


def environment_proxy(host: str) -> str | None:
    """Return the egress proxy of `HTTPS_PROXY` for `host`; None without one or by `NO_PROXY`."""
    if urllib.request.proxy_bypass(host):
        return None
    proxy = urllib.request.getproxies().get("https")
    if proxy and "://" not in proxy:
        return f"http://{proxy}"
    return proxy or None


def resolve_host(host: str) -> list[str]:
    """Every address the system's resolver has for `host`; raises `socket.gaierror` for none."""
    found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def connect_address(address: str, port: int, seconds: float) -> socket.socket:
    """Open a TCP connection to a literal address; raise `OSError`."""
    return socket.create_connection((address, port), timeout=seconds)


def is_public(address: str) -> bool:
    """Whether a literal address is one of the public internet, also inside IPv6's ways to carry
    IPv4 (mapped, 6to4, NAT64). Raises `ValueError` for what is not an address.
    """
    ip = ipaddress.ip_address(address)
    if not ip.is_global or ip.is_multicast:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return True
    inner = ip.ipv4_mapped or ip.sixtofour
    if ip in _NAT64:
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return inner is None or is_public(str(inner))


def _request_headers(
    validators: Validators | None, extra: Mapping[str, str] | None
) -> dict[str, str]:
    headers = {"user-agent": USER_AGENT, "accept": "*/*"}
    headers.update({name.lower(): value for name, value in (extra or {}).items()})
    headers["accept-encoding"] = "gzip, identity"
    if validators and validators.etag:
        headers["if-none-match"] = validators.etag
    if validators and validators.last_modified:
        headers["if-modified-since"] = validators.last_modified
    return headers


@dataclass(frozen=True)
class _Target:
    """A URL that has passed the rules; `place` is how messages name it, without its query."""

    parsed: Url
    host: str

    @property
    def url(self) -> str:
        """The whole address."""
        return self.parsed.url

    @property
    def place(self) -> str:
        """Host and path, without what may be secret in a query."""
        return f"https://{self.parsed.host}{self.parsed.path or '/'}"


class _Deadline:
    """The end of the whole fetch. The clock given decides; a timer wakes what hangs in a read.

    A silent server is caught by the read timeout, but one that drips a byte a second into its
    headers or the TLS handshake is not: there the timer shuts the connection down.
    """

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._seconds = seconds
        self._now = now
        self._end = now() + seconds
        self._lock = threading.Lock()
        self._fired = False
        self._watched: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._drop()

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return self._fired or self._now() >= self._end

    @property
    def remaining(self) -> float:
        # Never 0: to a socket that means "do not block".
        """Seconds that are left, never 0."""
        return max(self._end - self._now(), 0.001)

    def check(self, target: _Target) -> None:
        """Raise FetchFailedError once the time is over."""
        if self.passed:
            raise FetchFailedError(
                "too slow",
                f"{target.place}: not finished within {self._seconds:g} s; it is tried again, and "
                "a source that is always this slow needs slices or another URL in its contract",
            )

    def watch(self, sock: socket.socket) -> None:
        # A duplicate, because TLS takes the descriptor out of the socket it wraps.
        """Shut a connection down when the time is over."""
        with self._lock:
            self._drop()
            self._watched = sock.dup()
            if self._fired:
                self._shut()

    def _fire(self) -> None:
        with self._lock:
            self._fired = True
            self._shut()

    def _shut(self) -> None:
        if self._watched is not None:
            with contextlib.suppress(OSError):
                self._watched.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._watched is not None:
            self._watched.close()
            self._watched = None


@dataclass(frozen=True)
class _Journey:
    """From the first URL over its redirects to the answer, each hop under the same rules."""

    hosts: frozenset[str]
    limits: Limits
    deadline: _Deadline
    network: Network

    def follow(self, url: str, headers: dict[str, str]) -> tuple[_Target, urllib3.BaseHTTPResponse]:
        """Follow all redirects, each checked like the first; return the last target and answer."""
        context = _tls_context()
        target = _checked(url, self.hosts)
        for _ in range(self.limits.max_redirects + 1):
            raw = self._get(target, headers, context)
            if raw.status not in _REDIRECTS:
                return target, raw
            location = raw.headers.get("location")
            raw.close()
            following = _redirected(target, location, self.hosts)
            if following.host != target.host:
                headers = {k: v for k, v in headers.items() if _goes_along(k)}
            target = following
        raise FetchRefusedError(
            "too many redirects",
            f"{target.place}: still redirected after {self.limits.max_redirects} hops; "
            "put the final URL into the contract",
        )

    def _get(
        self, target: _Target, headers: dict[str, str], context: ssl.SSLContext
    ) -> urllib3.BaseHTTPResponse:
        self.deadline.check(target)
        left = self.deadline.remaining
        timeout = Timeout(
            connect=min(self.limits.connect_seconds, left), read=min(self.limits.read_seconds, left)
        )
        manager = self._manager(target, context)
        try:
            return manager.urlopen(
                "GET",
                target.url,
                headers=headers,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as error:
            raise _unreached(error, target, self.deadline) from error

    def _manager(self, target: _Target, context: ssl.SSLContext) -> urllib3.PoolManager:
        proxy = self.network.proxy(target.host)
        if proxy:
            manager: urllib3.PoolManager = _proxy_manager(proxy, target, context)
            dial = None
        else:
            addresses = _public_addresses(target, self.network.resolve)
            manager = urllib3.PoolManager(ssl_context=context)

            def dial() -> socket.socket:
                """Connect to one of the addresses that were checked."""
                return self._dial(target, addresses)

        manager.pool_classes_by_scheme = {
            "http": urllib3.HTTPConnectionPool,
            "https": _pool_class(self.deadline, dial),
        }
        return manager

    def _dial(self, target: _Target, addresses: Sequence[str]) -> socket.socket:
        """Connect to the first checked address that accepts; never look a name up."""
        refusals = []
        for address in addresses:
            self.deadline.check(target)
            seconds = min(self.limits.connect_seconds, self.deadline.remaining)
            try:
                return self.network.connect(address, 443, seconds)
            except OSError as error:
                refusals.append(f"{address}: {error}")
        raise OSError("; ".join(refusals))


def _goes_along(header: str) -> bool:
    conditional = header in {"if-none-match", "if-modified-since", "accept-encoding"}
    return conditional or header in _HEADERS_ACROSS_HOSTS


def _checked(url: str, hosts: frozenset[str]) -> _Target:
    # urllib3's own parser, so that what is checked is what is connected to.
    try:
        parsed = parse_url(url)
    except LocationParseError as error:
        raise FetchRefusedError(
            "bad url", "the URL cannot be read; correct it in the contract"
        ) from error
    if parsed.scheme != "https":
        raise FetchRefusedError(
            "not https",
            f"{parsed.scheme}://{parsed.host}{parsed.path or '/'}: only https is fetched; "
            "ask the publisher for its https address",
        )
    if not parsed.host or parsed.auth or parsed.port not in (None, 443):
        raise FetchRefusedError(
            "bad url",
            f"https://{parsed.host}{parsed.path or '/'}: a host, no user and no port but 443 are "
            "expected; correct the URL in the contract",
        )
    target = _Target(parsed._replace(fragment=None), parsed.host.strip("[]"))
    _refuse_private_literal(target)
    if target.host not in {host.lower() for host in hosts}:
        raise FetchRefusedError(
            "host not allowed",
            f"{target.place}: host {target.host} is not among the contract's hosts "
            f"({', '.join(sorted(hosts))}); add it there if it is the publisher's",
        )
    return target


def _refuse_private_literal(target: _Target) -> None:
    try:
        # An IPv6 zone may be percent-encoded in a URL.
        public = is_public(urllib.parse.unquote(target.host))
    except ValueError:
        return
    if not public:
        raise _private(target, target.host)


def _private(target: _Target, address: str) -> FetchRefusedError:
    return FetchRefusedError(
        "private address",
        f"{target.place}: {address} is not an address of the public internet; "
        "a publisher is never fetched from one: check the host in the contract and its DNS",
    )


def _redirected(origin: _Target, location: str | None, hosts: frozenset[str]) -> _Target:
    if not location:
        raise FetchRefusedError(
            "bad redirect",
            f"{origin.place}: redirects without saying where to; look at the URL in a browser",
        )
    # Header bytes arrive as latin-1; publishers write UTF-8.
    with contextlib.suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")
    try:
        joined = urllib.parse.urljoin(origin.url, location)
    except ValueError as error:
        raise FetchRefusedError(
            "bad redirect", f"{origin.place}: redirects to what is no URL"
        ) from error
    return _checked(joined, hosts)


def _public_addresses(target: _Target, resolve: Callable[[str], Sequence[str]]) -> list[str]:
    try:
        addresses = list(resolve(target.host))
    except (OSError, UnicodeError) as error:
        raise FetchFailedError(
            "no address", f"{target.place}: host not resolved: {error}"
        ) from error
    if not addresses:
        raise FetchFailedError("no address", f"{target.place}: host has no address")
    for address in addresses:
        if not is_public(address):
            raise _private(target, address)
    return addresses


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # An end without TLS's goodbye is a cut, not an end: some bodies have no other sign of it.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def _pool_class(
    deadline: _Deadline, dial: Callable[[], socket.socket] | None
) -> type[urllib3.HTTPSConnectionPool]:
    class WatchedConnection(HTTPSConnection):
        """A TLS connection to a checked address, watched by the deadline."""

        def _new_conn(self) -> socket.socket:
            sock = dial() if dial else super()._new_conn()
            deadline.watch(sock)
            return sock

        def connect(self) -> None:
            """Connect to the address that was checked, under the host's name."""
            super().connect()
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]

    class WatchedPool(urllib3.HTTPSConnectionPool):
        """A pool that makes watched connections."""

        ConnectionCls = WatchedConnection

    return WatchedPool


def _proxy_manager(proxy: str, target: _Target, context: ssl.SSLContext) -> urllib3.ProxyManager:
    try:
        auth = parse_url(proxy).auth
        headers = make_headers(proxy_basic_auth=urllib.parse.unquote(auth)) if auth else None
        return urllib3.ProxyManager(proxy, proxy_headers=headers, ssl_context=context)
    except HTTPError as error:
        raise FetchFailedError(
            "proxy",
            f"{target.place}: HTTPS_PROXY of the environment is not the URL of an HTTP proxy",
        ) from error


def _unreached(
    error: HTTPError, target: _Target, deadline: _Deadline
) -> FetchFailedError | FetchRefusedError:
    if deadline.passed:
        return _late(target, deadline)
    tls = _tls_error(error)
    if tls is not None and not isinstance(tls, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return FetchRefusedError(
            "tls",
            f"{target.place}: TLS failed: {tls.reason or tls}; nothing is fetched unverified: the "
            "publisher must fix its certificate, or SSL_CERT_FILE lacks an authority",
        )
    if isinstance(error, ProxyError):
        return FetchFailedError(
            "proxy", f"{target.place}: the proxy of HTTPS_PROXY did not connect: {_cause(error)}"
        )
    if isinstance(error, HTTPTimeout):
        return FetchFailedError(
            "timed out", f"{target.place}: no answer in time; it is tried again"
        )
    return FetchFailedError("connection", f"{target.place}: {_cause(error)}; it is tried again")


def _late(target: _Target, deadline: _Deadline) -> FetchFailedError:
    try:
        deadline.check(target)
    except FetchFailedError as late:
        return late
    raise AssertionError("the deadline has not passed")


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, ssl.SSLError) else None


def _cause(error: HTTPError) -> str:
    """Return the socket's error without the connection's own text, which may repeat the query."""
    inner = error.args[-1] if error.args else None
    if isinstance(inner, OSError):
        return str(inner)
    if isinstance(inner, HTTPError):
        return _cause(inner)
    if isinstance(error.__cause__, OSError):
        return str(error.__cause__)
    return type(inner if isinstance(inner, Exception) else error).__name__


def _check_status(raw: urllib3.BaseHTTPResponse, target: _Target, *, conditional: bool) -> None:
    status = raw.status
    if status == 200 or (status == 304 and conditional):
        return
    if status in _TRY_LATER or status >= 500:
        raise FetchFailedError(
            "throttled" if status == 429 else "unavailable",
            f"{target.place}: the publisher answered {status}; it is tried again",
            _retry_after(raw.headers),
        )
    reasons: dict[int, RefusedReason] = {
        401: "not authorised",
        403: "not authorised",
        404: "not found",
        410: "not found",
    }
    raise FetchRefusedError(
        reasons.get(status, "status"),
        f"{target.place}: the publisher answered {status}; open the publisher's page and correct "
        "the source in the contract",
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from either form of RFC 9110's Retry-After; None for neither."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    until = _http_date(value)
    if until is None:
        return None
    # By the server's own clock, if it sends one: ours may differ.
    since = _http_date(headers.get("date", "")) or dt.datetime.now(dt.UTC)
    return max((until - since).total_seconds(), 0.0)


def _http_date(text: str) -> dt.datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _body(
    raw: urllib3.BaseHTTPResponse, target: _Target, limits: Limits, deadline: _Deadline
) -> Iterator[bytes]:
    """Return the body's generator; refuse before the first byte what the headers forbid."""
    if raw.status == 304:
        return iter(())
    encoding = raw.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip"}:
        raise FetchRefusedError(
            "encoding",
            f"{target.place}: Content-Encoding {encoding[:40]!r} was not asked for; "
            "only gzip and identity are read: ask the publisher, or name another URL in the contract",
        )
    length = raw.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limits.max_bytes:
        raise _too_large(target, f"Content-Length {length}", limits.max_bytes)
    wire = _wire(raw, target, limits, deadline)
    pieces = _gunzipped(wire, target, limits) if encoding.endswith("gzip") else wire
    return _capped(pieces, target, limits)


def _too_large(target: _Target, seen: str, most: int) -> FetchRefusedError:
    return FetchRefusedError(
        "too large",
        f"{target.place}: {seen} is over the {most} bytes allowed; raise the bound in the contract "
        "if the data set has grown",
    )


def _wire(
    raw: urllib3.BaseHTTPResponse, target: _Target, limits: Limits, deadline: _Deadline
) -> Iterator[bytes]:
    """Yield the bytes as they come, in the network's pieces; raise if the body is not whole."""
    received = 0
    while True:
        try:
            data = raw.read1(_READ_BYTES)
        except HTTPError as error:
            raise _unfinished(error, target, received, deadline) from error
        deadline.check(target)
        if not data:
            return
        received += len(data)
        if received > limits.max_bytes:
            raise _too_large(target, "the body", limits.max_bytes)
        yield data


def _unfinished(
    error: HTTPError, target: _Target, received: int, deadline: _Deadline
) -> FetchFailedError:
    if deadline.passed:
        return _late(target, deadline)
    if isinstance(error, HTTPTimeout):
        return FetchFailedError(
            "timed out", f"{target.place}: silent after {received} bytes; it is tried again"
        )
    inner = error.args[-1] if error.args else None
    early = http.client.IncompleteRead | ssl.SSLEOFError
    if isinstance(error, early) or isinstance(inner, early):
        return _cut(target, f"ended after {received} bytes, before its end")
    return FetchFailedError(
        "connection",
        f"{target.place}: lost after {received} bytes: {_cause(error)}; it is tried again",
    )


def _cut(target: _Target, seen: str) -> FetchFailedError:
    return FetchFailedError("cut body", f"{target.place}: the body {seen}; it is tried again")


def _gunzipped(wire: Iterable[bytes], target: _Target, limits: Limits) -> Iterator[bytes]:
    """Yield the content of gzip, member by member, with at most a chunk in memory."""
    decoder: zlib._Decompress | None = None
    compressed = decoded = 0
    for data in wire:
        compressed += len(data)
        piece = b""
        while data or len(piece) == CHUNK_BYTES:
            if decoder is None or decoder.eof:
                data = data.lstrip(b"\0") if decoder else data
                if not data:
                    break
                decoder = zlib.decompressobj(wbits=31)
            try:
                piece = decoder.decompress(data, CHUNK_BYTES)
            except zlib.error as error:
                raise _not_gzip(error, target, decoded) from error
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            decoded += len(piece)
            if decoded > max(_RATIO_FLOOR_BYTES, compressed * limits.max_ratio):
                raise _bomb(target, compressed, decoded, limits)
            if piece:
                yield piece
    if decoder is None or not decoder.eof:
        raise _cut(target, f"is gzip without its end, {decoded} bytes decoded")


def _bomb(target: _Target, compressed: int, decoded: int, limits: Limits) -> FetchRefusedError:
    return FetchRefusedError(
        "decompression ratio",
        f"{target.place}: {compressed} bytes of gzip had become {decoded}, over the ratio of "
        f"{limits.max_ratio:g}; look at the file before you raise the ratio",
    )


def _not_gzip(
    error: zlib.error, target: _Target, decoded: int
) -> FetchRefusedError | FetchFailedError:
    if decoded:
        return FetchFailedError(
            "corrupt body",
            f"{target.place}: gzip broken after {decoded} decoded bytes: {error}; it is tried again",
        )
    return FetchRefusedError(
        "encoding",
        f"{target.place}: says Content-Encoding gzip and is not gzip ({error}); "
        "the publisher must fix it, or name another URL in the contract",
    )


def _capped(pieces: Iterable[bytes], target: _Target, limits: Limits) -> Iterator[bytes]:
    decoded = 0
    for piece in pieces:
        decoded += len(piece)
        if decoded > limits.max_decoded_bytes:
            raise _too_large(target, "the decoded body", limits.max_decoded_bytes)
        yield piece
