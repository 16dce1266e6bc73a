"""Settings of publishing."""

from typing import Any, Literal

from pydantic import Field

from foundry.base.settings import Repo, Section, Slug

# Whose names are used beside Sentence Transformers' own; foundry/publishing/tool_names.py has what each looks for.
Tool = Literal["transformers.js", "light-embed", "openvino"]


class Target(Section):
    """Where what passed goes, and how."""

    to: Literal["folder", "hub"] = "folder"
    create_pr: bool = Field(default=True, description="Open a pull request instead of committing to main.")
    private: bool = Field(default=True, description="Whether a repository that is not there yet is made a private one.")
    licences: list[str] = Field(
        default=[],
        description="Licences whose models may go to the Hub, as model cards name them; `unknown`: none is named.",
    )
    sign: bool = Field(default=False, description="Sign foundry.json with the key that FOUNDRY_SIGNING_KEY names.")
    names: list[Tool] = Field(
        default=[],
        description="Tools whose file names are published, too: `transformers.js` finds files by dtype, `light-embed` "
        "the special tokens, and `openvino` (GenAI, Model Server) a tokenizer, where it gives the same tokens.",
    )
    dry_run: bool = Field(default=False, description="Only say what would change on the Hub, file by file.")


class Publish(Target):
    """Where what passed goes, for all models."""

    repos: dict[Slug, Repo] = Field(default={}, description="With `to: hub`, the repository of each model: org/name.")


class PublishModel(Target):
    """Where one model goes, as `configure` resolved it."""

    repo: Repo | None = Field(default=None, description="Its repository on the Hub; None with `to: folder`.")
    variants: dict[Slug, dict[str, Any]] = Field(description="Every variant, and its row of params.yaml.")
