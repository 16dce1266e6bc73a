"""Templates, and the lines of code that they show."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundry.benchmarking import other_load, speeds
from foundry.benchmarking.timings import Ratio
from foundry.reporting import ways
from foundry.validation.results import FAMILIES, Family
from foundry.variants import naming
from foundry.variants.precisions import Device

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **context: Any) -> str:
    """A template of this folder with the context; a name that is not given is an error."""
    return _environment().get_template(template).render(context)


@functools.cache  # it keeps the templates that it has compiled
def _environment() -> "jinja2.Environment":
    """What the templates know beside their context."""
    import jinja2
    from rich import filesize

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["closeness"] = lambda value: "" if value is None else f"{value:.4f}"
    environment.filters["exact"] = lambda value: "not a number" if value is None else f"{value:.5g}"
    environment.filters["ratio"] = lambda value: "" if value is None else f"{value:.2f}×"
    environment.filters["median"] = lambda value: None if value is None else value["median"]
    environment.filters["plain"] = lambda value: "" if value is None else f"{value:g}"
    environment.filters["short"] = short
    environment.filters["percent"] = lambda value: "" if value is None else f"{100 * value:.0f}%"
    environment.filters["lost"] = lost
    environment.filters["in_words"] = ways.in_words
    environment.filters["origin"] = origin
    environment.filters["size"] = filesize.decimal
    environment.globals["loading_lines"] = loading_lines
    environment.globals["not_reliable"] = other_load.NOT_RELIABLE
    environment.globals["way"] = lambda *parts: ways.WayToRun(*parts).label
    environment.globals["passed_in"] = passed_in
    environment.globals["batch_sizes"] = speeds.batch_sizes
    environment.globals["families"] = FAMILIES
    return environment


def passed_in(row: Mapping[str, Any]) -> list[str]:
    """The precisions beside f32 in which a row of the report, a variant, passed."""
    return [precision for precision, verdict in row["precisions"].items() if verdict == "passed"]


def short(value: float | None) -> str:
    """Three digits, or all before the point."""
    return "" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def lost(row: Mapping[str, Any]) -> str:
    """`0.93% (neighbours)`: how much quality a row or an answer loses, and in which measure."""
    if row["loss"] is None:
        return ""
    return f"{100 * row['loss']:.2g}%" + (f" ({row['lost_in']})" if row["lost_in"] else "")


def origin(source: dict[str, Any]) -> str:
    """Where a checkpoint comes from, as `download` recorded it."""
    if "hub" in source:
        return f"[{source['hub']}](https://huggingface.co/{source['hub']}) at `{source['revision']}`"
    if "package" in source:
        return f"the checkpoint in the package {', '.join(f'{k} {v}' for k, v in source['distribution'].items())}"
    return "a local checkpoint"


def ratio_text(value: Ratio | None) -> str:
    """`1.60× (1.37–1.93)`: the median and its 95% interval."""
    if value is None:
        return ""
    if value["low"] is None or value["low"] == value["high"]:
        return f"{value['median']:.2f}×"
    return f"{value['median']:.2f}× ({value['low']:.2f}–{value['high']:.2f})"


def plain_lines(
    where: str,
    variant: str,
    facts: Mapping[str, Any],
    output: str | None,
    precision: str = "f32",
    fails_on: Mapping[Family, str] | None = None,
) -> str | None:
    """The lines that run a variant without Sentence Transformers, or None where it takes more than its graph.

    `facts` are the model's, as the reference has them; `output` is the one that the head gives in its graph, if it has
    the head; `precision` is what OpenVINO is told to compute in; `fails_on` are the families of processors on which the
    variant fails.
    """
    backend = naming.backend(variant)
    takes_more = facts["trust_remote_code"] or any(facts["prompts"].values())
    if backend == "torch" or output != "sentence_embedding" or takes_more:
        return None
    file = naming.file_name(variant)
    warned, options = for_processors(variant, fails_on or {})
    if backend == "onnx":
        runtime = "onnxruntime"
        load = (
            f'session = onnxruntime.InferenceSession("{where}/onnx/{file}", '
            f'{options}providers=["CPUExecutionProvider"])'
        )
        run = f'session.run(["{output}"], {{node.name: inputs[node.name] for node in session.get_inputs()}})[0]'
    else:
        runtime = "openvino"
        graph, weights = naming.openvino_head_name(file, output), file.replace(".xml", ".bin")
        load = (
            "core = openvino.Core()\n"
            f'graph = core.read_model("{where}/openvino/{graph}", "{where}/openvino/{weights}")\n'
            f'model = core.compile_model(graph, "CPU", {json.dumps(naming.ov_config(precision))})'
        )
        run = "model({node.any_name: inputs[node.any_name] for node in model.inputs})[0]"
    limit = "" if facts["max_seq_length"] is None else f"truncation=True, max_length={facts['max_seq_length']}, "
    return "\n".join(
        [
            f"import {runtime}\nfrom transformers import AutoTokenizer\n",
            f'tokenizer = AutoTokenizer.from_pretrained("{where}")',
            f"{warned}{load}\n",
            'texts = ["A first text.", "And a second one."]',
            f'inputs = tokenizer(texts, padding=True, {limit}return_tensors="np")',
            f"embeddings = {run}",
        ]
    )


def for_processors(variant: str, fails_on: Mapping[Family, str]) -> tuple[str, str]:
    """Lines before those that load a variant which fails on some processors, and the argument that they prepare."""
    if not fails_on:
        return "", ""
    if naming.backend(variant) == "onnx" and list(fails_on) == ["avx2"]:
        lines = (
            f"# On processors {FAMILIES['avx2']}, sums of this file's int8 products overflow and it fails:\n"
            f"# {fails_on['avx2']}.\n"
            "# With this option ONNX Runtime computes them exactly there, and slower; elsewhere it changes nothing.\n"
            "options = onnxruntime.SessionOptions()\n"
            f"options.add_session_config_entry({', '.join(map(json.dumps, naming.EXACT_SUMS))})\n"
        )
        return lines, "options, "
    return "".join(f"# Not for processors {FAMILIES[family]}: {why}.\n" for family, why in fails_on.items()), ""


def loading_lines(
    where: str,
    variant: str,
    facts: Mapping[str, Any],
    revision: str | None = None,
    precision: str = "f32",
    fails_on: Mapping[Family, str] | None = None,
    device: Device = "cpu",
) -> str:
    """The Python lines that load a published variant of a model with these facts in Sentence Transformers.

    `precision` is what torch or OpenVINO is told to compute in: f32, or another that the variant passed in; `fails_on`
    are the families of processors on which it fails, which on a GPU are none.
    """
    kind = facts["kind"]
    backend = naming.backend(variant)
    arguments = [f'"{where}"']
    warned, options = for_processors(variant, fails_on or {} if device == "cpu" else {})
    if device != "cpu":
        arguments.append(f'device="{device}"')
    if backend != "torch":
        arguments.append(f'backend="{backend}"')
    if model_kwargs := naming.model_kwargs(variant, precision, device):
        shown = json.dumps(model_kwargs)
        if options:
            shown = f'{shown[:-1]}, "session_options": options}}'
        arguments.append(f"model_kwargs={shown}")
    if facts["trust_remote_code"]:
        arguments.append("trust_remote_code=True")
    if revision is not None:
        arguments.append(f'revision="{revision}"')
    imported = "import onnxruntime\n" if options else ""
    if backend == "torch" and precision == "tf32":
        imported, warned = "import torch\n", 'torch.set_float32_matmul_precision("high")  # TF32\n'
    lines = f"{warned}model = {kind}({', '.join(arguments)})"
    return f"{imported}from sentence_transformers import {kind}\n\n{lines}"
