"""Publish what passed: one complete repository folder that Sentence Transformers loads every variant from; and, with
`to: hub`, the same on the Hub, as one commit in one pull request, once.

What failed, was skipped, was never checked, or has changed since it was checked is left out, and the receipt names it.
What the Hub then holds is downloaded again and compared with torch before there is a receipt.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say, track
from foundry.publishing import bundle, changes, hub, provenance, publishable
from foundry.publishing.bundle import Bundle
from foundry.publishing.changes import Changes
from foundry.publishing.hub import Revision, Sent
from foundry.publishing.settings import PublishModel, Target
from foundry.variants import variant_folder

CHECKED_TEXTS = 16  # of the validation texts, with every variant that was downloaded again


def compare(one: Bundle, there: Revision, repo: str) -> Changes:
    """What would change in a repository as it is at one revision, foundry.json left out."""
    graphs = [name for own in one.graphs.values() for name in own]

    def sha256_there(name: str) -> str:
        return hub.sha256(repo, there.commit, name)

    return changes.compare(one.folder, one.names, there.files, there.record, graphs, sha256_there)


def propose(one: Bundle, repo: str, target: Target) -> tuple[Changes, Sent | None]:
    """Look at the repository, complete the folder to go there, and send what is not there yet; nothing on a dry run.

    Raises:
        FoundryError: when this has been proposed and declined, or would replace what is not this project's unseen.
    """
    from rich import filesize

    state = hub.look(repo, target.create_pr, None if target.dry_run else target.private)
    one.write_card(repo, state.base.card)
    sent = compare(one, state.base, repo)
    record = one.write_record(changes.uploaded(sent, state.base.record, one.names), state.base.record)
    sent.include_record(one.folder, state.base.files)
    if (address := state.declined.get(provenance.digest(record))) and sent:
        raise FoundryError(f"{address} proposed just this and was closed: reopen it there, or publish something else")
    if sent.replaced and not target.create_pr:
        raise FoundryError(
            f"{', '.join(sent.replaced)} in {repo} is somebody else's: set publish.create_pr, so that they see it"
        )
    if target.dry_run:
        return sent, None
    against_main, num = sent, None
    if state.pull:
        against_main, num = compare(one, state.main, repo), state.pull.num
        against_main.include_record(one.folder, state.main.files)
    if sent:
        size = filesize.decimal(sum((*sent.added.values(), *sent.changed.values())))
        say(f"{repo}: sending {size} in {len(sent.lines())} changes")
    done = hub.send(
        state, one.folder, sent, one.title(sent, state.base.record),
        one.pull_request(repo, num, against_main, record), target.create_pr,
    )  # fmt: skip
    if done.num is not None:
        hub.describe(repo, done.num, one.pull_request(repo, done.num, against_main, record))
    return sent, done


def check(
    folder: Path, record: provenance.Provenance, bundled: Bundle, reference: Path, validation_texts: Path
) -> dict[str, float]:
    """Load every variant of a downloaded folder, and give its lowest cosine to torch's frozen embeddings, by variant.

    Raises:
        FoundryError: when a file is not what was sent, or a variant does not load or is not what was validated.
    """
    from foundry.data import texts as frozen_texts
    from foundry.loading import loader
    from foundry.reference import reference as frozen_reference
    from foundry.reference.closeness import cosines

    if wrong := provenance.compare(folder, record):
        raise FoundryError(", ".join(f"{name} is {what}" for name, what in wrong.items()))
    expected = frozen_reference.read(reference)
    texts = [row["text"] for row in frozen_texts.read(validation_texts)]
    lowest_cosines = {}
    for variant in track(list(record["variants"]), "checking what was downloaded again"):
        try:
            loaded = loader.load(folder, variant)
            items = loaded.items(texts)[:CHECKED_TEXTS]
            rows = loaded.encode(items, batch_size=len(items))
        except loader.load_errors() as error:
            raise FoundryError(f"{variant} does not load or run: {type(error).__name__} {error}") from error
        cosine = float(cosines(expected.centred(rows), expected.embeddings[: len(items)]).min())
        threshold = bundled.lowest_cosine[variant]
        if not cosine >= threshold:
            raise FoundryError(f"{variant} gives a cosine of {cosine:.4f}, must be >= {threshold:g}")
        lowest_cosines[variant] = round(cosine, 7)
    return lowest_cosines


def to_hub(one: Bundle, repo: str, target: Target, reference: Path, texts: Path) -> dict[str, Any]:
    """Publish a folder in a repository; give what the receipt says of it.

    Raises:
        FoundryError: when the Hub refuses, or does not hold what was sent.
    """
    from rich import filesize

    sent, done = hub.patiently(lambda: propose(one, repo, target), repo)
    for what, name, size in sent.lines():
        say(f"  {what}: {name}, {filesize.decimal(size)}")
    for name in sent.kept:
        say(f"  stays: {name}, which somebody has changed since it was put there")
    said = {
        "repository": repo,
        "sent": [{"what": what, "file": name, "size_bytes": size} for what, name, size in sent.lines()],
        "unchanged": len(sent.unchanged),
        "kept": sent.kept,
    }
    if done is None:
        say(f"{repo}: a dry run, nothing was sent")
        return {**said, "address": None, "dry_run": True}
    if not sent:
        say(f"{repo}: nothing has changed, nothing was sent")
    record = provenance.read(one.folder)
    with tempfile.TemporaryDirectory(prefix=".again-", dir=one.folder) as again:
        files.require_space(Path(again), sum((one.folder / name).stat().st_size for name in record["files"]))
        names = [*record["files"], provenance.NAME, provenance.SIGNATURE]
        hub.patiently(lambda: hub.fetch(repo, done.commit, names, Path(again)), repo)
        try:
            checked = check(Path(again), record, one, reference, texts)
        except FoundryError as error:
            why = f"{done.url} does not hold what was sent, and there is no receipt: {error}"
            if done.num is not None:
                hub.patiently(partial(hub.tell, repo, done.num, f"Please do not merge this: {error}"), repo)
            raise FoundryError(why) from error
    return {**said, "address": done.url, "pull_request": done.num, "commit": done.commit, "checked": checked}


def publish(
    model: str,
    settings: PublishModel,
    folder: Path,
    validation: Path,
    report: Path,
    reference: Path,
    validation_texts: Path,
    out: Path,
) -> dict[str, Any]:
    """Make the folder `out` of all that passed, send it to the Hub where it is to go there, and give the receipt.

    Raises:
        FoundryError: when torch itself may not be published, or the Hub refuses.
    """
    refused = {name: publishable.why_not(folder / name, validation / f"{name}.json") for name in settings.variants}
    passed = [name for name, reason in refused.items() if reason is None]
    left_out = {name: reason for name, reason in refused.items() if reason is not None}
    if "torch" not in passed:
        raise FoundryError(f"torch itself cannot be published, so nothing is: {refused['torch']}")
    source = files.read_json(folder / "torch" / variant_folder.SOURCE_RECORD)
    if settings.repo is not None:
        publishable.check_licence(source["licence"], settings.licences)
    outputs = [path for name in passed for path in (folder / name, validation / f"{name}.json")]
    hashes = publishable.locked([*outputs, report], strict=settings.repo is not None)
    weights = [path for name in passed for path in variant_folder.weights_files(folder / name, name)]
    files.require_space(out, sum(path.stat().st_size for path in weights))
    with files.replacing_folder(out) as beside:
        bundled = bundle.assemble(model, folder, passed, left_out, validation, report, hashes, settings, beside)
        if settings.repo is None:
            bundled.write_card(str(out), None)
            bundled.write_record([], None)
            sent: dict[str, Any] = {"address": str(out)}
        else:
            publishable.check_secrets(beside)
            sent = to_hub(bundled, settings.repo, settings, reference, validation_texts)
    published = {name: row["files"] for name, row in bundled.variants.items()}
    return {"model": model, "to": settings.to, **sent, "published": published, "left_out": left_out}
