"""Graphs with their head: one output more, the bytes from before without it, and weights that two graphs share."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from foundry_runtime.graphs import OnnxGraph, OpenVinoGraph
from safetensors.numpy import save_file

from foundry.base import files
from foundry.export import exporting
from foundry.export.settings import OnnxExport
from foundry.head import adding, onnx_graph, reading
from foundry.loading import loader
from foundry.variants import graph_files, naming, variant_folder
from foundry.variants.checkpoint_folder import Kind
from tests.support.checkpoints import make_kind
from tests.support.projects import TINY_VARIANTS
from tests.support.texts import documents

DENSE = "sentence_transformers.models.Dense"
OUTPUTS: dict[Kind, str] = {
    "SentenceTransformer": "sentence_embedding", "SparseEncoder": "sparse_embedding", "CrossEncoder": "scores",
    "MultiVectorEncoder": "token_embeddings",
}  # fmt: skip


@pytest.fixture(scope="module", params=OUTPUTS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Kind]:
    """A tiny model of each kind, exported to both formats."""
    root = tmp_path_factory.mktemp(request.param)
    checkpoint = Path(shutil.copytree(make_kind(root / "made", request.param), root / "checkpoint"))
    exporting.build("onnx", checkpoint, OnnxExport(), root / "onnx")
    exporting.build("openvino", checkpoint, OnnxExport(), root / "openvino")
    return root, request.param


def test_the_output_stands_behind_the_graphs_own(model: tuple[Path, Kind]) -> None:
    root, kind = model
    for variant in ("onnx", "openvino"):
        assert variant_folder.built(root / variant)["head"] == {"output": OUTPUTS[kind], "left_out": None}
    outputs = [node.name for node in onnx.load(root / "onnx/onnx/model.onnx").graph.output]
    assert outputs == ["logits" if kind in ("SparseEncoder", "CrossEncoder") else "last_hidden_state", OUTPUTS[kind]]
    rows = loader.load(root / "onnx", "onnx").encode(loader.load(root / "onnx", "onnx").items(documents()[:3]))
    torch = loader.load(root / "checkpoint", "torch")
    assert abs(rows - torch.encode(torch.items(documents()[:3]))).max() < 1e-5  # Sentence Transformers reads the first


def test_without_its_head_a_graph_has_the_bytes_from_before(model: tuple[Path, Kind], tmp_path: Path) -> None:
    root, _ = model
    bare = onnx_graph.without_head(root / "onnx/onnx/model.onnx", tmp_path)
    folder = Path(shutil.copytree(root / "onnx", tmp_path / "again"))
    before = bare.read_bytes()
    (folder / "onnx/model.onnx").write_bytes(before)
    adding.add(folder, "onnx")
    assert (folder / "onnx/model.onnx").read_bytes() == (root / "onnx/onnx/model.onnx").read_bytes() != before
    (tmp_path / "twice").mkdir()
    assert onnx_graph.without_head(bare, tmp_path / "twice").read_bytes() == before  # of one that has none


def test_openvino_has_a_second_graph_on_the_same_weights(model: tuple[Path, Kind], tmp_path: Path) -> None:
    import openvino

    root, kind = model
    graph = root / "openvino/openvino/openvino_model.xml"
    finished = graph.with_name(f"openvino_model.{OUTPUTS[kind]}.xml")
    assert finished in variant_folder.weights_files(root / "openvino", "openvino")
    assert sorted(path.suffix for path in graph.parent.iterdir()) == [".bin", ".xml", ".xml"]
    core = openvino.Core()
    assert len(core.read_model(graph).outputs) == 1  # as tools want it that know one output
    model = core.read_model(finished, graph.with_suffix(".bin"))
    assert [node.get_any_name() for node in model.outputs] == [OUTPUTS[kind]]
    # Without the graphs to the embedding, the weights are all but what the head adds.
    openvino.save_model(core.read_model(graph), tmp_path / "alone.xml", compress_to_fp16=False)
    added = graph.with_suffix(".bin").stat().st_size - (tmp_path / "alone.bin").stat().st_size
    assert 0 <= added < 5000
    folder = Path(shutil.copytree(root / "openvino", tmp_path / "again"))
    (folder / "openvino" / finished.name).unlink()
    weights = graph.with_suffix(".bin").read_bytes()
    (folder / "openvino/openvino_model.bin").write_bytes(weights[: len(weights) - added])
    adding.add(folder, "openvino")
    for path in graph.parent.iterdir():
        assert path.read_bytes() == (folder / "openvino" / path.name).read_bytes(), path.name


def test_weights_in_a_sidecar_stay_there(model: tuple[Path, Kind], tmp_path: Path) -> None:
    root, kind = model
    folder = Path(shutil.copytree(root / "onnx", tmp_path / "large"))
    graph = folder / "onnx/model.onnx"
    bare = onnx.load(onnx_graph.without_head(graph, tmp_path))
    graph.unlink()
    onnx.save(bare, graph, save_as_external_data=True, location="model.onnx_data", size_threshold=1024)
    before = files.sha256(graph_files.sidecar_path(graph))
    adding.add(folder, "onnx")
    assert files.sha256(graph_files.sidecar_path(graph)) == before
    assert graph.stat().st_size < 60_000
    import onnxruntime

    inputs = {name: np.ones((1, 4), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    of_both = [onnxruntime.InferenceSession(path).run([OUTPUTS[kind]], inputs)[0]
               for path in (graph, root / "onnx/onnx/model.onnx")]  # fmt: skip
    assert abs(of_both[0] - of_both[1]).max() < 1e-6
    again = onnx_graph.without_head(graph, tmp_path / "large")
    assert graph_files.sidecar_path(again).samefile(graph_files.sidecar_path(graph))


def test_what_cannot_be_in_a_graph_is_said(model: tuple[Path, Kind], tmp_path: Path) -> None:
    root, kind = model
    folder = Path(shutil.copytree(root / "onnx", tmp_path / "model"))
    before = (folder / "onnx/model.onnx").read_bytes()
    assert f"has an output {OUTPUTS[kind]} of its own" in str(adding.add(folder, "onnx")["left_out"])
    if kind == "SentenceTransformer":
        pooling = files.read_json(folder / "1_Pooling/config.json")
        files.write_json(folder / "1_Pooling/config.json", {**pooling, "include_prompt": False})
        assert "does not know where the prompt ends" in str(adding.add(folder, "onnx")["left_out"])
        files.write_json(folder / "1_Pooling/config.json", {**pooling, "pooling_mode": "median"})
        assert "1_Pooling pools by median" in str(adding.add(folder, "onnx")["left_out"])
        files.write_json(folder / "1_Pooling/config.json", pooling)
    modules = files.read_json(folder / "modules.json")
    files.write_json(folder / "modules.json", [*modules, {"idx": 3, "path": "3_Own", "type": "own.Module"}])
    said = adding.add(folder, "onnx")
    assert said["output"] is None
    assert "own.Module" in str(said["left_out"])
    assert str(tmp_path) not in str(said["left_out"])
    assert (folder / "onnx/model.onnx").read_bytes() == before


def test_a_models_own_cut_and_activation_are_in_the_graph(model: tuple[Path, Kind], tmp_path: Path) -> None:
    root, kind = model
    folder = Path(shutil.copytree(root / "onnx", tmp_path / "model"))
    settings = files.read_json(folder / "config_sentence_transformers.json")
    files.write_json(folder / "config_sentence_transformers.json", {**settings, "truncate_dim": 7})
    head = reading.read(folder)
    assert head.truncate_dim == (7 if kind == "SentenceTransformer" else None)
    assert head.activation == ("Sigmoid" if kind == "CrossEncoder" else "Identity")
    assert naming.openvino_head_name("openvino_model_fp16.xml", head.output) == (
        f"openvino_model_fp16.{OUTPUTS[kind]}.xml"
    )


@pytest.mark.parametrize(
    "labels", [1, 3]
)  # after a sigmoid, and as they are: then the graph's own output is the head's
def test_scores_have_their_name(tmp_path: Path, labels: int) -> None:
    checkpoint = make_kind(tmp_path / "made", "CrossEncoder", labels)
    for format in ("onnx", "openvino"):
        exporting.build(format, checkpoint, OnnxExport(), tmp_path / format)
    inputs = {name: np.array([[2, 9, 3]]) for name in ("input_ids", "attention_mask", "token_type_ids")}
    inputs |= {"attention_mask": np.ones((1, 3), np.int64), "token_type_ids": np.zeros((1, 3), np.int64)}
    of_both = OnnxGraph(tmp_path / "onnx/onnx/model.onnx").run(inputs)
    folder = tmp_path / "openvino/openvino"
    finished = OpenVinoGraph(folder / "openvino_model.scores.xml", weights=folder / "openvino_model.bin")
    assert finished.outputs == ("scores",)
    assert OpenVinoGraph(folder / "openvino_model.xml").outputs == ("logits",)
    scores = finished.run(inputs)["scores"]
    assert scores.shape == (1, labels)
    assert abs(scores - of_both["scores"]).max() < 1e-5
    assert (abs(of_both["scores"] - of_both["logits"]).max() == 0) == (labels > 1)


@pytest.mark.parametrize(("kind", "place"), [("SentenceTransformer", "2_Dense"), ("CrossEncoder", "")])
def test_an_activation_of_the_models_own_is_left_out(tmp_path: Path, kind: Kind, place: str) -> None:
    """Where its code is trusted, Sentence Transformers runs it: no graph can."""
    folder = Path(shutil.copytree(make_kind(tmp_path / "made", kind), tmp_path / "own"))
    own = "transformers.activations.NewGELUActivation"
    if place:
        weights = {"linear.weight": np.eye(4, 32, dtype=np.float32), "linear.bias": np.zeros(4, np.float32)}
        (folder / place).mkdir()
        save_file(weights, folder / place / "model.safetensors")
        settings = {"in_features": 32, "out_features": 4, "bias": True, "activation_function": own}
        files.write_json(folder / place / "config.json", settings)
        rows = [*files.read_json(folder / "modules.json"), {"idx": 3, "name": "3", "path": place, "type": DENSE}]
        files.write_json(folder / "modules.json", rows)
    else:
        config = folder / "config_sentence_transformers.json"
        files.write_json(config, files.read_json(config) | {"activation_fn": own})
    files.write_json(folder / "source.json", {"loaded": {"trust_remote_code": True}})
    with pytest.raises(reading.Unsupported, match=r"NewGELUActivation is not computed here"):
        reading.read(folder)


def test_every_stage_that_makes_a_graph_adds_the_head(tiny: Path) -> None:
    for variant in (name for name in TINY_VARIANTS if name != "torch"):
        record = variant_folder.built(tiny / variant)["head"]
        assert record == {"output": "sentence_embedding", "left_out": None}, variant
