"""A checkpoint that ships several adapters, each in a folder of its own: each is a model, merged into the same base."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.checkpoints import adapters
from foundry.loading import loader
from tests.support import odd_checkpoints as odd
from tests.support.downloads import Fetch, refused

TASKS = ("retrieval_query", "separation")


def several_adapters(folder: Path) -> None:
    """Two LoRA adapters with other random weights, as peft saves them by their names, below the model's folder."""
    import torch
    from transformers import BertModel

    peft: Any = importlib.import_module("peft")

    for seed, task in enumerate(TASKS):
        torch.manual_seed(seed)
        config = peft.LoraConfig(r=4, target_modules=["query", "value"])
        adapted = peft.get_peft_model(BertModel.from_pretrained(folder), config)
        for name, value in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.5)
        adapted.save_pretrained(folder / task)


def without_base(folder: Path) -> None:
    """The adapters' folders alone."""
    several_adapters(folder)
    for path in list(folder.iterdir()):
        if path.name not in (*TASKS, "README.md"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("has_base", [True, False])
@pytest.mark.parametrize("task", TASKS)
def test_the_adapter_that_is_named_is_merged(
    fetch: Fetch, checkpoint: Path, tmp_path: Path, task: str, has_base: bool
) -> None:
    peft = pytest.importorskip("peft")
    if has_base:
        out = fetch(several_adapters, adapter=task)
    else:
        out = fetch(without_base, adapter=task, base={"path": str(checkpoint)})
    names = {path.as_posix() for path in files.files_below(out)}
    assert names == {path.as_posix() for path in files.files_below(checkpoint)} | {"source.json"}
    source = files.read_json(out / "source.json")["source"]
    assert source["adapter_folder"] == task
    assert source["adapter"]["adapter_model.safetensors"] == files.sha256(
        tmp_path / f"odd/{task}/adapter_model.safetensors"
    )
    # What peft itself computes with this adapter on the base.
    text = ["one two three"]
    expected = loader.load(checkpoint, "torch")
    expected.model[0].model = peft.PeftModel.from_pretrained(expected.model[0].model, str(tmp_path / "odd" / task))
    got = loader.load(out, "torch").encode(text)
    assert abs(got - expected.encode(text)).max() < 1e-5
    assert abs(got - loader.load(checkpoint, "torch").encode(text)).max() > 0.01


def test_adapters_below_a_folder_are_named_by_their_last_part(fetch: Fetch, tmp_path: Path) -> None:
    pytest.importorskip("peft")

    def change(folder: Path) -> None:
        several_adapters(folder)
        for task in TASKS:
            shutil.copytree(folder / task, folder / "adapters" / task)
            shutil.rmtree(folder / task)

    out = fetch(change, adapter="separation")
    assert files.read_json(out / "source.json")["source"]["adapter_folder"] == "adapters/separation"
    assert not (out / "adapters").exists()


def test_a_name_that_is_none_of_them_lists_what_there_is(fetch: Fetch) -> None:
    pytest.importorskip("peft")
    refused(
        fetch, several_adapters, "'retrieval' is no adapter.*ships retrieval_query, separation", adapter="retrieval"
    )


def test_a_checkpoint_without_adapters_says_so(fetch: Fetch) -> None:
    refused(fetch, lambda folder: None, "ships none in a folder of its own", adapter="retrieval")


def test_without_a_name_the_base_is_built_and_the_adapters_are_said(
    fetch: Fetch, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft")
    out = fetch(several_adapters)
    said = " ".join(capsys.readouterr().out.split())
    assert "built without the adapters that its source ships (retrieval_query, separation)" in said
    assert files.sha256(out / "model.safetensors") == files.sha256(checkpoint / "model.safetensors")


def test_a_settings_file_of_no_adapter_is_refused(fetch: Fetch) -> None:
    pytest.importorskip("peft")

    def change(folder: Path) -> None:
        several_adapters(folder)
        odd.change(folder / "separation" / adapters.CONFIG, peft_type="IA3")

    refused(fetch, change, "peft_type: IA3; what can be merged is LORA", adapter="separation")


def test_one_name_for_two_folders_asks_for_the_path() -> None:
    names = ["a/task/adapter_config.json", "b/task/adapter_config.json", "adapter_config.json"]
    assert adapters.folders(names) == ["a/task", "b/task"]
    assert adapters.find(names, "b/task") == "b/task"
    with pytest.raises(FoundryError, match="write the path of a/task, b/task"):
        adapters.find(names, "task")
