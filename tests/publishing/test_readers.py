"""The card's lines for other tools, as they stand there, give torch's embeddings: short, long and nasty texts."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from tokenizers import Tokenizer

from foundry.loading import loader
from foundry.publishing import readers
from foundry.reference.closeness import cosines
from foundry.reference.nasty_texts import nasty_texts
from foundry.validation.results import Family
from foundry.variants.facts import Facts
from tests.support.projects import ROOT
from tests.support.texts import documents

pytestmark = pytest.mark.both_toolchains
TEXTS = ["a text", "another", *documents()[:8], *nasty_texts(40, documents()), " ".join(documents()[:6])]
EXPORTED = 0.99999  # the lowest cosine of what computes the exported graph, which is within 1e-5 of torch


def blocks(published: Path) -> dict[str, str]:
    """The card's lines by tool."""
    card = (published / "README.md").read_text()
    found = re.findall(r"<summary>Load by (.+?)</summary>\n+```\w+\n(.+?)```", card, re.DOTALL)
    return dict(found)


@pytest.fixture(scope="module")
def expected(published: Path) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    embeddings: np.ndarray = SentenceTransformer(str(published), device="cpu").encode(TEXTS)
    return embeddings


@pytest.fixture
def folder(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The published folder where the card's lines look for it: below the working directory."""
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "tiny"
    shutil.copytree(published, target)
    return target


def run(lines: str, then: str, python: Path = Path(sys.executable)) -> np.ndarray:
    """What the lines leave in `model`, asked for the texts in a process of its own."""
    program = (
        f"import json, sys\nTEXTS = json.load(sys.stdin)\n{lines}\nprint(json.dumps([row.tolist() for row in {then}]))"
    )
    done = subprocess.run(
        [python, "-c", program], input=json.dumps(TEXTS), capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT / "runtime"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout.splitlines()[-1]), np.float32)


def test_every_tool_is_there(published: Path) -> None:
    assert [name.split(",")[0].split(" ")[0] for name in blocks(published)] == [
        "foundry_runtime", "Sentence", "embed.py", "light-embed", "fastembed", "transformers.js",
    ]  # fmt: skip


@pytest.mark.parametrize("tool", ["foundry_runtime, without torch", "Sentence Transformers 6, without optimum"])
def test_python(folder: Path, published: Path, expected: np.ndarray, tool: str) -> None:
    rows = run(blocks(published)[tool], "model.encode(TEXTS)")
    lowest = EXPORTED if tool.startswith("Sentence") else 0.999  # the runtime takes the variant that is recommended
    assert cosines(rows, expected).min() >= lowest


@pytest.fixture
def peers() -> Path:
    """The Python of the environment that has other tools; CI fails where it is missing."""
    python = ROOT / ".venv-peers/bin/python"
    if not python.is_file() and not os.environ.get("BOTH_TOOLCHAINS"):
        pytest.skip("other tools are not set up: `make .venv-peers/installed`")
    return python


def test_light_embed(folder: Path, published: Path, expected: np.ndarray, peers: Path) -> None:
    rows = run(blocks(published)["light-embed"], "model.encode(TEXTS)", peers)
    assert cosines(rows, expected).min() >= EXPORTED


def test_fastembed(folder: Path, published: Path, expected: np.ndarray, peers: Path) -> None:
    lines = blocks(published)["fastembed"]
    named = re.sub(r'TextEmbedding\("([^"]+)"\)', r'TextEmbedding("\1", specific_model_path="\1")', lines)
    assert named != lines  # a folder needs the path that the comment names
    rows = run(named, "list(model.embed(TEXTS))", peers)
    assert cosines(rows, expected).min() >= EXPORTED


@pytest.mark.parametrize("dtype", ["fp32", "q8", "int8"])
def test_transformers_js(folder: Path, published: Path, expected: np.ndarray, dtype: str) -> None:
    modules = next((path for path in (ROOT / "node_modules", Path("/usr/lib/node_modules"))
                    if (path / "@huggingface/transformers").is_dir()), None)  # fmt: skip
    if modules is None or shutil.which("node") is None:
        pytest.skip("needs Node and transformers.js: `make node_modules/installed`")
    (folder.parent / "node_modules").symlink_to(modules)
    lines = blocks(published)["transformers.js"]
    program = (
        'import { env } from "@huggingface/transformers";\n'
        "env.allowRemoteModels = false; env.localModelPath = './';\n"
        + lines.replace('["a text", "another"]', json.dumps(TEXTS)).replace('dtype: "fp32"', f'dtype: "{dtype}"')
        + "\nconsole.log(JSON.stringify(embeddings.tolist()));\n"
    )
    path = folder.parent / "run.mjs"
    path.write_text(program)
    done = subprocess.run(["node", str(path)], cwd=folder.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = np.array(json.loads(done.stdout.splitlines()[-1]), np.float32)
    # What is too long, it cuts after the last special token is in place, and so cuts that off, too.
    closest = EXPORTED
    if dtype != "fp32":
        (variant,) = re.findall(f'dtype: "{dtype}" is (.+)', lines)
        expected, closest = loader.load(published, variant).encode(TEXTS), 0.999  # by another build of ONNX Runtime
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    cut = np.array([bool(row.overflowing) for row in tokenizer.encode_batch(TEXTS)])
    assert cut.any()
    assert cosines(rows[~cut], expected[~cut]).min() >= closest
    assert 0.99 <= cosines(rows[cut], expected[cut]).min() < EXPORTED


def test_embed(folder: Path, published: Path, expected: np.ndarray) -> None:
    lines = blocks(published)["embed.py of this repository, without any of these"]
    done = subprocess.run(
        ["bash", "-c", lines.replace("python ", f"{sys.executable} ")], cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert cosines(np.array([json.loads(done.stdout)], np.float32), expected[:1]).min() >= EXPORTED


PLAIN: Facts = {
    "kind": "SentenceTransformer", "max_seq_length": 64, "similarity": "cosine", "prompts": {}, "truncate_dim": None,
    "trust_remote_code": False, "modules": [["Pooling", {"pooling_mode": "mean"}], ["Normalize", {}]],
}  # fmt: skip


def tools(facts: Facts, variants: dict[str, dict[Family, str]]) -> dict[str, str]:
    rows = readers.readers("org/tiny", variants, facts, 32, has_runtime=True, has_embed=True, has_special_tokens=True)
    return {row.tool.split(",")[0].split(" ")[0]: row.lines for row in rows}


@pytest.mark.parametrize("change", [{"truncate_dim": 16}, {"prompts": {"query": "query: "}}])
def test_tools_that_would_give_other_embeddings_have_no_lines(change: dict[str, Any]) -> None:
    assert {"fastembed", "transformers.js"} <= tools(PLAIN, {"torch": {}, "onnx": {}}).keys()
    changed = tools(cast(Facts, {**PLAIN, **change}), {"torch": {}, "onnx": {}})
    # light-embed takes the graph's embedding, which is cut as the model says.
    cuts = ["light-embed"] if "truncate_dim" in change else []
    assert list(changed) == ["foundry_runtime", "Sentence", "embed.py", *cuts]


def test_the_lines_for_sentence_transformers_are_those_of_the_variant() -> None:
    facts = cast(Facts, {**PLAIN, "trust_remote_code": True})
    lines = tools(facts, {"torch": {}, "onnx_qint8_avx512": {"avx2": "sums overflow"}})["Sentence"]
    assert "trust_remote_code=True" in lines
    assert '"session_options": options' in lines
    assert tools(PLAIN, {"torch": {}}) == {}
