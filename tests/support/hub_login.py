"""A login on a shared page by Gradio's own routes, at a server that answers as the Hub's login does.

`python -m tests.support.hub_login PROJECT STATE` prints what a browser is given, as JSON. It is a process of its own,
because Gradio reads the secrets of a Space when it is imported.
"""

import http.server
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

TOKEN = "hf_" + "t" * 34
USER = {
    "sub": "1234", "preferred_username": "ada", "name": "Ada", "profile": "https://huggingface.co/ada", "picture": "x",
    "website": "", "isPro": False, "orgs": [{"sub": "5", "name": "O", "preferred_username": "o", "picture": "x"}] * 90,
}  # fmt: skip
HOST = "org-space.hf.space"
SCOPES = "openid profile read-repos write-repos write-discussions"
CLIENT = "00000000-0000-0000-0000-000000000000"


class Provider(http.server.BaseHTTPRequestHandler):
    """What the Hub answers to a Space in which somebody logs in. Who it is stands in a signed token, not beside it."""

    key: Any = None
    nonce = ""

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
        """Say where the login is, or by which key tokens are signed."""
        base = f"http://{self.headers['host']}"
        if self.path == "/oauth/jwks":
            self.answer({"keys": [self.key.as_dict(private=False)]})
            return
        endpoints = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        self.answer(
            {
                "issuer": base, "jwks_uri": f"{base}/oauth/jwks", "id_token_signing_alg_values_supported": ["RS256"],
                **{f"{name}_endpoint": f"{base}/oauth/{path}" for name, path in endpoints.items()},
            }
        )  # fmt: skip

    def do_POST(self) -> None:
        """Give a token for a code."""
        from joserfc import jwt

        self.rfile.read(int(self.headers["content-length"]))
        now = int(time.time())
        claims = {
            **USER, "iss": f"http://{self.headers['host']}", "aud": CLIENT, "nonce": self.nonce, "iat": now,
            "exp": now + 3600, "auth_time": now,
        }  # fmt: skip
        self.answer(
            {
                "access_token": TOKEN, "token_type": "bearer", "expires_in": 28800, "scope": SCOPES,
                "id_token": jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key),
            }
        )  # fmt: skip


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
    from joserfc.jwk import RSAKey

    Provider.key = RSAKey.generate_key(2048, parameters={"kid": "1"})
    provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    os.environ |= {
        "SPACE_ID": "org/space", "SYSTEM": "spaces", "OAUTH_CLIENT_ID": CLIENT, "OAUTH_CLIENT_SECRET": "secret",
        "OAUTH_SCOPES": SCOPES, "SPACE_HOST": f"{HOST},foundry.example", "OPENID_PROVIDER_URL": f"http://127.0.0.1:{provider.server_port}",
    }  # fmt: skip
    from foundry.ui import server
    from tests.support.web_page import serving

    app = server.make(project, shared=True, state=state)
    with serving(app) as address:
        begun = get(f"{address}/login/huggingface?_target_url=/%3F__theme=dark")
        before = begun["set-cookie"]
        order = urllib.parse.parse_qs(urllib.parse.urlsplit(begun["location"]).query)
        Provider.nonce, [redirect] = order["nonce"][0], order["redirect_uri"]
        answered = f"{address}/login/callback?{urllib.parse.urlsplit(redirect).query}&code=x&state={order['state'][0]}"
        ended = get(answered, before.partition(";")[0])
        after = ended["set-cookie"]
        again = get(answered, before.partition(";")[0])  # by a cookie that is not known any more
        cookies = [before.partition(";")[0], after.partition(";")[0]]
        users = [app.identity({"cookie": cookie}) for cookie in cookies]
        out = get(f"{address}/logout", cookies[1])["set-cookie"]
        users.append(app.identity({"cookie": cookies[1]}))
    print(json.dumps({"cookies": [before, after, out], "users": users, "redirect": redirect,
                      "locations": [ended["location"], again["location"]], "kept": len(app.logins.kept)}))  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
