"""CLIP's text tower: the embedder of texts in a model of images and texts, which is kept in its place.

It is the vector of a text's last token, through the projection that CLIP has for texts.
"""

import tempfile
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.base.quiet import without_warnings
from foundry.checkpoints import contents, integrity, structure
from foundry.checkpoints.failures import failures

LEFT_OUT = "the images of a CLIP, whose text tower this is"
OF_TEXTS = ("text_model.", "text_projection.")  # transformers' names for weights of CLIP's text tower
SETTINGS = ("prompts", "default_prompt_name", "similarity_fn_name")  # of Sentence Transformers that stay


def path_in(folder: Path) -> str | None:
    """Where in a checkpoint's copy a CLIP stands whose text tower can be taken; None where there is none.

    With modules behind it, or with code of its own, it is another model than its two towers.
    """
    rows = structure.module_rows(folder)
    path = str(rows[0]["path"]) if rows else ""
    config_file = folder / path / "config.json"
    if len(rows) > 1 or not config_file.is_file():
        return None
    config = integrity.read_json(config_file)
    is_ours = not rows or str(rows[0]["type"]).startswith("sentence_transformers.")
    return path if config.get("model_type") == "clip" and "text_config" in config and is_ours else None


def keep_text_tower(folder: Path, path: str, model: str) -> str:
    """Put the text tower of the CLIP at `path` in the place of the whole folder; give what is left out.

    Card and licence stay the author's.

    Raises:
        FoundryError: when it does not load, lacks weights of the tower, or names code of its own.
    """
    read = [folder / path / name for name in ("config.json", "tokenizer_config.json")]
    if any(integrity.read_json(file).get("auto_map") for file in read if file.is_file()):
        raise FoundryError(f"{folder} is a CLIP with code of its own, and its text tower cannot be told from it")
    with failures("the CLIP's text tower does not load", folder), without_warnings():
        tower = _load(folder / path)
    settings = folder / "config_sentence_transformers.json"
    said = integrity.read_json(settings) if settings.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch, files.replacing(folder) as partial:
        with failures("the CLIP's text tower cannot be saved", folder):
            _as_embedder(tower, folder / path, Path(scratch), {name: said[name] for name in SETTINGS if said.get(name)}
                         ).save_pretrained(str(partial), create_model_card=False)  # fmt: skip
        contents.copy_documents(folder, partial)
    say(f"{model}: built without {LEFT_OUT}")
    return LEFT_OUT


def _load(folder: Path) -> Any:
    """transformers' whole model, of which every weight of texts is in the files.

    Raises:
        FoundryError: naming one that is not.
    """
    from transformers import CLIPModel

    model, info = CLIPModel.from_pretrained(str(folder), local_files_only=True, output_loading_info=True)
    parameters = dict(model.named_parameters())
    if missing := [name for name in info["missing_keys"] if name.startswith(OF_TEXTS) and name in parameters]:
        raise FoundryError(
            f"the checkpoint does not hold {len(missing)} of the weights of CLIP's text tower, such as {missing[0]}. "
            "Random numbers in their place would be built; save the whole model again"
        )
    return model.eval()


def _as_embedder(model: Any, folder: Path, scratch: Path, settings: dict[str, Any]) -> Any:
    """The text tower as a SentenceTransformer: its transformer, the pooling of the last token, and the projection."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import AutoTokenizer, CLIPTextModel

    CLIPTextModel.from_pretrained(str(folder), local_files_only=True).save_pretrained(scratch)
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    tokenizer._processor_class = None  # that of CLIP, which would look for settings of images
    tokenizer.init_kwargs.pop("processor_class", None)
    tokenizer.save_pretrained(scratch)
    projection = model.text_projection
    dense = Dense(projection.in_features, projection.out_features, bias=False, activation_function=torch.nn.Identity())
    dense.linear.weight = projection.weight
    modules = [Transformer(str(scratch)), Pooling(projection.in_features, "lasttoken"), dense]
    return SentenceTransformer(modules=modules, device="cpu", **settings)
