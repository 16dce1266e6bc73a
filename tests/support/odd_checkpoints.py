"""Checkpoints as people have them: with code, adapters, odd settings, training leftovers or broken files.

Each function changes a copy of the tiny checkpoint in place. What `download` owes each stands in tests/checkpoints.
"""

import importlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.checkpoints import make_checkpoint

OWN_MODEL = """
import torch
from transformers import BertModel


class OwnModel(BertModel):
    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, **rest):
        zeros = torch.zeros_like(input_ids)
        out = super().forward(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, position_ids=zeros
        )
        out.last_hidden_state = out.last_hidden_state.flip(-1)
        return out
"""


def change(path: Path, **keys: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    value = {**json.loads(path.read_text()), **keys} if path.exists() else keys
    path.write_text(json.dumps({key: setting for key, setting in value.items() if setting is not None}))


def rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of modules.json."""
    value: list[dict[str, Any]] = json.loads((folder / "modules.json").read_text())
    return value


def set_rows(folder: Path, value: list[dict[str, Any]]) -> None:
    """Write the rows of modules.json."""
    (folder / "modules.json").write_text(json.dumps(value))


def add_module(folder: Path, path: str, name: str) -> None:
    """Append a row to modules.json, and make its folder where it stays inside."""
    set_rows(folder, [*rows(folder), {"idx": 9, "name": "9", "path": path, "type": name}])
    if ".." not in path and not path.startswith("/"):
        (folder / path).mkdir(exist_ok=True)


def change_weights(folder: Path, rename: Callable[[str], str | None]) -> None:
    """Give every weight another name, or leave it out where `rename` gives None."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = {new: value for name, value in load_file(path).items() if (new := rename(name)) is not None}
    save_file(weights, path, metadata={"format": "pt"})


# --- Code ------------------------------------------------------------------------------------------------


def class_of_its_own(folder: Path) -> None:
    """auto_map names a class of the author's, although model_type is one that transformers knows."""
    (folder / "modeling_own.py").write_text(OWN_MODEL)
    change(folder / "config.json", architectures=["OwnModel"], auto_map={"AutoModel": "modeling_own.OwnModel"})


def class_elsewhere(folder: Path) -> None:
    """auto_map names a class in another repository."""
    change(folder / "config.json", auto_map={"AutoModel": "org/code--modeling_own.OwnModel"})


def tokenizer_of_its_own(folder: Path) -> None:
    """auto_map names a tokenizer class of the author's."""
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_own.Own", None]})


def router_with_pickle(folder: Path) -> None:
    """A Router whose `types` name a function that unpickles a file of the checkpoint, which would make `code_ran`."""

    class Payload:
        def __reduce__(self) -> Any:
            return open, ("code_ran", "w")

    add_module(folder, "1_Router", "sentence_transformers.models.Router")
    (folder / "1_Router/weights.pkl").write_bytes(pickle.dumps(Payload()))
    routes = {"query": ["weights.pkl"], "document": ["weights.pkl"]}
    change(
        folder / "1_Router/router_config.json",
        types={"weights.pkl": "sklearn.utils.parallel.joblib"},
        structure=routes,
        parameters={"default_route": "document", "allow_empty_key": True},
    )


def pickled_weights(folder: Path) -> None:
    """A pytorch_model.bin that would make `code_ran` when it is unpickled."""

    class Payload:
        def __reduce__(self) -> Any:
            return open, ("code_ran", "w")

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weights": Payload(), "filling": "x" * 200}))


def colbert_modules(folder: Path) -> None:
    """A module of PyLate's, as ColBERT models have it."""
    add_module(folder, "1_Dense", "pylate.models.Dense.Dense")
    change(folder / "1_Dense/config.json", in_features=32, out_features=16)


# --- Weights and tokenizers ------------------------------------------------------------------------------


def without_modules(folder: Path) -> None:
    """A bare BERT: no classifier, no masked-language head."""
    (folder / "modules.json").unlink()


def wrong_prefix(folder: Path) -> None:
    """Weights whose names begin as no model's do."""
    change_weights(folder, lambda name: f"module.encoder_wrapper.{name}")


def missing_layer(folder: Path) -> None:
    """Weights without those of the second layer."""
    change_weights(folder, lambda name: None if name.startswith("encoder.layer.1.") else name)


def without_pooler(folder: Path) -> None:
    """Weights without the pooler's, which no embedding depends on."""
    change_weights(folder, lambda name: None if name.startswith("pooler.") else name)


def tokens_beyond_embeddings(folder: Path) -> None:
    """A tokenizer with more tokens than the model has embeddings for."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<image_soft_token>"])
    tokenizer.save_pretrained(folder)


def without_length(folder: Path) -> None:
    """No settings file says a maximum length but config.json, by its positions."""
    change(folder / "sentence_bert_config.json", max_seq_length=None)
    change(folder / "tokenizer_config.json", model_max_length=None)


def make_phobert(folder: Path) -> Path:
    """A RoBERTa with PhoBERT's tokenizer, which has no fast version, as Sentence Transformers saves it."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import PhobertTokenizer, RobertaConfig, RobertaModel

    plain = folder / "plain"
    plain.mkdir(parents=True)
    characters = "abcdefghijklmnopqrstuvwxyz"
    words = ["the", "of", "and", "to", "in", "police", "people", "fire"]
    lines = [*(f"{character}@@" for character in characters), *characters, *words]
    (plain / "vocab.txt").write_text("".join(f"{line} 1\n" for line in lines))
    (plain / "bpe.codes").write_text("t h 10\nth e</w> 9\n")
    tokenizer = PhobertTokenizer(str(plain / "vocab.txt"), str(plain / "bpe.codes"), model_max_length=64)
    tokenizer.save_pretrained(plain)
    torch.manual_seed(0)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=66, type_vocab_size=1, initializer_range=0.2, **sizes, **ids
    )
    RobertaModel(config).eval().save_pretrained(plain)
    modules = [Transformer(str(plain), max_seq_length=64), Pooling(32, "mean")]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "saved"))
    return folder / "saved"


# --- What lies beside a model ----------------------------------------------------------------------------


def training_folder(folder: Path) -> None:
    """What a training run leaves beside a model."""
    import torch

    for step in (500, 1000):
        inner = make_checkpoint(folder / f"checkpoint-{step}")
        for name in ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state.pth"):
            torch.save({"state": torch.zeros(1000)}, inner / name)
    for name in ("runs/Jan01_host/events.out.tfevents.1", "wandb/config.yaml", "1_Pooling/foundry.json", "foundry.json",
                 "charts/speed.png", "training_args.bin", "foundry.sig", "1_Pooling/runs/log.txt"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * 100)


def adapter_alone(folder: Path) -> None:
    """An adapter without the weights of its base."""
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    change(folder / "adapter_config.json", base_model_name_or_path="org/base", peft_type="LORA")


def adapter_beside(folder: Path) -> None:
    """A LoRA adapter with random weights beside the model that it was trained on; peft is an extra."""
    import torch
    from transformers import BertModel

    peft: Any = importlib.import_module("peft")

    torch.manual_seed(2)
    adapted = peft.get_peft_model(
        BertModel.from_pretrained(folder), peft.LoraConfig(r=4, target_modules=["query", "value"])
    )
    for name, value in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.5)  # zeros before training, which would change nothing
    adapted.save_pretrained(folder)
