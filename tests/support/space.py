"""A Space as a browser sees it: a frame by HTTPS in a page of the Hub, in which somebody logs in.

`python -m tests.support.space PROJECT STATE` prints what the browser saw, as JSON. It is a process of its own, because
Gradio reads the secrets of a Space when it is imported. The names of the Hub and of the Space lead to this machine.
"""

import datetime
import http.server
import json
import os
import ssl
import sys
import threading
import urllib.parse
from pathlib import Path
from typing import Any

from tests.support.hub_login import CLIENT, HOST, SCOPES, Provider

HUB = "huggingface.co"
FRAME = f"<!doctype html><iframe id=space src='https://{HOST}/?__theme=dark' width=1200 height=1200></iframe>"


class Hub(Provider):
    """The Hub's page of a Space, and its login, which asks nobody."""

    def do_GET(self) -> None:
        """Answer as the Hub does."""
        if self.path.startswith("/oauth/authorize"):
            order = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            Provider.nonce = order["nonce"][0]
            self.send_response(302)
            self.send_header("location", f"{order['redirect_uri'][0]}&code=x&state={order['state'][0]}")
            self.send_header("content-length", "0")
            self.end_headers()
        elif self.path.startswith("/spaces/"):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(FRAME)))
            self.end_headers()
            self.wfile.write(FRAME.encode())
        else:
            super().do_GET()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that nobody trusts, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST), x509.DNSName(HUB)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "certificate", folder / "key"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths


def serve_hub(paths: tuple[Path, Path] | None) -> int:
    """The port of a Hub, by HTTPS where there is a certificate."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    if paths is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*paths)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def visit(chromium: Any, app: Any) -> dict[str, Any]:
    """Log in within the Hub's page, look at a model, and log out; then log in again, and lose the login; what was
    seen."""
    from tests.support.web_page import SECONDS

    context = chromium.new_context(ignore_https_errors=True)
    context.set_default_timeout(1000 * SECONDS)
    page = context.new_page()
    missing: list[str] = []
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"https://{HUB}/spaces/org/space")
    space = page.frame_locator("#space")
    space.locator("#login").wait_for()
    page.wait_for_timeout(3000)  # in which Gradio's page would click by itself
    before = {"asked": [*asked], "complaints": [*complaints], "sessions": len(app.sessions.owners)}
    space.locator("#login").click()
    space.get_by_text("Logout (ada)").wait_for()
    space.locator("#models table").wait_for()
    space.locator("#look").click()
    space.locator("#choose-message").get_by_text("nothing but its settings was read").wait_for()
    [cookie] = [cookie for cookie in context.cookies() if cookie["name"] == "session"]
    users = [app.identity({"cookie": f"session={cookie['value']}"})]
    content = page.frames[1].content()
    space.locator("#login").click()
    space.get_by_text("Log in with Hugging Face").wait_for()
    users.append(app.identity({"cookie": f"session={cookie['value']}"}))
    seen = {"missing": [*missing], "users": users, "cookie": {**cookie, "value": ""}, "content": content}
    space.locator("#login").click()
    space.locator("#models table").wait_for()
    app.logins.kept.clear()  # as when it is over: the next click finds out
    space.locator("#look").click()
    space.get_by_text("Log in to see your project").wait_for()
    context.close()
    return {"before": before, **seen}


def main(project: Path, state: Path) -> None:
    from joserfc.jwk import RSAKey

    Provider.key = RSAKey.generate_key(2048, parameters={"kid": "1"})
    paths = certificate(state)
    hub, provider = serve_hub(paths), serve_hub(None)
    os.environ |= {
        "SPACE_ID": "org/space", "SYSTEM": "spaces", "OAUTH_CLIENT_ID": CLIENT, "OAUTH_CLIENT_SECRET": "secret",
        "OAUTH_SCOPES": SCOPES, "SPACE_HOST": HOST, "OPENID_PROVIDER_URL": f"http://127.0.0.1:{provider}",
    }  # fmt: skip
    from playwright.sync_api import sync_playwright

    from foundry.ui import server
    from tests.support.web_page import browser_path, serving

    app = server.make(project, shared=True, state=state / "users")
    with serving(app, *paths) as address, sync_playwright() as playwright:
        port = urllib.parse.urlsplit(address).port
        names = f"MAP {HUB}:443 127.0.0.1:{hub}, MAP {HOST}:443 127.0.0.1:{port}"
        # As in browsers that keep no cookies of frames from elsewhere, unless they are partitioned.
        flags = ["--no-sandbox", f"--host-resolver-rules={names}", "--test-third-party-cookie-phaseout"]
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=flags)
        seen = visit(chromium, app)
        chromium.close()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
