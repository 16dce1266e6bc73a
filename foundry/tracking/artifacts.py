"""The models whose versions can be registered: the section `artifacts` of dvc.yaml."""

from pathlib import Path

import yaml

from foundry.base import yaml_editing
from foundry.base.errors import FoundryError

PIPELINE = Path("dvc.yaml")


def with_artifact(text: str, model: str, source: str) -> str:
    """The text of dvc.yaml with a model among its artifacts; as it is where there is no such section, or the model is
    in it.

    Args:
        source: What the model is built from, for the description.

    Raises:
        FoundryError: when dvc.yaml is no valid YAML, or cannot be edited.
    """
    try:
        artifacts = (yaml.safe_load(text) or {}).get("artifacts")
    except yaml.YAMLError as error:
        raise FoundryError(f"{PIPELINE} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(artifacts, dict) or model in artifacts:
        return text
    row = {
        "path": f"artifacts/hub/{model}",
        "type": "model",
        "desc": f"{source} in every form that passed validation, as a repository that Sentence Transformers loads",
        "labels": ["sentence-transformers", "onnx", "openvino"],
    }
    return yaml_editing.with_entry(text, ["artifacts"], model, row)
