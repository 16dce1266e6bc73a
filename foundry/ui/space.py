"""The folder of a Space of the Hub: the project as it is, with app.py and the metadata that the Hub reads."""

from pathlib import Path

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.params.reading import PARAMS
from foundry.ui import user_folders, workspaces

HOST = "0.0.0.0"  # what a Space's proxy asks
DATA = Path("/data")  # a Space's storage that stays, where it has one
ALSO = ("pyproject.toml", "constraints.txt", "docs/architectures.md", "runtime/pyproject.toml", "LICENSE")
APP = '''"""The page of Embedding Foundry, for everybody who logs in."""

from foundry.__main__ import app

if __name__ == "__main__":
    app(["ui", "--shared"], prog_name="foundry")
'''
README = """---
title: Embedding Foundry
emoji: 🏭
colorFrom: indigo
colorTo: green
sdk: gradio
sdk_version: {version}
python_version: "3.11"
app_file: app.py
license: apache-2.0
hf_oauth: true
hf_oauth_scopes:
  - read-repos
  - write-repos
  - write-discussions
short_description: Every deployable form of an embedding model, checked
---

One Sentence Transformers checkpoint in; every deployable form of it out, each one checked against the original.

Log in, choose a model, and build. Each user has a project of their own. Pull requests are opened with your own token.
"""
REQUIREMENTS = "--constraint constraints.txt\n.[ui,sample]\n"
PACKAGES = "git\n"


def default_state() -> Path:
    """Where users' folders are: on the storage that stays, where there is one."""
    base = DATA if DATA.is_dir() else Path.home() / ".cache"
    return base / "embedding-foundry"


def write(root: Path, target: Path) -> None:
    """Write the folder of a Space.

    Raises:
        FoundryError: when there is something already, or no project to take.
    """
    import importlib.metadata

    workspaces.local(root)
    if target.exists():
        raise FoundryError(f"{target} is there already: name a folder that is not")
    with files.replacing_folder(target) as partial:
        for name in (*user_folders.CODE, PARAMS, *ALSO):
            user_folders.copy(root / name, partial / name)
        (partial / "app.py").write_text(APP, encoding="utf-8")
        version = importlib.metadata.version("gradio")
        (partial / "README.md").write_text(README.format(version=version), encoding="utf-8")
        (partial / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
        (partial / "packages.txt").write_text(PACKAGES, encoding="utf-8")
