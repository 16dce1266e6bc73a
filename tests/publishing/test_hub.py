"""Publishing on a Hub: the real client against tests/support/hub_server.py, with every fault at every phase.

Whatever happens, the server then holds all of what was to be published or none of it, in one pull request; the token is
nowhere but in the requests.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from foundry.base import time_limits
from foundry.base.errors import FoundryError
from foundry.publishing import provenance, signature, verification
from foundry.tracking import lock
from tests.support.hub_api import Api
from tests.support.hub_server import Hub
from tests.support.hub_state import DROP, Refused
from tests.support.projects import ROOT
from tests.support.publishing import (
    PULL,
    READER,
    REPO,
    STRANGER,
    THEIRS,
    TOKEN,
    VARIANTS,
    Project,
    accept,
    fail,
    make_key,
)
from tests.support.stages import settings_file


def sent(receipt: dict[str, Any]) -> dict[str, str]:
    return {row["file"]: row["what"] for row in receipt["sent"]}


def commits(server: Hub, repo: str = REPO) -> int:
    return len(server.repos[repo].commits)


# --- What is published ---------------------------------------------------------------------------------------


def test_the_first_time_one_commit_in_one_pull_request(prepared: Project, server: Hub) -> None:
    receipt = prepared.publish()
    assert server.files(REPO) == THEIRS  # main is as it was
    assert server.files(REPO, PULL) == prepared.expected(server)
    assert commits(server) == 2
    [pull] = server.repos[REPO].discussions.values()
    assert receipt["address"].endswith("/org/tiny/discussions/1")
    assert (receipt["pull_request"], receipt["commit"]) == (1, server.repos[REPO].refs[PULL])
    assert set(receipt["checked"]) == set(VARIANTS)
    assert min(receipt["checked"].values()) > 0.999
    assert 'revision="refs/pr/1"' in pull.description
    assert "| `onnx_O2` |" in pull.description
    card = server.files(REPO, PULL)["README.md"].decode()
    assert "# Their words" in card
    assert "library_name: sentence-transformers" in card
    assert 'backend="onnx"' in card
    record = provenance.read(prepared.root / "hub/tiny")
    assert verification.compare(prepared.root / "hub/tiny", record) == {}
    assert "README.md" not in record["uploaded"]
    assert {"model.safetensors", "onnx/model.onnx"} <= set(record["uploaded"])
    assert record["variants"]["onnx"]["dvc"] == lock.digest(prepared.folder / "onnx")


def test_what_a_person_sees_is_kept_to_be_looked_at(prepared: Project, server: Hub) -> None:
    prepared.publish()
    seen = ROOT / "build/hub"
    seen.mkdir(parents=True, exist_ok=True)
    (seen / "card.md").write_bytes(server.files(REPO, PULL)["README.md"])
    (seen / "pull_request.md").write_text(server.repos[REPO].discussions[1].description)
    for text in ((seen / "card.md").read_text(), (seen / "pull_request.md").read_text()):
        assert "\n\n\n\n" not in text
        table = [line for line in text.splitlines() if line.startswith("|")]
        assert len(table) >= len(VARIANTS) + 2
        assert all(line.endswith("|") for line in table), "a row that is no row of a table"


def test_a_repository_that_is_not_there_is_made_private(prepared: Project, server: Hub) -> None:
    prepared.settings["repos"] = {"tiny": "org/new"}
    prepared.build()
    prepared.publish()
    assert server.repos["org/new"].private
    assert server.files("org/new") == {}
    assert server.files("org/new", PULL) == prepared.expected(server, {})
    assert "Its own words." in server.files("org/new", PULL)["README.md"].decode()


def test_large_contents_go_up_in_parts(prepared: Project, server: Hub) -> None:
    server.part_bytes = 20_000
    prepared.publish()
    assert "upload_part" in server.requests
    assert server.files(REPO, PULL) == prepared.expected(server)


def test_committing_to_main(prepared: Project, server: Hub) -> None:
    prepared.settings["create_pr"] = False
    prepared.build()
    receipt = prepared.publish()
    assert receipt["pull_request"] is None
    assert server.files(REPO) == prepared.expected(server)
    assert server.repos[REPO].discussions == {}
    assert sent(prepared.publish()) == {}


def test_anybody_may_propose(prepared: Project, server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    prepared.publish()
    assert server.repos[REPO].discussions[1].author == "stranger"
    assert server.files(REPO, PULL) == prepared.expected(server)


# --- The second time -----------------------------------------------------------------------------------------


def test_with_nothing_changed_nothing_is_sent(
    prepared: Project, server: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared.publish()
    before, text = dict(server.repos[REPO].refs), server.repos[REPO].discussions[1].description
    server.requests.clear()
    receipt = prepared.publish()
    assert receipt["sent"] == []
    assert receipt["pull_request"] == 1
    assert "nothing has changed, nothing was sent" in capsys.readouterr().out
    assert not {"commit", "upload", "preupload", "edit", "comment"} & set(server.requests)
    assert server.repos[REPO].refs == before
    assert server.repos[REPO].discussions[1].description == text
    server.merge(REPO, 1)
    assert prepared.publish()["sent"] == []
    assert len(server.repos[REPO].discussions) == 1


def test_one_changed_variant_updates_the_open_pull_request(prepared: Project, server: Hub) -> None:
    prepared.publish()
    prepared.change("onnx_O2")
    server.requests.clear()
    receipt = prepared.publish()
    assert sent(receipt)["onnx/model_O2.onnx"] == "changed"
    assert set(sent(receipt)) <= {"onnx/model_O2.onnx", "foundry.json", "README.md"}
    assert server.requests.count("upload") == 1
    assert server.files(REPO, PULL) == prepared.expected(server)
    [pull] = server.repos[REPO].discussions.values()
    assert server.repos[REPO].commits[server.repos[REPO].refs[PULL]].title == "Update onnx_O2"
    assert "| added | `onnx/model_O2.onnx` |" in pull.description  # against main, that is


def test_after_a_merge_a_change_is_a_pull_request_of_its_own(prepared: Project, server: Hub) -> None:
    prepared.publish()
    server.merge(REPO, 1)
    prepared.change("onnx_O2")
    assert prepared.publish()["pull_request"] == 2
    assert server.files(REPO, "refs/pr/2") == prepared.expected(server)
    assert "| changed | `onnx/model_O2.onnx` |" in server.repos[REPO].discussions[2].description


def test_a_removed_variant_is_taken_out_and_nobody_elses_file(prepared: Project, server: Hub) -> None:
    prepared.publish()
    server.merge(REPO, 1)
    prepared.variants.remove("onnx_O2")
    prepared.build()
    receipt = prepared.publish()
    assert sent(receipt)["onnx/model_O2.onnx"] == "deleted"
    there = server.files(REPO, "refs/pr/2")
    assert there == prepared.expected(server)
    assert "onnx/model_O2.onnx" not in there
    assert there["onnx/model_by_hand.onnx"] == THEIRS["onnx/model_by_hand.onnx"]
    assert prepared.publish()["sent"] == []


def test_a_file_that_somebody_has_changed_since_stays(prepared: Project, server: Hub) -> None:
    prepared.publish()
    server.merge(REPO, 1)
    server.push(REPO, {"onnx/model_O2.onnx": b"mended by hand \0"})
    prepared.variants.remove("onnx_O2")
    prepared.build()
    assert prepared.publish()["kept"] == ["onnx/model_O2.onnx"]
    assert server.files(REPO, "refs/pr/2")["onnx/model_O2.onnx"] == b"mended by hand \0"


def test_a_variant_that_failed_since_is_taken_out(prepared: Project, server: Hub) -> None:
    prepared.publish()
    fail(prepared.root, "onnx_O2")
    prepared.build()
    receipt = prepared.publish()
    assert sent(receipt)["onnx/model_O2.onnx"] == "deleted"
    assert "onnx/model_O2.onnx" not in server.files(REPO, PULL)
    assert "onnx_O2" in receipt["left_out"]


def test_somebody_elses_graph_is_replaced_in_a_pull_request_only(prepared: Project, server: Hub) -> None:
    server.push(REPO, {"onnx/model.onnx": b"another export \0"})
    prepared.settings["create_pr"] = False
    prepared.build()
    with pytest.raises(FoundryError, match=r"onnx/model\.onnx in org/tiny is somebody else's"):
        prepared.publish()
    assert server.files(REPO)["onnx/model.onnx"] == b"another export \0"
    prepared.settings["create_pr"] = True
    prepared.build()
    prepared.publish()
    assert "changed, in place of another | `onnx/model.onnx`" in server.repos[REPO].discussions[1].description


def test_the_checkpoints_own_tokenizer_is_replaced_in_a_pull_request_only(prepared: Project, server: Hub) -> None:
    own = (prepared.folder / "torch/tokenizer.json").read_bytes()
    server.push(REPO, {"tokenizer.json": own + b" "})
    with pytest.raises(FoundryError, match=r"tokenizer\.json in the repository is not that of the checkpoint"):
        prepared.publish()
    server.push(REPO, {"tokenizer.json": own})
    prepared.settings["create_pr"] = False
    prepared.build()
    with pytest.raises(FoundryError, match=r"tokenizer\.json in org/tiny is somebody else's"):
        prepared.publish()
    prepared.settings["create_pr"] = True
    prepared.build()
    assert sent(prepared.publish())["tokenizer.json"] == "changed"
    assert "changed, in place of another | `tokenizer.json`" in server.repos[REPO].discussions[1].description
    assert sent(prepared.publish()) == {}


def test_another_checkpoint_is_never_overwritten(prepared: Project, server: Hub) -> None:
    server.push(REPO, {"model.safetensors": b"other weights \0"})
    with pytest.raises(FoundryError, match=r"model\.safetensors in the repository is not that of the checkpoint"):
        prepared.publish()
    assert server.repos[REPO].discussions == {}


def test_words_added_in_the_pull_request_stay(prepared: Project, server: Hub) -> None:
    prepared.publish()
    card = server.files(REPO, PULL)["README.md"] + b"\nA reviewer's words.\n"
    server.push(REPO, {"README.md": card}, ref=PULL)
    prepared.change("onnx_O2")
    prepared.publish()
    assert "A reviewer's words." in server.files(REPO, PULL)["README.md"].decode()


def test_a_signed_record(prepared: Project, server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = make_key(prepared.root, "key")
    monkeypatch.setenv(signature.KEY, str(private))
    prepared.settings["sign"] = True
    prepared.build()
    prepared.publish()
    record, signed = prepared.root / "hub/tiny/foundry.json", prepared.root / "hub/tiny/foundry.json.sig"
    signature.check(record, record.read_bytes(), signed.read_bytes(), public)
    assert server.files(REPO, PULL) == prepared.expected(server)
    assert prepared.publish()["sent"] == []
    prepared.settings["sign"] = False
    prepared.build()
    assert sent(prepared.publish()) == {"foundry.json.sig": "deleted"}


def test_a_record_of_somebody_elses_is_not_overwritten(prepared: Project, server: Hub) -> None:
    server.push(REPO, {"foundry.json": b"{}"})
    with pytest.raises(FoundryError, match=r"foundry\.json in the repository is none of format 1"):
        prepared.publish()
    assert server.repos[REPO].discussions == {}


# --- People and rights ---------------------------------------------------------------------------------------


def test_a_conflict_is_left_to_people(prepared: Project, server: Hub) -> None:
    prepared.publish()
    server.push(REPO, {"README.md": b"# Other words\n"})
    with pytest.raises(FoundryError, match=r"discussions/1 conflicts with main in README\.md"):
        prepared.publish()
    assert len(server.repos[REPO].discussions) == 1


def test_what_was_declined_is_not_proposed_again(prepared: Project, server: Hub) -> None:
    prepared.publish()
    server.repos[REPO].discussions[1].status = "closed"
    with pytest.raises(FoundryError, match="discussions/1 proposed just this and was closed"):
        prepared.publish()
    assert len(server.repos[REPO].discussions) == 1
    prepared.change("onnx_O2")
    assert prepared.publish()["pull_request"] == 2


def test_a_pull_request_of_somebody_else_is_not_taken_for_ones_own(
    prepared: Project, server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    prepared.publish()  # with the same words in it
    theirs = server.repos[REPO].refs[PULL]
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert prepared.publish()["pull_request"] == 2
    assert server.repos[REPO].refs[PULL] == theirs


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "log in with `hf auth login`, or set HF_TOKEN"),
        (f"hf_{'x' * 34}", "the Hub does not know this token"),
        (READER, "the token of reader may only read"),
        (STRANGER, "this token may not write to org/tiny"),
    ],
)
def test_no_rights(
    prepared: Project, server: Hub, monkeypatch: pytest.MonkeyPatch, token: str | None, message: str
) -> None:
    from huggingface_hub import constants

    prepared.settings["create_pr"] = False
    prepared.build()
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(prepared.root / "no-token"))
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(FoundryError, match=message):
        prepared.publish()
    assert commits(server) == 1
    assert not prepared.receipt.exists()


def test_a_branch_that_moves_in_between(prepared: Project, server: Hub) -> None:
    prepared.settings["create_pr"] = False
    prepared.build()
    server.on("commit", lambda: server.push(REPO, {"notes.txt": b"newer"}))
    with pytest.raises(FoundryError, match="org/tiny has changed while this was sent, and nothing was"):
        prepared.publish()
    assert server.files(REPO) == {**THEIRS, "notes.txt": b"newer"}
    prepared.publish()
    assert server.files(REPO) == prepared.expected(server, {**THEIRS, "notes.txt": b"newer"})


# --- What must hold before anything is sent -------------------------------------------------------------------


def test_a_dry_run_says_what_it_would_do(prepared: Project, server: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    prepared.settings |= {"dry_run": True, "repos": {"tiny": "org/new"}}
    prepared.build()
    receipt = prepared.publish()
    assert receipt["dry_run"]
    assert sent(receipt)["onnx/model_O2.onnx"] == "added"
    assert "added: onnx/model_O2.onnx, 1" in capsys.readouterr().out
    assert "org/new" not in server.repos
    assert not {"create_repo", "commit", "upload", "preupload"} & set(server.requests)


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (
            lambda prepared: prepared.settings.update(licences=["apache-2.0"]),
            "licence is mit, and publish.licences allows",
        ),
        (lambda prepared: prepared.add("notes.md", f"token: {TOKEN}".encode()), r"notes\.md \(the value of HF_TOKEN"),
        (lambda prepared: prepared.add("id_rsa", b"x"), "id_rsa .its name"),
    ],
)
def test_checks_first(prepared: Project, server: Hub, breaks: Callable[[Project], Any], message: str) -> None:
    breaks(prepared)
    prepared.build()
    with pytest.raises(FoundryError, match=message):
        prepared.publish()
    assert not {"preupload", "commit"} & set(server.requests)


def test_an_output_that_is_not_as_in_dvc_lock_is_not_sent(prepared: Project, server: Hub) -> None:
    path = prepared.validation / "onnx.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(FoundryError, match=r"not as dvc\.lock has it: .*validation/tiny/onnx\.json \(altered\)"):
        prepared.publish()
    (prepared.root / "dvc.lock").unlink()
    with pytest.raises(FoundryError, match="nothing says what was built"):
        prepared.publish()
    assert server.requests == []


def test_dvc_has_the_same_hashes(tmp_path: Path) -> None:
    (tmp_path / "folder/below").mkdir(parents=True)
    for name in ("folder/b.txt", "folder/below/a.txt", "folder/below.txt", "file.bin"):
        (tmp_path / name).write_text(name)
    for command in (["init", "--no-scm", "-q"], ["add", "-q", "folder", "file.bin"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True)
    for name in ("folder", "file.bin"):
        [out] = yaml.safe_load((tmp_path / f"{name}.dvc").read_text())["outs"]
        assert lock.digest(tmp_path / name) == out["md5"]


# --- Faults --------------------------------------------------------------------------------------------------

PHASES = [
    "whoami", "info", "discussions", "list_tree", "resolve", "validate_yaml", "preupload", "batch", "upload", "verify",
    "commit", "details", "edit", "fetch",
]  # fmt: skip


@pytest.mark.parametrize("answers", [[500], [429], [DROP], [503, 503]], ids=["500", "429", "dropped", "503 twice"])
@pytest.mark.parametrize("phase", PHASES)
def test_what_fails_for_a_moment_is_done_all_the_same(
    prepared: Project, server: Hub, phase: str, answers: list[Any]
) -> None:
    server.on(phase, *answers, headers={"Retry-After": "0.1"})
    prepared.publish()
    assert server.files(REPO, PULL) == prepared.expected(server)
    assert len(server.repos[REPO].discussions) == 1
    assert all(not rule.answers for rule in server.rules), "the fault never came"


@pytest.mark.parametrize("phase", ["commit", "upload", "verify", "edit"])
def test_an_answer_that_is_lost_is_not_sent_twice(prepared: Project, server: Hub, phase: str) -> None:
    server.on(phase, DROP, after=True)
    prepared.publish()
    assert server.files(REPO, PULL) == prepared.expected(server)
    assert len(server.repos[REPO].discussions) == 1
    assert commits(server) == 2


@pytest.mark.parametrize("status", [403, 413, 409, 500, DROP])
@pytest.mark.parametrize("phase", ["preupload", "batch", "upload", "commit"])
def test_what_fails_for_good_is_an_error_and_nothing_is_published(
    prepared: Project, server: Hub, monkeypatch: pytest.MonkeyPatch, phase: str, status: Any
) -> None:
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)  # the client waits for minutes otherwise
    server.on(phase, *[status] * 100)
    with pytest.raises(FoundryError) as error:
        prepared.publish()
    expected = {403: "may not write", 413: "does not take so much", 409: "has changed", 500: "refuses"}
    assert expected.get(status, "cannot be reached") in str(error.value)
    assert not any(secret in str(error.value) for secret in (TOKEN, "Signature"))
    assert server.repos[REPO].discussions == {}
    assert server.files(REPO) == THEIRS
    assert not prepared.receipt.exists()
    server.rules.clear()
    prepared.publish()
    assert server.files(REPO, PULL) == prepared.expected(server)


@pytest.mark.parametrize("phase", ["whoami", "list_tree", "resolve", "batch", "upload", "commit", "fetch"])
def test_a_server_that_takes_the_connection_and_never_answers(
    prepared: Project, server: Hub, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
    for name in ("READ_SECONDS", "WRITE_SECONDS"):
        monkeypatch.setattr(time_limits, name, 0.6)
    over = threading.Event()
    server.on(phase, *[over.wait] * 100)
    try:
        # A connection that breaks in between is one of the attempts, too, and then the last one says so.
        with pytest.raises(FoundryError, match=r"takes the connection and does not answer|cannot be reached"):
            prepared.publish()
    finally:
        over.set()
    assert server.files(REPO) == THEIRS
    assert not prepared.receipt.exists()


def test_a_token_in_what_the_hub_answers_is_not_shown(
    prepared: Project, server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise Refused(400, message=f"no: {TOKEN}, see https://me:{READER}@host/x?X-Amz-Signature=1234")

    monkeypatch.setattr(Api, "preupload", lambda *_: refuse())
    with pytest.raises(FoundryError, match="the Hub refuses org/tiny") as error:
        prepared.publish()
    assert not any(secret in str(error.value) for secret in (TOKEN, READER, "Signature"))


def test_the_card_in_the_repository_is_looked_at_too(prepared: Project, server: Hub) -> None:
    """Nothing is sent on, not even what others have put there."""
    server.push(REPO, {"README.md": b"# Words\n\nUse " + b"ghp_" + b"aB3" * 12})
    with pytest.raises(FoundryError, match=r"looks like a secret: README\.md \(a token of GitHub"):
        prepared.publish()
    assert not {"preupload", "commit"} & set(server.requests)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_what_this_environment_holds_is_not_sent_in_a_graph(
    prepared: Project, server: Hub, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv("OUR_SERVICE_PASSWORD", "un-guessable/24")
    graph = prepared.folder / "openvino_fp16/openvino/openvino_model_fp16.bin"
    graph.write_bytes(graph.read_bytes() + b"\xff" + "un-guessable/24".encode(encoding) + b"\xff")
    accept(prepared.root, "openvino_fp16")
    prepared.build()
    with pytest.raises(FoundryError, match=r"fp16\.bin \(the value of OUR_SERVICE_PASSWORD\)"):
        prepared.publish()
    assert not {"preupload", "commit"} & set(server.requests)


def test_a_quota(prepared: Project, server: Hub) -> None:
    server.quota_bytes = 10_000
    with pytest.raises(FoundryError, match="does not take so much for org/tiny"):
        prepared.publish()
    assert server.repos[REPO].discussions == {}


def test_what_the_hub_holds_is_checked_before_there_is_a_receipt(prepared: Project, server: Hub) -> None:
    def damage() -> None:
        repo = server.repos[REPO]
        tree = repo.commits[repo.refs[PULL]].tree
        tree |= server.tree(
            {"openvino/openvino_model_fp16.bin": b"\0" * len(tree["openvino/openvino_model_fp16.bin"].content)}
        )

    server.on("edit", damage)
    with pytest.raises(FoundryError, match=r"discussions/1 does not hold what was sent.*fp16\.bin is altered"):
        prepared.publish()
    assert not prepared.receipt.exists()
    assert server.repos[REPO].discussions[1].comments == [
        "Please do not merge this: openvino/openvino_model_fp16.bin is altered"
    ]
    prepared.publish()  # sends it again, into the same pull request
    assert server.files(REPO, PULL) == prepared.expected(server)
    assert len(server.repos[REPO].discussions) == 1


# --- Killed at any moment ------------------------------------------------------------------------------------


# Two moments run with every change, the others with the slow tests: each imports the libraries in a process of its own.
MOMENTS = [
    pytest.param(
        phase, after, marks=[] if (phase, after) in (("upload", False), ("commit", True)) else pytest.mark.slow
    )
    for after in (False, True)
    for phase in ("whoami", "preupload", "batch", "upload", "verify", "commit", "edit", "fetch")
]


@pytest.mark.parametrize(("phase", "after"), MOMENTS)
def test_killed_and_run_again(prepared: Project, server: Hub, phase: str, after: bool) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": server.address, "HF_TOKEN": TOKEN}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HOME": str(prepared.root / "cache")}
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.publish", "tiny", *map(str, (settings_file("publish"), *prepared.arguments))],
        cwd=prepared.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    server.on(phase, lambda: process.send_signal(signal.SIGKILL), after=after)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, output
    assert TOKEN not in output
    assert not prepared.receipt.exists()
    assert server.files(REPO) == THEIRS
    if server.repos[REPO].discussions:  # all or nothing
        assert "onnx/model.onnx" in server.files(REPO, PULL)
        assert "foundry.json" in server.files(REPO, PULL)
    prepared.publish()
    assert server.files(REPO, PULL) == prepared.expected(server)
    assert len(server.repos[REPO].discussions) == 1
    assert not list((prepared.root / "hub").glob(".partial-*"))
    for path in prepared.root.rglob("*"):
        if path.is_file() and path.stat().st_size < 1_000_000:
            assert TOKEN.encode() not in path.read_bytes(), path
