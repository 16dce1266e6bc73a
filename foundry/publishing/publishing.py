"""Publish what passed: one complete repository folder that Sentence Transformers loads every variant from; and, with
`to: hub`, the same on the Hub, as one commit in one pull request, once.

What failed or was skipped is left out, and the receipt names it; what was never checked, or has changed since, is an
error. Before anything is sent, every byte of it is searched for secrets. What the Hub then holds is downloaded again
and compared with torch before there is a receipt.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from foundry.base import files
from foundry.base.credentials import hidden
from foundry.base.errors import FoundryError
from foundry.base.progress import say, track
from foundry.data import texts as frozen_texts
from foundry.publishing import bundle, changes, provenance, publishable, verification
from foundry.publishing.bundle import Bundle
from foundry.publishing.changes import Changes
from foundry.publishing.hub import reading, sending
from foundry.publishing.hub.reading import Revision
from foundry.publishing.hub.retries import with_retries
from foundry.publishing.hub.sending import Sent
from foundry.publishing.local_paths import without_local_paths
from foundry.publishing.settings import PublishModel, Target
from foundry.reference import reference as frozen_reference
from foundry.variants import variant_folder

CHECKED_TEXTS = 16  # of the validation texts, with every variant that was downloaded again


def compare(bundled: Bundle, revision: Revision, repo: str) -> Changes:
    """What would change in a repository as it is at one revision, foundry.json and its signature left out."""
    graphs = [name for names in bundled.graphs.values() for name in names]
    graphs += [*bundled.for_others.aliases, *bundled.for_others.written]

    def sha256_in_repo(name: str) -> str:
        return reading.sha256(repo, revision.commit, name)

    return changes.compare(
        bundled.folder, bundled.names, revision.files, revision.record, graphs, bundled.originals, sha256_in_repo
    )


class Proposal(NamedTuple):
    """What would change in a repository, and what was sent; None on a dry run."""

    changed: Changes
    record: provenance.Provenance
    sent: Sent | None


def propose(bundled: Bundle, repo: str, target: Target) -> Proposal:
    """Read what the repository holds, complete the folder for it, and send what differs; on a dry run, send nothing.

    Raises:
        FoundryError: when a closed pull request proposed the same, or a file of somebody else's would be replaced
            without a pull request.
    """
    from rich import filesize

    state = reading.read_state(repo, target.create_pr, None if target.dry_run else target.private)
    for revision in (state.main, state.base):
        if revision.record is not None and revision.record["model"] != bundled.model:
            raise FoundryError(
                f"{provenance.NAME} in {repo} is of the model {revision.record['model']}, and this is {bundled.model}: "
                "publish to another repository, or remove that file there"
            )
    bundled.write_card(repo, state.base.card)
    changed = compare(bundled, state.base, repo)
    record = bundled.write_record(changes.uploaded(changed, state.base.record, bundled.names), state.base.record)
    changed.include_record(bundled.folder, state.base.files)
    if (address := state.declined.get(provenance.digest(record))) and changed:
        raise FoundryError(f"{address} proposed just this and was closed: reopen it there, or publish something else")
    if changed.replaced and not target.create_pr:
        raise FoundryError(
            f"{', '.join(changed.replaced)} in {repo} is somebody else's: set publish.create_pr, so that they see it"
        )
    publishable.check_secrets(bundled.folder)
    if target.dry_run:
        return Proposal(changed, record, None)
    against_main, num = changed, None
    if state.pull:
        against_main, num = compare(bundled, state.main, repo), state.pull.num
        against_main.include_record(bundled.folder, state.main.files)
    if changed:
        size = filesize.decimal(sum((*changed.added.values(), *changed.changed.values())))
        say(f"{repo}: sending {size} in {len(changed.lines())} changes")
    sent = sending.send(
        state, bundled.folder, changed, bundled.title(changed, state.base.record),
        bundled.pull_request(repo, num, against_main, record), target.create_pr, record["files"],
    )  # fmt: skip
    if sent.num is not None:
        sending.describe(repo, sent.num, bundled.pull_request(repo, sent.num, against_main, record))
    return Proposal(changed, record, sent)


def check(
    folder: Path, record: provenance.Provenance, bundled: Bundle, reference: Path, validation_texts: Path
) -> dict[str, float]:
    """Load every variant of a downloaded folder, and give its lowest cosine to torch's frozen embeddings, by variant.

    Raises:
        FoundryError: when a file is not what was sent, or a variant does not load or is not what was validated.
    """
    from foundry.loading import loader
    from foundry.reference.closeness import cosines

    wrong = verification.compare(folder, record)
    if provenance.read(folder) != record:
        wrong[provenance.NAME] = "altered"
    if wrong:
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
        torchs = expected.rows_of(range(len(items)))
        if rows.shape != torchs.shape:
            raise FoundryError(f"{variant} gives rows of the shape {rows.shape}, and torch {torchs.shape}")
        cosine = float(cosines(expected.less_offsets(rows), torchs).min())
        threshold = bundled.lowest_cosine[variant]
        if not cosine >= threshold:
            raise FoundryError(f"{variant} gives a cosine of {cosine:.4f}, must be >= {threshold:g}")
        lowest_cosines[variant] = round(cosine, 7)
    return lowest_cosines


def check_sent(
    bundled: Bundle, record: provenance.Provenance, repo: str, sent: Sent, reference: Path, validation_texts: Path
) -> dict[str, float]:
    """Download what the Hub holds now and check it; give each variant's lowest cosine to torch.

    Raises:
        FoundryError: when it is not what was sent; the pull request then has a comment about it.
    """
    with tempfile.TemporaryDirectory(prefix=".again-", dir=bundled.folder) as again:
        files.require_space(Path(again), sum((bundled.folder / name).stat().st_size for name in record["files"]))
        names = [*record["files"], provenance.NAME, provenance.SIGNATURE]
        with_retries(lambda: reading.download(repo, sent.commit, names, Path(again)), repo)
        try:
            return check(Path(again), record, bundled, reference, validation_texts)
        except FoundryError as error:
            if sent.num is not None:
                text = hidden(without_local_paths(f"Please do not merge this: {error}"))
                with_retries(partial(sending.comment, repo, sent.num, text), repo)
            raise FoundryError(f"{sent.url} does not hold what was sent, and there is no receipt: {error}") from error


def to_hub(bundled: Bundle, repo: str, target: Target, reference: Path, validation_texts: Path) -> dict[str, Any]:
    """Publish a folder in a repository; give what the receipt says of it.

    Raises:
        FoundryError: when the Hub refuses, or does not hold what was sent.
    """
    from rich import filesize

    changed, record, sent = with_retries(lambda: propose(bundled, repo, target), repo)
    for what, name, size in changed.lines():
        say(f"  {what}: {name}, {filesize.decimal(size)}")
    for name in changed.kept:
        say(f"  stays: {name}, which somebody has changed since it was put there")
    receipt = {
        "repository": repo,
        "sent": [{"what": what, "file": name, "size_bytes": size} for what, name, size in changed.lines()],
        "unchanged": len(changed.unchanged),
        "kept": changed.kept,
    }
    if sent is None:
        say(f"{repo}: a dry run, nothing was sent")
        return {**receipt, "address": None, "dry_run": True}
    if not changed:
        say(f"{repo}: nothing has changed, nothing was sent")
    checked = check_sent(bundled, record, repo, sent, reference, validation_texts)
    return {**receipt, "address": sent.url, "pull_request": sent.num, "commit": sent.commit, "checked": checked}


def publish(
    model: str,
    settings: PublishModel,
    folder: Path,
    validation: Path,
    report: Path,
    reference: Path,
    validation_texts: Path,
    out: Path,
    also_locked: Sequence[Path] = (),
) -> dict[str, Any]:
    """Assemble the folder `out` from all that passed, with `to: hub` send it to the Hub, and give the receipt.

    Args:
        also_locked: Outputs which must be as dvc.lock has them, besides the model, its verdicts and the report.

    Raises:
        FoundryError: when torch itself may not be published, a variant is not as it was validated, a file holds a
            secret, or the Hub refuses.
    """
    outputs = [path for name in settings.variants for path in (folder / name, validation / f"{name}.json")]
    hashes = publishable.locked_hashes([*outputs, report, *also_locked], strict=settings.repo is not None)
    verdicts = publishable.read_verdicts(folder, validation, list(settings.variants))
    source = files.read_json(folder / "torch" / variant_folder.SOURCE_RECORD)
    if settings.repo is not None:
        publishable.check_licence(source["licence"], settings.licences)
    weights = [path for name in verdicts.passed for path in variant_folder.weights_files(folder / name, name)]
    files.require_space(out, sum(path.stat().st_size for path in weights))
    with files.replacing_folder(out) as beside:
        bundled = bundle.assemble(
            model, folder, verdicts, report, hashes, settings, beside, frozen_reference.read(reference),
            [row["text"] for row in frozen_texts.read(validation_texts)],
        )  # fmt: skip
        if settings.repo is None:
            bundled.write_card(str(out), None)
            bundled.write_record([], None)
            publishable.check_secrets(beside)
            receipt: dict[str, Any] = {"address": str(out)}
        else:
            receipt = to_hub(bundled, settings.repo, settings, reference, validation_texts)
    published = {name: row["files"] for name, row in bundled.variants.items()}
    return {"model": model, "to": settings.to, **receipt, "published": published, "left_out": verdicts.left_out}
