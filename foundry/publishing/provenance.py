"""foundry.json, which is published beside the variants: where they come from, how they were made, what was measured,
and the hash of every file, so that anybody can check a folder that was downloaded."""

import hashlib
import json
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel, StringConstraints, ValidationError

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.benchmarking.timings import Ratio
from foundry.publishing.local_paths import without_local_paths
from foundry.publishing.published_ways import Way, figures, ways, ways_on_cuda
from foundry.publishing.recommended import Recommendation, recommendations
from foundry.reference.tokenizer_files import TokenizerRecord
from foundry.reporting.recommendation import Answer
from foundry.validation import results
from foundry.variants import variant_folder

NAME = "foundry.json"
SIGNATURE = "foundry.json.sig"  # of foundry.json, where it is signed
FORMAT = 1
LARGEST_RECORD_BYTES = 50_000_000
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Processor(TypedDict):
    """The verdict for one family of processors."""

    name: str
    verdict: str
    how: str  # as it ran where it was validated; the same; or simulated
    figures: dict[str, float | None]  # of the checks that were made again


class Variant(TypedDict):
    """One published variant."""

    files: dict[str, str]  # SHA-256 of its own files
    precision: str
    verdict: str
    texts: int  # that it was validated on
    processors: dict[str, Processor]  # by family; empty where it does not depend on the processor
    figures: dict[str, float | None]  # each check's value
    ways: dict[str, Way]  # by what its runtime is told to compute in: f32, and each further precision that it passed in
    cuda: dict[str, Way]  # the same on an NVIDIA GPU; empty where it was not validated on one
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
    recommended: list[Recommendation]
    tokenizer: TokenizerRecord | None  # None where it has no tokenizer.json
    runtime_refuses: str | None  # why foundry_runtime does not run it; None where it runs every file, as it was tried
    embed_left_out: str | None  # why there is no embed.py; None where there is one
    names: dict[str, str]  # files under a name that another tool looks for, and what each is another name of
    names_left_out: dict[str, str]  # why, by what such a tool looks for
    files: dict[str, str]  # SHA-256 of every file of the folder but this one and its signature
    uploaded: list[str]  # of these, the files that a push put into a repository, which a later one may take out


def variant_entry(
    validation: results.Validation,
    hashes: dict[str, str],
    speed: dict[str, Ratio],
    built: dict[str, Any],
    settings: dict[str, Any],
    dvc: str | None,
    run_settings: Mapping[str, dict[str, Any]],
) -> Variant:
    """What foundry.json says of a variant: `hashes` of its own files, what was measured, how it was made.

    `run_settings` are those with which foundry_runtime was fastest, by precision.
    """
    return {
        "files": hashes,
        "precision": validation["precision"],
        "verdict": validation["verdict"],
        "texts": validation["texts"],
        "figures": figures(validation["checks"]),
        "ways": ways(validation, run_settings),
        "cuda": ways_on_cuda(validation),
        "processors": {
            family: {
                "name": results.FAMILIES[family],
                "verdict": own["verdict"],
                "how": own["how"],
                "figures": {row["check"]: row["value"] for row in own["checks"]},
            }
            for family, own in (validation.get("processors") or {}).items()
        },
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
    answers: Sequence[Answer],
    tokenizer: TokenizerRecord | None,
    runtime_refuses: str | None,
    embed_left_out: str | None,
    names: dict[str, str],
    names_left_out: dict[str, str],
    uploaded: list[str],
    earlier: Provenance | None,
) -> Provenance:
    """Write foundry.json into a folder that is otherwise complete.

    Where it says just what an `earlier` one says, it names the same revision as that: nothing has changed.
    """
    record: Provenance = {
        "format": FORMAT,
        "model": model,
        "source": without_local_paths(source["source"]),
        "source_files": {name: entry["sha256"] for name, entry in source["files"].items()},
        "licence": source["licence"],
        "git_revision": git_revision(),
        "host": without_local_paths(host),
        "variants": without_local_paths(variants),
        "recommended": recommendations(answers, variants),
        "tokenizer": tokenizer,
        "runtime_refuses": runtime_refuses,
        "embed_left_out": embed_left_out,
        "names": names,
        "names_left_out": names_left_out,
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


class _Variant(BaseModel):
    """What is read of a published variant."""

    files: dict[str, Digest]
    verdict: str
    texts: int
    figures: dict[str, float | None]


class _Record(BaseModel):
    """What is read of a foundry.json; it may say more."""

    format: Literal[1]
    model: str
    files: dict[str, Digest]
    uploaded: list[str]
    variants: dict[str, _Variant]


def read(folder: Path) -> Provenance:
    """The foundry.json of a published folder.

    Raises:
        FoundryError: when the folder has no foundry.json, or one that cannot be read.
    """
    return parse(content(folder), str(folder / NAME))


def content(folder: Path) -> bytes:
    """The bytes of the foundry.json of a published folder.

    Raises:
        FoundryError: when there is none.
    """
    record = read_plain(folder / NAME)
    if record is None:
        raise FoundryError(f"{folder / NAME} is not there: nothing says what the folder should hold")
    return record


def read_plain(path: Path) -> bytes | None:
    """The content of a file; None where there is none.

    Raises:
        FoundryError: when it is a link, a folder or a pipe, or larger than any record.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise FoundryError(f"{path} is no file, but a link, a folder or the like")
    if status.st_size > LARGEST_RECORD_BYTES:
        raise FoundryError(f"{path} has {status.st_size / 1e6:.0f} MB, which no record has")
    return path.read_bytes()


def parse(text: str | bytes, where: str) -> Provenance:
    """A foundry.json from its text; `where` it comes from stands in errors.

    Raises:
        FoundryError: when the text is no foundry.json that this version reads.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if twice := [key for key in keys if keys.count(key) > 1] if len({*keys}) < len(keys) else []:
            raise ValueError(f"{twice[0]!r} stands in it twice")
        return dict(pairs)

    try:
        record: Provenance = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise FoundryError(f"{where} is damaged: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise FoundryError(f"{where} is none of format {FORMAT}, which this version reads")
    try:
        _Record.model_validate(record)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise FoundryError(f"{where} is damaged: {place}: {first['msg']}".replace("\n", " ")) from error
    listed = {name: digest for entry in record["variants"].values() for name, digest in entry["files"].items()}
    if wrong := [name for name, digest in listed.items() if record["files"].get(name) != digest]:
        raise FoundryError(f"{where} is damaged: its list of files lacks {wrong[0]!r}, or has it with another hash")
    if wrong := [name for name in record["uploaded"] if name not in record["files"]]:
        raise FoundryError(f"{where} is damaged: its list of files lacks {wrong[0]!r}, which it says was uploaded")
    return record
