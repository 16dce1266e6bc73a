"""Tiny random checkpoints, params.yaml files that use them, and the real model built once per run. No network."""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).parent.parent
REAL_VARIANTS = [
    "torch", "onnx", "onnx_O1", "onnx_O2", "onnx_O3", "onnx_O4", "onnx_qint8_arm64", "onnx_quint8_avx2",
    "onnx_qint8_avx512", "onnx_qint8_avx512_vnni", "onnx_qint8_O3", "onnx_qint8_static", "openvino", "openvino_fp16",
    "openvino_int8_weights", "openvino_qint8_quantized",
]  # fmt: skip
TINY_VARIANTS = [
    "torch", "onnx", "onnx_O2", "onnx_qint8_avx512", "onnx_qint8_static", "openvino", "openvino_fp16",
    "openvino_qint8_quantized",
]  # fmt: skip


def documents() -> list[str]:
    """Real sentences, from gensim's test data."""
    from foundry.data import sampling, tables
    from foundry.data.settings import PackageTexts

    source = PackageTexts(package="gensim", path="test/test_data/lee.cor", format="text", encoding="latin-1")
    return sampling.clean(tables.texts(source))[0]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A new folder on a disk of its own, of a size such as `100k`; the test is skipped where none may be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"may not mount a tmpfs here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def make_checkpoint(folder: Path, seed: int = 0) -> Path:
    """A BERT of two layers and 32 dimensions with random weights, and a WordPiece tokenizer for real text."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True)
    # The commonest words and every character: unlike a trained vocabulary, the same on every run.
    words = Counter(re.findall(r"[a-z]+", " ".join(documents()).lower()))
    common = [word for word, _ in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:500] if len(word) > 1]
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *characters, *(f"##{character}" for character in characters), *common]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True, model_max_length=64).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,  # spread-out embeddings, so that damage shows
    )
    BertModel(config).eval().save_pretrained(folder, safe_serialization=True)
    kinds = ("Transformer", "Pooling", "Normalize")
    rows = [
        {
            "idx": i,
            "name": str(i),
            "path": "" if i == 0 else f"{i}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    (folder / "README.md").write_text("---\nlicense: mit\ntags:\n- tiny\n---\n# A tiny model\n\nIts own words.\n")
    return folder


def make_kind(folder: Path, kind: str, labels: int = 1) -> Path:
    """A tiny SparseEncoder or CrossEncoder: the same BERT with another head, as Sentence Transformers saves it."""
    import sentence_transformers
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, BertForSequenceClassification

    base = make_checkpoint(folder / "base")
    torch.manual_seed(1)
    if kind == "SparseEncoder":
        model = BertForMaskedLM(BertConfig.from_pretrained(base))
        with torch.no_grad():
            model.cls.predictions.bias -= 2.0  # or nearly every dimension would be active
    else:
        model = BertForSequenceClassification(BertConfig.from_pretrained(base, num_labels=labels))
    model.eval().save_pretrained(folder / "bare")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "bare")
    getattr(sentence_transformers, kind)(str(folder / "bare"), device="cpu").save_pretrained(str(folder / "saved"))
    return folder / "saved"


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


def write_own_task(checkpoint: Path) -> Path:
    """Similarity data on which random weights score: the checkpoint's own similarities, coarsely rounded."""
    from foundry.loading import loader
    from foundry.reference import closeness

    some = documents()[:12]
    similar = closeness.similarities(loader.load(checkpoint, "torch").encode(some))
    path = checkpoint.parent / "own.jsonl"
    rows = [
        {"sentence1": some[i], "sentence2": some[j], "score": round(float(similar[i, j]), 2)}
        for i in range(len(some))
        for j in range(i)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def tiny_params(checkpoint: Path) -> dict[str, Any]:
    """The default params.yaml, shrunk: the tiny model, fewer variants, fewer texts."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["models"] = {"tiny": {"source": {"path": str(checkpoint)}}}
    raw["optimize"] = {"onnx_O2": {"level": "O2"}}
    raw["quantize"] = {"onnx_qint8_avx512": {"isa": "avx512"}}
    raw["compress"] = {"openvino_fp16": {"weights": "fp16"}}
    raw["variants"] = {name: {} for name in TINY_VARIANTS}
    raw["sample"]["calibration"]["groups"] = {"short": {"count": 24, "cut": "sentence"}}
    raw["sample"]["validation"]["groups"] = {
        "short": {"count": 40, "cut": "sentence"},
        "long": {"count": 8, "cut": "document"},
    }
    raw["sample"]["benchmark"]["groups"] = {"short": {"count": 8, "cut": 40}, "long": {"count": 2, "cut": 620}}
    raw["sample"]["tasks"] = {"own": {"pairs": {"path": str(write_own_task(checkpoint))}}}
    raw["benchmark"] = {
        "effort": "tiny",
        "efforts": {"tiny": {"minutes": 0.01, "rounds": 3, "interval": 0.9, "batch_sizes": [2, 4], "seconds": 0.02}},
        "settings": {"openvino_f32": {"of": "openvino", "inference_precision": "f32"}},
    }
    # Random weights leave less room for int8 than trained ones.
    loose = {"mean_cosine": 0.9, "p5_cosine": 0.7, "p1_cosine": 0.7, "min_cosine": 0.7, "hard_min_cosine": 0.5}
    loose |= {"recall_at_10": 0.3, "similarity_spearman": 0.5, "task_ratio": 0.01, "max_abs_diff": 0.3}
    raw["validate"]["overrides"] = {name: loose for name in TINY_VARIANTS if "qint8" in name}
    return raw


@pytest.fixture
def project(tmp_path: Path, tiny_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a folder with a params.yaml the current one; a call changes what stands in it."""

    def write(change: Callable[[dict[str, Any]], Any] = lambda raw: None) -> Path:
        raw = json.loads(json.dumps(tiny_params))
        change(raw)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
        monkeypatch.chdir(tmp_path)
        return tmp_path

    write()
    return write


def validate_in(root: Path, models_folder: Path, variant: str, folder: Path) -> Any:
    """The verdict on a folder as that variant, by the reference and texts that were built with `models_folder`."""
    from foundry.base import files
    from stages import validate

    artifacts, out = models_folder.parent.parent, root / "validation" / models_folder.name / f"{variant}.json"
    texts = artifacts / "texts" / models_folder.name
    expected = artifacts / "reference" / models_folder.name
    validate.main(variant, folder, expected, texts / "validation.jsonl", texts / "tasks.json", out)
    return files.read_json(out)


def measured_on(models_folder: Path) -> tuple[Path, Path, Path]:
    """What a row with a budget is measured on: the reference, texts and tasks that were built with `models_folder`."""
    artifacts = models_folder.parent.parent
    texts = artifacts / "texts" / models_folder.name
    return artifacts / "reference" / models_folder.name, texts / "validation.jsonl", texts / "tasks.json"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_params: dict[str, Any]) -> Path:
    """The tiny model's folder with every variant of `tiny_params`, and the texts and reference beside it. Read only."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "params.yaml").write_text(yaml.safe_dump(tiny_params, sort_keys=False))
    return build(root, "tiny")


@pytest.fixture(scope="session")
def published(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `publish` makes of the tiny model, as a folder. Read only."""
    from tests.test_publish import prepare, run

    root = tmp_path_factory.mktemp("published")
    (root / "params.yaml").write_bytes((tiny.parents[2] / "params.yaml").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        prepare(root, tiny, "tiny")
        run(root, folder=tiny)
    return root / "hub/tiny"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Hub that this process takes for the real one, with org/tiny in it."""
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import reset_sessions

    from foundry.publishing import hub
    from tests.hub_server import Hub
    from tests.test_hub import READER, REPO, STRANGER, THEIRS, TOKEN

    with Hub() as made:
        made.add_user("builder", TOKEN, organizations=["org"])
        made.add_user("stranger", STRANGER)
        made.add_user("reader", READER, role="read", organizations=["org"])
        made.make_repo(REPO, THEIRS)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", made.address)
        monkeypatch.setattr(
            file_download, "HUGGINGFACE_CO_URL_TEMPLATE", made.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(hub, "WAITS", (0.0, 0.0))
        reset_sessions()
        yield made
        assert made.leaks == [], "the token went to where contents are stored"
        reset_sessions()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3, with the bucket `cache`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    client.create_bucket(Bucket="cache")
    yield address
    server.stop()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """all-MiniLM-L6-v2 with all variants of the committed params.yaml, built by the stages. Read only."""
    root = tmp_path_factory.mktemp("real")
    shutil.copy(ROOT / "params.yaml", root)
    return build(root, "minilm")


def build(root: Path, model: str) -> Path:
    """Run the building stages in this process, where imports are paid once; give artifacts/models/<model>."""
    from foundry.params import reading
    from stages import calibrate, calibrate_onnx, compress, download, embed, export, optimize, quantize, sample

    before = Path.cwd()
    os.chdir(root)
    try:
        settings, folder = reading.read(), Path("artifacts/models") / model
        download.main(model, folder / "torch")
        sample.main(model, Path("artifacts/texts") / model)
        export.main("onnx", folder / "torch", folder / "onnx")
        export.main("openvino", folder / "torch", folder / "openvino")
        held = measured_on(folder)
        calibration = held[1].with_name("calibration.jsonl")
        embed.main(folder / "torch", held[1], held[2], held[0])
        for variant in settings.optimize:
            optimize.main(variant, folder / "onnx", folder / variant)
        for variant in settings.quantize:
            quantize.main(variant, folder / "onnx", *held, folder / variant)
        for variant in settings.calibrate_onnx:
            calibrate_onnx.main(variant, folder / "onnx", calibration, *held, folder / variant)
        for variant in settings.calibrate:
            calibrate.main(variant, folder / "openvino", calibration, *held, folder / variant)
        for variant in settings.compress:
            compress.main(variant, folder / "openvino", folder / variant)
    finally:
        os.chdir(before)
    return root / folder
