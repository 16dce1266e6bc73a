"""A Space in a real browser: inside of the Hub's page, by HTTPS, with a login that the Hub's answers allow."""

import json
import subprocess
import sys
from pathlib import Path

from foundry.ui import workspaces
from tests.support.hub_login import HOST, TOKEN, USER
from tests.support.projects import ROOT
from tests.support.space import HUB
from tests.support.web_page import SECONDS, needs_browser

pytestmark = needs_browser


def test_a_login_inside_of_the_hubs_page(tmp_path: Path) -> None:
    """It ends, also where cookies of such frames are blocked; and the page knows a member of many organizations."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.space", str(ROOT), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=2 * SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    # Who is not logged in gets one page, which asks for nothing.
    assert seen["before"]["asked"] == [f"https://{HUB}/spaces/org/space", f"https://{HOST}/?__theme=dark"]
    assert seen["before"]["complaints"] == []
    assert seen["before"]["sessions"] == 0
    key = workspaces.key(str(USER["sub"]))
    assert seen["users"] == [key, ""]
    assert (tmp_path / "users/users" / key / "params.yaml").is_file()
    cookie = seen["cookie"]
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "None")
    assert cookie["partitionKey"] == "https://huggingface.co"
    assert [address for address in seen["missing"] if "favicon" not in address] == []
    assert TOKEN not in seen["content"]
    assert TOKEN not in done.stderr
