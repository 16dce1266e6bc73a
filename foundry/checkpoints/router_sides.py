"""One side of a Router as a model of its own: what its queries go through, or its documents.

Its files are laid out as Sentence Transformers saves a model without a Router, before anything of them is loaded, so
that all checks of `download` and all later stages see a plain model. The other side is laid out in the same way: torch
embeds by it what this side is compared with.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundry_runtime.router import ROUTERS, TABLE, Role, class_name

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.checkpoints import adapters, contents, integrity, loading, routers, structure
from foundry.checkpoints.loading import Loaded
from foundry.checkpoints.settings import Download
from foundry.variants import checkpoint_folder, other_side, variant_folder

SETTINGS = "config_sentence_transformers.json"
WITHOUT_FOLDER = ("Normalize", "Dropout")  # git keeps no empty folder
KINDS = ("SentenceTransformer", "SparseEncoder")
# The prompts that Sentence Transformers takes for a role, the first that there is; the first of each is always there.
PROMPTS: Mapping[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


def keep(folder: Path, model: str, asked: Download, other: Path) -> dict[str, Any]:
    """Put the side of a Router that is asked for in the place of the whole checkpoint in `folder`, and the other side
    into `other`, which does not exist yet; give what the record says of it: nothing where no side is asked for.

    Raises:
        FoundryError: when the checkpoint has no Router, or one whose sides cannot be taken apart.
    """
    role = asked.side
    if role is None:
        return {}
    if not routers.has_router(folder):
        raise FoundryError(
            f"side: {role!r} is of a Router, and {folder} has none among its modules; remove `side`, which builds it"
        )
    structure.module_types(folder)  # checks every path of a module
    both = checkpoint_folder.sides(folder)
    settings = folder / SETTINGS
    said = asked.kind or (integrity.read_json(settings).get("model_type") if settings.is_file() else None) or KINDS[0]
    if both is None or said not in KINDS:
        raise FoundryError(f"{folder} is a {said} with a Router; a side is taken of {' or '.join(KINDS)} alone")
    rows: dict[Role, list[dict[str, Any]]] = {"query": both.query, "document": both.document}
    documents = [path.name for path in folder.iterdir() if any(path.match(name) for name in contents.DOCUMENTS)]
    hashes = {name: digest for name, digest in variant_folder.hashes(folder) if name not in documents}
    other_role = other_side.opposite(role)
    _lay_out(folder, rows[other_role], other_role, other)
    with files.replacing(folder) as partial:
        _lay_out(folder, rows[role], role, partial)
    own_name, other_name = other_side.NAMES[role], other_side.NAMES[other_role]
    say(f"{model}: built of the modules that {own_name} go through; {other_name} have others, which are no part of it")
    # Two models are the sides of one where both come from the same files.
    return {"side": {"role": role, "router": hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()}}


def _lay_out(folder: Path, rows: Sequence[Mapping[str, Any]], role: Role, target: Path) -> None:
    """Copy the modules of one side, its documents and its settings into `target`, the first module into the root."""
    target.mkdir(parents=True)
    listing = []
    for place, row in enumerate(rows):
        source, name = folder / row["path"], class_name(row)
        path = f"{place}_{name}" if place else ""
        if place and not row["path"]:
            raise FoundryError(
                f"{folder} has its {name} in its own folder, beside files of other modules: save it again"
            )
        if not source.is_dir() and name not in WITHOUT_FOLDER:
            raise FoundryError(f"module {row['path']} ({row['type']}) is in a Router, but its folder is not there")
        for file in sorted(source.iterdir()) if source.is_dir() else ():
            is_models_own = not row["path"] and (_is_of_model(file) or file.name == "router_config.json")
            if file.is_file() and not is_models_own:
                files.copy(file, target / path / file.name)
        listing.append({"idx": place, "name": str(place), "path": path, "type": row["type"]})
    _copy_code(folder, target)
    contents.copy_documents(folder, target)
    settings = folder / SETTINGS
    if settings.is_file():
        files.write_json(target / SETTINGS, with_one_prompt(integrity.read_json(settings), role))
    files.write_json(target / "modules.json", listing)


def _is_of_model(file: Path) -> bool:
    """Whether a file in the checkpoint's own folder is the model's, and none of a module that stands there, too."""
    return any(file.match(name) for name in contents.ROOT_FILES)


def _copy_code(folder: Path, target: Path) -> None:
    """Copy Python files that stand in no module's folder, and came along because they are trusted."""
    inside = {path for path in structure.module_folders(folder) if path}
    for name in files.files_below(folder):
        if name.suffix == ".py" and not inside & {parent.as_posix() for parent in name.parents}:
            files.copy(folder / name, target / name)


def with_one_prompt(settings: Mapping[str, Any], role: Role) -> dict[str, Any]:
    """A model's settings, in which the prompt of one role is that of all texts: whatever method embeds a text then,
    this side embeds it alike. Prompts of other names stay."""
    saved = settings.get("prompts") or {}
    known = {"query": "", "document": "", **saved}
    prompt = next((known[name] for name in PROMPTS[role] if name in known), "") or ""
    of_roles = {name for names in PROMPTS.values() for name in names}
    prompts = {name: text for name, text in saved.items() if name not in of_roles}
    if prompt:
        prompts |= {"query": prompt, "document": prompt}
    return {**settings, "prompts": prompts, "default_prompt_name": role if prompt else None}


def check_plain(folder: Path, role: Role) -> None:
    """Check that the other side has no adapter and no Router of its own, which only a model that is built may have, and
    that a table of weights is in its folder.

    Raises:
        FoundryError: when it has.
    """
    rows = structure.module_rows(folder)
    if any(class_name(row) in ROUTERS for row in rows):
        raise FoundryError(f"the side for {other_side.NAMES[role]} has a Router inside of the Router")
    if class_name(rows[0]) == TABLE:
        routers.check_table_settings(folder, "")
    if (folder / adapters.CONFIG).is_file():
        raise FoundryError(
            f"the side for {other_side.NAMES[role]} has an adapter ({adapters.CONFIG}): merge it into its weights and "
            "save the model again"
        )


def is_transformer(folder: Path) -> bool:
    """Whether the first module of a side is a transformer, and no table of words."""
    return class_name(structure.module_rows(folder)[0]).endswith("Transformer")


def check_dimensions(own: Loaded, other: Loaded) -> None:
    """Check that the embeddings of both sides can be compared.

    Raises:
        FoundryError: with the dimensions of each.
    """
    dimensions = [int(loading.output(side.model).shape[-1]) for side in (own, other)]
    if dimensions[0] != dimensions[1]:
        raise FoundryError(
            f"this side of the Router gives {dimensions[0]} dimensions, and the other {dimensions[1]}: no query has a "
            "similarity to a document"
        )
