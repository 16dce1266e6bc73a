"""Files of characters, plain or compressed with gzip, read line by line with errors that name the file and the line."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from foundry.base.errors import FoundryError

# Longest first: the mark of UTF-32 begins with the one of UTF-16.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
BYTE_ORDER_MARK = "\ufeff"
GZIP_START = b"\x1f\x8b"
LFS_START = b"version https://git-lfs.github.com/spec/"
CHUNK_BYTES = 1 << 20


def lines(path: Path, encoding: str = "utf-8", newline: str | None = None) -> Iterator[str]:
    """Each line of a file with its line break, without the byte order mark that may stand before the first.

    Args:
        path: read through gzip when its name ends in `.gz`, in capitals or not.
        newline: as of `open`: by default every kind of line break becomes `\\n`, and `""` leaves them as they are.

    Raises:
        FoundryError: when the file cannot be read, is empty, is not in that encoding, or is no text.
    """
    with _readable(path) as binary:
        _check_start(path, binary.read(len(LFS_START)), encoding)
    try:
        with _readable(path) as binary, io.TextIOWrapper(binary, encoding=encoding, newline=newline) as file:
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise FoundryError(
                        f"{path}, line {number}: holds a NUL character, so this is no file of {encoding} text"
                    )
                yield line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
    except UnicodeError as error:
        raise FoundryError(_not_in_encoding(path, encoding)) from error


@contextmanager
def _readable(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed; what the file system and gzip complain of becomes one line."""
    try:
        if is_compressed(path):
            with gzip.open(path, "rb") as compressed:
                yield cast(BinaryIO, compressed)
        else:
            with path.open("rb") as plain:
                yield plain
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FoundryError(f"{path} is no whole gzip file: {error}") from error
    except OSError as error:
        raise FoundryError(f"{path} cannot be read: {error.strerror or error}") from error


def is_compressed(path: Path) -> bool:
    """Whether the name says that the file is compressed with gzip."""
    return path.suffix.lower() == ".gz"


def _check_start(path: Path, start: bytes, encoding: str) -> None:
    if not start:
        raise FoundryError(f"{path} is empty")
    if start == LFS_START:
        raise FoundryError(f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull`")
    if start.startswith(GZIP_START) and not is_compressed(path):
        raise FoundryError(f"{path} is compressed with gzip, and its name does not say so; rename it to {path.name}.gz")
    mark = next((name for bytes_, name in BYTE_ORDER_MARKS.items() if start.startswith(bytes_)), None)
    if mark is not None and not codecs.lookup(encoding).name.startswith(mark):
        raise FoundryError(
            f"{path} is not {shown(encoding)}: it begins with the byte order mark of {shown(mark)}; "
            f"set `encoding: {mark}`"
        )


def _not_in_encoding(path: Path, encoding: str) -> str:
    """Why the file cannot be decoded, with the line, which a decoder that reads ahead does not know."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line, reason = 1, "it ends within a character"
    with _readable(path) as binary:
        try:
            while chunk := binary.read(CHUNK_BYTES):
                line += decoder.decode(chunk).count("\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].decode(encoding, "ignore").count("\n")
            reason = f"byte 0x{error.object[error.start]:02x}: {error.reason}"
        except UnicodeError as error:
            reason = str(error)
    return (
        f"{path} is not {shown(encoding)} (line {line}, {reason}); "
        "save it as UTF-8, or set `encoding:` to what it is, such as latin-1, cp1252 or utf-16"
    )


def shown(encoding: str) -> str:
    """An encoding's name as people write it."""
    return encoding.upper() if encoding.lower().startswith("utf") else encoding
