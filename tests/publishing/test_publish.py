"""publish: what passed and nothing else, loadable as Sentence Transformers documents it, with the card kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foundry_runtime import machine

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.loading import loader
from foundry.publishing import card as cards
from foundry.publishing import publishable
from foundry.reference.closeness import cosines
from foundry.variants import model_card, naming, variant_folder
from tests.support import results
from tests.support.projects import REAL_VARIANTS, TINY_VARIANTS
from tests.support.publishing import accept, fail, prepare, run, skip, write_report
from tests.support.texts import documents


def test_everything_that_passed_is_there_and_loads(ready: Path) -> None:
    receipt = run(ready)
    assert set(receipt["published"]) == set(TINY_VARIANTS)
    assert receipt["left_out"] == {}
    texts = documents()[:5]
    expected = loader.load(ready / "models/tiny/torch", "torch").encode(texts)
    for variant in TINY_VARIANTS:
        assert cosines(loader.load(ready / "hub/tiny", variant).encode(texts), expected).min() > 0.95
    assert not (ready / "hub/tiny/source.json").exists()


def test_failed_and_skipped_are_left_out(ready: Path) -> None:
    fail(ready, "onnx")
    skip(ready, "onnx_O2", "no such fusion")
    receipt = run(ready)
    assert receipt["published"].keys() == {*TINY_VARIANTS} - {"onnx", "onnx_O2"}
    assert receipt["left_out"].keys() == {"onnx", "onnx_O2"}
    assert receipt["left_out"]["onnx"].startswith("failed")
    assert receipt["left_out"]["onnx_O2"] == "skipped: no such fusion"
    names = {path.as_posix() for path in files.files_below(ready / "hub/tiny")}
    others = files.read_json(ready / "hub/tiny/foundry.json")["names"]
    assert {name for name in names if name.startswith("onnx/")} - others.keys() == {
        "onnx/model_qint8_avx512.onnx",
        "onnx/model_qint8_static.onnx",
    }
    assert "openvino/openvino_model_qint8_quantized.bin" in names


def test_another_tokenizer_than_the_runtime_was_tried_with_is_an_error(ready: Path) -> None:
    path = ready / "validation/tiny/onnx_O2.json"
    verdict = files.read_json(path)
    verdict["runtime"]["tokenizer"]["tokenizer.json"] = "0" * 64
    files.write_json(path, verdict)
    with pytest.raises(FoundryError, match=r"onnx_O2 was validated with another tokenizer.json than"):
        run(ready)
    assert not (ready / "hub/tiny").exists()


def test_a_graph_comes_before_the_one_that_shares_its_weights(ready: Path) -> None:
    run(ready)
    variants = files.read_json(ready / "hub/tiny/foundry.json")["variants"]
    for variant in ("openvino", "openvino_fp16", "openvino_qint8_quantized"):
        graphs = [name for name in variants[variant]["files"] if name.endswith(".xml")]
        assert graphs[0] == f"openvino/{naming.file_name(variant)}"
        assert graphs[1].endswith(".sentence_embedding.xml")


def test_what_fails_on_some_processors_is_published_as_that(ready: Path) -> None:
    path = ready / "validation/tiny/onnx_qint8_avx512.json"
    validation = files.read_json(path)
    noise = next(row for row in validation["checks"] if row["check"] == "mean_cosine")
    validation["processors"] = {
        "vnni": {"verdict": "passed", "how": "measured", "checks": []},
        "avx2": {"verdict": "failed", "how": "simulated", "checks": [{**noise, "value": 0.018, "passed": False}]},
    }
    files.write_json(path, validation)
    # Another one fails on the machine that validated it, in a check that the other family makes again.
    path = ready / "validation/tiny/openvino_qint8_quantized.json"
    validation = files.read_json(path)
    noise = next(row for row in validation["checks"] if row["check"] == "mean_cosine")
    validation["processors"] = {
        "vnni": {"verdict": "failed", "how": "measured", "checks": []},
        "avx2": {"verdict": "passed", "how": "simulated", "checks": [dict(noise)]},
    }
    noise |= {"value": 0.018, "passed": False}
    files.write_json(path, validation)
    write_report(ready)
    run(ready)
    why = f"mean_cosine 0.018, must be >= {noise['threshold']:g}"
    card = (ready / "hub/tiny/README.md").read_text()
    assert f"**`onnx_qint8_avx512` fails on processors x86 without VNNI**: {why}" in card
    assert "**`openvino_qint8_quantized` fails on processors with VNNI, AMX or Arm dot product**: mean_cos" in card
    assert 'options.add_session_config_entry("session.x64quantprecision", "1")' in card
    assert f"**fails on processors x86 without VNNI**: {why}" in (ready / "report/report.md").read_text()
    recorded = files.read_json(ready / "hub/tiny/foundry.json")["variants"]["onnx_qint8_avx512"]["processors"]
    assert {family: entry["verdict"] for family, entry in recorded.items()} == {"vnni": "passed", "avx2": "failed"}
    assert recorded["avx2"]["figures"] == {"mean_cosine": 0.018}
    assert recorded["avx2"]["name"] == "x86 without VNNI"


def test_what_fails_on_processors_like_this_one_is_compared_with_nothing_here() -> None:
    here = machine.family(machine.architecture(), machine.instruction_sets())
    families: dict[str, dict[str, Any]] = {family: {"verdict": "passed", "checks": []} for family in ("vnni", "avx2")}
    validation: Any = results.validation("x", processors=families)
    assert publishable.holds_here(validation)
    families[str(here)]["verdict"] = "failed"
    assert not publishable.holds_here(validation)
    assert publishable.holds_here({**validation, "processors": {}})


def test_a_tag_that_is_written_as_one_text_stays_whole(ready: Path) -> None:
    for variant in TINY_VARIANTS:
        path = ready / "models/tiny" / variant / "README.md"
        path.write_text("---\nlicense: mit\ntags: sentence-similarity\n---\nText\n")
        accept(ready, variant)
    assert run(ready)["left_out"] == {}
    card = model_card.parse(model_card.read(ready / "hub/tiny/README.md"))
    assert "sentence-similarity" in card.data["tags"]
    assert not [tag for tag in card.data["tags"] if len(tag) == 1]
    assert "Text" in card.text


def test_what_download_left_out_is_said(ready: Path) -> None:
    run(ready)
    assert "Not here" not in (ready / "hub/tiny/README.md").read_text()
    path = ready / "models/tiny/torch/source.json"
    record = files.read_json(path)
    files.write_json(path, {**record, "source": {**record["source"], "left_out": "its images"}})
    accept(ready, "torch")
    run(ready)
    assert "Not here: its images." in (ready / "hub/tiny/README.md").read_text()
    assert files.read_json(ready / "hub/tiny/foundry.json")["source"]["left_out"] == "its images"


def test_when_torch_failed_nothing_is_published_and_the_earlier_folder_stays(ready: Path) -> None:
    run(ready)
    before = dict(variant_folder.hashes(ready / "hub/tiny"))
    fail(ready, "torch")
    with pytest.raises(FoundryError, match="torch itself cannot be published"):
        run(ready)
    assert dict(variant_folder.hashes(ready / "hub/tiny")) == before


def test_the_card_is_kept_and_its_section_replaced(ready: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    run(ready)
    card = ModelCard((ready / "hub/tiny/README.md").read_text())
    assert "Its own words." in card.text
    assert card.data.license == "mit"
    assert card.data.tags == ["tiny", "sentence-transformers", "onnx", "openvino"]
    assert card.data.base_model is None
    assert 'model_kwargs={"file_name": "model_O2.onnx"}' in card.text
    path = tmp_path / "README.md"
    cards.write(path, str(card) + "\nWords after it.\n", {"onnx"}, "org/name", "Another section.")
    again = ModelCard(path.read_text())
    assert again.text.count(cards.MARK_START) == again.text.count(cards.MARK_END) == 1
    assert "Words after it." in again.text
    assert "Another section." in again.text
    assert "model_O2.onnx" not in again.text
    assert again.data.base_model == "org/name"
    cards.write(path, path.read_text(), {"onnx"}, "org/other", "Another section.")
    assert ModelCard(path.read_text()).data.base_model == ["org/name", "org/other"]


@pytest.mark.usefixtures("graphs_load")
@pytest.mark.slow
@pytest.mark.both_toolchains
@pytest.mark.timeout(1800)  # sixteen validations of a real model, half a minute each
def test_the_real_model_every_file_loads_by_its_documented_name(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers import SentenceTransformer

    monkeypatch.chdir(real.parents[2])
    prepare(tmp_path, real, "minilm")
    receipt = run(tmp_path, "minilm", real)
    assert receipt["left_out"] == {}  # every one has passed validation
    assert list(receipt["published"]) == REAL_VARIANTS
    hub = str(tmp_path / "hub/minilm")
    texts = documents()[:8]
    expected = SentenceTransformer(hub).encode(texts)
    for variant in REAL_VARIANTS[1:]:
        kwargs = {"file_name": naming.file_name(variant), "export": False}
        loaded = SentenceTransformer(hub, backend=naming.backend(variant), model_kwargs=kwargs)
        assert cosines(loaded.encode(texts), expected).min() > 0.95
    assert np.isfinite(expected).all()
