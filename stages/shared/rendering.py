"""Templates, and the lines of code that they show."""

from pathlib import Path
from typing import Any

from stages.shared import models

TEMPLATES = Path(__file__).parent.parent / "templates"


def render(template: str, **context: Any) -> str:
    """A template of stages/templates with the context; a name that is not given is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["closeness"] = lambda value: "" if value is None else f"{value:.4f}"
    environment.filters["exact"] = lambda value: "not a number" if value is None else f"{value:.5g}"
    environment.filters["ratio"] = lambda value: "" if value is None else f"{value:.2f}×"
    environment.filters["plain"] = lambda value: "" if value is None else f"{value:g}"
    environment.globals["loading_lines"] = loading_lines
    return environment.get_template(template).render(context)


def loading_lines(where: str, variant: str) -> str:
    """The Python lines that load a published variant in Sentence Transformers."""
    backend = models.backend(variant)
    arguments = [f'"{where}"']
    if backend != "torch":
        arguments += [f'backend="{backend}"', f'model_kwargs={{"file_name": "{models.file_name(variant)}"}}']
    return (
        f"from sentence_transformers import SentenceTransformer\n\nmodel = SentenceTransformer({', '.join(arguments)})"
    )
