"""What a long text costs a graph: time and peak memory against length, with attention written out and by blocks.

    python -m benchmarks.long_texts [--lengths 512 1024 2048 4096 8192] [--keep FOLDER] > long_texts.json
    python -m benchmarks.long_texts --show long_texts.json      # the table of the documentation

The models have random weights and four layers of the width of bert-base: ModernBERT with a window of 128 tokens in
three layers of four, and NomicBERT, all of whose layers attend to all tokens. Each figure is of one text without
padding, or with `--rows` of several of which one is a quarter as long, in a process of its own on two cores. Memory is
what the run adds to the loaded model's peak.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = {"hidden_size": 768, "num_hidden_layers": 4, "num_attention_heads": 12, "intermediate_size": 1152,
         "vocab_size": 600, "max_position_embeddings": 8192, "pad_token_id": 0}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {"modernbert": {"global_attn_every_n_layers": 4}, "nomic_bert": {}}
LENGTHS = (512, 1024, 2048, 4096, 8192)
CORES = 2


def make(folder: Path, model: str) -> dict[str, Path]:
    """Torch's folder of a model with random weights, and graphs of it, by their names."""
    import torch
    import transformers

    from foundry.base.quiet import without_warnings
    from foundry.export import torch_exporters
    from foundry.export.torch_model import Checkpoint
    from foundry.onnx import optimization
    from foundry.onnx.settings import Optimize

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model, **SHAPE, **MODELS[model])
    transformers.AutoModel.from_config(config).eval().save_pretrained(folder / "torch")
    made = {"torch": folder / "torch"}
    checkpoint = Checkpoint(folder / "torch", "feature-extraction", inputs(64, 2), False, None)
    exporters = {
        "onnx, written out": torch_exporters.by_tracing_onnx,
        "onnx, by blocks": torch_exporters.by_blocks_onnx,
        "openvino, written out": torch_exporters.by_tracing_openvino,
        "openvino, by blocks": torch_exporters.by_blocks_openvino,
    }
    for name, exporter in exporters.items():
        scratch = folder / name.replace(", ", "_").replace(" ", "_")
        scratch.mkdir()
        with without_warnings():
            made[name] = exporter(checkpoint, scratch)
        if name.startswith("onnx"):
            target = scratch / "model_O3.onnx"
            optimization.optimize(made[name], target, config.to_dict(), Optimize(level="O3"))
            made[name.replace("onnx", "onnx_O3")] = target
    return made


def inputs(tokens: int, rows: int) -> dict[str, np.ndarray]:
    """Random ids; of several texts, the last one is a quarter as long: (rows, tokens) each."""
    ids = np.random.default_rng(0).integers(5, 500, (rows, tokens))
    mask = np.ones_like(ids)
    if rows > 1:
        mask[-1, tokens // 4 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def measure(path: Path, tokens: int, rows: int) -> dict[str, float]:
    """The seconds of one run in this process, and the megabytes that it adds to the peak."""
    feed = inputs(tokens, rows)
    if path.is_dir():
        import torch
        import transformers

        torch.set_num_threads(CORES)
        model = transformers.AutoModel.from_pretrained(path).eval()
        tensors = {name: torch.from_numpy(value) for name, value in feed.items()}
        run: Any = torch.inference_mode()(lambda: model(**tensors))
    elif path.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = CORES
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        run = lambda: session.run(None, feed)  # noqa: E731
    else:
        import openvino

        compiled = openvino.Core().compile_model(
            path, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": CORES}
        )
        run = lambda: compiled(feed)  # noqa: E731
    before = peak_mb()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "mb": peak_mb() - before}


def peak_mb() -> float:
    """The peak memory of this process. That of `resource` would begin with the peak of the process that started it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def show(results: dict[str, Any]) -> str:
    """The table: a row for each graph, a column for each length."""
    lengths = sorted({int(length) for row in results.values() for length in row})
    lines = [f"| | {' | '.join(f'{length:,}' for length in lengths)} |", f"|---{'|---' * len(lengths)}|"]
    for name, row in results.items():
        cells = [f"{row[str(n)]['mb']:,.0f} MB, {row[str(n)]['seconds']:.1f} s" for n in lengths if str(n) in row]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--rows", type=int, default=1, help="texts in the batch; from two on, one is padded")
    parser.add_argument("--keep", type=Path, help="where models and graphs stay")
    parser.add_argument("--measure", type=Path, help="(one figure, in this process)")
    parser.add_argument("--show", type=Path)
    given = parser.parse_args()
    if given.show:
        print(show(json.loads(given.show.read_text())))
        return
    if given.measure:
        print(json.dumps(measure(given.measure, given.lengths[0], given.rows)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        results: dict[str, Any] = {}
        for model in MODELS:
            for name, path in make((given.keep or Path(temporary)) / model, model).items():
                for tokens in given.lengths:
                    command = [sys.executable, "-m", "benchmarks.long_texts", "--measure", str(path), "--rows",
                               str(given.rows), "--lengths", str(tokens)]  # fmt: skip
                    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                    results.setdefault(f"{model}, {name}", {})[str(tokens)] = json.loads(output.splitlines()[-1])
                print(f"{model}, {name}", file=sys.stderr, flush=True)
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
