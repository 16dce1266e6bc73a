"""The whole pipeline through `dvc repro`, in a clone, with a tiny model: what runs, and what reruns after a change.

Its stages run as forks of a process that has imported the libraries (`tests/support/fork_server.py`), except where
processes are killed, and in the one test that builds everything again through real processes and compares the bytes.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from benchmarks import projects
from foundry.base import files
from foundry.loading import loader
from foundry.loading.items import make_items
from foundry.variants import checkpoint_folder, variant_folder
from tests.support.checkpoints import make_kind
from tests.support.disks import small_disk
from tests.support.fork_server import ForkServer
from tests.support.hub_server import Hub
from tests.support.pipeline import change, copy_unbuilt, dvc, ran
from tests.support.projects import LOOSE, TINY_VARIANTS
from tests.support.texts import documents


@pytest.fixture
def forks(fork_server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages that DVC starts in this test are forks of the server."""
    monkeypatch.setenv("PATH", fork_server.path)


def test_everything_is_built_checked_measured_and_published(first_build: Path) -> None:
    receipt = files.read_json(first_build / "artifacts/published/tiny.json")
    assert list(receipt["published"]) == TINY_VARIANTS
    assert (first_build / "artifacts/report/index.html").is_file()
    assert len(list((first_build / "artifacts/benchmarks/tiny").iterdir())) == 1


@pytest.mark.usefixtures("forks")
def test_nothing_changed_nothing_runs(built: Path) -> None:
    assert ran(dvc(built, "repro")) <= {"host"}


def test_metrics_read_well(built: Path) -> None:
    shown = dvc(built, "metrics", "show", "--md")
    assert all(f"artifacts/metrics/tiny/{variant}.json" in shown for variant in TINY_VARIANTS)
    assert "mean_cosine" in shown


def test_plots_hold_every_variant(built: Path) -> None:
    shown = json.JSONDecoder().raw_decode(dvc(built, "plots", "show", "--json"))[0]["data"]
    assert set(shown) == {"speed in batches", "speed on one text at a time", "quality lost", "size"}
    for plots in shown.values():
        names = {point["variant"] for plot in plots for point in plot["content"]["data"]["values"]}
        # A setting with a verdict of its own is a row, too.
        assert names <= {f"tiny/{variant}" for variant in (*TINY_VARIANTS, "onnx_runtime")}
        assert {"tiny/torch", "tiny/onnx", "tiny/openvino"} <= names


@pytest.mark.usefixtures("forks")
def test_one_changed_int8_row_reruns_what_it_touches(built: Path) -> None:
    change(built, lambda raw: raw["quantize"]["onnx_qint8_avx512"].update(reduce_range=True))
    assert ran(dvc(built, "repro")) - {"host"} == {
        "configure",
        "quantize@tiny-onnx_qint8_avx512",
        "validate@tiny-onnx_qint8_avx512",
        "benchmark@tiny",
        "report",
        "publish@tiny",
    }


@pytest.mark.usefixtures("forks")
def test_a_changed_threshold_reruns_its_variants_verdict_alone(built: Path) -> None:
    change(built, lambda raw: raw["validate"]["overrides"].update(onnx_qint8_avx512={"min_cosine": 1.0}))
    expected = {"configure", "validate@tiny-onnx_qint8_avx512", "report", "publish@tiny"}
    assert ran(dvc(built, "repro")) - {"host"} == expected
    receipt = files.read_json(built / "artifacts/published/tiny.json")
    assert receipt["left_out"]["onnx_qint8_avx512"].startswith("failed: min_cosine")
    assert not (built / "artifacts/hub/tiny/onnx/model_qint8_avx512.onnx").exists()
    assert (built / "artifacts/hub/tiny/onnx/model_O2.onnx").exists()


@pytest.mark.usefixtures("forks")
def test_deleted_outputs_come_back_from_the_cache(built: Path) -> None:
    before = (built / "dvc.lock").read_text()
    shutil.rmtree(built / "artifacts/models")
    shutil.rmtree(built / "artifacts/hub")
    output = dvc(built, "repro")
    assert "Running stage 'export" not in output
    assert (built / "artifacts/hub/tiny/onnx/model_O2.onnx").is_file()
    assert (built / "dvc.lock").read_text() == before


@pytest.mark.usefixtures("forks")
def test_a_removed_variant_leaves_report_and_hub(built: Path) -> None:
    def remove(raw: dict[str, Any]) -> None:
        del raw["optimize"]["onnx_O2"]
        del raw["variants"]["onnx_O2"]

    change(built, remove)
    dvc(built, "repro")
    assert "onnx_O2" not in (built / "artifacts/report/report.csv").read_text()
    assert not (built / "artifacts/hub/tiny/onnx/model_O2.onnx").exists()


@pytest.mark.slow
def test_through_real_processes_the_same_bytes(first_build: Path, tmp_path: Path) -> None:
    """The whole pipeline as a user runs it, from cold; its model files are those of the forks."""
    clone = copy_unbuilt(first_build, tmp_path / "again")
    dvc(clone, "repro")
    for variant in TINY_VARIANTS:
        folder = Path("artifacts/models/tiny") / variant
        names = files.files_below(first_build / folder)
        assert names == files.files_below(clone / folder)
        assert [
            name for name in names if files.sha256(first_build / folder / name) != files.sha256(clone / folder / name)
        ] == []
    assert list(files.read_json(clone / "artifacts/published/tiny.json")["published"]) == TINY_VARIANTS
    assert ran(dvc(clone, "repro")) <= {"host"}


def stages_of(clone: Path, name: str | None = None) -> list[psutil.Process]:
    """The stages that run in a clone now, or those of this name."""
    matching = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it may end meanwhile
            words = process.cmdline() if process.cwd() == str(clone) else []
            stages = [word for word in words if word.startswith("stages.")]
            if "-m" in words and (f"stages.{name}" in stages if name else stages):
                matching.append(process)
    return matching


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return value


def start(clone: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        ["dvc", *arguments], cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_stage(clone: Path, name: str) -> psutil.Process:
    running = wait_for(lambda: stages_of(clone, name), 120)
    assert running
    return next(iter(running))


def test_a_killed_dvc_takes_its_stage_along_and_the_next_run_is_right(built: Path) -> None:
    change(built, lambda raw: raw["calibrate_onnx"].update(onnx_qint8_static={"samples": 20}))
    with start(built, "repro", "calibrate_onnx") as process:
        wait_for_stage(built, "calibrate_onnx")
        process.kill()
    assert wait_for(lambda: not stages_of(built), 30)
    # Killed before it was done: nothing half-written stands where the variant is expected.
    assert not (built / "artifacts/models/tiny/onnx_qint8_static/onnx").exists()
    dvc(built, "repro", "calibrate_onnx")
    assert variant_folder.built(built / "artifacts/models/tiny/onnx_qint8_static")["texts"] == 20
    assert not [path for path in (built / "artifacts/models/tiny").iterdir() if path.name.startswith(".partial")]


def test_a_killed_stage_is_an_error_and_the_next_run_is_right(built: Path) -> None:
    change(built, lambda raw: raw["calibrate_onnx"].update(onnx_qint8_static={"samples": 19}))
    with start(built, "repro", "calibrate_onnx") as process:
        wait_for_stage(built, "calibrate_onnx").kill()
        output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "failed to reproduce 'calibrate_onnx@tiny-onnx_qint8_static'" in output
    assert not (built / "artifacts/models/tiny/onnx_qint8_static/onnx").exists()
    dvc(built, "repro", "calibrate_onnx")
    assert variant_folder.built(built / "artifacts/models/tiny/onnx_qint8_static")["texts"] == 19


def test_two_runs_at_once(built: Path) -> None:
    """The second ends with an error that names what is busy, or waits; the first is not disturbed."""
    change(built, lambda raw: raw["calibrate_onnx"].update(onnx_qint8_static={"samples": 18}))
    with start(built, "repro", "calibrate_onnx") as first:
        wait_for_stage(built, "calibrate_onnx")
        with start(built, "repro", "calibrate_onnx") as second:
            output, _ = second.communicate(timeout=120)
        assert len(stages_of(built)) <= 1
        first.communicate(timeout=120)
    assert first.returncode == 0
    assert second.returncode == 0 or "is busy" in output or "Unable to acquire lock" in output, output
    assert variant_folder.built(built / "artifacts/models/tiny/onnx_qint8_static")["texts"] == 18
    assert ran(dvc(built, "repro", "calibrate_onnx")) - {"host"} == set()  # which always runs
    checked = [sys.executable, "-m", "foundry", "audit", "--skip-remote"]
    subprocess.run(checked, cwd=built, check=True, capture_output=True)


@pytest.mark.usefixtures("forks")
def test_a_stale_lock_is_no_obstacle(built: Path) -> None:
    """What a DVC that was killed leaves: its lock, and the note that it writes to an output."""
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    target = built / "artifacts/models/tiny/onnx_qint8_static"
    note = {"write": {str(target): {"pid": gone.pid, "cmd": "dvc repro"}}, "read": {}}
    (built / ".dvc/tmp/rwlock").write_text(json.dumps(note))
    (built / ".dvc/tmp/lock").write_text(f"{gone.pid}")
    change(built, lambda raw: raw["calibrate_onnx"].update(onnx_qint8_static={"samples": 17}))
    dvc(built, "repro", "calibrate_onnx")
    assert variant_folder.built(target)["texts"] == 17


@pytest.mark.usefixtures("forks")
def test_a_full_disk_below_dvcs_cache(first_build: Path, tmp_path: Path) -> None:
    clone = copy_unbuilt(first_build, tmp_path / "full")
    with small_disk(clone / ".dvc/cache", "100k") as cache:
        output = dvc(clone, "repro", "download", succeeds=False)
        assert "No space left on device" in output
        assert "download@tiny" not in (clone / "dvc.lock").read_text()
        subprocess.run(["mount", "-o", "remount,size=64m", cache], check=True)
        assert "download@tiny" in ran(dvc(clone, "repro", "download"))
        checked = [sys.executable, "-m", "foundry", "audit", "--skip-remote"]
        subprocess.run(checked, cwd=clone, check=True, capture_output=True)


@pytest.mark.usefixtures("forks")
def test_a_mistake_in_params_stops_before_any_stage_has_run(built: Path) -> None:
    before = dict.fromkeys(files.files_below(built / "artifacts"))
    change(built, lambda raw: raw["quantize"]["onnx_qint8_avx512"].update(per_chanel=True))
    output = dvc(built, "repro", succeeds=False)
    assert "quantize.onnx_qint8_avx512.per_chanel: unknown key, with value True" in output
    missing = before.keys() - dict.fromkeys(files.files_below(built / "artifacts")).keys()
    # DVC removes the outputs of the stage that it starts; they stay in its cache, and everything else in place.
    assert {path.parts[0] for path in missing} == {"settings"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("forks")
def test_three_models_of_different_kinds_build_together(tmp_path: Path, tiny_params: dict[str, Any]) -> None:
    clone = projects.copy_working_tree(tmp_path / "project")
    raw: dict[str, Any] = json.loads(json.dumps(tiny_params))
    kept = ["torch", "onnx", "onnx_qint8_static"]
    raw["models"] |= {
        "sparse": {
            "source": {"path": str(make_kind(tmp_path / "sparse", "SparseEncoder"))},
            "skip": ["onnx_qint8_static"],
        },
        "reranker": {
            "source": {"path": str(make_kind(tmp_path / "reranker", "CrossEncoder"))},
            "overrides": {"sample": {"seed": 7}, "calibrate_onnx": {"onnx_qint8_static": {"samples": 8}}},
        },
    }
    raw |= {"optimize": {}, "quantize": {}, "calibrate": {}, "compress": {}, "export": {"onnx": {}}}
    raw["benchmark"]["settings"] = {}
    raw["variants"] = {name: {} for name in kept}
    raw["sample"]["tasks"] = {}
    raw["validate"]["overrides"] = {"onnx_qint8_static": LOOSE}
    (clone / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    dvc(clone, "repro")
    texts = documents()[:4]
    for model in raw["models"]:
        receipt = files.read_json(clone / f"artifacts/published/{model}.json")
        assert list(receipt["published"]) == (kept[:2] if model == "sparse" else kept)
        hub = clone / "artifacts/hub" / model
        items = make_items(texts, checkpoint_folder.kind(hub))
        expected = loader.load(hub, "torch").encode(items)
        assert abs(loader.load(hub, "onnx").encode(items) - expected).max() < 1e-4
    assert "leaves it out" in files.read_json(clone / "artifacts/validation/sparse/onnx_qint8_static.json")["reason"]
    built_from = [
        files.read_json(clone / f"artifacts/models/{name}/onnx_qint8_static/built.json")
        for name in ("tiny", "reranker")
    ]
    assert [record["texts"] for record in built_from] == [24, 8]
    frozen = [(clone / f"artifacts/texts/{name}/validation.jsonl").read_text() for name in raw["models"]]
    assert frozen[0] == frozen[1] != frozen[2]
    page = (clone / "artifacts/report/report.md").read_text()
    for line in ("SentenceTransformer(", "SparseEncoder(", "CrossEncoder("):
        assert line in page
    publish_to_a_hub_and_back(clone, raw)


def publish_to_a_hub_and_back(clone: Path, raw: dict[str, Any]) -> None:
    """Three models to three repositories; a change and its opposite, which DVC must not take from its run-cache."""
    token = "hf_" + "b" * 34
    models_of = list(raw["models"])

    def local(model: str) -> dict[str, bytes]:
        hub = clone / "artifacts/hub" / model
        return {path.as_posix(): (hub / path).read_bytes() for path in files.files_below(hub)}

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Hub())
        server.add_user("builder", token, organizations=["org"])
        where = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": server.address, "HF_TOKEN": token}
        where["PATH"] = stack.enter_context(ForkServer(**where)).path

        def publish(edit: Callable[[dict[str, Any]], Any]) -> set[str]:
            change(clone, edit)
            output = dvc(clone, "repro", **where)
            assert token not in output
            return ran(output) - {"host", "configure"}

        repos = {model: f"org/{model}" for model in models_of}
        settings = {"to": "hub", "repos": repos, "licences": ["mit", "unknown"]}
        assert publish(lambda raw: raw.update(publish=settings)) == {f"publish@{model}" for model in models_of}
        first = {model: local(model) for model in models_of}
        assert {model: server.files(f"org/{model}", "refs/pr/1") for model in models_of} == first
        limits = {"onnx_qint8_static": {**raw["validate"]["overrides"]["onnx_qint8_static"], "min_cosine": 1.0}}
        publish(lambda raw: raw["validate"].update(overrides=limits))
        assert "onnx/model_qint8_static.onnx" not in server.files("org/tiny", "refs/pr/1")
        publish(lambda raw: raw["validate"].update(overrides={"onnx_qint8_static": LOOSE}))
        assert {model: server.files(f"org/{model}", "refs/pr/1") for model in models_of} == first
        assert all(len(repo.discussions) == 1 for repo in server.repos.values())
        before = len(server.requests)
        assert ran(dvc(clone, "repro", **where)) <= {"host"}
        assert len(server.requests) == before
    for path in clone.rglob("*"):  # DVC's cache, too
        if path.is_file() and path.stat().st_size < 1_000_000:
            assert token.encode() not in path.read_bytes(), path
