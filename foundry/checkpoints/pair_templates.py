"""The chat template of a reranker, rendered once and for all: the texts that stand around a query and a document.

A template is a program in jinja, and `foundry_runtime` runs none. Most templates of rerankers put fixed texts around
the parts of a pair; whether one does is tried on pairs that templates treat in other ways: with spaces and lines at
their ends, of nothing, with special tokens, with jinja.
"""

from itertools import product
from pathlib import Path
from typing import Any

from foundry_runtime import pair_template
from foundry_runtime.pair_template import DOCUMENT, PROMPT, QUERY, PairTemplate, Segment

from foundry.base import files
from foundry.base.progress import say
from foundry.checkpoints.loading import Loaded
from foundry.variants import checkpoint_folder

MARKS = {QUERY: "Qzxqueryxzq", DOCUMENT: "Dzxdocumentxzd", PROMPT: "Pzxpromptxzp"}
ODD = (
    "plain", "", " spaces around ", "\n\nlines\n", "\ttab", "Two.\n\nParts", "{{ query }}{% raw %}", "<|im_start|>\n",
    "<|im_end|>", "<think>\n\n</think>", "</s><s>", "<b>&amp; \"'", "\\n\\", "None", "yes", "日本 🎉", "word " * 2000,
)  # fmt: skip
BY_THE_CLOCK = "strftime_now"  # what a template calls that says today's date


def write(folder: Path, loaded: Loaded, model: str) -> None:
    """Write what stands around a pair beside the tokenizer of a reranker that reads pairs as messages.

    Where the template is no such frame, nothing is written, and foundry_runtime will refuse the model; Sentence
    Transformers renders the template itself.
    """
    transformer = next(iter(loaded.model))
    if loaded.kind != "CrossEncoder" or "message" not in (getattr(transformer, "modality_config", None) or {}):
        return
    try:
        template = derive(transformer)
    except ValueError as error:
        say(f"{model}: its chat template is {error}: foundry_runtime will not run it, Sentence Transformers does")
        return
    target = folder / checkpoint_folder.transformer_path(folder) / pair_template.NAME
    files.write_json(target, template.as_json())


def derive(transformer: Any) -> PairTemplate:
    """The frame that a Transformer of Sentence Transformers puts around pairs by its chat template.

    Raises:
        ValueError: saying why it is no frame.
    """
    sources = [getattr(holder, "chat_template", None) for holder in (transformer.processor, transformer.tokenizer)]
    if any(BY_THE_CLOCK in str(source) for source in sources):
        raise ValueError("another one every day")
    try:
        frames = [_segments(_render(transformer, *MARKS.values())), _segments(_render(transformer, *_marks(), ""))]
        template = pair_template.read(
            {
                pair_template.WITHOUT_PROMPT: [list(segment) for segment in frames[1]],
                pair_template.WITH_PROMPT: [list(segment) for segment in frames[0]],
            }
        )
    except ValueError as error:
        raise ValueError(f"no frame around a pair ({error})") from None
    for query, document, prompt in _trials():
        if _render(transformer, query, document, prompt) != template.render(query, document, prompt):
            raise ValueError(f"no frame around a pair, such as {(query[:40], document[:40], prompt[:40])}")
    return template


def _marks() -> tuple[str, str]:
    return MARKS[QUERY], MARKS[DOCUMENT]


def _trials() -> list[tuple[str, str, str]]:
    """Queries, documents and prompts: every two odd ones together, with no prompt and with one, and odd prompts."""
    pairs = list(product(ODD, ODD))
    return [
        *((query, document, "") for query, document in pairs),
        *((query, document, ODD[0]) for query, document in pairs),
        *((ODD[0], ODD[0], prompt) for prompt in ODD),
    ]


def _render(transformer: Any, query: str, document: str, prompt: str) -> str:
    """A pair as the chat template writes it, with the settings that Sentence Transformers gives to it."""
    formatter = transformer.input_formatter
    messages = [formatter.pair_to_messages((query, document))]
    if prompt:
        messages = formatter.prepend_prompt_to_messages(messages, prompt)
    settings = dict((getattr(transformer, "processing_kwargs", None) or {}).get("chat_template", {}))
    settings.pop("restore_suffix", None)
    rendered = transformer.processor.apply_chat_template(messages, tokenize=False, **settings)
    return str(rendered if isinstance(rendered, str) else rendered[0])


def _segments(rendered: str) -> list[Segment]:
    """A rendered text of marks, as the texts between them and the parts that they stand for."""
    places = sorted((rendered.find(mark), part) for part, mark in MARKS.items() if mark in rendered)
    segments: list[Segment] = []
    end = 0
    for place, part in places:
        if rendered.count(MARKS[part]) > 1:
            raise ValueError(f"the {part} stands in it {rendered.count(MARKS[part])} times")
        segments += [("text", rendered[end:place])] if place > end else []
        segments.append(("part", part))
        end = place + len(MARKS[part])
    return segments + ([("text", rendered[end:])] if rendered[end:] else [])
