"""Graphs that one ONNX file cannot hold: the limit is lowered, so that the tiny model has such graphs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from foundry.base import files
from foundry.export import exporting
from foundry.loading import loader
from foundry.variants import graph_files, naming, variant_folder
from stages import calibrate_onnx, export, optimize, quantize
from tests.support.projects import TINY_VARIANTS
from tests.support.publishing import prepare, run
from tests.support.stages import measured_on, settings_file
from tests.support.texts import documents

LIMIT = 10_000
ONNX = [name for name in TINY_VARIANTS if name.startswith("onnx_")]


@pytest.fixture
def large(project: Callable[..., Path], tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """artifacts/models/tiny, with a sidecar beside every ONNX graph."""
    monkeypatch.setattr(graph_files, "LARGEST_GRAPH_BYTES", LIMIT)
    folder = project() / "artifacts/models/tiny"
    evaluation = measured_on(tiny)
    for name in ("torch", "openvino", "openvino_fp16", "openvino_qint8_quantized"):
        shutil.copytree(tiny / name, folder / name)
    monkeypatch.setitem(
        exporting.EXPORTERS,
        "onnx",
        {name: exporter for name, exporter in exporting.EXPORTERS["onnx"].items() if name != "optimum"},
    )
    export.main("onnx", settings_file("build/onnx"), folder / "torch", folder / "onnx")
    optimize.main("onnx_O2", settings_file("build/onnx_O2"), folder / "onnx", folder / "onnx_O2")
    quantize.main(
        "onnx_qint8_avx512",
        settings_file("build/onnx_qint8_avx512"),
        folder / "onnx",
        *evaluation,
        folder / "onnx_qint8_avx512",
    )
    calibration = evaluation[1].with_name("calibration.jsonl")
    calibrate_onnx.main(
        "onnx_qint8_static",
        settings_file("build/onnx_qint8_static"),
        folder / "onnx",
        calibration,
        *evaluation,
        folder / "onnx_qint8_static",
    )
    return folder


def test_every_graph_has_its_sidecar_and_gives_what_it_gave(large: Path, tiny: Path) -> None:
    sample = documents()[:6]
    for variant in ("onnx", *ONNX):
        graph, sidecar = variant_folder.weights_files(large / variant, variant)
        assert sidecar.name == f"{graph.name}_data"  # the name that Sentence Transformers asks the Hub for
        assert sidecar.stat().st_size > 0
        expected = loader.load(tiny / variant, variant).encode(sample)
        assert np.abs(loader.load(large / variant, variant).encode(sample) - expected).max() < 1e-5


def test_a_sidecar_is_whole_and_the_graph_names_no_other(large: Path) -> None:
    for variant in ("onnx", *ONNX):
        graph = variant_folder.weights_path(large / variant, variant)
        weights = graph_files.load_structure(graph).graph.initializer
        tensors = [tensor for tensor in weights if graph_files.is_external(tensor)]
        infos = [onnx.external_data_helper.ExternalDataInfo(tensor) for tensor in tensors]
        assert {info.location for info in infos} == {f"{graph.name}_data"}
        assert [info.length for info in infos] == [graph_files.size_bytes(tensor) for tensor in tensors]
        assert max(info.offset + info.length for info in infos) == graph_files.sidecar_path(graph).stat().st_size


def test_it_is_published_with_its_sidecar(large: Path, tiny: Path) -> None:
    root = large.parent.parent.parent
    shutil.copytree(tiny.parent.parent / "texts", root / "texts")
    shutil.copytree(tiny.parent.parent / "reference", root / "reference")
    shutil.copytree(tiny.parent.parent / "texts", root / "artifacts/texts")
    shutil.copytree(tiny.parent.parent / "reference", root / "artifacts/reference")
    prepare(root, large, "tiny")
    receipt = run(root, folder=large)
    assert {"onnx", "onnx_O2"} <= receipt["published"].keys()
    for variant in receipt["published"]:
        if variant.startswith("onnx"):
            name = f"onnx/{naming.file_name(variant)}"
            assert {name, f"{name}_data"} <= receipt["published"][variant].keys()
    published = root / "hub/tiny"
    expected = loader.load(large / "onnx_O2", "onnx_O2").encode(documents()[:3])
    assert np.abs(loader.load(published, "onnx_O2").encode(documents()[:3]) - expected).max() == 0


def test_a_lost_or_cut_sidecar_is_an_error(large: Path) -> None:
    sidecar = graph_files.sidecar_path(variant_folder.weights_path(large / "onnx_O2", "onnx_O2"))
    whole = sidecar.read_bytes()
    sidecar.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(loader.load_errors()):
        loader.load(large / "onnx_O2", "onnx_O2")
    sidecar.unlink()
    with pytest.raises(loader.load_errors()):
        loader.load(large / "onnx_O2", "onnx_O2")


def test_too_little_room_is_noticed_before_anything_is_written(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    before = files.files_below(large)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(OSError, match="No space left on device"):
        optimize.main("onnx_O2", settings_file("build/onnx_O2"), large / "onnx", large / "onnx_O2")
    assert files.files_below(large) == before


@pytest.mark.parametrize("link", ["hard", "symbolic"])
def test_a_sidecar_that_dvc_linked_gives_the_same_graph(large: Path, tmp_path: Path, link: str) -> None:
    """DVC hands out links to its cache, and onnx refuses to read a tensor through one."""
    sidecar = graph_files.sidecar_path(variant_folder.weights_path(large / "onnx", "onnx"))
    in_cache = tmp_path / "in_cache"
    if link == "hard":
        in_cache.hardlink_to(sidecar)
    else:
        sidecar.rename(in_cache)
        sidecar.symlink_to(in_cache)
    before = dict(variant_folder.hashes(large / "onnx_qint8_avx512"))
    quantize.main(
        "onnx_qint8_avx512",
        settings_file("build/onnx_qint8_avx512"),
        large / "onnx",
        *measured_on(large),
        large / "onnx_qint8_avx512",
    )
    assert dict(variant_folder.hashes(large / "onnx_qint8_avx512")) == before


def test_constants_in_a_sidecar_come_along(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    """optimum puts the constants of nodes into a large graph's sidecar, too."""
    source = shutil.copytree(tiny / "onnx", project() / "models/tiny/onnx")
    graph = variant_folder.weights_path(source, "onnx")
    model = onnx.load(graph)
    [name] = [node.name for node in model.graph.node if node.op_type == "Constant"][:1] or ["added"]
    if name == "added":
        values = onnx.numpy_helper.from_array(np.zeros(400, np.int64), "values")
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["unused"], "added", value=values))
    onnx.save_model(
        model, graph, save_as_external_data=True, location=f"{graph.name}_data", size_threshold=0,
        convert_attribute=True,
    )  # fmt: skip
    constants = list(graph_files.node_constants(graph_files.load_structure(graph).graph))
    assert any(map(graph_files.is_external, constants))
    loaded, _ = graph_files.load_without_weights(graph, tmp_path)
    assert not any(map(graph_files.is_external, graph_files.node_constants(loaded.graph)))
    quantize.main(
        "onnx_qint8_avx512",
        settings_file("build/onnx_qint8_avx512"),
        source,
        *measured_on(tiny),
        source.parent / "onnx_qint8_avx512",
    )
    sample = documents()[:4]
    expected = loader.load(tiny / "onnx_qint8_avx512", "onnx_qint8_avx512").encode(sample)
    embeddings = loader.load(source.parent / "onnx_qint8_avx512", "onnx_qint8_avx512").encode(sample)
    assert np.abs(embeddings - expected).max() < 1e-5
