"""A login through Gradio's own routes: the browser gets a random name, and the server knows the user by it."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

from foundry.ui import workspaces
from tests.support.hub_login import HOST, TOKEN, USER
from tests.support.projects import ROOT

NAME = re.compile(r"session=[\w-]{43}; path=/; Max-Age=1209600; httponly; samesite=none; secure; Partitioned")


def test_a_browser_never_has_the_token(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.hub_login", str(ROOT), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout.splitlines()[-1])
    before, after, out = said["cookies"]
    assert NAME.fullmatch(before)
    assert NAME.fullmatch(after)
    assert before != after
    assert out.startswith("session=null;")
    assert said["users"] == ["", workspaces.key(str(USER["sub"])), ""]
    # The Hub allows a login to end at this address alone; the page is what people come back to.
    assert said["redirect"] == f"https://{HOST}/login/callback?_target_url=%2F%3F__theme%3Ddark"
    assert said["locations"] == [
        "/?__theme=dark",
        "/login/huggingface?_nb_redirects=1&_target_url=%2F%3F__theme%3Ddark",
    ]
    assert said["kept"] == 0
    for text in (done.stdout, done.stderr):
        assert TOKEN not in text
        assert base64.b64encode(TOKEN.encode())[:20].decode() not in text
