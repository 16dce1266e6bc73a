"""A request to an ASGI application without a server."""

import asyncio
import json
from typing import Any

CLICK = {"session_hash": "a", "data": []}
FORM = "multipart/form-data; boundary=----between"


def ask(
    app: Any, path: str, method: str = "GET", query: str = "", body: Any = CLICK,
    twice: tuple[tuple[str, str], ...] = (), **headers: str,
) -> tuple[int, dict[str, str]]:  # fmt: skip
    """The status and the headers of the answer to a request; `twice` are headers beside the others."""
    sent: list[Any] = []
    kind = {"content_type": FORM} if path.endswith("/upload") else {}
    headers = {"host": "127.0.0.1:7860", **{name.replace("_", "-"): value for name, value in (kind | headers).items()}}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in (*headers.items(), *twice)],
    }  # fmt: skip
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": content}

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}
