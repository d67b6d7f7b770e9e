"""Connections that break: the exception, and how a listening server carries it out."""

from typing import Any

from starlette.types import Receive, Send


class ConnectionDropped(ConnectionError):
    """The emulated network broke the connection.

    Under uvicorn the socket is closed. In process there is no socket: the app raises this and the transport that
    called it turns it into its own kind of network failure.
    """


class BodyCutShort(ConnectionDropped):
    """The body ends before its Content-Length; in process it simply ends."""


async def hang_up(drop: ConnectionDropped, receive: Receive, send: Send) -> None:
    """Close the socket below `send`, or raise the drop when there is none."""
    transport: Any = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.close()
        await gone(receive)
    elif isinstance(drop, BodyCutShort):
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    else:
        raise drop


async def gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
