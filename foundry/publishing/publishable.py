"""What must hold before anything is published: each variant has an explicit verdict on exactly these bytes, its licence
is allowed, and nothing that is sent holds a secret.

A verdict that is missing, or that is on other bytes, is an error, and never a reason to leave a variant out: what is
left out is deleted on the Hub, and a damaged disk must not delete there what is good.
"""

from pathlib import Path
from typing import NamedTuple

from foundry.base import credentials, files
from foundry.base.errors import FoundryError
from foundry.publishing import leaks
from foundry.tracking import chain, lock
from foundry.validation import results
from foundry.variants import variant_folder


class Verdicts(NamedTuple):
    """The verdict on each variant that may be published, and why others may not."""

    passed: dict[str, results.Validation]
    left_out: dict[str, str]


def read_verdicts(models_folder: Path, validation: Path, variants: list[str]) -> Verdicts:
    """What was decided on each variant: passed, or left out because it failed or was skipped.

    Raises:
        FoundryError: when a verdict is missing, cannot be read, or is not on these bytes; it names each such variant.
    """
    verdicts, damaged = Verdicts({}, {}), {}
    for variant in variants:
        try:
            verdict = read_verdict(models_folder / variant, validation / f"{variant}.json", variant)
        except FoundryError as error:
            damaged[variant] = str(error)
            continue
        if verdict["verdict"] == "passed":
            verdicts.passed[variant] = verdict
        else:
            why = results.why_failed(verdict["checks"]) or verdict["reason"]
            verdicts.left_out[variant] = f"{verdict['verdict']}: {why}"
    if damaged:
        listed = "; ".join(f"{variant}: {why}" for variant, why in damaged.items())
        raise FoundryError(
            f"nothing is published, because these are not as they were validated. {listed}. "
            "Run `dvc repro`, which builds and validates again what is not as it was"
        )
    if "torch" not in verdicts.passed:
        reason = verdicts.left_out.get("torch", "it is none of the variants")
        raise FoundryError(f"torch itself cannot be published, so nothing is: {reason}")
    return verdicts


def read_verdict(folder: Path, checked: Path, variant: str) -> results.Validation:
    """The verdict on a variant.

    Raises:
        FoundryError: when there is none, or it is not on what the folder holds now.
    """
    if not folder.is_dir():
        raise FoundryError(f"{folder} is not there")
    if links := [path for path in folder.rglob("*") if path.is_symlink() and not path.is_file()]:
        raise FoundryError(f"{links[0]} is a link to a folder, or to nothing")
    if not checked.is_file():
        raise FoundryError(f"was never checked: {checked} is not there")
    try:
        verdict: results.Validation = files.read_json(checked)
        problem = contradiction(verdict, variant, variant_folder.skipped(folder))
        validated = verdict["files"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FoundryError(f"{checked} is damaged: {error!r}") from error
    if problem is not None:
        raise FoundryError(f"{checked} {problem}")
    present = dict(variant_folder.hashes(folder))
    if verdict["verdict"] == "skipped":
        validated = {name: digest for name, digest in present.items() if name == variant_folder.SKIPPED}
    if changed := sorted(name for name in {*present, *validated} if present.get(name) != validated.get(name)):
        raise FoundryError(f"its files are not those that were checked ({', '.join(changed)})")
    return verdict


def contradiction(verdict: results.Validation, variant: str, skipped: str | None) -> str | None:
    """What in a verdict does not fit together, or with the variant and why that was `skipped`; None where all does."""
    if verdict["variant"] != variant:
        return f"is the verdict on {verdict['variant']}"
    if verdict["verdict"] not in ("passed", "failed", "skipped"):
        return f"has no verdict, but {verdict['verdict']!r}"
    if (verdict["verdict"] == "skipped") != (skipped is not None) or (skipped and verdict["reason"] != skipped):
        return f"says {verdict['verdict']}, and the folder says {'skipped' if skipped else 'that there is a variant'}"
    families = checks_where_it_passed(verdict)
    if verdict["verdict"] == "passed" and not (families and all(map(all_hold, families))):
        return "says passed, and its checks do not"
    for name, row in verdict.get("precisions", {}).items():
        if row["verdict"] == "passed" and not all_hold(row["checks"]):
            return f"says passed in {name}, and its checks do not"
    if verdict["verdict"] == "failed" and verdict["reason"] is None and all(map(does_hold, verdict["checks"])):
        return "says failed, and neither a check nor a reason does"
    return None


def checks_where_it_passed(verdict: results.Validation) -> list[list[results.Check]]:
    """All checks of a variant, for each family of processors on which it is said to pass; on the machine that validated
    it may have failed."""
    families = verdict.get("processors") or {}
    passed: list[results.Family] = [family for family, own in families.items() if own["verdict"] == "passed"]
    return [results.on_family(verdict, family)["checks"] for family in passed] if families else [verdict["checks"]]


def all_hold(checks: list[results.Check]) -> bool:
    """Whether there are checks, and all of them hold."""
    return bool(checks) and all(map(does_hold, checks))


def holds_here(verdict: results.Validation) -> bool:
    """Whether a variant holds on processors like this one: it may be published for others alone."""
    from foundry_runtime import machine

    family = machine.family(machine.architecture(), machine.instruction_sets())
    return all(own["verdict"] == "passed" for name, own in (verdict.get("processors") or {}).items() if name == family)


def does_hold(check: results.Check) -> bool:
    """Whether a check's value is within its threshold, whatever the check itself says of it."""
    value, threshold = check["value"], check["threshold"]
    if value is None or not check["passed"]:
        return False
    return value >= threshold if check["relation"] == ">=" else value <= threshold


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
        FoundryError: when an output differs from dvc.lock, or was made from other inputs than those in dvc.lock; when
            `strict`, also where dvc.lock does not know it.
    """
    if not strict and not lock.LOCK.is_file():
        return {}
    differences = lock.compare(paths)
    if wrong := [f"{name} ({what})" for name, what in differences.items() if strict or what != "unknown"]:
        raise FoundryError(f"not as dvc.lock has it: {', '.join(wrong)}. Run `dvc repro`, which builds it again")
    if strict and (broken := chain.broken_links(paths)):
        raise FoundryError(f"not made from one another: {'; '.join(broken)}. Run `dvc repro`, which runs these again")
    return lock.outputs()


def known_secrets() -> dict[str, str]:
    """What this environment holds that gives access, the Hub's own tokens among them, each with where it is kept."""
    from huggingface_hub import get_token
    from huggingface_hub.utils import get_stored_tokens  # type: ignore[attr-defined]

    stored = {"the token that huggingface_hub uses": get_token()}
    stored |= {f"the token {name!r} of huggingface_hub": token for name, token in get_stored_tokens().items()}
    return {**{token: where for where, token in stored.items() if token}, **credentials.of_environment()}


def check_secrets(folder: Path) -> None:
    """Check every byte of every file that is to be published for secrets, after the last one was written.

    Raises:
        FoundryError: when a file holds what looks like a token, a key or a password.
    """
    if secrets := leaks.find_secrets(folder, files.files_below(folder), known_secrets()):
        listed = ", ".join(f"{credentials.hidden(name)} ({kind})" for name, kind in secrets.items())
        raise FoundryError(
            f"nothing is sent, because of what looks like a secret: {listed}. Take it out of the checkpoint, or of the "
            "card in the repository"
        )
