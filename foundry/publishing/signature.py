"""A signature of foundry.json, and so of every file whose hash is in it: Ed25519, with the publisher's own key.

The same key and record give the same 64 bytes, so that signing again changes nothing. Anybody may check it without
this project: `openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in foundry.json -sigfile foundry.json.sig`.
https://www.rfc-editor.org/rfc/rfc8032
"""

import os
from pathlib import Path

from foundry.base.errors import FoundryError

KEY = "FOUNDRY_SIGNING_KEY"  # the environment's name of the private key's path


def sign(path: Path, target: Path) -> None:
    """Sign a file with the key that the environment names.

    Raises:
        FoundryError: when there is none, or none of this kind.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    where = os.environ.get(KEY)
    if not where:
        raise FoundryError(
            f"publish.sign is true, and {KEY} names no private key (`openssl genpkey -algorithm ed25519`)"
        )
    try:
        key = load_pem_private_key(Path(where).read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise FoundryError(f"{where} is no private key in PEM that can be read without a password: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise FoundryError(f"{where} is a key of another kind; expected Ed25519")
    target.write_bytes(key.sign(path.read_bytes()))


def check(path: Path, content: bytes, signature: bytes | None, public_key: Path) -> None:
    """Check a file's signature against a public key: the bytes that were read of both, and are not read again.

    Raises:
        FoundryError: when the file is not what the holder of the key has signed.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if signature is None:
        raise FoundryError(f"{path}.sig is not there: {path.name} is not signed")
    try:
        key = load_pem_public_key(public_key.read_bytes())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise FoundryError(f"{public_key} is no public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise FoundryError(f"{public_key} is a key of another kind; expected Ed25519")
    try:
        key.verify(signature, content)
    except InvalidSignature as error:
        raise FoundryError(f"{path} is not what the holder of {public_key} has signed") from error
