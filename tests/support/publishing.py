"""What publishing needs: accounts of the test server, a pair of keys, a model that is judged and reported."""

import subprocess
from pathlib import Path
from typing import Any

from foundry.base import files
from tests.support.stages import settings_file, validate_in

# The accounts of the test server.
TOKEN, STRANGER, READER = (f"hf_{letter * 34}" for letter in "bsr")
REPO = "org/tiny"
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
    from stages import report

    files.write_json(root / "host.json", FACTS)
    (root / f"benchmarks/{model}").mkdir(parents=True, exist_ok=True)
    report.main(
        settings_file("report"),
        root / "validation",
        root / "benchmarks",
        root / "host.json",
        root / "report",
        root / "metrics",
    )


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
