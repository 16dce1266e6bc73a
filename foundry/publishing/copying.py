"""What is copied into the folder that is published: the files that verdicts name, each as it was checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.publishing import provenance, verification
from foundry.validation.results import Validation
from foundry.variants import checkpoint_folder, variant_folder


@dataclass(frozen=True)
class Copied:
    """What was copied, each file with the hash that its verdict has, which is that of the copy, too."""

    files: dict[str, str]
    variants: dict[str, dict[str, str]]  # each variant's own


def copy_files(models_folder: Path, passed: Mapping[str, Validation], target: Path) -> Copied:
    """Copy torch with all its files and the graphs of the other variants into `target`, and hash the copies.

    What is copied is what the verdicts name. The other files of a variant, such as its tokenizer, are torch's: that
    they are is checked, too.

    Raises:
        FoundryError: when what was copied is not what was checked.
    """
    sources: dict[str, tuple[Path, str]] = {}
    variants: dict[str, dict[str, str]] = {}
    shared = {name: digest for name, digest in passed["torch"]["files"].items() if name not in variant_folder.RECORDS}
    for variant, verdict in passed.items():
        folder = models_folder / variant
        weights = {path.relative_to(folder).as_posix() for path in variant_folder.weights_files(folder, variant)}
        variants[variant] = {name: verdict["files"][name] for name in in_order(weights & verdict["files"].keys())}
        if not variants[variant] or weights - verdict["files"].keys():
            raise FoundryError(f"{folder} lacks a file that its verdict is on: {', '.join(sorted(weights))}")
        if variant != "torch":
            check_companions(folder, variant, verdict["files"], models_folder / "torch", shared, weights)
        names = shared if variant == "torch" else variants[variant]
        if taken := sorted({*names} & sources.keys()):
            raise FoundryError(f"{taken[0]} is a file of the checkpoint, and one of {variant}")
        sources |= {name: (folder / name, verdict["files"][name]) for name in names}
    if reserved := sources.keys() & {provenance.NAME, provenance.SIGNATURE}:
        raise FoundryError(f"the checkpoint has a {min(reserved)}, which would pass for this project's")
    if strange := [name for name in sources if not verification.is_inside(name)]:
        raise FoundryError(f"{strange[0]!r} is no name that every system can write a file under")
    if same := verification.same_but_for_case(sources):
        raise FoundryError(f"{' and '.join(same[0])} are one file on some disks")
    for name, (source, _) in sources.items():
        files.copy(source, target / name)
    checked = {name: digest for name, (_, digest) in sources.items()}
    require_hashes(dict(variant_folder.hashes(target)), checked)
    return Copied(checked, variants)


def in_order(names: Iterable[str]) -> list[str]:
    """A variant's files, its graph before what shares its weights: some readers take the first of a kind."""
    return sorted(names, key=lambda name: (len(name), name))


def check_companions(
    folder: Path, variant: str, validated: Mapping[str, str], torch: Path, shared: Mapping[str, str], weights: set[str]
) -> None:
    """Check that a variant was validated with torch's files beside its graph, as it will be published with them.

    Raises:
        FoundryError: when it has another tokenizer or config, or files that nothing would publish.
    """
    of_torch = {path.relative_to(torch).as_posix() for path in variant_folder.weights_files(torch, "torch")}
    beside = {name for name in validated if name not in weights and Path(name).name not in variant_folder.RECORDS}
    expected = shared.keys() - of_torch
    if wrong := sorted(beside ^ expected):
        what = "has" if wrong[0] in beside else "lacks"
        raise FoundryError(
            f"{variant} was validated with other files than it would be published with: it {what} {wrong[0]}"
        )
    settings = checkpoint_folder.module_settings_path(torch / checkpoint_folder.transformer_path(torch))
    for name in sorted(beside):
        if validated[name] == shared[name]:
            continue
        is_settings = settings is not None and settings.relative_to(torch).as_posix() == name
        if is_settings and files.read_json(folder / name) == variant_folder.without_torch_settings(
            files.read_json(torch / name)
        ):
            continue
        raise FoundryError(
            f"{variant} was validated with another {name} than torch's, which it would be published with"
        )


def check_tokenizer(passed: Mapping[str, Validation], rewritten: Mapping[str, str]) -> None:
    """Check that the tokenizer's files that were written anew are those that the runtime was tried with.

    Raises:
        FoundryError: when a variant was validated with others.
    """
    for variant, verdict in passed.items():
        trial = verdict["runtime"]
        if trial is not None and trial["tokenizer"] != rewritten:
            names = ", ".join(sorted({*trial["tokenizer"]} ^ {*rewritten}) or sorted(rewritten))
            raise FoundryError(
                f"{variant} was validated with another {names} than would be published: nothing is published. "
                "Run `dvc repro` again"
            )


def require_hashes(actual: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Check that files are what they were when they were validated.

    Raises:
        FoundryError: when one is not.
    """
    if wrong := sorted(name for name, digest in expected.items() if actual.get(name) != digest):
        raise FoundryError(f"{wrong[0]} changed while it was copied: nothing is published. Run `dvc repro` again")
