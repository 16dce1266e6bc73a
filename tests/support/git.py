"""Commits in the repositories that tests make, and small pipelines of DVC in them."""

from collections.abc import Callable, Mapping
from pathlib import Path

AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@b")  # of a machine on which nobody is known to git


def build_and_commit(folder: Path, texts: Mapping[str, str], run: Callable[..., object]) -> None:
    """Make a repository of these files, by name, build its pipeline, and commit it with what `dvc repro` wrote.

    `run` runs a command in a folder, in the environment of the test.
    """
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    run(folder, "git", "init", "-q", "-b", "main")
    run(folder, "dvc", "init", "-q")
    run(folder, "dvc", "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", *AUTHOR, "commit", "-qm", "built")
