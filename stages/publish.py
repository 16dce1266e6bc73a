"""Publish what passed: one complete repository folder that Sentence Transformers loads every variant from.

What failed, was skipped, was never checked, or has changed since it was checked is left out, and the receipt names it.
"""

from pathlib import Path
from typing import Any

from stages.shared import command, files, models, params, provenance, results
from stages.shared.command import StageError
from stages.shared.params import Publish
from stages.shared.progress import say
from stages.shared.rendering import render

MARK_START = "<!-- embedding-foundry: start -->"
MARK_END = "<!-- embedding-foundry: end -->"


def why_not(folder: Path, checked: Path) -> str | None:
    """Why a variant may not be published, or None where it may."""
    if (reason := models.skipped(folder)) is not None:
        return f"skipped: {reason}"
    if not checked.is_file():
        return "was never checked"
    validation: results.Validation = files.read_json(checked)
    if validation["verdict"] != "passed":
        return f"{validation['verdict']}: {results.why_failed(validation) or validation['reason']}"
    if dict(models.hashes(folder)) != validation["files"]:
        return "its files are not those that were checked; run `dvc repro`"
    return None


def assemble(models_folder: Path, publishable: list[str], validation: Path, target: Path) -> dict[str, dict[str, str]]:
    """Copy torch and the graphs of the variants into `target`; give the hash of each variant's files there.

    Raises:
        StageError: when what was copied is not what was checked.
    """
    for path in files.files_below(models_folder / "torch"):
        if path.name != models.SOURCE_RECORD:
            files.copy(models_folder / "torch" / path, target / path)
    published: dict[str, dict[str, str]] = {}
    for variant in publishable:
        folder = models_folder / variant
        own = [path.relative_to(folder) for path in models.weights_files(folder, variant)]
        for path in own:
            files.copy(folder / path, target / path)
        published[variant] = {path.as_posix(): files.sha256(target / path) for path in own}
        checked = files.read_json(validation / f"{variant}.json")["files"]
        if wrong := [name for name, digest in published[variant].items() if checked[name] != digest]:
            raise StageError(f"{wrong[0]} changed while it was copied; run again")
    return published


def write_card(path: Path, table: list[dict[str, Any]], groups: list[str], host: dict[str, Any], where: str) -> None:
    """Keep the model card, and add or replace the marked section with the variants and their figures."""
    from huggingface_hub import ModelCard

    card = ModelCard(path.read_text(encoding="utf-8") if path.is_file() else "", ignore_metadata_errors=True)
    backends = {models.backend(row["variant"]) for row in table} - {"torch"}
    data: Any = card.data
    tags = list(data.tags or [])
    data.tags = tags + [tag for tag in ("sentence-transformers", *sorted(backends)) if tag not in tags]
    section = render("card.md.j2", rows=table, groups=groups, host=host, where=where)
    before, _, rest = card.text.partition(MARK_START)
    after = rest.partition(MARK_END)[2]
    card.text = f"{before.rstrip()}\n\n{MARK_START}\n{section.strip()}\n{MARK_END}\n{after.lstrip()}"
    path.write_text(str(card), encoding="utf-8")


def push(folder: Path, repo: str, create_pr: bool) -> str:
    """Upload the folder in one commit; give the address of the pull request or commit.

    Raises:
        StageError: when the Hub cannot be reached, or refuses.
    """
    import requests
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        commit = HfApi().upload_folder(
            repo_id=repo,
            folder_path=folder,
            commit_message="Add checked ONNX and OpenVINO variants",
            create_pr=create_pr,
        )
    except HfHubHTTPError as error:
        raise StageError(f"the Hub refuses the upload to {repo}: {error}") from error
    except (requests.ConnectionError, requests.Timeout, OfflineModeIsEnabled) as error:
        raise StageError(
            f"the Hub cannot be reached, and publish.to is hub ({type(error).__name__}). "
            "Connect this machine, or set `to: folder`"
        ) from error
    return str(commit.pr_url or commit.commit_url)


def main(model: str, folder: Path, validation: Path, report: Path, out: Path, receipt: Path) -> None:
    settings = params.read()
    target: Publish = settings.publish
    refused = {name: why_not(folder / name, validation / f"{name}.json") for name in settings.variant_names}
    publishable = [name for name, reason in refused.items() if reason is None]
    if "torch" not in publishable:
        raise StageError(f"torch itself cannot be published, so nothing is: {refused['torch']}")
    measured = files.read_json(report / "report.json")
    table = [row for row in measured["rows"] if row["model"] == model and row["variant"] in publishable]
    groups = [key.removesuffix("_speed_ratio") for key in table[0] if key.endswith("_speed_ratio")]
    repo = target.repos.get(model) if target.to == "hub" else None
    weights = [path for name in publishable for path in models.weights_files(folder / name, name)]
    files.require_space(out, sum(path.stat().st_size for path in weights))
    with files.replacing_folder(out) as partial:
        published = assemble(folder, publishable, validation, partial)
        write_card(partial / "README.md", table, groups, measured["host"], repo or str(out))
        variants = {
            name: provenance.variant_of(
                files.read_json(validation / f"{name}.json"),
                own,
                models.built(folder / name),
                settings.of(model).row(name),
            )
            for name, own in published.items()
        }
        source = files.read_json(folder / "torch" / models.SOURCE_RECORD)
        provenance.write(partial, model, source, measured["host"], variants)
    address = push(out, repo, target.create_pr) if repo else str(out)
    left_out = {name: reason for name, reason in refused.items() if reason is not None}
    files.write_json(
        receipt,
        {"model": model, "to": target.to, "address": address, "published": published, "left_out": left_out},
    )
    say(f"{model}: {len(published)} variants in {address}")
    for name, reason in left_out.items():
        say(f"  left out: {name}, {reason}")


if __name__ == "__main__":
    command.run(main)
