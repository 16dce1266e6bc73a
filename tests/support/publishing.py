"""What publishing needs: accounts of the test server, a pair of keys, a model that is judged and reported."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from foundry.base import files
from foundry.tracking import lock
from foundry.variants import variant_folder
from tests.support import results
from tests.support.stages import settings_file, validate_in

if TYPE_CHECKING:
    from tests.support.hub_server import Hub

# The accounts of the test server.
TOKEN, STRANGER, READER = (f"hf_{letter * 34}" for letter in "bsr")
REPO = "org/tiny"
PULL = "refs/pr/1"
# What a `Project` publishes.
VARIANTS = ["torch", "onnx", "onnx_O2", "openvino", "openvino_fp16"]
# What others have in that repository.
THEIRS = {
    "README.md": b"---\nlicense: mit\nlibrary_name: sentence-transformers\n---\n# Their words\n",
    "onnx/model_by_hand.onnx": b"theirs \0",
    "notes.txt": b"theirs too",
}
# The profile of a machine.
FACTS = {
    **{"host": "here", "processor": "CPU", "cores": 2, "memory_gb": 8, "instruction_sets": [], "gpus": []},
    **{"python": "3", "libraries": {"torch": "2"}, "threads": {}},
}


def make_key(folder: Path, name: str) -> tuple[Path, Path]:
    """A pair of keys, as openssl makes them."""
    private, public = folder / f"{name}.pem", folder / f"{name}-public.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return private, public


def write_report(root: Path, model: str = "tiny") -> None:
    """The report of a model whose verdicts are in `root`, without a benchmark."""
    files.write_json(root / "host.json", FACTS)
    (root / f"benchmarks/{model}").mkdir(parents=True, exist_ok=True)
    results.make_report(root)


def prepare(root: Path, models_folder: Path, model: str) -> None:
    """Validation and report of a built model, in `root`."""
    for path in models_folder.iterdir():
        validate_in(root, models_folder, path.name, path)
    write_report(root, model)


def run(root: Path, model: str = "tiny", folder: Path | None = None) -> dict[str, Any]:
    """Publish what `prepare` judged, into a folder; give the receipt."""
    from stages import publish

    receipt = root / f"published/{model}.json"
    folder = folder or root / "models" / model
    artifacts = folder.parent.parent
    publish.main(
        model, settings_file("publish", model), folder, root / "validation" / model, root / "report",
        artifacts / "reference" / model, artifacts / "texts" / model / "validation.jsonl", root / "hub" / model,
        receipt,
    )  # fmt: skip
    result: dict[str, Any] = files.read_json(receipt)
    return result


def accept(root: Path, variant: str, **changes: Any) -> None:
    """Let the verdict on a variant of the tiny model be on what its folder holds now, and say what `changes` say."""
    path = root / f"validation/tiny/{variant}.json"
    verdict = files.read_json(path)
    files.write_json(path, {**verdict, "files": dict(variant_folder.hashes(root / "models/tiny" / variant)), **changes})


def fail(root: Path, variant: str) -> None:
    """Let the verdict on a variant of the tiny model be that it failed."""
    checks = files.read_json(root / f"validation/tiny/{variant}.json")["checks"]
    accept(root, variant, verdict="failed", checks=[{**checks[0], "passed": False}, *checks[1:]])


def skip(root: Path, variant: str, reason: str) -> None:
    """Let a variant of the tiny model be one that it cannot have."""
    variant_folder.skip(root / "models/tiny" / variant, variant, reason)
    accept(root, variant, verdict="skipped", reason=reason, checks=[], files={})


class Project:
    """A folder from which the tiny model is published."""

    def __init__(self, root: Path, write: Callable[..., Path]) -> None:
        self.root, self.write = root, write
        self.variants = list(VARIANTS)
        self.settings: dict[str, Any] = {"to": "hub", "repos": {"tiny": REPO}, "licences": ["mit"]}

    def build(self) -> None:
        """Write params.yaml, the report of the variants in it, and what dvc.lock says of all."""
        self.write_params()
        write_report(self.root)
        self.write_lock()

    def write_params(self) -> None:
        """Write params.yaml, with the variants and settings of this project."""

        def change(raw: dict[str, Any]) -> None:
            raw["publish"] = self.settings
            raw["variants"] = {name: {} for name in self.variants}
            raw["optimize"] = {name: row for name, row in raw["optimize"].items() if name in self.variants}
            for section in ("quantize", "calibrate", "calibrate_onnx"):
                raw[section] = {}
            raw["validate"]["overrides"] = {}

        self.write(change)

    def write_lock(self) -> None:
        """Write what dvc.lock says of what is published."""
        settings = settings_file("publish").parents[1]
        paths = [path for name in self.variants for path in (self.folder / name, self.validation / f"{name}.json")]
        paths += [settings, self.root / "reference/tiny"]
        outs = [{"path": path.as_posix(), "md5": lock.digest(path)} for path in [*paths, self.root / "report"]]
        (self.root / "dvc.lock").write_text(yaml.safe_dump({"stages": {"all": {"outs": outs}}}))

    @property
    def folder(self) -> Path:
        return self.root / "models/tiny"

    @property
    def validation(self) -> Path:
        return self.root / "validation/tiny"

    @property
    def receipt(self) -> Path:
        return self.root / "published/tiny.json"

    @property
    def arguments(self) -> list[Path]:
        return [
            self.folder, self.validation, self.root / "report", self.root / "reference/tiny",
            self.root / "texts/tiny/validation.jsonl", self.root / "hub/tiny", self.receipt,
        ]  # fmt: skip

    def publish(self) -> dict[str, Any]:
        self.receipt.unlink(missing_ok=True)
        from stages import publish

        publish.main("tiny", settings_file("publish"), *self.arguments)
        result: dict[str, Any] = files.read_json(self.receipt)
        return result

    def change(self, variant: str) -> None:
        """Another graph that computes the same, validated."""
        import onnx

        path = variant_folder.weights_path(self.folder / variant, variant)
        graph = onnx.load(path)
        graph.doc_string = "another"
        onnx.save(graph, path)
        validate_in(self.root, self.folder, variant, self.folder / variant)
        self.build()

    def add(self, name: str, content: bytes) -> None:
        """A file of the checkpoint, which every variant has and was validated with."""
        for variant in self.variants:
            (self.folder / variant / name).write_bytes(content)
            accept(self.root, variant)

    def expected(self, server: "Hub", theirs: dict[str, bytes] = THEIRS) -> dict[str, bytes]:
        """What the repository is to hold: the local folder, and what others have there."""
        ours = {path.as_posix(): (self.root / "hub/tiny" / path).read_bytes() for path in self.published_files}
        return {**theirs, **ours}

    @property
    def published_files(self) -> list[Path]:
        return files.files_below(self.root / "hub/tiny")
