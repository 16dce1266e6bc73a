"""Models of long texts: attention by blocks gives torch's numbers, and every variant passes at 8,192 tokens."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.export import causal, causal_attention, comparison, exporting, long_attention, torch_model
from foundry.export.torch_model import Checkpoint
from foundry.loading import loader, memory
from foundry.onnx import optimization, quantization
from foundry.onnx.settings import Optimize, Quantize
from foundry.reference import reference
from foundry.validation import results
from foundry.variants import naming, variant_folder
from tests.support import architectures
from tests.support.projects import ROOT
from tests.support.stages import build, validate_in

LONGEST = 8192
BY_BLOCKS = ("modernbert", "nomic_bert", "gte", "jina_embeddings_v3", "xlm-roberta")
# Decoders, by the test's name of them: the architecture, and what its config has.
CAUSAL: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("qwen3", {}),
    "qwen2 with odd heads": ("qwen2", {"hidden_size": 36, "head_dim": 12, "num_attention_heads": 3}),
    "llama": ("llama", {"num_attention_heads": 4, "num_key_value_heads": 2}),
    "mistral with a window": ("mistral", {"sliding_window": 100}),
    "gemma3 with a window": ("gemma3_text", {"sliding_window": 40, "use_bidirectional_attention": False}),
    "gemma3 in both directions": ("gemma3_text", {"sliding_window": 40}),
}
pytestmark = pytest.mark.skipif(loader.has_optimum(), reason="these architectures need transformers 5")


@pytest.fixture(autouse=True)
def llama(monkeypatch: pytest.MonkeyPatch) -> None:
    """Llama is no architecture of the table, because it is Mistral without a window."""
    monkeypatch.setitem(architectures.ARCHITECTURES, "llama", architectures.ARCHITECTURES["mistral"])


def inputs_of(tokens: int, rows: int = 3, left: bool = False, padding_id: int = 0) -> dict[str, np.ndarray]:
    """Texts of up to so many tokens: of three, the first one is whole, two are padded."""
    ids = np.random.default_rng(0).integers(10, architectures.VOCABULARY, (rows, tokens))
    mask = np.ones_like(ids)
    for row, length in ((1, max(tokens // 3, 1)), (2, max(tokens - 1, 1))):
        if row < rows:
            mask[row, slice(tokens - length) if left else slice(length, None)] = 0
    ids[mask == 0] = padding_id
    return {"input_ids": ids, "attention_mask": mask}


def checkpoint_of(folder: Path, name: str, tokens: int, max_tokens: int | None) -> Checkpoint:
    """A tiny model, with three texts of up to so many tokens: one of them is whole, two are padded."""
    change = {"local_attention": 32} if name == "modernbert" else {}
    architectures.make(folder, name, change=lambda config: config.update(max_position_embeddings=400, **change))
    inputs = inputs_of(tokens, padding_id=1 if name == "xlm-roberta" else 0)
    return Checkpoint(folder, "feature-extraction", inputs, False, None, max_tokens)


@pytest.mark.parametrize(
    ("name", "format"),
    [*((name, "onnx") for name in BY_BLOCKS), ("modernbert", "openvino"), ("nomic_bert", "openvino")],
)
def test_blocks_give_torchs_numbers(tmp_path: Path, name: str, format: Any) -> None:
    made = checkpoint_of(tmp_path / name, name, 70, LONGEST)
    graph, record = exporting.export(made, tmp_path / "graph", format, torch_model.expected_output(made))
    assert graph is not None
    assert record["attention"] == variant_folder.BY_BLOCKS
    for tokens in (1, 2, 63, 64, 65, 128, 129, 300):  # around the sizes of blocks
        inputs = inputs_of(tokens, padding_id=1 if name == "xlm-roberta" else 0)
        expected = torch_model.torch_output(torch_model.load_torch(made), inputs)
        got = comparison.run_graph(graph, inputs)
        assert comparison.difference(got, expected, inputs["attention_mask"]) < 1e-4, tokens
        assert np.isfinite(got).all()


def by_session(graph: Path, format: str) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """What runs a graph often, loaded once."""
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        return lambda inputs: session.run(None, inputs)[0]
    import openvino

    compiled = openvino.Core().compile_model(graph, "CPU", naming.EXACT)
    return lambda inputs: np.array(compiled(inputs)[0])


@pytest.mark.parametrize(
    ("name", "format"),
    [
        *((name, "onnx") for name in CAUSAL),
        *((name, "openvino") for name in ("qwen3", "mistral with a window", "gemma3 in both directions")),
        # The others differ from these in ONNX Runtime's operator alone.
        *(
            pytest.param(name, "openvino", marks=pytest.mark.slow)
            for name in ("qwen2 with odd heads", "llama", "gemma3 with a window")
        ),
    ],
)
def test_decoders_give_torchs_numbers(tmp_path: Path, name: str, format: Any) -> None:
    """At lengths around the sizes of blocks and windows, padded on either side, alone and in a batch."""
    architecture, change = CAUSAL[name]
    architectures.make(tmp_path / "model", architecture, change=lambda config: config.update(change))
    made = Checkpoint(tmp_path / "model", "feature-extraction", inputs_of(70, left=True), False, None, LONGEST)
    graph, record = exporting.export(made, tmp_path / "graph", format, torch_model.expected_output(made))
    assert graph is not None
    assert record["attention"] == variant_folder.BY_BLOCKS, record
    run, model = by_session(graph, format), torch_model.load_torch(made)
    cases = [(tokens, 3, left) for tokens in (1, 2, 39, 41, 64, 100, 257, 600) for left in (False, True)]
    for tokens, rows, left in [*cases, (1100, 1, False), (101, 1, False), (1, 1, False)]:
        inputs = inputs_of(tokens, rows, left)
        got, expected = run(inputs), torch_model.torch_output(model, inputs)
        assert comparison.difference(got, expected, inputs["attention_mask"]) < 1e-5, (tokens, rows, left)
        assert np.isfinite(got).all()


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_causal_reranker_gives_torchs_logits(tmp_path: Path, format: Any) -> None:
    architectures.make(tmp_path / "model", "qwen3", "AutoModelForCausalLM")
    made = Checkpoint(
        tmp_path / "model", "text-generation", inputs_of(70, left=True), False, None, LONGEST, scored_tokens=(40, 7)
    )
    graph, record = exporting.export(made, tmp_path / "graph", format, torch_model.expected_output(made))
    assert graph is not None
    assert record["attention"] == variant_folder.BY_BLOCKS, record
    run, model = by_session(graph, format), torch_model.load_torch(made)
    for tokens in (1, 64, 300):
        inputs = inputs_of(tokens, left=True)
        expected = causal.expected_logits(model, inputs, made.scored_tokens)
        assert comparison.difference(run(inputs), expected, None) < 1e-5, tokens


def test_every_form_of_a_decoders_graph_asks_for_what_makes_it_go_by_blocks(tmp_path: Path) -> None:
    """ONNX Runtime's operator goes by blocks where it gives keys and values, and nobody reads these."""
    import onnx

    architectures.make(tmp_path / "model", "mistral")
    made = Checkpoint(tmp_path / "model", "feature-extraction", inputs_of(70, left=True), False, None, LONGEST)
    graph, _ = exporting.export(made, tmp_path / "graph", "onnx", torch_model.expected_output(made))
    assert graph is not None
    config = files.read_json(tmp_path / "model/config.json")
    counts = optimization.optimize(graph, tmp_path / "model_O3.onnx", config, Optimize(level="O3"))
    assert optimization.fusions(counts, config) == {
        "attention": {"found": 2, "expected": 2},
        "normalization": {"found": 4, "expected": 4},
    }
    quantization.quantize(graph, tmp_path / "model_int8.onnx", Quantize(isa="avx2"))
    for path in (graph, tmp_path / "model_O3.onnx", tmp_path / "model_int8.onnx"):
        nodes = [node for node in onnx.load(path).graph.node if node.op_type == "GroupQueryAttention"]
        assert [len([name for name in node.output if name]) for node in nodes] == [3, 3], path.name
        shared = [attribute.i for node in nodes for attribute in node.attribute if attribute.name == "kv_num_heads"]
        assert shared == [1, 1]  # keys and values are not repeated for each head


def test_values_wider_than_keys_are_refused() -> None:
    import torch

    states = torch.zeros(1, 2, 5, 32)
    with pytest.raises(FoundryError, match="values are wider"):
        causal_attention.by_onnx_runtime(states[..., :4], states[..., :4], states, torch.zeros(1, 5), 0.5, None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("deberta-v2", "does not|in its own way|not supported"), ("t5", "takes more than a mask")],
)
def test_what_cannot_go_by_blocks_is_exported_as_before(tmp_path: Path, name: str, reason: str) -> None:
    made = checkpoint_of(tmp_path / name, name, 40, LONGEST)
    graph, record = exporting.export(made, tmp_path / "graph", "onnx", torch_model.expected_output(made))
    assert graph is not None
    assert "attention" not in record
    tried = next(why for name, why in record["tried_before"].items() if "by blocks" in name)
    assert any(part in tried for part in reason.split("|")), tried


def test_short_models_are_exported_as_before(tmp_path: Path) -> None:
    made = Checkpoint(tmp_path, "feature-extraction", {}, False, None, long_attention.LONG_TOKENS)
    assert exporting.exporters(made, "onnx") == exporting.EXPORTERS["onnx"]
    assert list(exporting.exporters(made._replace(max_tokens=None), "openvino")) == list(
        exporting.EXPORTERS["openvino"]
    )
    assert "by blocks" in next(iter(exporting.exporters(made._replace(max_tokens=LONGEST), "onnx")))


def test_a_model_with_code_of_its_own_is_exported_as_before(tmp_path: Path) -> None:
    made = checkpoint_of(tmp_path / "gte", "gte", 40, LONGEST)._replace(trusted=True)
    _, record = exporting.export(made, tmp_path / "graph", "onnx", torch_model.expected_output(made))
    assert "own code" in next(iter(record["tried_before"].values()))


@pytest.mark.parametrize("window", [3, 64, 100])
def test_near_tokens_are_those_within_the_window(window: int) -> None:
    import torch

    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, 150, 8)
    bias = torch.zeros(2, 150)
    bias[1, 90:] = long_attention.HIDDEN
    got = long_attention.near(query, key, value, bias, 0.5, window)
    places = torch.arange(150)
    seen = ((places[:, None] - places[None, :]).abs() <= window) & (bias == 0)[:, None, None, :]
    scores = (query @ key.transpose(-1, -2) * 0.5).masked_fill(~seen, -torch.inf)
    expected = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2)
    assert (got[0] - expected[0]).abs().max() < 1e-5
    assert (got[1, :90] - expected[1, :90]).abs().max() < 1e-5
    assert torch.isfinite(got).all()  # also of padding, to which nothing attends


@pytest.mark.parametrize(
    ("function", "local_size", "window", "is_causal"),
    [
        (lambda text, head, query, key: query >= 0, None, None, False),
        (lambda text, head, query, key: abs(query - key) <= 16, 16, 16, False),
        (lambda text, head, query, key: abs(query - key) <= 16, None, 16, False),
        (lambda text, head, query, key: key <= query, None, None, True),
        (lambda text, head, query, key: (key <= query) & (key > query - 16), 16, 15, True),
        (lambda text, head, query, key: (key <= query) & (key > query - 4096), 4096, 4095, True),
        (lambda text, head, query, key: (key < query + 1) & (key > query - 1), 16, 0, True),
    ],
)
def test_how_far_tokens_see_is_tried_out(
    function: Callable[..., Any], local_size: Any, window: Any, is_causal: bool
) -> None:
    assert long_attention.window_of(function, local_size) == (window, is_causal)


@pytest.mark.parametrize(
    ("function", "local_size"),
    [
        (lambda text, head, query, key: query // 16 == key // 16, 16),
        (lambda text, head, query, key: (query // 16 == key // 16) & (key <= query), 16),
        (lambda text, head, query, key: (key <= query) | (key < 8), None),  # a prefix that all attend to
        (lambda text, head, query, key: (key <= query) & ((key > query - 16) | (key < 4)), 16),  # sinks
        (lambda text, head, query, key: key >= query, None),
        (lambda text, head, query, key: key < query, None),
    ],
)
def test_other_masks_are_refused(function: Callable[..., Any], local_size: Any) -> None:
    with pytest.raises(FoundryError, match="neither a distance nor the order"):
        long_attention.window_of(function, local_size)


def test_memory_by_blocks_grows_with_the_length(tiny: Path) -> None:
    written_out = [memory.input_bytes(tiny / "torch", 1, tokens) for tokens in (4096, 8192)]
    by_blocks = [memory.input_bytes(tiny / "torch", 1, tokens, written_out=False) for tokens in (4096, 8192)]
    assert written_out[1] > 3.9 * written_out[0]
    per_pair = 8192**2 - 4096**2  # a byte each, which OpenVINO keeps for decoders
    assert by_blocks[1] - 2 * by_blocks[0] == per_pair - 4096**2


def test_a_wide_window_to_both_sides_is_refused() -> None:
    import torch

    seen = torch.ones(1, 8, dtype=torch.bool)
    near = long_attention.mask(lambda text, head, query, key: abs(query - key) <= 128, seen, 128)
    assert near.window == 128
    with pytest.raises(FoundryError, match="256 tokens to both sides would make short texts slow"):
        long_attention.mask(lambda text, head, query, key: abs(query - key) <= 256, seen, 256)


# --- A whole build at 8,192 tokens ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["modernbert", "nomic_bert", "qwen3", "mistral", "gemma3_text"])
def test_every_variant_passes_at_every_length(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With long texts in the calibration set, and in the memory that attention written out would not fit in."""
    kind = architectures.ARCHITECTURES[name]
    longer = dataclasses.replace(kind, config={**kind.config, "max_position_embeddings": LONGEST})
    monkeypatch.setitem(architectures.ARCHITECTURES, name, longer)
    monkeypatch.setattr(architectures, "LENGTH", LONGEST)
    variants = ["onnx", "onnx_O3", "onnx_O4", "onnx_qint8_avx512_vnni", "onnx_qint8_static", "openvino",
                "openvino_qint8_quantized"]  # fmt: skip
    if optimization.unsupported({"model_type": name}, Optimize(level="O3")):
        variants = [variant for variant in variants if not variant.startswith("onnx_O")]
    architectures.write_params(tmp_path, name, "SentenceTransformer")
    raw = yaml.safe_load((tmp_path / "params.yaml").read_text())
    # Pieces of 40,000 characters are longer than 8,192 tokens.
    raw["sample"]["calibration"]["groups"]["whole"] = {"count": 1, "cut": 40_000}
    committed = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section in ("optimize", "quantize", "compress"):
        raw[section] = {key: row for key, row in committed[section].items() if key in variants}
    raw["variants"] = {key: {} for key in ("torch", *variants)}
    raw["validate"]["overrides"] = {key: row for key, row in raw["validate"]["overrides"].items() if key in variants}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    folder = build(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    covered = reference.read(tmp_path / "artifacts/reference" / name).coverage
    assert covered.texts[-1].tokens == LONGEST
    weights = variant_folder.weights_files(folder / "onnx", "onnx")
    monkeypatch.setattr(memory, "usable_bytes", lambda: memory.model_bytes(weights) + 900_000_000)
    assert memory.input_bytes(folder / "onnx", 1, LONGEST) > 3_000_000_000
    for variant in variants:
        # On a processor, decoders' attention in fp16 goes by no blocks, and lengths without memory are left out.
        is_whole = (name, variant) != ("mistral", "onnx_O4")
        assert variant_folder.by_blocks(folder / variant) == is_whole, variant
        result = validate_in(tmp_path, folder, variant, folder / variant)
        assert result["verdict"] == "passed", (variant, results.why_failed(result["checks"]) or result["reason"])
        assert (max(result["inputs"]["lengths"]) == LONGEST) == is_whole
        assert (result["inputs"]["lengths_left_out"] == []) == is_whole
