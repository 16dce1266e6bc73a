"""foundry.json, which is published beside the variants: where they come from, how they were made, what was measured,
and the hash of every file, so that anybody can check a folder that was downloaded."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any, Literal, TypedDict

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.benchmarking.timings import Ratio
from foundry.validation import results
from foundry.variants import variant_folder

NAME = "foundry.json"
SIGNATURE = "foundry.json.sig"  # of foundry.json, where it is signed
FORMAT = 1
# What huggingface_hub and git put into a folder that they download to.
NOT_PUBLISHED = (".cache", ".git", ".gitattributes")


class Variant(TypedDict):
    """One published variant."""

    files: dict[str, str]  # SHA-256 of its own files
    precision: str
    verdict: str
    texts: int  # that it was validated on
    figures: dict[str, float | None]  # each check's value
    speed: dict[str, Ratio]  # to torch, in batches, by length of texts; on `host`
    built: dict[str, Any]
    settings: dict[str, Any]  # its row of params.yaml
    dvc: str | None  # DVC's hash of its folder, to find it in dvc.lock and in a remote


class Provenance(TypedDict):
    """The whole of foundry.json."""

    format: int
    model: str
    source: dict[str, Any]  # where the checkpoint comes from
    source_files: dict[str, str]  # SHA-256 of each of its files
    licence: str | None
    git_revision: str | None  # of the project that built it
    host: dict[str, Any]  # the machine that measured, and its libraries
    variants: dict[str, Variant]
    files: dict[str, str]  # SHA-256 of every file of the folder but this one and its signature
    uploaded: list[str]  # of these, the files that a push put into a repository, which a later one may take out


def variant_entry(
    validation: results.Validation,
    hashes: dict[str, str],
    speed: dict[str, Ratio],
    built: dict[str, Any],
    settings: dict[str, Any],
    dvc: str | None,
) -> Variant:
    """What foundry.json says of a variant: `hashes` of its own files, what was measured, how it was made."""
    return {
        "files": hashes,
        "precision": validation["precision"],
        "verdict": validation["verdict"],
        "texts": validation["texts"],
        "figures": {row["check"]: row["value"] for row in validation["checks"]},
        "speed": speed,
        "built": built,
        "settings": settings,
        "dvc": dvc,
    }


def write(
    folder: Path,
    model: str,
    source: dict[str, Any],
    host: dict[str, Any],
    variants: dict[str, Variant],
    uploaded: list[str],
    earlier: Provenance | None,
) -> Provenance:
    """Write foundry.json into a folder that is otherwise complete.

    Where it says just what an `earlier` one says, it names the same revision as that: nothing has changed.
    """
    record: Provenance = {
        "format": FORMAT,
        "model": model,
        "source": source["source"],
        "source_files": {name: entry["sha256"] for name, entry in source["files"].items()},
        "licence": source["licence"],
        "git_revision": git_revision(),
        "host": host,
        "variants": variants,
        "files": {name: digest for name, digest in variant_folder.hashes(folder) if name not in (NAME, SIGNATURE)},
        "uploaded": uploaded,
    }
    if earlier is not None and earlier == {**record, "git_revision": earlier.get("git_revision")}:
        record["git_revision"] = earlier["git_revision"]
    files.write_json(folder / NAME, record)
    return record


def digest(record: Provenance) -> str:
    """One hash of all that is published: foundry.json with the hash of every file, without this project's revision."""
    rest = {key: value for key, value in record.items() if key != "git_revision"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def git_revision() -> str | None:
    """The commit of the project in the current folder, with `+` where files that git knows have changed."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def read(folder: Path) -> Provenance:
    """The foundry.json of a published folder.

    Raises:
        FoundryError: when the folder has no foundry.json, or one that cannot be read.
    """
    path = folder / NAME
    if not path.is_file():
        raise FoundryError(f"{path} is not there: nothing says what the folder should hold")
    return parse(path.read_text(encoding="utf-8"), str(path))


def parse(text: str, where: str) -> Provenance:
    """A foundry.json from its text; `where` it comes from stands in errors.

    Raises:
        FoundryError: when the text is no foundry.json that this version reads.
    """
    try:
        record: Provenance = json.loads(text)
    except ValueError as error:
        raise FoundryError(f"{where} is damaged: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise FoundryError(f"{where} is none of format {FORMAT}, which this version reads")
    return record


def compare(folder: Path, record: Provenance) -> dict[str, Literal["missing", "altered", "extra"]]:
    """The files that are not as they were published, and what is wrong with each."""
    differences: dict[str, Literal["missing", "altered", "extra"]] = {}
    for path in files.files_below(folder):
        name = path.as_posix()
        if path.parts[0] in NOT_PUBLISHED or name in (NAME, SIGNATURE):
            continue
        if name not in record["files"]:
            differences[name] = "extra"
        elif files.sha256(folder / name) != record["files"][name]:
            differences[name] = "altered"
    missing = (name for name in record["files"] if not (folder / name).is_file())
    return dict(sorted((differences | dict.fromkeys(missing, "missing")).items()))
