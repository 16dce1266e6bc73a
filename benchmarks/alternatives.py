"""How fast foundry_runtime embeds many texts beside what else uses all cores, by turns on one machine.

    PYTHONPATH=runtime python -m benchmarks.alternatives artifacts/models/minilm artifacts/texts/minilm/benchmark.jsonl

Beside it: Sentence Transformers' torch in fp32, its pool of processes, and fastembed's `parallel`, where fastembed is
installed. The cores are shared out evenly to the processes of a pool, of which the counts 4 and one for each core are
tried. A pool is started once; fastembed starts its processes in each call, so its rate is that of the texts that a
longer call has more. As the ceiling, OpenVINO's own benchmark_app runs the same graph with the same streams on batches
of one shape, as many texts of the group's mean length as make a batch, filled with numbers: no text is read.

Prints JSON: for each group of texts, by way, texts a second in each round, and their ratio to torch's as the median of
the rounds with the lowest and highest; and the largest distance of a cosine to torch's embedding from 1.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from foundry_runtime import Embedder, machine

from foundry.benchmarking import by_runtime, machine_profile
from foundry.data import texts as frozen_texts
from foundry.loading import loader
from foundry.variants import variant_folder

TEXTS = {"short": 3200, "medium": 800, "long": 480}  # enough that each of many processes has several batches
LONGER_CALL = 4  # so many times the texts, by which fastembed's start is taken off
FASTEMBED_NAME = "local/model"
CEILING_SECONDS = 3
BENCHMARK_APP = "from openvino.tools.benchmark.main import main; main()"

Encode = Callable[[list[str]], Any]
Rate = Callable[[list[str]], float]  # texts a second


def rate_of_call(encode: Encode, texts: list[str]) -> float:
    """Texts a second of one call."""
    start = time.perf_counter()
    encode(texts)
    return len(texts) / (time.perf_counter() - start)


def rate_after_start(encode: Encode, texts: list[str]) -> float:
    """Texts a second, of a way that starts its processes in each call: of those that a longer call has more."""
    short, long = (len(given) / rate_of_call(encode, given) for given in (texts, texts * LONGER_CALL))
    return len(texts) * (LONGER_CALL - 1) / (long - short)


@contextmanager
def pool(model: Any, processes: int) -> Iterator[Encode]:
    """Sentence Transformers' pool of so many processes, which share the cores evenly."""
    threads = str(max(machine.threads() // processes, 1))
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = threads
    started = model.start_multi_process_pool(["cpu"] * processes)
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before
    try:
        yield partial(model.encode, pool=started, batch_size=32)
    finally:
        model.stop_multi_process_pool(started)


def fastembed(folder: Path, scratch: Path, processes: int) -> tuple[Encode, Encode]:
    """fastembed with the fp32 file after O3: in one process, and in so many.

    It reads the tokenizer as it will be published, because the checkpoint's own does not say where texts are cut.
    """
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model=FASTEMBED_NAME, pooling=PoolingType.MEAN, normalization=True, sources=ModelSource(hf=FASTEMBED_NAME),
        dim=384, model_file="onnx/model_O3.onnx",
    )  # fmt: skip
    by_runtime.write_tokenizer(folder / "onnx_O3", scratch)
    (scratch / "onnx").symlink_to((folder / "onnx_O3" / "onnx").absolute())
    model = TextEmbedding(FASTEMBED_NAME, specific_model_path=str(scratch))

    def alone(texts: list[str]) -> Any:
        return np.stack(list(model.embed(texts, batch_size=32)))

    def parallel(texts: list[str]) -> Any:
        return np.stack(list(model.embed(texts, batch_size=32, parallel=processes)))

    return alone, parallel


def ceiling(graph: Path, precision: str, model: Embedder, scratch: Path, texts: list[str]) -> float:
    """Texts a second that benchmark_app gets from a graph in batches like those that the model makes of the texts.

    Raises:
        subprocess.CalledProcessError: when it fails.
    """
    tokens = round(statistics.mean(len(ids) for ids in model.token_ids(texts)))
    count = max(round(model.run_settings.batch_tokens / tokens), 1)
    shape = ",".join(f"{node.any_name}[{count},{tokens}]" for node in openvino.Core().read_model(graph).inputs)
    streams = str(model.run_settings.streams)
    options = ["-m", str(graph), "-data_shape", shape, "-infer_precision", precision, "-hint", "none", "-api", "async",
               "-nstreams", streams, "-nthreads", streams, "-t", str(CEILING_SECONDS), "-json_stats",
               "-report_type", "no_counters", "-report_folder", str(scratch)]  # fmt: skip
    subprocess.run([sys.executable, "-c", BENCHMARK_APP, *options], check=True, stdout=subprocess.DEVNULL)
    report = json.loads((scratch / "benchmark_report.json").read_text())
    return count * float(report["execution_results"]["throughput"])


def ways(folder: Path, stack: ExitStack) -> dict[str, tuple[Rate, Encode | None]]:
    """Each way to embed by name: what measures its rate, and what gives the embeddings, where it does."""
    cores = machine.threads()
    torch = loader.load(folder / "torch", "torch").model
    encodes: dict[str, Encode] = {"torch": partial(torch.encode, batch_size=32, show_progress_bar=False)}
    for processes in dict.fromkeys((min(4, cores), cores)):
        encodes[f"pool of {processes}, torch"] = stack.enter_context(pool(torch, processes))
    onnx = Embedder(folder / "onnx_O3", "onnx_O3", precision="f32", verify=False)
    encodes["foundry_runtime, onnx_O3 in f32"] = onnx.encode
    precision = "bf16" if machine.computes_in("bf16") else "f32"
    fp16 = Embedder(folder / "openvino_fp16", "openvino_fp16", precision=precision, verify=False)
    encodes[f"foundry_runtime, openvino_fp16 in {precision}"] = fp16.encode
    rates: dict[str, tuple[Rate, Encode | None]] = {
        name: (partial(rate_of_call, encode), encode) for name, encode in encodes.items()
    }
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    graph = variant_folder.weights_path(folder / "openvino_fp16", "openvino_fp16")
    rates[f"benchmark_app, openvino_fp16 in {precision}"] = (partial(ceiling, graph, precision, fp16, scratch), None)
    if importlib.util.find_spec("fastembed") is not None:
        (scratch / "fastembed").mkdir()
        alone, parallel = fastembed(folder, scratch / "fastembed", cores)
        rates["fastembed, onnx_O3"] = (partial(rate_of_call, alone), alone)
        rates[f"fastembed, onnx_O3, parallel={cores}"] = (partial(rate_after_start, parallel), parallel)
    return rates


def measure(rates: Mapping[str, Rate], texts: list[str], rounds: int) -> dict[str, list[float]]:
    """Texts a second in each round, which begins with another way each time."""
    names = list(rates)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            time.sleep(0.5)  # The threads of what ran before still wait busily for a while.
            found[name].append(rates[name](texts))
            print(f"round {turn + 1}: {name}: {found[name][-1]:.0f} texts/s", file=sys.stderr)
    return found


def lowest_cosine(left: Any, right: Any) -> float:
    """Of normalized embeddings (texts, dimensions)."""
    return float((np.asarray(left) * np.asarray(right)).sum(axis=1).min())


def summarize(found: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Of each way its rates, and their ratio to torch's in the same round."""
    summary = {}
    for name, values in found.items():
        ratios = [value / torch for value, torch in zip(values, found["torch"], strict=True)]
        summary[name] = {
            "texts_per_second": [round(value, 1) for value in values],
            "to_torch": [round(value, 2) for value in (statistics.median(ratios), min(ratios), max(ratios))],
        }
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="the folder of a model's variants")
    parser.add_argument("texts", type=Path, help="its frozen benchmark texts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of texts")
    arguments = parser.parse_args()
    groups: dict[str, list[str]] = {}
    for row in frozen_texts.read(arguments.texts):
        groups.setdefault(row["group"], []).append(row["text"])
    result: dict[str, Any] = {"machine": machine_profile.named_profile(), "groups": {}}
    with ExitStack() as stack:
        rates = ways(arguments.models, stack)
        few = [text for texts in groups.values() for text in texts[:8]]
        embeddings = {name: encode(few) for name, (_, encode) in rates.items() if encode is not None}
        result["lowest_cosine"] = {
            name: lowest_cosine(found, embeddings["torch"]) for name, found in embeddings.items()
        }
        for group, texts in groups.items():
            count = max(int(TEXTS.get(group, len(texts)) * arguments.share), 1)
            found = measure(
                {name: rate for name, (rate, _) in rates.items()}, by_runtime.cycled(texts, count), arguments.rounds
            )
            result["groups"][group] = {"texts": count, "ways": summarize(found)}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
