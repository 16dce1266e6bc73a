"""A login on a shared page by Gradio's own routes, at a server that answers as the Hub's login does.

`python -m tests.support.hub_login PROJECT STATE` prints what a browser is given, as JSON. It is a process of its own,
because Gradio reads the secrets of a Space when it is imported.
"""

import http.server
import json
import os
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

TOKEN = "hf_" + "t" * 34
USER = {"sub": "1234", "preferred_username": "ada", "name": "Ada", "profile": "x", "picture": ""}


class Provider(http.server.BaseHTTPRequestHandler):
    """What the Hub answers to a Space in which somebody logs in."""

    def log_message(self, *arguments: Any) -> None:
        """Write nothing."""

    def answer(self, value: object) -> None:
        """Send JSON."""
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        """Say where the login is."""
        base = f"http://{self.headers['host']}"
        names = ("authorization", "token", "userinfo")
        self.answer({"issuer": base, **{f"{name}_endpoint": f"{base}/{name}" for name in names}})

    def do_POST(self) -> None:
        """Give a token for a code."""
        self.rfile.read(int(self.headers["content-length"]))
        self.answer({"access_token": TOKEN, "token_type": "bearer", "expires_in": 28800, "userinfo": USER})


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect to who asked."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follow nothing."""


def get(address: str, cookie: str = "") -> Any:
    """The headers of an answer."""
    request = urllib.request.Request(address, headers={"cookie": cookie} if cookie else {})
    try:
        return urllib.request.build_opener(NoRedirect).open(request, timeout=30).headers
    except urllib.error.HTTPError as error:
        return error.headers


def main(project: Path, state: Path) -> None:
    provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    os.environ |= {
        "SPACE_ID": "org/space", "SYSTEM": "spaces", "OAUTH_CLIENT_ID": "id", "OAUTH_CLIENT_SECRET": "secret",
        "OAUTH_SCOPES": "openid profile", "OPENID_PROVIDER_URL": f"http://127.0.0.1:{provider.server_port}",
    }  # fmt: skip
    from foundry.ui import server
    from tests.support.web_page import serving

    app = server.make(project, shared=True, state=state)
    with serving(app) as address:
        begun = get(f"{address}/login/huggingface")
        before = begun["set-cookie"]
        [nonce] = urllib.parse.parse_qs(urllib.parse.urlsplit(begun["location"]).query)["state"]
        after = get(f"{address}/login/callback?code=x&state={nonce}", before.partition(";")[0])["set-cookie"]
        cookies = [before.partition(";")[0], after.partition(";")[0]]
        users = [app.identity({"cookie": cookie}) for cookie in cookies]
        out = get(f"{address}/logout", cookies[1])["set-cookie"]
        users.append(app.identity({"cookie": cookies[1]}))
    print(json.dumps({"cookies": [before, after, out], "users": users, "owners": app.owners}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
