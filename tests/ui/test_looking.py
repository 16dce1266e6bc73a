"""A look at a model before it is downloaded, and the folder of a Space."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.ui import looking, sentences, space, workspaces
from foundry.ui.workspaces import Workspace
from tests.support.hub_server import Hub
from tests.support.projects import ROOT
from tests.support.publishing import TOKEN


def test_what_a_model_is(checkpoint: Path) -> None:
    found = looking.look(str(checkpoint), None)
    assert (found["kind"], found["architecture"], found["licence"]) == ("SentenceTransformer", "bert", "mit")
    assert found["max_seq_length"] == 64
    assert 0 < found["weights_mb"] <= found["download_mb"]
    assert (found["refused"], found["runs_code"], found["skipped"]) == (None, False, {})


def test_what_cannot_be_built_or_runs_code_is_said(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "modules.json").write_text(json.dumps([{"path": "", "type": "sentence_transformers.models.BoW"}]))
    (folder / "config.json").write_text("{}")
    refused = looking.look(str(folder), None)["refused"]
    assert refused is not None
    assert "bag of words" in refused
    (folder / "modules.json").write_text(json.dumps([{"path": "", "type": "own.Transformer"}]))
    (folder / "config.json").write_text(json.dumps({"model_type": "x", "auto_map": {"AutoModel": "own.Model"}}))
    assert looking.look(str(folder), None)["runs_code"]
    with pytest.raises(FoundryError, match="does not exist"):
        looking.look(str(tmp_path / "nowhere"), None)


def test_only_so_many_settings_are_fetched(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {path.as_posix(): (checkpoint / path).read_bytes() for path in files.files_below(checkpoint)}
    monkeypatch.chdir(tmp_path)
    with Hub() as hub:
        hub.add_user("ada", TOKEN)
        hub.make_repo("ada/mine", contents)
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        program = (
            "from foundry.ui import limits, looking; limits.{} = {}; print(looking.look('ada/mine', None)['kind'])"
        )

        def look(limit: str, most: int) -> str:
            done = subprocess.run(
                [sys.executable, "-c", program.format(limit, most)], cwd=tmp_path, capture_output=True, text=True,
                env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'runtime'}"}, check=False,
            )  # fmt: skip
            assert list((tmp_path / workspaces.STATE / "looks").iterdir()) == []
            return done.stdout or done.stderr.splitlines()[-1]

        assert look("SETTINGS_FILES", 200) == "SentenceTransformer\n"
        for limit, why in (
            ("SETTINGS_FILES", "at most 3 with"),
            ("SETTINGS_BYTES", "with 0 MB are"),
            ("REPOSITORY_FILES", "than 3 fil"),
        ):
            assert (downloads := hub.requests.count("resolve")) > 0
            assert why in look(limit, 3)
            assert hub.requests.count("resolve") == downloads


def test_a_licence_that_yaml_multiplies_is_none(tmp_path: Path, checkpoint: Path) -> None:
    """As a text, it would have gigabytes."""
    letters = "abcdefghijklmnop"
    rows = [f"{this}: &{this} [{', '.join([f'*{before}'] * 9)}]" for before, this in itertools.pairwise(letters)]
    folder = Path(shutil.copytree(checkpoint, tmp_path / "hostile"))
    (folder / "README.md").write_text("\n".join(["---", "a: &a [x]", *rows, "license: *p", "---", ""]))
    assert looking.described(folder, {}, "x", None)["licence"].startswith("unknown")
    (folder / "README.md").write_text("---\nlicense: [mit, apache-2.0]\n---\n")
    assert looking.described(folder, {}, "x", None)["licence"] == "mit, apache-2.0"


def test_settings_that_are_deep_or_long(tmp_path: Path, checkpoint: Path) -> None:
    """They end no look, and fill no page."""
    folder = Path(shutil.copytree(checkpoint, tmp_path / "hostile"))
    config = next(path for path in folder.rglob("config.json") if path.parent.name != "1_Pooling")
    config.write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    assert looking.described(folder, {}, "x", None)["refused"]
    config.write_text(json.dumps({"model_type": "a" * 1_000_000}))
    (folder / "README.md").write_text(f"---\nlicense: {'a' * 1_000_000}\n---\n")
    assert len(json.dumps(looking.described(folder, {}, "x", None))) < 5000


def test_what_is_known_to_be_skipped() -> None:
    skipped = looking.known_to_be_skipped("SentenceTransformer", "qwen3")
    assert set(skipped) == {"onnx_O2", "onnx_O3", "onnx_O4"}
    assert all("no fusions" in why for why in skipped.values())
    assert looking.known_to_be_skipped("SentenceTransformer", "bert") == {}
    assert looking.known_to_be_skipped("SentenceTransformer", "unheard of") == {}


@pytest.mark.parametrize("text", ["", "one", "\n".join("ab" for _ in range(60)), f"a\n{'b' * 5000}"])
def test_sentences_that_are_too_few_or_too_many(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "artifacts/models/minilm/torch").mkdir(parents=True)
    with pytest.raises(FoundryError, match="sentence"):
        sentences.compare(Workspace(tmp_path), "minilm", "torch", "torch", text)
    for model, variant in (("../x", "torch"), ("minilm", "../torch"), ("minilm", "onnx")):
        with pytest.raises(FoundryError, match=r"is no model|is no variant|is not built"):
            sentences.compare(Workspace(tmp_path), model, variant, "torch", "a\nb")


def test_sentences_by_two_variants_side_by_side(tiny: Path) -> None:
    lines = ["a man is talking", "somebody speaks", "the train is late"]
    compared = sentences.embed(tiny, ["torch", "onnx"], lines)
    assert min(compared["cosines"]) > 0.9999
    assert [side["variant"] for side in compared["sides"]] == ["torch", "onnx"]
    assert compared["sides"][0]["neighbours"] == compared["sides"][1]["neighbours"]
    assert all(side["ms_per_sentence"] > 0 for side in compared["sides"])
    with pytest.raises(FoundryError, match="onnx_O9 is no Sentence Transformers model"):
        sentences.embed(tiny, ["onnx_O9", "torch"], lines)


def test_neighbours_are_by_similarity() -> None:
    import numpy as np

    side = sentences.side_of("torch", np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), 1.5)
    assert side["neighbours"] == [[1, 2], [0, 2], [1, 0]]
    assert side["similarities"][0][2] == 0.0


def test_the_folder_of_a_space_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "6.31.0")
    space.write(ROOT, tmp_path / "space")
    head = (tmp_path / "space/README.md").read_text().split("---")[1]
    metadata = yaml.safe_load(head)
    assert (metadata["sdk"], metadata["app_file"], metadata["hf_oauth"]) == ("gradio", "app.py", True)
    assert metadata["sdk_version"] == "6.31.0"
    done = subprocess.run(
        [sys.executable, "-c", "import app, foundry, pathlib; print(pathlib.Path(foundry.__file__).parents[1])"],
        cwd=tmp_path / "space", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "space")
    with pytest.raises(FoundryError, match="is there already"):
        space.write(ROOT, tmp_path / "space")
