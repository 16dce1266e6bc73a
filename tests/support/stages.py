"""The stages, called in this process, where imports are paid once."""

import importlib
import inspect
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from foundry.base import files
from foundry.params import reading
from tests.support.projects import ROOT

# The stages that build; what comes after them measures, judges and publishes.
BUILDING = (
    "configure", "download", "sample", "export", "embed", "optimize", "quantize", "calibrate_onnx", "calibrate",
    "compress",
)  # fmt: skip


def settings_file(name: str, model: str = "tiny", out: Path = Path("settings")) -> Path:
    """The settings file of a stage, such as `build/onnx_O2`, by the params.yaml of the current folder; below `out`."""
    from stages import configure

    configure.main(Path("params.yaml"), out)
    return out / "report.json" if name == "report" else out / model / f"{name}.json"


def build(root: Path, model: str) -> Path:
    """Run the building stages as dvc.yaml has them, by the params.yaml in `root`; give artifacts/models/<model>."""
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    before = Path.cwd()
    os.chdir(root)
    try:
        sections = {name: getattr(reading.read(), name) for name in ("optimize", "quantize", "calibrate_onnx",
                    "calibrate", "compress")}  # fmt: skip
        sections["export"] = ("onnx", "openvino")
        for stage in BUILDING:
            for item in sections.get(stage, (None,)):
                run(pipeline[stage]["cmd"], {"model": model, "variant": item, "format": item})
    finally:
        os.chdir(before)
    return root / "artifacts/models" / model


def run(cmd: str, item: dict[str, Any]) -> None:
    """Call the `main` of the stage that a command of dvc.yaml starts, for one item of its matrix."""
    words = re.sub(r"\$\{item\.(\w+)\}", lambda match: str(item[match[1]]), cmd).split()
    main = importlib.import_module(words[2]).main
    parameters = inspect.signature(main).parameters.values()
    main(
        *(
            Path(word) if "Path" in str(kind.annotation) else word
            for kind, word in zip(parameters, words[3:], strict=True)
        )
    )


def validate_in(
    root: Path,
    models_folder: Path,
    variant: str,
    folder: Path,
    computed_here: Sequence[str] = (),
    with_tasks: bool = True,
    on_cuda: Mapping[str, Sequence[str]] | None = None,
) -> Any:
    """The verdict on a folder as that variant, by the reference and texts that were built with `models_folder`, on a
    machine that computes in these precisions beside f32, and on a GPU in those of `on_cuda`."""
    from stages import validate

    artifacts, out = models_folder.parent.parent, root / "validation" / models_folder.name / f"{variant}.json"
    texts = artifacts / "texts" / models_folder.name
    expected = artifacts / "reference" / models_folder.name
    precisions = root / "precisions.json"
    files.write_json(precisions, {"precisions": list(computed_here), "cuda": dict(on_cuda or {})})
    tasks = texts / "tasks.json"
    if not with_tasks:
        tasks = root / "no_tasks.json"
        tasks.write_text("{}")
    validate.main(
        variant,
        settings_file(f"validate/{variant}", models_folder.name, root / "settings"),
        folder,
        expected,
        texts / "validation.jsonl",
        tasks,
        precisions,
        out,
    )
    return files.read_json(out)


def measured_on(models_folder: Path) -> tuple[Path, Path, Path]:
    """What a row with a budget is measured on: the reference, texts and tasks that were built with `models_folder`."""
    artifacts = models_folder.parent.parent
    texts = artifacts / "texts" / models_folder.name
    return artifacts / "reference" / models_folder.name, texts / "validation.jsonl", texts / "tasks.json"
