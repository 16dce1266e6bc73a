"""What a long text costs a graph: time and peak memory against length, with attention written out and by blocks.

    python -m benchmarks.long_texts [--models qwen3] [--lengths 512 2048 8192] [--keep FOLDER] > long_texts.json
    python -m benchmarks.long_texts --show long_texts.json      # the table of the documentation
    python -m benchmarks.long_texts --short [--models qwen3]    # the time of short texts, as ratios

The models have random weights and four layers of the width of bert-base: ModernBERT with a window of 128 tokens in
three layers of four, NomicBERT, all of whose layers attend to all tokens, and decoders: Qwen3 and Mistral with four
heads of keys and values for twelve of queries. Each figure is of one text without padding, or with `--rows` of several
of which one is a quarter as long, in a process of its own on two cores. Memory is what the run adds to the loaded
model's peak.

`--short` runs graphs with attention written out and by blocks in turns, each in CPU time of one core, and prints the
median ratio by blocks / written out.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = {"hidden_size": 768, "num_hidden_layers": 4, "num_attention_heads": 12, "intermediate_size": 1152,
         "vocab_size": 600, "max_position_embeddings": 8192, "pad_token_id": 0}  # fmt: skip
DECODER = {"num_key_value_heads": 4, "head_dim": 64}
MODELS: dict[str, dict[str, Any]] = {
    "modernbert": {"global_attn_every_n_layers": 4},
    "nomic_bert": {},
    "qwen3": DECODER,
    "mistral": {**DECODER, "sliding_window": None},
}
LENGTHS = (512, 1024, 2048, 4096, 8192)
SHORT_LENGTHS = (16, 128, 512)
ROUNDS = 15  # of short texts
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
        if name.startswith("onnx") and optimization.unsupported(config.to_dict(), Optimize(level="O3")) is None:
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


def loaded(path: Path, cores: int) -> Callable[[dict[str, np.ndarray]], Any]:
    """What runs a graph, or a folder of torch's."""
    if path.is_dir():
        import torch
        import transformers

        torch.set_num_threads(cores)
        model = transformers.AutoModel.from_pretrained(path).eval()

        def run_torch(feed: dict[str, np.ndarray]) -> Any:
            with torch.inference_mode():
                return model(**{name: torch.from_numpy(value) for name, value in feed.items()})

        return run_torch
    if path.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda feed: session.run(None, feed)
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": cores}
    return openvino.Core().compile_model(path, "CPU", settings)


def measure(path: Path, tokens: int, rows: int) -> dict[str, float]:
    """The seconds of one run in this process, and the megabytes that it adds to the peak."""
    feed = inputs(tokens, rows)
    run = loaded(path, CORES)
    before = peak_mb()
    start = time.perf_counter()
    run(feed)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "mb": peak_mb() - before}


def ratios(made: dict[str, Path], rows: int) -> dict[str, dict[int, float]]:
    """By graph and length, the CPU time by blocks as a share of that written out: the median of rounds in which both
    run, one after the other."""
    found: dict[str, dict[int, float]] = {}
    for name in ("onnx", "onnx_O3", "openvino"):
        if f"{name}, by blocks" not in made:
            continue
        runs = [loaded(made[f"{name}, {form}"], 1) for form in ("by blocks", "written out")]
        for tokens in SHORT_LENGTHS:
            feed = inputs(tokens, rows)
            shares = []
            for _ in range(ROUNDS):
                seconds = [cpu_seconds(run, feed, repeats=max(1, 512 // tokens)) for run in runs]
                shares.append(seconds[0] / seconds[1])
            found.setdefault(name, {})[tokens] = statistics.median(shares)
    return found


def cpu_seconds(run: Callable[[dict[str, np.ndarray]], Any], feed: dict[str, np.ndarray], repeats: int) -> float:
    """CPU time of this process for so many runs, after one that is not counted."""
    run(feed)
    start = time.process_time()
    for _ in range(repeats):
        run(feed)
    return time.process_time() - start


def peak_mb() -> float:
    """The peak memory of this process. That of `resource` would begin with the peak of the process that started it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def show(results: dict[str, Any]) -> str:
    """The table: a row for each graph, a column for each length."""
    lengths = sorted({int(length) for row in results.values() for length in row})
    lines = [f"| | {' | '.join(f'{length:,}' for length in lengths)} |", f"|---{'|---' * len(lengths)}|"]
    for name, row in results.items():
        cells = [
            f"{row[str(n)]['mb']:,.0f} MB, {row[str(n)]['seconds']:.1f} s" if str(n) in row else "" for n in lengths
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--rows", type=int, default=1, help="texts in the batch; from two on, one is padded")
    parser.add_argument("--keep", type=Path, help="where models and graphs stay")
    parser.add_argument("--measure", type=Path, help="(one figure, in this process)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument(
        "--most-written-out", type=int, help="tokens beyond which only graphs by blocks, and torch, run"
    )
    parser.add_argument("--short", action="store_true")
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
        for model in given.models:
            made = make((given.keep or Path(temporary)) / model, model)
            if given.short:
                results[model] = ratios(made, given.rows)
                continue
            for name, path in made.items():
                for tokens in given.lengths:
                    if "written out" in name and tokens > (given.most_written_out or tokens):
                        continue
                    command = [sys.executable, "-m", "benchmarks.long_texts", "--measure", str(path), "--rows",
                               str(given.rows), "--lengths", str(tokens)]  # fmt: skip
                    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                    results.setdefault(f"{model}, {name}", {})[str(tokens)] = json.loads(output.splitlines()[-1])
                print(f"{model}, {name}", file=sys.stderr, flush=True)
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
