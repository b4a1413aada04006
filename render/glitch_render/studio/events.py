"""Checks of what the page sends to the server, before it is acted on."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, NoReturn

from glitch_gym.errors import GlitchError, SettingError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "EventError",
    "accept_event",
    "as_flag",
    "as_number",
    "as_table",
    "as_text",
    "as_whole",
    "checked",
]

_LARGEST = 4_000_000
"""Bytes of an event; a recipe as text is the largest thing that one carries."""
_DEEPEST = 40
_MOST_INPUTS = 20
_TAB = re.compile(r"\w{1,64}")
_FILE = "gradio.FileData"


class EventError(GlitchError):
    """What was sent is not an event of the page."""


def accept_event(body: bytes, uploads_of: Callable[[str], Container[str]]) -> bytes:
    """Return an event with what the page sends in it, and nothing else.

    Args:
        body: the JSON that was sent.
        uploads_of: returns the paths of a tab's uploads by the tab's name; no other file can be
            named.

    Raises:
        EventError: it is not an event of the page, or names a file that was not uploaded.
    """
    try:
        event = json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise EventError("an event is JSON, with finite numbers") from error
    if not isinstance(event, dict):
        raise EventError("an event is a table")
    tab, inputs = event.get("session_hash"), event.get("data")
    if not isinstance(tab, str) or _TAB.fullmatch(tab) is None:
        raise EventError("an event names its tab")
    if not isinstance(inputs, list) or len(inputs) > _MOST_INPUTS:
        raise EventError("an event has a list of inputs")
    for name in ("fn_index", "trigger_id"):
        value = event.get(name)
        if value is not None and type(value) is not int:
            raise EventError(f"{name} of an event is a whole number")
    if event.get("fn_index") is None:
        raise EventError("an event says what it is for")
    uploads = uploads_of(tab)
    accepted = {
        "session_hash": tab,
        "fn_index": event["fn_index"],
        "trigger_id": event.get("trigger_id"),
        "data": _accepted(inputs, uploads, 0),
        "event_data": _accepted(event.get("event_data"), uploads, 0),
    }
    return json.dumps(accepted).encode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _accepted(value: Any, uploads: Container[str], depth: int) -> Any:
    """Return a value of an event; a file in it is one that was uploaded."""
    if depth > _DEEPEST:
        raise EventError(f"an event is not nested deeper than {_DEEPEST} levels")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise EventError("the text of an event is Unicode") from error
    elif isinstance(value, list):
        return [_accepted(one, uploads, depth + 1) for one in value]
    elif isinstance(value, dict):
        if "meta" in value and "path" in value:
            return _upload(value, uploads)
        return {
            _accepted(name, uploads, depth): _accepted(one, uploads, depth + 1)
            for name, one in value.items()
        }
    return value


def _upload(value: dict[str, Any], uploads: Container[str]) -> dict[str, Any]:
    path = value.get("path")
    if not isinstance(path, str) or path not in uploads:
        raise EventError("only a file that was uploaded in this tab can be opened")
    return {"path": path, "meta": {"_type": _FILE}}


def checked(app: ASGIApp, path: str, accept: Callable[[bytes], bytes]) -> ASGIApp:
    """Return an application whose events are what ``accept`` makes of them.

    Args:
        app: the application.
        path: path to which events are posted.
        accept: returns the body that is passed on, or raises ``EventError``.
    """

    async def passing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != path:
            await app(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            return
        try:
            if len(body) > _LARGEST:
                raise EventError(f"an event has at most {_LARGEST} bytes")
            accepted = accept(body)
        except EventError as error:
            await _refusal(send, str(error))
            return
        headers = [one for one in scope["headers"] if one[0] != b"content-length"]
        headers.append((b"content-length", str(len(accepted)).encode()))
        waiting: list[Message] = [{"type": "http.request", "body": accepted, "more_body": False}]

        async def received() -> Message:
            return waiting.pop() if waiting else await receive()

        await app({**scope, "headers": headers}, received, send)

    return passing


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request, no more of it than is too much; ``None`` if it broke off."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body.extend(message.get("body", b""))
        if len(body) > _LARGEST or not message.get("more_body", False):
            return bytes(body)


async def _refusal(send: Send, message: str) -> None:
    # The page shows what stands under "detail"
    content = json.dumps({"detail": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def as_text(value: object, name: str) -> str:
    """Return a value that is text.

    Args:
        value: as the page sent it.
        name: what it stands for, for the error.

    Raises:
        SettingError: it is something else.
    """
    if not isinstance(value, str):
        raise SettingError(f"{name} must be text")
    return value


def as_number(value: object, name: str) -> float:
    """Return a value that is a finite number.

    Raises:
        SettingError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"{name} must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SettingError(f"{name} must be a finite number")
    return number


def as_whole(value: object, name: str) -> int:
    """Return a value that is a whole number.

    Raises:
        SettingError: it is something else.
    """
    number = as_number(value, name)
    if not number.is_integer():
        raise SettingError(f"{name} must be a whole number")
    return int(number)


def as_flag(value: object, name: str) -> bool:
    """Return a value that is true or false.

    Raises:
        SettingError: it is something else.
    """
    if not isinstance(value, bool):
        raise SettingError(f"{name} must be on or off")
    return value


def as_table(value: object, name: str) -> dict[str, Any]:
    """Return a value that is a table with names as keys.

    Raises:
        SettingError: it is something else.
    """
    if not isinstance(value, dict):
        raise SettingError(f"{name} must be a table")
    return value
