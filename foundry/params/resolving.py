"""Write what each stage is to do for each model, so that a changed setting reruns what it touches and nothing else.

The stages read params.yaml themselves; these files are what DVC compares. It cannot track "this row, unless this model
overrides it" by itself.
"""

from pathlib import Path
from typing import Any

from foundry.base import command, files
from foundry.base.progress import say
from foundry.params import reading
from foundry.params.schema import Params


def resolved(settings: Params, model: str) -> dict[str, Any]:
    """What holds for one model, by the file that a stage depends on."""
    own = settings.of(model).model_dump(mode="json", by_alias=True)
    row = own["models"][model]
    found: dict[str, Any] = {
        "download": {key: row[key] for key in ("source", "kind", "trust_remote_code")},
        "sample": own["sample"],
        "embed": {"batch_size": own["validate"]["batch_size"]},
    }
    for variant in settings.variant_names:
        if variant != "torch":
            found[f"build/{variant}"] = {"skip": settings.skips(model, variant), "row": settings.of(model).row(variant)}
        found[f"validate/{variant}"] = {
            "batch_size": own["validate"]["batch_size"],
            "on_failure": own["validate"]["on_failure"],
            "precision": settings.of(model).precision(variant),
            "thresholds": settings.of(model).thresholds(variant).model_dump(),
        }
    return found


def main(out: Path) -> None:
    settings = reading.read()
    with files.replacing_folder(out) as partial:
        for model in settings.models:
            for name, value in resolved(settings, model).items():
                path = partial / model / f"{name}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                files.write_json(path, value)
    say(f"{len(settings.models)} models, {len(settings.variant_names)} variants each")


if __name__ == "__main__":
    command.run(main)
