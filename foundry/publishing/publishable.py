"""What must hold before anything is published: it passed with exactly these bytes, its licence is allowed, and it holds
no secret."""

from pathlib import Path

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.publishing import leaks
from foundry.tracking import lock
from foundry.validation import results
from foundry.variants import variant_folder


def reason_not_to_publish(folder: Path, checked: Path) -> str | None:
    """Why a variant may not be published, or None where it may."""
    if (reason := variant_folder.skipped(folder)) is not None:
        return f"skipped: {reason}"
    if not checked.is_file():
        return "was never checked"
    validation: results.Validation = files.read_json(checked)
    if validation["verdict"] != "passed":
        return f"{validation['verdict']}: {results.why_failed(validation['checks']) or validation['reason']}"
    if dict(variant_folder.hashes(folder)) != validation["files"]:
        return "its files are not those that were checked; run `dvc repro`"
    return None


def check_licence(licence: str | None, allowed: list[str]) -> None:
    """Check that the checkpoint's licence is one that params.yaml allows on the Hub.

    Raises:
        FoundryError: when it is not.
    """
    if (licence or "unknown") not in allowed:
        raise FoundryError(
            f"the checkpoint's licence is {licence or 'unknown: its model card names none'}, and publish.licences "
            f"allows {', '.join(allowed) or 'none'}. Where you may publish it, add "
            f"{licence or 'unknown'!r} there"
        )


def locked_hashes(paths: list[Path], strict: bool) -> dict[str, str]:
    """DVC's hash of every output in dvc.lock by path, after checking that those in `paths` have it; empty without one.

    Raises:
        FoundryError: when an output differs from dvc.lock; when `strict`, also where dvc.lock does not know it.
    """
    if not strict and not lock.LOCK.is_file():
        return {}
    differences = lock.compare(paths)
    if wrong := [f"{name} ({what})" for name, what in differences.items() if strict or what != "unknown"]:
        raise FoundryError(f"not as dvc.lock has it: {', '.join(wrong)}. Run `dvc repro`, which builds it again")
    return lock.outputs()


def check_secrets(folder: Path) -> None:
    """Check every file that is to be published for secrets, the Hub's own token among them.

    Raises:
        FoundryError: when a file holds what looks like a token, a key or a password.
    """
    from huggingface_hub import get_token

    if secrets := leaks.find_secrets(folder, files.files_below(folder), get_token()):
        listed = ", ".join(f"{name} ({kind})" for name, kind in secrets.items())
        raise FoundryError(
            f"nothing is sent, because of what looks like a secret: {listed}. Take it out of the checkpoint"
        )
