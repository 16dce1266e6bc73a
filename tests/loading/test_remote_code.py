"""Checkpoints that bring Python code along: it runs where params.yaml says so, and cannot run where it does not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.loading import loader
from foundry.reporting.rendering import loading_lines
from foundry.variants import checkpoint_folder, variant_folder
from stages import download
from tests.support.checkpoints import make_checkpoint
from tests.support.stages import build, settings_file, validate_in

CONFIGURATION = """
from transformers import PretrainedConfig

class MixerConfig(PretrainedConfig):
    model_type = "mixer_of_the_tests"

    def __init__(self, vocab_size=100, hidden_size=32, **rest):
        super().__init__(**rest)
        self.vocab_size, self.hidden_size = vocab_size, hidden_size
"""
MODELLING = """
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from .configuration_mixer import MixerConfig

class MixerModel(PreTrainedModel):
    config_class = MixerConfig

    def __init__(self, config):
        super().__init__(config)
        self.embeddings = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.mix = torch.nn.Linear(config.hidden_size, config.hidden_size)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, **rest):
        tokens = self.embeddings(input_ids)
        mask = attention_mask[..., None].to(tokens.dtype)
        mean = (tokens * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        return BaseModelOutput(last_hidden_state=torch.tanh(self.mix(tokens) + mean))
"""
AUTO_MAP = {"AutoConfig": "configuration_mixer.MixerConfig", "AutoModel": "modeling_mixer.MixerModel"}


@pytest.fixture(scope="module")
def mixer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An architecture that transformers does not know, with its code beside the weights."""
    import torch
    from safetensors.torch import save_file

    folder = make_checkpoint(tmp_path_factory.mktemp("remote_code") / "mixer")
    vocabulary = len((folder / "vocab.txt").read_text().splitlines())
    (folder / "configuration_mixer.py").write_text(CONFIGURATION)
    (folder / "modeling_mixer.py").write_text(MODELLING)
    config = {"model_type": "mixer_of_the_tests", "architectures": ["MixerModel"], "auto_map": AUTO_MAP}
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": vocabulary, "hidden_size": 32}))
    torch.manual_seed(0)
    weights = {"embeddings.weight": torch.randn(vocabulary, 32), "mix.weight": torch.randn(32, 32) / 4}
    save_file({**weights, "mix.bias": torch.zeros(32)}, folder / "model.safetensors", {"format": "pt"})
    return folder


def from_checkpoint(checkpoint: Path, **more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda raw: raw["models"].update(tiny={"source": {"path": str(checkpoint)}, **more})


def test_it_is_refused_and_the_error_names_what_to_read(project: Callable[..., Path], mixer: Path) -> None:
    out = project(from_checkpoint(mixer)) / "torch"
    with pytest.raises(
        FoundryError, match=r"configuration_mixer.py, modeling_mixer.py.*trust_remote_code: true"
    ) as error:
        download.main("tiny", settings_file("download"), out)
    assert "architecture mixer_of_the_tests" in str(error.value)
    assert not out.exists()


def test_code_that_is_not_needed_is_taken_out(project: Callable[..., Path], tmp_path: Path, mixer: Path) -> None:
    source = make_checkpoint(tmp_path / "bert")
    shutil.copy(mixer / "modeling_mixer.py", source)
    out = project(from_checkpoint(source)) / "torch"
    download.main("tiny", settings_file("download"), out)
    assert not checkpoint_folder.trusts_code(out)
    assert not list(out.rglob("*.py"))
    assert "modeling_mixer.py" not in files.read_json(out / variant_folder.SOURCE_RECORD)["files"]


def test_trusted_code_is_announced(
    project: Callable[..., Path], mixer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = project(from_checkpoint(mixer, trust_remote_code=True)) / "torch"
    download.main("tiny", settings_file("download"), out)
    assert "runs the checkpoint's own code: configuration_mixer.py, modeling_mixer.py" in capsys.readouterr().out


@pytest.mark.usefixtures("graphs_load")
@pytest.mark.slow
def test_trusted_it_is_built_and_checked(
    project: Callable[..., Path], mixer: Path, tiny_params: dict[str, Any], tmp_path: Path
) -> None:
    raw = json.loads(json.dumps(tiny_params))
    from_checkpoint(mixer, trust_remote_code=True)(raw)
    raw["sample"]["tasks"] = {}
    raw |= {"quantize": {}, "compress": {}, "calibrate": {}, "calibrate_onnx": {}}
    raw |= {"variants": {name: {} for name in ("torch", "onnx", "onnx_O2", "openvino")}}
    raw["validate"]["overrides"], raw["benchmark"]["settings"] = {}, {}
    root = project()
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    folder = build(root, "tiny")
    assert "no fusions for architecture 'mixer_of_the_tests'" in str(variant_folder.skipped(folder / "onnx_O2"))
    expected = loader.load(folder / "torch", "torch").encode(["one text", "another one"])
    for variant in ("onnx", "openvino"):
        result = validate_in(tmp_path, folder, variant, folder / variant)
        assert result["verdict"] == "passed", result["reason"] or [c for c in result["checks"] if not c["passed"]]
        assert "optimum" not in result["built"]["exporter"]
        assert any("optimum" in tried for tried in result["built"]["tried_before"]) == loader.has_optimum()
        lines = loading_lines(str(folder / variant), variant, result["facts"])
        assert "trust_remote_code=True" in lines
        scope: dict[str, Any] = {}
        exec(lines, scope)
        assert np.abs(scope["model"].encode(["one text", "another one"]) - expected).max() < 1e-5
