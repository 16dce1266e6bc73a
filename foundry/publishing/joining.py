"""The two published sides of a Router in one folder, which Sentence Transformers loads as one model.

Each side stands in a folder of its own, `query` and `document`, every byte as it was published, with its foundry.json:
so `foundry verify` and foundry_runtime take each as they took it before. Around them stands a Router, which reads its
modules where they are.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundry_runtime.router import Role

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.publishing import front_matter, provenance, publishable, standalone, verification
from foundry.publishing.provenance import Provenance
from foundry.reporting.rendering import render
from foundry.variants import naming, other_side

OURS = "sentence_transformers."
ROUTER = "sentence_transformers.models.Router"  # the name that versions 5 and 6 both have
SETTINGS = "config_sentence_transformers.json"


def join(queries: Path, documents: Path, out: Path) -> list[str]:
    """Make the folder `out` of two published sides; give the variants that both have.

    Raises:
        FoundryError: when a folder is not as it was published, or they are not the two sides of one checkpoint.
    """
    sides: dict[Role, Path] = {"query": queries, "document": documents}
    records = {role: _read(folder, role) for role, folder in sides.items()}
    if len({record["source"]["side"]["router"] for record in records.values()}) > 1:
        raise FoundryError(f"{queries} and {documents} are sides of two checkpoints, or of two states of one")
    if out.exists():
        raise FoundryError(f"{out} is there already; name a new folder")
    variants = [name for name in records["query"]["variants"] if name in records["document"]["variants"]]
    with files.replacing_folder(out) as partial:
        for role, record in records.items():
            for name in (*record["files"], provenance.NAME, provenance.SIGNATURE):
                if (sides[role] / name).is_file():
                    files.copy(sides[role] / name, partial / role / name)
            _require_published(partial / role, record)
        _write_router(partial)
        _write_card(partial, out.name, records, variants)
        publishable.check_secrets(partial)
    return variants


def _read(folder: Path, role: Role) -> Provenance:
    """The foundry.json of a published side, once the folder is what was published.

    Raises:
        FoundryError: when it is not, is no side, the other one, or has code of its own.
    """
    record = provenance.read(folder)
    side = record["source"].get("side") or {}
    if side.get("role") != role:
        what = f"the side for {other_side.NAMES[side['role']]}" if side.get("role") in other_side.NAMES else "no side"
        raise FoundryError(f"{folder} is {what} of a Router, and the one for {other_side.NAMES[role]} is expected")
    _require_published(folder, record)
    rows = files.read_json(folder / "modules.json")
    code = [name for name in record["files"] if name.endswith(".py") and name != standalone.NAME]
    code += [str(row["type"]) for row in rows if not str(row["type"]).startswith(OURS)]
    if code:
        raise FoundryError(f"{folder} has code of its own ({code[0]}), which is not looked for inside of a Router")
    return record


def _require_published(folder: Path, record: Provenance) -> None:
    findings = verification.compare(folder, record)
    if findings:
        name, finding = next(iter(findings.items()))
        raise FoundryError(f"{folder} is not what was published: {verification.printable(name)} is {finding}")


def _write_router(folder: Path) -> None:
    """Write what makes one model of the two sides in a folder. A text whose role is not said is an error there."""
    types: dict[str, str] = {}
    structure: dict[str, list[str]] = {}
    for role in other_side.NAMES:
        rows = files.read_json(folder / role / "modules.json")
        keys = [f"{role}/{row['path']}" if row["path"] else role for row in rows]
        types |= dict(zip(keys, (row["type"] for row in rows), strict=True))
        structure[role] = keys
    parameters = {"default_route": None, "allow_empty_key": False}
    files.write_json(folder / "router_config.json", {"types": types, "structure": structure, "parameters": parameters})
    files.write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": ROUTER}])
    settings = {role: _settings(folder / role) for role in other_side.NAMES}
    prompts = {role: (settings[role].get("prompts") or {}).get(role) or "" for role in other_side.NAMES}
    joined = {**settings["document"], "prompts": prompts, "default_prompt_name": None}
    files.write_json(folder / SETTINGS, joined)


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    value: dict[str, Any] = files.read_json(path) if path.is_file() else {}
    return value


def _write_card(folder: Path, name: str, records: Mapping[Role, Provenance], variants: list[str]) -> None:
    licences = {record["licence"] for record in records.values()}
    licence = licences.pop() if len(licences) == 1 else None
    front = front_matter.with_texts("", "tags", ["sentence-transformers"])
    if licence:
        front = front_matter.with_texts(front, "license", licence)
    shown = next((variant for variant in variants if variant != "torch"), "torch")
    kind = json.loads((folder / SETTINGS).read_text(encoding="utf-8")).get("model_type") or "SentenceTransformer"
    text = render(
        "joined.md.j2", name=name, kind=kind, variants=variants, backend=naming.backend(shown),
        model_kwargs=naming.model_kwargs(shown) if shown != "torch" else {},
    )  # fmt: skip
    (folder / "README.md").write_text(f"---\n{front.rstrip()}\n---\n\n{text}", encoding="utf-8", newline="")
