"""Fixtures: a params.yaml of a tiny model, and the tiny and the real model built once per run. No network.

`make test` runs two workers. What is built once (`tests/support/sessions.py`) is shared by both.
"""

import json
import multiprocessing.spawn
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import projects
from foundry.loading import loader
from tests.support import order
from tests.support.checkpoints import make_checkpoint
from tests.support.fork_server import ForkServer
from tests.support.pipeline import dvc
from tests.support.projects import ROOT, make_params
from tests.support.sessions import built_once
from tests.support.stages import build

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DVC_NO_ANALYTICS"] = "1"
# `dvc` is beside this Python, also where .venv is not activated.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # One core for each worker, or their threads wait for each other. Torch reads it when it is imported: not yet.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(trylast=True)  # after those that `-m` leaves out are gone
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest tests first; and where optimum is not installed, without those that compare with it."""
    if not loader.has_optimum():
        for item in items:
            if item.get_closest_marker("needs_optimum"):
                item.add_marker(pytest.mark.skip(reason="needs optimum"))
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = order.longest_first(items, lambda item: item.nodeid, workers)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """A process that has imported the libraries; stages of `dvc repro` run as forks of it."""
    with ForkServer() as server:
        yield server


@pytest.fixture(scope="module")
def forks_in_module(fork_server: ForkServer) -> Iterator[None]:
    """`dvc`, `foundry` and the stages that the tests of a module start are forks of the server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", fork_server.path)
        yield


@pytest.fixture
def forked_children(fork_server: ForkServer) -> Iterator[None]:
    """Processes that this one spawns are forks of the server."""
    before = multiprocessing.spawn.get_executable()
    multiprocessing.set_executable(f"{fork_server.folder}/python")
    yield
    multiprocessing.set_executable(before)


@pytest.fixture
def graphs_load() -> Iterator[None]:
    """Sentence Transformers loads ONNX and OpenVINO files: by optimum, or, where that is not installed, by the runtime,
    as the model card says."""
    with pytest.MonkeyPatch.context() as patch:
        if not loader.has_optimum():
            from foundry_runtime import sentence_transformers as graphs_without_optimum
            from sentence_transformers.models import Transformer

            names: dict[str, Any] = Transformer._load_model.__globals__
            for name in graphs_without_optimum.LOADERS:
                patch.setitem(names, name, names[name])  # is put back
            graphs_without_optimum.install()
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_once(tmp_path_factory, "checkpoint", lambda folder: make_checkpoint(folder / "tiny")) / "tiny"


@pytest.fixture(scope="session")
def tiny_params(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The default params.yaml, shrunk: the tiny model, fewer variants, fewer texts."""

    def write(folder: Path) -> None:
        (folder / "params.yaml").write_text(yaml.safe_dump(make_params(checkpoint), sort_keys=False))

    params: dict[str, Any] = yaml.safe_load((built_once(tmp_path_factory, "params", write) / "params.yaml").read_text())
    return params


@pytest.fixture
def project(tmp_path: Path, tiny_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a folder with a params.yaml the current one; a call changes what stands in it."""

    def write(change: Callable[[dict[str, Any]], Any] = lambda raw: None) -> Path:
        raw = json.loads(json.dumps(tiny_params))
        change(raw)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
        monkeypatch.chdir(tmp_path)
        return tmp_path

    write()
    return write


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_params: dict[str, Any]) -> Path:
    """The tiny model's folder with every variant of `tiny_params`, and the texts and reference beside it. Read only."""

    def build_all(root: Path) -> None:
        (root / "params.yaml").write_text(yaml.safe_dump(tiny_params, sort_keys=False))
        build(root, "tiny")

    return built_once(tmp_path_factory, "tiny", build_all) / "artifacts/models/tiny"


@pytest.fixture(scope="session")
def published(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `publish` makes of the tiny model, as a folder. Read only."""
    from tests.support.publishing import prepare, run

    def publish(root: Path) -> None:
        (root / "params.yaml").write_bytes((tiny.parents[2] / "params.yaml").read_bytes())
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            prepare(root, tiny, "tiny")
            run(root, folder=tiny)

    return built_once(tmp_path_factory, "published", publish) / "hub/tiny"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Hub that this process takes for the real one, with org/tiny in it."""
    from huggingface_hub import constants, file_download

    from foundry.publishing.hub import retries
    from tests.support.hub_server import Hub, forget_connections
    from tests.support.publishing import READER, REPO, STRANGER, THEIRS, TOKEN

    with Hub() as hub:
        hub.add_user("builder", TOKEN, organizations=["org"])
        hub.add_user("stranger", STRANGER)
        hub.add_user("reader", READER, role="read", organizations=["org"])
        hub.make_repo(REPO, THEIRS)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        for module in (constants, file_download):  # the latter before huggingface_hub 2
            if hasattr(module, "HUGGINGFACE_CO_URL_TEMPLATE"):
                template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
                monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(retries, "WAITS", (0.0, 0.0))
        forget_connections()
        yield hub
        assert hub.leaks == [], "the token went to where contents are stored"
        forget_connections()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3, with the bucket `cache`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    client.create_bucket(Bucket="cache")
    yield address
    server.stop()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """all-MiniLM-L6-v2 with all variants of the committed params.yaml, built by the stages. Read only."""

    def build_all(root: Path) -> None:
        shutil.copy(ROOT / "params.yaml", root)
        build(root, "minilm")

    return built_once(tmp_path_factory, "real", build_all) / "artifacts/models/minilm"


@pytest.fixture(scope="session")
def first_build(tmp_path_factory: pytest.TempPathFactory, tiny_params: dict[str, Any], fork_server: ForkServer) -> Path:
    """A clone of this working tree in which the tiny model was built. Read only."""

    def build(folder: Path) -> None:
        clone = projects.copy_working_tree(folder / "project")
        (clone / "params.yaml").write_text(yaml.safe_dump(tiny_params, sort_keys=False))
        dvc(clone, "repro", PATH=fork_server.path)

    return built_once(tmp_path_factory, "pipeline", build) / "project"


@pytest.fixture
def built(first_build: Path, tmp_path: Path) -> Path:
    """A copy of the clone in which the tiny model was built, with DVC's cache."""
    return Path(shutil.copytree(first_build, tmp_path / "project", symlinks=True))
