"""The command `foundry`: everything that is no stage of the pipeline. Each file of foundry/commands is a subcommand."""

import ast
import importlib
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from foundry.base import command

# The subcommands in the order of `foundry --help`, below its headings.
CONTENTS = {
    "Building": ("build", "ui"),
    "Settings": ("check-params", "add", "outdated"),
    "Results": ("recommend", "compare", "changelog"),
    "Files": ("audit", "verify", "join", "prune"),
    "Scheduled rebuilds": ("bundle",),
    "Several machines": ("cluster",),
}


def module_name(name: str) -> str:
    """The name in foundry.commands of the file that holds a subcommand."""
    return name.replace("-", "_")


def summary(name: str) -> str:
    """The first line of a subcommand's docstring, without importing it."""
    path = Path(__file__).parent / "commands" / f"{module_name(name)}.py"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def load(name: str) -> Any:
    """A subcommand with its arguments, from its file."""
    module = importlib.import_module(f"foundry.commands.{module_name(name)}")
    paragraphs = (module.__doc__ or "").split("\n\n")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(name, help="\n\n".join(" ".join(text.split()) for text in paragraphs))(module.main)
    return typer.main.get_command(app)


class Subcommands(TyperGroup):
    """The table of contents. A subcommand's file is imported when it is called, so that the help is quick."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for heading, names in CONTENTS.items():
            for name in names:
                self.commands[name] = TyperCommand(name, help=summary(name), rich_help_panel=heading)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The subcommand that the arguments name, imported only now."""
        name, subcommand, rest = super().resolve_command(ctx, args)
        return name, load(name) if name and subcommand else None, rest


app = typer.Typer(
    name="foundry", cls=Subcommands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def foundry() -> None:
    """Build, check and publish every deployable form of a Sentence Transformers checkpoint.

    `foundry build` runs `dvc repro`; the other commands are for what comes before and after.
    """


def main() -> None:
    """What the console script calls."""
    command.run_app(lambda: app(prog_name="foundry"))


if __name__ == "__main__":
    main()
