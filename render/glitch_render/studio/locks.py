"""Who is answered: the browser that was given the token, on this machine, and nobody else.

The address that the program prints carries a token, new at each start. The first request with it is
given a cookie and led to an address without it; every other request needs the cookie, and must come
from the studio's own page. A cookie is sent to every port of a host, so that a server of another
account on this machine could collect it: therefore the cookie is bound to a path that nobody can
guess, and the whole studio lies below that path.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Locks", "Refused", "account_behind", "is_listed", "lock", "page_policy"]

Header = tuple[bytes, bytes]
Headers = Sequence[Header]

_READS = ("GET", "HEAD")
_LISTED = {
    "GET": re.compile(
        r"/|/favicon\.ico|/theme\.css|/(assets|static)(/[\w-][\w.-]*)+"
        r"|/shown/[\w-]+/[\w.]+|/sample/\w+|/recipe/[\w-]+|/download/[\w-]+/\d+"
        r"|/gradio_api/(app_id|queue/data|upload_progress|heartbeat/\w+|file=[^?]+/upload\.png)"
    ),
    "POST": re.compile(r"/mask|/gradio_api/(upload|queue/join)"),
}
"""What the page asks for, by method; everything else of the framework stays closed."""

_ALWAYS = {
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
_NOTHING = b"default-src 'none'; frame-ancestors 'none'; sandbox"
_REFUSAL = (
    "The studio answers only the browser that it was opened in.\n"
    "Open the address that the program printed in its terminal, with the token at its end.\n"
)


class Refused(Exception):  # noqa: N818 - an answer, not an accident
    """A request that is not answered; the message says why, for whoever reads the code or a log."""


@dataclass(frozen=True)
class Locks:
    """What a request must show to be answered.

    Args:
        port: the port of the server.
        token: the secret that the opened address carries, and then the cookie.
        root: the path below which the studio lies; the cookie is sent there alone.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    root: str = field(default_factory=lambda: f"/{secrets.token_urlsafe(12)}", repr=False)

    @property
    def address(self) -> str:
        """The address to be opened."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """The name of the cookie; studios on different ports have different ones."""
        return f"glitch-gym-studio-{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names by which a browser may call the server."""
        named = ("127.0.0.1", "localhost")
        bare = named if self.port == 80 else ()
        return (*(f"{name}:{self.port}" for name in named), *bare)

    def check_host(self, headers: Headers) -> str:
        """Return the name by which the server was called.

        Raises:
            Refused: it is not one of ours, so that the name of a foreign site points here.
        """
        found = _values(headers, b"host")
        if len(found) != 1 or found[0] not in self.hosts:
            raise Refused("called by another name")
        return found[0]

    def opens(self, query: bytes) -> bool:
        """Return whether the query of an address carries the token."""
        try:
            given = parse_qs(query.decode("ascii"), max_num_fields=20).get("token", [])
        except ValueError:
            return False
        return len(given) == 1 and self._is_token(given[0])

    def check_cookie(self, headers: Headers) -> None:
        """Raise ``Refused`` unless one of the cookies carries the token."""
        # Another port of this host can set a cookie of the same name: it must not hide ours
        for line in _values(headers, b"cookie"):
            for part in line.split(";"):
                name, _, value = part.strip().partition("=")
                if name == self.cookie and self._is_token(value):
                    return
        raise Refused("no cookie of ours")

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())

    def inner_path(self, path: str) -> str:
        """Return what follows the studio's root in a path.

        Raises:
            Refused: the path does not begin with the root.
        """
        begin, rest = path[: len(self.root)], path[len(self.root) :]
        if not secrets.compare_digest(begin.encode(), self.root.encode()) or rest[:1] != "/":
            raise Refused("outside the studio's root")
        return rest

    def cookie_header(self) -> Header:
        """Return the header that gives a browser the cookie."""
        made: SimpleCookie = SimpleCookie({self.cookie: self.token})
        one = made[self.cookie]
        one["path"], one["httponly"], one["samesite"] = self.root, True, "Strict"
        return b"set-cookie", one.OutputString().encode()


def check_origin(method: str, host: str, headers: Headers) -> None:
    """Raise ``Refused`` if a browser says that another page than ours makes a request.

    Args:
        method: of the request; one that is not a plain read must not have a foreign ``Origin``.
        host: the name and port by which the server was called.
        headers: of the request.
    """
    if any(site not in ("same-origin", "none") for site in _values(headers, b"sec-fetch-site")):
        raise Refused("asked for by another site")
    if method in _READS:
        return
    if any(origin != f"http://{host}" for origin in _values(headers, b"origin")):
        raise Refused("sent by another origin")


def arrival(headers: Headers) -> Literal["direct", "link", "embedded"]:
    """Return how an address with a token was come by.

    Returns:
        ``direct``, typed or opened by a program; ``link``, from a page or file elsewhere; or
        ``embedded``, in a frame or by a script.
    """
    if all(site in ("same-origin", "none") for site in _values(headers, b"sec-fetch-site")):
        return "direct"
    mode, target = _values(headers, b"sec-fetch-mode"), _values(headers, b"sec-fetch-dest")
    return "link" if (mode, target) == (["navigate"], ["document"]) else "embedded"


def is_listed(method: str, path: str) -> bool:
    """Return whether the page asks for such a path."""
    listed = _LISTED.get("GET" if method == "HEAD" else method)
    return listed is not None and listed.fullmatch(path) is not None


def account_behind(
    client: tuple[str, int],
    port: int,
    tables: Iterable[Path] = (Path("/proc/net/tcp"), Path("/proc/net/tcp6")),
) -> int | None:
    """Return the account that a connection from this machine belongs to, where the system tells.

    The token can be read off the command line of the browser that is started with it, by every
    account of a machine; what can be asked of Linux is who it is that shows the token.

    Args:
        client: the address and port that the connection comes from.
        port: the port that it goes to.
        tables: of the system's connections.

    Returns:
        the number of the account, or ``None``.
    """
    here = int.from_bytes(socket.inet_aton("127.0.0.1"), sys.byteorder)
    ends = (f"{here:08X}:{client[1]:04X}", f"{here:08X}:{port:04X}")
    for table in tables:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[1].endswith(ends[0]) and columns[2].endswith(ends[1]):
                return int(columns[7])
    return None


def page_policy(page: bytes) -> bytes:
    """Return the Content-Security-Policy under which the page works, and nothing foreign does.

    Args:
        page: the HTML; the scripts in it are the only ones inside a page that are run.
    """
    scripts = " ".join(_script_hashes(page))
    # Parts of the page have their scripts made from text by the framework: 'unsafe-eval'
    return (
        f"default-src 'none'; script-src 'self' 'unsafe-eval' {scripts}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "font-src 'self' data:; connect-src 'self'; base-uri 'self'; "
        "form-action 'none'; frame-ancestors 'none'"
    ).encode()


class _Scripts(HTMLParser):
    """Collects the scripts that stand in a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script" and all(name != "src" for name, _ in attrs)
        if self._inside:
            self.found.append("")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"


def _script_hashes(page: bytes) -> list[str]:
    scripts = _Scripts()
    scripts.feed(page.decode())
    scripts.close()
    digests = (hashlib.sha256(one.encode()).digest() for one in scripts.found)
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def lock(app: ASGIApp, locks: Locks, account: int | None = None) -> ASGIApp:
    """Return an application that answers those alone whom ``locks`` lets in.

    Args:
        app: the application behind the locks.
        locks: what a request must show.
        account: the account that the token is for, besides the administrator's; ``None`` where
            the system does not tell accounts apart.
    """

    async def locked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers: Headers = scope["headers"]
        method, path = scope["method"], scope["path"]
        try:
            host = locks.check_host(headers)
            if method == "GET" and path == "/" and locks.opens(scope["query_string"]):
                _check_account(scope, locks.port, account)
                await _welcome(locks, arrival(headers), send)
                return
            inner = locks.inner_path(path)
            locks.check_cookie(headers)
            check_origin(method, host, headers)
        except Refused:
            await _answer(send, 403, _REFUSAL)
            return
        if not is_listed(method, inner):
            await _answer(send, 404, "The studio has nothing at this address.\n")
        elif inner == "/":
            # Its scripts are read to make its policy, so it must not be packed
            plain = [one for one in headers if one[0] != b"accept-encoding"]
            await app({**scope, "headers": plain}, receive, _page_sent(send))
        else:
            await app(scope, receive, _sent(send))

    return locked


def _check_account(scope: Scope, port: int, account: int | None) -> None:
    if account is None or scope.get("client") is None:
        return
    found = account_behind(tuple(scope["client"]), port)
    if found not in (None, account, 0):
        raise Refused("shown by another account")


async def _welcome(locks: Locks, came: Literal["direct", "link", "embedded"], send: Send) -> None:
    """Return the cookie, and lead to the studio."""
    if came == "embedded":
        raise Refused("the token was shown by another page")
    target, given = f"{locks.root}/", locks.cookie_header()
    if came == "direct":
        await _answer(send, 303, "", [given, (b"location", target.encode())])
        return
    # A browser that follows a link from elsewhere takes no strict cookie along on a redirect
    page = f'<!doctype html><meta http-equiv="refresh" content="0; url={target}">'
    await _answer(send, 200, page, [given], kind="text/html")


async def _answer(
    send: Send, status: int, text: str, more: Iterable[Header] = (), kind: str = "text/plain"
) -> None:
    content = text.encode()
    headers = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        *more,
    ]
    send = _sent(send, _NOTHING.replace(b"; sandbox", b""))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _with_headers(message: Message, policy: bytes) -> Message:
    """Return the start of an answer with the headers that protect it, and without those of CORS."""
    ours = _ALWAYS | {b"content-security-policy": policy}
    kept = [
        (name, value)
        for name, value in message.get("headers", [])
        if name.lower() not in ours and not name.lower().startswith(b"access-control-")
    ]
    return dict(message) | {"headers": [*kept, *ours.items()]}


def _sent(send: Send, policy: bytes = _NOTHING) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = _with_headers(message, policy)
        await send(message)

    return sent


def _below_the_root(page: bytes) -> bytes:
    """Return the page with what browsers fetch by themselves where the cookie is sent, or not."""
    page = re.sub(rb'<link rel="manifest"[^>]*>', b"", page)
    return page.replace(b"<head>", b'<head><link rel="icon" href="./favicon.ico" />', 1)


def _page_sent(send: Send) -> Send:
    """Hold the page back until all of it is there, since its policy goes before it."""
    start: dict[str, Any] = {}
    content = bytearray()

    async def sent(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = dict(message)
            return
        content.extend(message.get("body", b""))
        if not message.get("more_body", False):
            page = _below_the_root(bytes(content))
            kept = [one for one in start["headers"] if one[0].lower() != b"content-length"]
            kept.append((b"content-length", str(len(page)).encode()))
            await send(_with_headers(start | {"headers": kept}, page_policy(page)))
            await send({"type": "http.response.body", "body": page})

    return sent


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for found, value in headers if found.lower() == name]
