"""A reranker of a language model: what its graphs compute, what is made of its chat template, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foundry_runtime.errors import UnusableModel
from foundry_runtime.folder import open_folder
from foundry_runtime.layout import read_layout
from foundry_runtime.pair_template import NAME, PairTemplate
from foundry_runtime.tokens import Tokens

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.checkpoints import fetching, pair_templates
from foundry.checkpoints.settings import Download
from foundry.export import exporting
from foundry.export.settings import OnnxExport
from foundry.variants import checkpoint_folder
from tests.support import causal

LONG = "the committee met and agreed on every point of the draft " * 60


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return causal.make_bare(tmp_path_factory.mktemp("causal") / "bare")


@pytest.fixture(scope="module")
def downloaded(bare: Path) -> Path:
    """The bare language model, as `kind: CrossEncoder` makes a reranker of it."""
    fetching.fetch("tiny", settings(bare), bare.parent / "torch")
    return bare.parent / "torch"


def settings(folder: Path, kind: str | None = "CrossEncoder") -> Download:
    return Download.model_validate({"source": {"path": str(folder)}, "kind": kind})


def test_a_bare_language_model_becomes_a_reranker_by_yes_and_no(downloaded: Path) -> None:
    assert checkpoint_folder.kind(downloaded) == "CrossEncoder"
    assert checkpoint_folder.task(downloaded) == "text-generation"
    vocabulary = files.read_json(downloaded / "tokenizer.json")["added_tokens"]
    named = {row["content"]: row["id"] for row in vocabulary}
    assert checkpoint_folder.scored_tokens(downloaded) == (named["yes"], named["no"])


def test_the_onnx_graph_computes_two_rows_of_the_vocabulary_behind_the_last_token(
    downloaded: Path, tmp_path: Path
) -> None:
    import onnx

    exporting.build("onnx", downloaded, OnnxExport(), tmp_path / "onnx")
    model = onnx.load(tmp_path / "onnx/onnx/model.onnx")
    vocabulary = checkpoint_folder.config(downloaded)["vocab_size"]
    tables = [tensor for tensor in model.graph.initializer if vocabulary in tensor.dims]
    assert len(tables) == 1  # that of the words; the head's rows are two
    assert [value.name for value in model.graph.input] == ["input_ids", "attention_mask"]
    assert [value.name for value in model.graph.output] == ["logits", "scores"]


def scores_by(model: Any, pairs: list[tuple[str, str]]) -> np.ndarray:
    return np.asarray(model.predict(pairs, batch_size=2))


@pytest.mark.parametrize(("format", "file"), [("onnx", "onnx/model.onnx"), ("openvino", "openvino/openvino_model.xml")])
def test_sentence_transformers_and_the_runtime_give_torchs_scores(
    downloaded: Path, tmp_path: Path, format: Any, file: str
) -> None:
    from foundry_runtime import Reranker, sentence_transformers
    from sentence_transformers import CrossEncoder

    exporting.build(format, downloaded, OnnxExport(), tmp_path / "variant")
    sentence_transformers.install()
    pairs = [("police", "the people of the city"), ("a fire", LONG), (" the law ", "court\n\n"), (LONG, "short")]
    expected = scores_by(CrossEncoder(str(downloaded), device="cpu"), pairs)
    loaded = CrossEncoder(
        str(tmp_path / "variant"), backend=format, device="cpu", model_kwargs={"file_name": Path(file).name}
    )
    assert np.abs(scores_by(loaded, pairs) - expected).max() < 1e-5
    mine = Reranker(tmp_path / "variant", format, verify=False)
    assert np.abs(mine.predict(pairs) - expected).max() < 1e-5
    prompted = np.asarray(CrossEncoder(str(downloaded), device="cpu").predict(pairs, prompt="Find a court"))
    assert np.abs(mine.predict(pairs, prompt="Find a court") - prompted).max() < 1e-5
    assert np.abs(prompted - expected).max() > 1e-3
    assert [row["corpus_id"] for row in mine.rank("police", ["people", "fire", "law"])]


# --- The chat template -----------------------------------------------------------------------------------


def by_sentence_transformers(folder: Path, pairs: list[tuple[str, str]], prompt: str | None) -> list[list[int]]:
    from foundry.loading import tokenization

    return [row["input_ids"][0].tolist() for row in tokenization.by_model(folder, pairs, prompt=prompt)]


@pytest.mark.parametrize("prompt", ["", "Find the law of <s> {{ court }}\n"])
def test_tokens_are_those_of_sentence_transformers(downloaded: Path, prompt: str) -> None:
    pairs = [(one[:300], other) for one in pair_templates.ODD for other in pair_templates.ODD[::3]]
    pairs += [("police", LONG), (LONG, "police"), (LONG, LONG)]
    folder = open_folder(downloaded, verify=False)
    tokens = Tokens(folder, read_layout(folder))
    mine = [row.ids for row in tokens.encode([(*pair, prompt) for pair in pairs])]
    assert mine == by_sentence_transformers(downloaded, pairs, prompt or None)
    assert max(map(len, mine)) == causal.LENGTH


def with_template(downloaded: Path, folder: Path, template: str) -> PairTemplate:
    from foundry.loading import tokenization

    shutil.copytree(downloaded, folder)
    (folder / "chat_template.jinja").write_text(template)
    return pair_templates.derive(tokenization.transformer_without_weights(folder))


ROLE = 'messages | selectattr("role", "eq", "{}") | map(attribute="content") | first'
QUERY, DOCUMENT = ROLE.format("query"), ROLE.format("document")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (f"{{{{ {QUERY} | trim }}}}: {{{{ {DOCUMENT} }}}}", "no frame around a pair, such as"),
        (f"{{{{ {QUERY} | upper }}}}: {{{{ {DOCUMENT} }}}}", "no frame"),
        (f"{{{{ {QUERY} }}}}: {{{{ {DOCUMENT} }}}} again {{{{ {QUERY} }}}}", "the query stands in it 2 times"),
        (f'{{{{ strftime_now("%d") }}}} {{{{ {QUERY} }}}}: {{{{ {DOCUMENT} }}}}', "another one every day"),
        (f"{{{{ {QUERY} }}}} {{{{ ({DOCUMENT})[:3000] }}}}", "no frame around a pair, such as"),
        (f"{{{{ {QUERY} }}}}", "a query and a document are expected"),
    ],
    ids=["trims", "upper case", "twice", "by the clock", "cuts", "no document"],
)
def test_a_template_that_is_no_frame_is_not_taken_for_one(
    downloaded: Path, tmp_path: Path, template: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        with_template(downloaded, tmp_path / "model", template)


def test_the_runtime_refuses_messages_without_a_frame(downloaded: Path, tmp_path: Path) -> None:
    shutil.copytree(downloaded, tmp_path / "model")
    (tmp_path / "model" / NAME).unlink()
    layout = read_layout(open_folder(tmp_path / "model", verify=False))
    assert layout.unknown_settings == ("modality_config of messages",)
    files.write_json(tmp_path / "model" / NAME, {"without_prompt": [["part", "query"]], "with_prompt": []})
    with pytest.raises(UnusableModel, match="a query and a document are expected, once each"):
        read_layout(open_folder(tmp_path / "model", verify=False))


# --- What is refused -------------------------------------------------------------------------------------


def refused(folder: Path, out: Path, message: str, kind: str | None = "CrossEncoder") -> None:
    with pytest.raises(FoundryError, match=message):
        fetching.fetch("tiny", settings(folder, kind), out)
    assert not out.exists()


def test_a_template_without_the_roles_of_a_pair_is_refused(bare: Path, tmp_path: Path) -> None:
    shutil.copytree(bare, tmp_path / "model")
    template = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    (tmp_path / "model/chat_template.jinja").write_text(template)
    refused(tmp_path / "model", tmp_path / "out", "cannot carry a 'query'/'document' pair")


def test_a_vocabulary_without_yes_and_no_is_refused(bare: Path, tmp_path: Path) -> None:
    shutil.copytree(bare, tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = tmp_path / "model" / name
        path.write_text(path.read_text().replace('"yes"', '"aye"').replace('"no"', '"nay"'))
    refused(tmp_path / "model", tmp_path / "out", "which are not two of its words")


def test_a_language_model_that_is_no_reranker_is_refused(bare: Path, downloaded: Path, tmp_path: Path) -> None:
    refused(bare, tmp_path / "out", "With `kind: CrossEncoder`, a bare one is scored by yes and no", kind=None)
    refused(downloaded, tmp_path / "out", "One can be built as a reranker alone", kind="SentenceTransformer")
    shutil.copytree(downloaded, tmp_path / "model")
    config = tmp_path / "model/1_LogitScore/config.json"
    files.write_json(config, files.read_json(config) | {"false_token_id": files.read_json(config)["true_token_id"]})
    refused(tmp_path / "model", tmp_path / "out", "which is 0 for every pair", kind=None)
