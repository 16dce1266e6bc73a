"""The page in a real browser: from a model to a pull request, a stop and a restart, mistakes, a phone, two users."""

import contextlib
import json
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import projects
from foundry.base import files
from foundry.tracking import lock, recovery
from foundry.ui import jobs, limits, server, workspaces
from foundry.ui.workspaces import User
from tests.support import runs
from tests.support.fork_server import ForkServer
from tests.support.hub_server import Hub
from tests.support.pipeline import change
from tests.support.projects import ROOT
from tests.support.publishing import REPO, TOKEN
from tests.support.web_page import (
    USER_HEADER,
    Browser,
    browsing,
    choose,
    fill,
    go,
    needs_browser,
    picture,
    says,
    serving,
    slide,
    state_of,
)

pytestmark = needs_browser


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, tiny_params: dict[str, Any]) -> Path:
    """A project of the tiny model, with nothing built. Read only."""
    return projects.make_project(tmp_path_factory.mktemp("ui") / "project", tiny_params)


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A project of the tiny model, with nothing built."""
    return Path(shutil.copytree(template, tmp_path / "project", symlinks=True))


@pytest.fixture
def browser(project: Path) -> Iterator[Browser]:
    """A browser for the page of the project."""
    with serving(server.make(project)) as address, browsing(address) as opened:
        yield opened


def wait_for_another(root: Path, earlier: list[Path], seconds: float = 60) -> None:
    """Wait until there is a run that is none of the earlier ones."""
    deadline = time.monotonic() + seconds
    while jobs.every(workspaces.local(root)) == earlier:
        assert time.monotonic() < deadline, "nothing was started"
        time.sleep(0.2)


def test_from_a_model_to_a_pull_request(
    browser: Browser, project: Path, checkpoint: Path, fork_server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model is added, one of its variants fails, what passed is published: to a folder, and to the Hub once."""
    monkeypatch.setenv("PATH", fork_server.path)
    # One variant is judged by its family's thresholds, which the page changes.
    change(project, lambda raw: raw["validate"]["overrides"].pop("onnx_qint8_avx512"))
    page = browser.open()
    says(page, "models", "tiny")
    picture(page, "choose")

    page.get_by_label("A folder of this machine").check()
    fill(page, "source", str(checkpoint))
    page.locator("#look").click()
    says(page, "seen", "SentenceTransformer")
    says(page, "seen", "mit")
    fill(page, "name", "mine")
    page.get_by_label("onnx_O2").uncheck()
    page.locator("#add").click()
    says(page, "choose-message", "mine is added")
    page.get_by_text("Thresholds: what a variant must hold").click()
    slide(page, "slider-mean_cosine", "1")
    page.get_by_text("params.yaml, and models to remove").click()
    choose(page, "remove-model", "tiny")
    page.locator("#remove").click()
    says(page, "choose-message", "tiny is out of params.yaml")
    page.locator("#save-thresholds").click()  # what was set before is still there
    says(page, "choose-message", "are saved")
    assert not page.get_by_label("onnx_O2").is_checked()
    raw = yaml.safe_load((project / "params.yaml").read_text())
    assert raw["models"] == {"mine": {"source": {"path": str(checkpoint)}, "skip": ["onnx_O2"]}}
    assert raw["validate"]["thresholds"]["int8_dynamic"]["mean_cosine"] == 1

    go(page, "Watch")
    page.locator("#start").click()
    says(page, "watch-message", "it runs")
    page.locator("#start").click()
    says(page, "watch-message", "something runs here already")
    says(page, "summary", "Running:")
    picture(page, "watch")
    says(page, "summary", "The last run is complete")
    assert state_of(page, "export@mine-onnx") == "done"
    assert state_of(page, "optimize@mine-onnx_O2") == "skipped"
    assert "verdict-failed" in page.locator("[data-stage='validate@mine-onnx_qint8_avx512']").get_attribute("class")
    page.locator("[data-stage='download@mine']").click()
    says(page, "log", "Log of download@mine")
    says(page, "log", "python -m stages.download mine")

    go(page, "Decide")
    row = page.locator("#verdicts tr", has_text="onnx_qint8_avx512").first
    assert "failed" in row.inner_text()
    assert "mean_cosine" in row.inner_text()
    details = page.locator("#verdicts details", has=page.locator("summary", has_text="onnx_qint8_avx512 failed"))
    details.locator("summary").click()
    details.get_by_text("The texts that it embeds least like torch").wait_for()
    assert page.locator("#verdicts img.chart").evaluate("image => image.naturalWidth") > 300
    page.get_by_label("The smallest file").check()
    says(page, "advice", "smaller than torch")
    picture(page, "decide")

    go(page, "Publish")
    says(page, "publish-state", "artifacts/hub/mine")
    page.get_by_text("The model card").click()
    page.locator("#card").get_by_text("Its own words").wait_for()
    assert (project / "artifacts/hub/mine/README.md").is_file()
    with Hub() as hub:
        hub.add_user("builder", TOKEN, organizations=["org"])
        hub.make_repo(REPO, {"README.md": b"---\nlicense: mit\n---\n# Theirs\n"})
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        fill(page, "repo", REPO)
        settings = (project / "params.yaml").read_bytes()
        page.locator("#preview-hub").click()
        says(page, "publish-message", "nothing is sent")
        says(page, "publish-state", "Nothing was sent.")
        says(page, "publish-state", "onnx/model.onnx")
        picture(page, "publish")
        assert not hub.repos[REPO].discussions
        page.locator("#send").click()
        says(page, "publish-state", f"{hub.address}/{REPO}/discussions/1")
        runs.wait(workspaces.local(project), 300)
        assert page.locator("#pull-request").get_attribute("href") == f"{hub.address}/{REPO}/discussions/1"
        assert "onnx/model.onnx" in hub.files(REPO, "refs/pr/1")
        assert "onnx/model_qint8_avx512.onnx" not in hub.files(REPO, "refs/pr/1")
        before = hub.requests.count("commit")
        earlier = jobs.every(workspaces.local(project))
        page.locator("#send").click()  # once more, by mistake; what the first click said is still there
        wait_for_another(project, earlier)
        runs.wait(workspaces.local(project), 300)
        assert hub.requests.count("commit") == before
        assert list(hub.repos[REPO].discussions) == [1]
        assert (project / "params.yaml").read_bytes() == settings  # no later build sends anything
        go(page, "Watch")
        page.locator("#start").click()
        says(page, "watch-message", "it runs")
        runs.wait(workspaces.local(project), 300)
        assert hub.requests.count("commit") == before
    assert TOKEN not in page.content()
    no_token_below(project, TOKEN)


def no_token_below(folder: Path, token: str) -> None:
    """No file of a project holds a token: settings, states of runs and logs included."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size < 1_000_000:
            assert token.encode() not in path.read_bytes(), path


def test_a_stop_and_a_restart(project: Path) -> None:
    """A run that is stopped leaves dvc.lock whole, and the next one goes on there, by another server."""
    with serving(server.make(project)) as address, browsing(address) as browser:
        page = browser.open()
        go(page, "Watch")
        says(page, "summary", "Nothing is built yet")
        page.locator("#start").click()
        page.locator("[data-stage='export@tiny-onnx'].running").wait_for()
    # The browser and the server are gone, and the run goes on.
    assert jobs.is_running(workspaces.local(project))
    with serving(server.make(project)) as address, browsing(address) as browser:
        page = browser.open()
        go(page, "Watch")
        says(page, "summary", "Running:")
        page.locator("#stop").click()
        says(page, "watch-message", "it stops when that is safe")
        says(page, "summary", "was stopped; the next one goes on where it stopped")
        job = runs.wait(workspaces.local(project), 300)
        assert job.record["stopped"]
        assert not recovery.is_cut((project / "dvc.lock").read_bytes())
        done = {*lock.stages(project / "dvc.lock")}
        assert {"download@tiny", "sample@tiny"} <= done
        assert state_of(page, "download@tiny") == "done"
        assert "stopped" in {state_of(page, name) for name in ("export@tiny-onnx", "export@tiny-openvino")}
        page.locator("#start").click()
        page.locator("[data-stage='export@tiny-openvino'].running").wait_for()
        again = jobs.latest(workspaces.local(project))
        assert again is not None
        states = {(event["stage"], event["state"]) for event in jobs.read_events(again)}
        assert ("download@tiny", "done") in states
        assert ("download@tiny", "running") not in states
        page.locator("#stop").click()
        runs.wait(workspaces.local(project), 300)
        says(page, "summary", "was stopped")


def test_what_is_looked_at_stays_while_something_else_is_answered(browser: Browser, project: Path) -> None:
    """A log keeps its place while it grows, of two clicks on stages the second counts, and a look is of its source."""
    folder = workspaces.local(project).state / "jobs/20260101T000000-00000000"
    record = {"command": ["foundry", "build"], "what": "build", "started": 1.0, "ended": 2.0, "exit_code": 0,
              "stopped": False}  # fmt: skip
    files.write_json(folder / jobs.RECORD, record)
    (folder / jobs.LOG).write_text("a line\n" * 300)
    page = browser.open()
    page.locator("#look").click()
    says(page, "seen", "SentenceTransformer")
    says(page, "choose-message", "nothing but its settings was read")
    fill(page, "source", "org/another")
    page.wait_for_function("!document.querySelector('#seen').innerText.trim()")
    assert page.locator("#name input, #name textarea").first.input_value() == ""
    go(page, "Watch")
    says(page, "log", "Log of the last run")
    page.locator("#log pre").evaluate("lines => { lines.scrollTop = 500; }")
    page.wait_for_timeout(300)
    with (folder / jobs.LOG).open("a") as log:
        log.write("the last line\n")
    says(page, "log", "the last line")
    assert page.locator("#log pre").evaluate("lines => lines.scrollTop") == 500
    stages = ["download@tiny", "sample@tiny"]
    page.evaluate("names => names.forEach(name => document.querySelector(`[data-stage='${name}']`).click())", stages)
    says(page, "log", "Log of sample@tiny")


def test_a_stage_that_fails_says_why(project: Path) -> None:
    change(project, lambda raw: raw["models"].update(tiny={"source": {"path": "nowhere"}}))
    with serving(server.make(project)) as address, browsing(address) as browser:
        page = browser.open()
        go(page, "Watch")
        page.locator("#start").click()
        says(page, "summary", "The last run failed")
        assert state_of(page, "download@tiny") == "failed"
        assert state_of(page, "export@tiny-onnx") == "blocked"
        assert state_of(page, "sample@tiny") == "done"
        page.locator("[data-stage='download@tiny']").click()
        says(page, "log", "nowhere does not exist")
        go(page, "Publish")
        says(page, "publish-state", "Nothing is published yet")


def test_own_texts_and_bad_ones(browser: Browser, project: Path, tmp_path: Path) -> None:
    good, bad, odd = tmp_path / "my texts.csv", tmp_path / "bad.csv", tmp_path / "a.exe"
    good.write_text('id,body\n1,"A first, <b>bold</b> text ${1+1} {{x}}"\n2,Another\n')
    bad.write_bytes(b"id,text\n1,\xff\xfe\x00broken\n")
    odd.write_bytes(b"MZ")
    large = tmp_path / "large.txt"
    large.write_bytes(b"a line of a text\n" * 1_300_000)
    before = (project / "params.yaml").read_bytes()
    page = browser.open()
    page.get_by_text("Own texts").click()
    upload = page.locator("#upload input[type=file]")
    upload.set_input_files(bad)
    says(page, "choose-message", "bad.csv")
    assert "Error" in page.locator("#choose-message").inner_text()
    assert str(tmp_path) not in page.locator("#choose-message").inner_text()
    page.locator("#upload").get_by_label("Clear").first.click()
    upload.wait_for(state="attached")
    upload = page.locator("#upload input[type=file]")
    upload.set_input_files(good)
    says(page, "preview", "A first, <b>bold</b> text ${1+1} {{x}}")  # as it stands there
    picture(page, "texts")
    assert (project / "params.yaml").read_bytes() == before
    page.locator("#use-texts").click()
    says(page, "choose-message", "2 texts are a source now")
    raw = yaml.safe_load((project / "params.yaml").read_text())
    assert raw["sample"]["sources"]["my_texts"] == {"path": "texts/my_texts.csv", "column": "body"}
    assert (project / "texts/my_texts.csv").read_bytes() == good.read_bytes()


def test_a_budget_is_set_by_clicking(project: Path) -> None:
    """A variant within a budget is in params.yaml as it was set, for every model, and is part of the next build."""
    from playwright.sync_api import expect

    shutil.copy(ROOT / "params.yaml", project)  # with its comments and anchors, which an edit must keep
    app = server.make(project)
    with serving(app) as address, browsing(address) as browser:
        assert app.limits.folder.is_dir()
        page = browser.open()
        page.get_by_text("Int8 within a budget").click()
        page.locator("#budget-kind input").focus()
        for key in ("ArrowDown", "Enter"):
            page.keyboard.press(key)
        expect(page.locator("#budget-kind input")).to_have_value("ONNX Runtime, static int8")
        fill(page, "budget-ending", "995")
        for measure, value in (("mean_cosine", "0.995"), ("min_cosine", "0"), ("minutes", "3")):
            slide(page, f"budget-{measure}", value)
        picture(page, "budget")
        page.locator("#add-budget").click()
        says(page, "choose-message", "onnx_qint8_static_995 is added, for every model")
        written = (project / "params.yaml").read_bytes()
        raw = yaml.safe_load(written)
        row = {"budget": {"mean_cosine": 0.995}, "search": {"minutes": 3}}
        assert raw["calibrate_onnx"]["onnx_qint8_static_995"] == row
        page.locator("#variants").get_by_label("onnx_qint8_static_995").wait_for()
        page.locator("#add-budget").click()  # once more, by mistake
        says(page, "choose-message", "there is a variant called onnx_qint8_static_995 already")
        fill(page, "budget-ending", "a b")
        page.locator("#add-budget").click()
        says(page, "choose-message", "is no name")
        assert (project / "params.yaml").read_bytes() == written
        page.get_by_text("Thresholds: what a variant must hold").click()
        choose(page, "family", "int8_static")
        before = raw["validate"]["thresholds"]["int8_static"]["min_cosine"]
        expect(page.locator("#slider-min_cosine input[type=number]")).to_have_value(f"{before:g}", timeout=60_000)
        slide(page, "slider-min_cosine", "0.875")
        page.locator("#save-thresholds").click()
        says(page, "choose-message", "the thresholds of int8_static are saved")
        raw = yaml.safe_load((project / "params.yaml").read_text())
        assert raw["validate"]["thresholds"]["int8_static"]["min_cosine"] == 0.875
        assert raw["calibrate_onnx"]["onnx_qint8_static_995"] == row
        go(page, "Watch")
        page.locator("[data-stage='validate@minilm-onnx_qint8_static_995']").wait_for()
    assert not app.limits.folder.exists()  # what was uploaded goes with the server


def test_a_phone_a_keyboard_and_the_dark(browser: Browser) -> None:
    phone = browser.open(width=390, height=844, dark=True)
    for tab in ("Choose", "Watch", "Decide", "Publish"):
        go(phone, tab)
        phone.locator(f"#{tab.lower()}-message").wait_for(state="attached")
        # Nothing is wider than the screen but what scrolls by itself, once the page has settled.
        phone.wait_for_timeout(1000)
        overflow = phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, tab
        picture(phone, f"phone-{tab.lower()}")
    assert phone.evaluate("document.body.classList.contains('dark')")
    page = browser.open()
    go(page, "Watch")
    stage = page.locator("[data-stage='download@tiny']")
    assert stage.get_attribute("aria-label") == "download@tiny: is to be run. Show its log"
    stage.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.stage") == "sample@tiny"
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, textarea, button')].filter(one => one.offsetParent"
        " && !one.labels?.length && !one.getAttribute('aria-label') && !one.innerText.trim() && !one.title"
        " && one.type !== 'file').map(one => one.outerHTML.slice(0, 200))"
    )
    assert unnamed == []


def user_of(request: Any) -> User:
    """Who asks, by a header: what the Hub's login says on a Space."""
    name = request.headers[USER_HEADER]
    return User(name, f"hf_{name[0] * 34}")


def ask(address: str, path: str, user: str, body: Any = None, **headers: str) -> tuple[int, str]:
    """The status and the answer to a request that no browser makes."""
    request = urllib.request.Request(
        f"{address}{path}", None if body is None else json.dumps(body).encode(),
        {USER_HEADER: user, "content-type": "application/json", **headers},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read(100_000).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def test_two_users_on_one_server_see_nothing_of_each_other(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("HF_TOKEN", "hf_" + "h" * 34)  # the host's own, which nobody's run may have
    app = server.make(template, shared=True, state=state, user_of=user_of,
                      identity=lambda headers: headers.get(USER_HEADER, ""))  # fmt: skip
    with serving(app) as address, browsing(address) as browser, Hub() as hub:
        for name in ("ada", "ben"):
            hub.add_user(name, f"hf_{name[0] * 34}")
        contents = {path.as_posix(): (checkpoint / path).read_bytes() for path in files.files_below(checkpoint)}
        hub.make_repo("ada/secret", contents, private=True)
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        ada, ben = browser.open(user="ada"), browser.open(user="ben")
        for page in (ada, ben):
            assert not page.get_by_label("A folder of this machine").count()
            page.get_by_label("A model on the Hub").check()
            fill(page, "source", "ada/secret")
            page.locator("#look").click()
        says(ada, "seen", "SentenceTransformer")
        says(ben, "choose-message", "is not there, or this token may not see it")
        fill(ada, "name", "adas-own")
        ada.locator("#add").click()
        says(ada, "choose-message", "adas-own is added")
        says(ada, "models", "adas-own")
        go(ada, "Watch")
        ada.locator("#start").click()
        says(ada, "summary", "Running:")
        ben.reload()
        ben.wait_for_selector("#models table")
        assert "adas-own" not in ben.content()
        go(ben, "Watch")
        says(ben, "summary", "Nothing is built yet")
        assert "adas-own" not in ben.content()
        hers, his = (state / "users" / workspaces.key(name) for name in ("ada", "ben"))
        assert jobs.is_running(workspaces.Workspace(hers))
        assert not jobs.is_running(workspaces.Workspace(his))
        environment = environment_of_run(hers)
        assert environment["HF_TOKEN"] == "hf_" + "a" * 34
        assert environment["HF_HOME"].startswith(str(hers))
        assert not any("h" * 34 in value for value in environment.values())
        ada.locator("#stop").click()
        runs.wait(workspaces.Workspace(hers), 120)
        check_no_door(address, hers)
        check_a_flood_of_sessions(app, address, monkeypatch)
        for page in (ada, ben):
            assert "hf_" + "a" * 34 not in page.content()
        no_token_below(state, "hf_" + "a" * 34)


def environment_of_run(root: Path) -> dict[str, str]:
    """The environment of the process that runs a workspace's job."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it may end while it is looked at
            words = process.cmdline()
            if "foundry.ui.runner" in words and any(word.startswith(str(root)) for word in words):
                assert not any("hf_" in word for word in words)
                return process.environ()
    raise AssertionError("no run is there")


def check_a_flood_of_sessions(app: Any, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio keeps the answers of a user's latest sessions, and forgets those of no other user's."""
    monkeypatch.setattr(limits, "SESSIONS_OF_EACH", 3)
    [gradio] = [route.app for route in app.app.app.routes if hasattr(getattr(route, "app", None), "get_blocks")]
    kept = gradio.get_blocks()._queue.pending_messages_per_session
    before = {*kept}
    for number in range(8):
        joined = {"fn_index": 0, "data": [], "session_hash": f"flood{number}"}
        assert ask(address, "/gradio_api/queue/join", "cy", joined)[0] == 200
    assert {*kept} == before | {"flood5", "flood6", "flood7"}
    assert ask(address, "/gradio_api/queue/data?session_hash=flood7", "cy")[0] == 200
    joined = {"fn_index": 0, "data": [], "session_hash": "nobodys"}
    assert ask(address, "/gradio_api/queue/join", "", joined)[0] == 401
    assert ask(address, "/gradio_api/queue/data?session_hash=nobodys", "")[0] == 401
    assert "nobodys" not in kept


def check_no_door(address: str, hers: Path) -> None:
    """What Gradio has beside the page is closed, whoever asks."""
    secret = hers / "params.yaml"
    for path in (
        f"/gradio_api/file={secret}", f"/file={secret}", f"/gradio_api/file/{secret}", "/gradio_api/info",
        "/gradio_api/proxy=http://127.0.0.1:1/", "/monitoring", "/gradio_api/openapi.json", "/docs",
        f"/static/..%2f..%2f..{secret}", f"/assets/../../../../..{secret}", "/gradio_api/token", "/svelte/../x",
        "/gradio_api/vibe-code/", "/gradio_api/runs",
    ):  # fmt: skip
        status, answer = ask(address, path, "ben")
        assert status in (403, 404), path
        assert "models:" not in answer
    for path in (
        "/gradio_api/call/on_add", "/gradio_api/run/predict", "/gradio_api/api/predict", "/login",
        "/gradio_api/vibe-edit/", "/gradio_api/component_server", "/gradio_api/process_recording",
    ):  # fmt: skip
        assert ask(address, path, "ben", {"data": []})[0] == 404, path
    joined = {"fn_index": 0, "data": [], "session_hash": "hersession"}
    assert ask(address, "/gradio_api/queue/join", "ada", joined)[0] == 200
    assert ask(address, "/gradio_api/queue/data?session_hash=hersession", "ada")[0] == 200
    assert ask(address, "/gradio_api/queue/data?session_hash=hersession", "ben")[0] == 403
    # Nothing is taken from another host, another folder, or somebody who is not logged in.
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(2)
        for path in (f"http://127.0.0.1:{elsewhere.getsockname()[1]}/x.csv", str(secret)):
            file = {"path": path, "meta": {"_type": "gradio.FileData"}}
            click = {"fn_index": 0, "data": [file, "text"], "session_hash": "hissession"}
            assert ask(address, "/gradio_api/queue/join", "ben", click)[0] == 403
        with pytest.raises(TimeoutError):
            elsewhere.accept()
    assert ask(address, "/gradio_api/upload", "", {})[0] == 401
    assert ask(address, "/gradio_api/queue/join", "ben", joined)[0] == 403  # her session
    twice = "/gradio_api/queue/data?session_hash=hissession&session_hash=hersession"
    assert ask(address, twice, "ben")[0] == 400
    assert ask(address, "/gradio_api/queue/join", "ben", joined, origin="http://evil.example")[0] == 403
