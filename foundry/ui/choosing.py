"""What can be chosen: models, variants by what they are for, thresholds. What the browser sends is not trusted."""

import json
import math
import re
from typing import Any

from foundry.base.errors import FoundryError
from foundry.params.schema import Params
from foundry.ui import editing, estimates, limits, short_commands, workspaces
from foundry.ui.looking import Look
from foundry.ui.workspaces import Workspace

# The thresholds that have a slider: from, to, step, and what each means.
SLIDERS = {
    "mean_cosine": (0.5, 1.0, 0.0001, "how close a text's embedding is to the original's, on average"),
    "min_cosine": (0.0, 1.0, 0.001, "the same for the worst text"),
    "recall_at_10": (0.0, 1.0, 0.01, "how many of a text's ten nearest neighbours stay"),
    "task_ratio": (0.0, 1.0, 0.001, "the score on labelled data, as a share of the original's"),
}
FAMILIES = {
    "fp32": "variants in fp32: ONNX, O1 to O3, OpenVINO",
    "fp16": "variants in fp16: O4, openvino_fp16",
    "int8_dynamic": "dynamic int8: onnx_qint8_…, onnx_quint8_…",
    "int8_static": "static int8, calibrated on texts",
    "int8_weights": "weights alone in int8",
    "int4_weights": "weights alone in int4",
}


def look(workspace: Workspace, source: Any, revision: Any) -> Look:
    """What a model is, before it is downloaded.

    Raises:
        FoundryError: when it is not there, or may not be used here.
    """
    given = {"source": editing.require_source(workspace, source), "revision": str(revision or "").strip()}
    workspaces.require_quota(workspace)  # what is fetched stands in the user's folder meanwhile
    printed = short_commands.run(workspace, ["foundry.ui.looking"], given, limits.LOOK_SECONDS)
    found: Look = json.loads(printed.splitlines()[-1])
    return found


def add(workspace: Workspace, name: Any, source: Any, revision: Any, variants: Any) -> str:
    """Add a model to params.yaml, after a look at it; what `foundry add` says.

    Raises:
        FoundryError: when it cannot be built, runs code of its own, or is too large for a shared host.
    """
    editing.require_slug(name)
    if workspace.shared and len(editing.read(workspace).models) >= limits.MODELS:
        raise FoundryError(f"{limits.MODELS} models are allowed in a project here: remove one first")
    found = look(workspace, source, revision)
    if found["refused"]:
        raise FoundryError(f"this model cannot be built: {found['refused']}")
    if found["runs_code"]:
        raise FoundryError(
            f"{found['source']} runs Python files of its own, which nobody has read: read them, and use "
            "`foundry add --trust-remote-code` on a machine of your own"
        )
    if workspace.shared and found["download_mb"] > limits.DOWNLOAD_MB:
        raise FoundryError(
            f"{found['source']} has {found['download_mb']:,.0f} MB to download; {limits.DOWNLOAD_MB:,} are allowed here"
        )
    # What was looked at is what is added: the commit, and not the branch, which may have moved.
    return editing.add_model(workspace, name, source, found["revision"], variants)


def choices(params: Params, weights_mb: float) -> list[tuple[str, str]]:
    """Each variant by what it is for and what it costs, and its name."""
    rows = []
    for name in params.variant_names:
        cost = estimates.variant_cost(params, name, weights_mb)
        what = f"{name}: {estimates.purpose(params, name)}; {max(cost.disk_mb, 0.1):,.1f} MB"
        rows.append((f"{what}, {estimates.duration(cost.seconds)}", name))
    return rows


def weights(value: Any) -> float:
    """Megabytes of weights, whatever the browser sent."""
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return min(max(float(value), 0.01), limits.WEIGHTS_MB) if is_number else estimates.BASE_MB


def name_for(source: str) -> str:
    """A name for a model, made of where it comes from."""
    last = "minilm" if source == editing.SAMPLE else re.split(r"[/:]", source.rstrip("/"))[-1]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("-_")[:40] or "model"


def family(value: Any) -> str:
    """A family of variants that has thresholds, whatever the browser sent.

    Raises:
        FoundryError: when it is none.
    """
    if not isinstance(value, str) or value not in FAMILIES:
        raise FoundryError(f"{value!r} is no family of variants; there are {', '.join(FAMILIES)}")
    return value


def threshold_values(params: Params, of: str) -> list[float]:
    """The thresholds of a family that have a slider."""
    thresholds = getattr(params.validate_.thresholds, family(of))
    return [float(getattr(thresholds, key)) for key in SLIDERS]


def save_thresholds(workspace: Workspace, of: Any, values: list[Any]) -> None:
    """Write the thresholds of a family.

    Raises:
        FoundryError: when a value is none that its slider has.
    """
    known = family(of)
    changed: dict[tuple[str, ...], Any] = {}
    for (key, (low, high, _, _)), value in zip(SLIDERS.items(), values, strict=True):
        if not isinstance(value, int | float) or not low <= value <= high:
            raise FoundryError(f"{key} is {value!r}; {low:g} to {high:g} is expected")
        changed[("validate", "thresholds", known, key)] = float(f"{value:.6g}")
    editing.set_values(workspace, changed)
