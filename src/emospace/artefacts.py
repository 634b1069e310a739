"""Files that are either whole or absent: atomic writes, content hashes, safetensors with a JSON card.

Nothing here pickles. A reader never sees a half-written file: each is written beside its place, synced to
the disk and renamed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.errors import DiskError, InvalidInput, first_line

if TYPE_CHECKING:
    import pandas as pd

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}(\.\w+)?")


def cache_dir() -> Path:
    """Return the folder for what can be made again: ``$EMOSPACE_CACHE`` or ``~/.cache/emospace``."""
    return Path(os.environ.get("EMOSPACE_CACHE", Path.home() / ".cache" / "emospace"))


def atomic_write(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it and rename it to `path`.

    Raises
    ------
    DiskError
        If the disk is full or the folder cannot be written; what was there before stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The rights a new file gets are those the umask gives; to ask for it is to change it, for all threads.
        temporary.touch(exist_ok=False)
        rights = temporary.stat().st_mode
    except OSError as error:
        raise disk_error(path, error) from error
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # safetensors puts a file of its own in place of the one it is given.
        temporary.chmod(rights)
        temporary.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error
    except Exception as error:
        # safetensors reports a full disk as an error of its own.
        if "No space left" in str(error):
            raise disk_error(path, OSError(errno.ENOSPC, str(error))) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of `atomic_write` below a folder into which nobody writes: those of killed processes."""
    for path in folder.rglob(".*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def disk_error(path: Path, error: OSError) -> DiskError:
    """Return the error for a file or folder that cannot be written, with the number of the system's error."""
    if error.errno == errno.ENOSPC:
        why = "the disk is full"
        hint = "Free some space and run the same command again: finished parts are kept."
    else:
        why = f"it cannot be written ({error.strerror or error})"
        hint = "Choose another folder or fix its permissions."
    raised = DiskError(str(path), why, hint)
    raised.errno = error.errno
    return raised


def read_text(path: Path, given: str | None = None, hint: str = "Give a text file, saved as UTF-8.") -> str:
    """Return the text of a UTF-8 file of the user's.

    Parameters
    ----------
    path
        The file; a byte order mark at its beginning is left out.
    given, hint
        How the user named the file, its path without it, and what to do where it cannot be read: for the error.

    Raises
    ------
    DiskError
        If it cannot be read.
    InvalidInput
        If it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        why = f"it cannot be read ({error.strerror})"
        raise DiskError(given or str(path), why, hint) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(given or str(path), "it is no UTF-8 text", hint) from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    atomic_write(path, write)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; numbers that JSON cannot hold (NaN, infinity) become null."""
    write_text(path, json.dumps(jsonable(value), ensure_ascii=False, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """Return what a JSON text holds; raises `ValueError` where it is none or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


def parse_toml(text: str) -> dict[str, Any]:
    """Return what a TOML text holds; raises `tomllib.TOMLDecodeError` where it is none or cannot be taken in."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError(TOO_DEEP) from None
    except tomllib.TOMLDecodeError:
        raise
    # A number of thousands of digits, a date that is none.
    except ValueError as error:
        raise tomllib.TOMLDecodeError(first_line(error)) from None


TOO_DEEP = "it is nested too deeply"


def read_object(
    path: Path, given: str | None = None, hint: str = "Give a file that emospace wrote."
) -> dict[str, Any]:
    """Return the names and values of a JSON or TOML file, whoever wrote it.

    Parameters
    ----------
    path
        The file: JSON where its name ends in ``.json``, else TOML.
    given, hint
        As in `read_text`.

    Raises
    ------
    DiskError
        If it cannot be read.
    InvalidInput
        If it is not UTF-8, not valid, or a list, text, number or null.
    """
    return parse_object(read_text(path, given, hint), path, given, hint)


def parse_object(text: str, path: Path, given: str | None, hint: str) -> dict[str, Any]:
    """Return the names and values of a file's text; parameters and errors as in `read_object`."""
    form, parse = ("JSON", parse_json) if path.suffix == ".json" else ("TOML", parse_toml)
    try:
        value = parse(text)
    except ValueError as error:
        raise InvalidInput(
            given or str(path), f"it is not valid {form} ({first_line(error)})", hint
        ) from error
    if not isinstance(value, dict):
        raise InvalidInput(given or str(path), f"it is no {form} object of names and values", hint)
    return value


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as parquet, atomically."""
    atomic_write(path, lambda temporary: frame.to_parquet(temporary, index=False))


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a table that `write_parquet` wrote.

    Raises
    ------
    DiskError
        If there is no such file.
    InvalidInput
        If it is damaged.
    """
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise DiskError(str(path), "there is no such file", "Run again what makes it.") from error
    except (OSError, ValueError) as error:
        why = f"it cannot be read as a table ({first_line(error)})"
        raise InvalidInput(str(path), why, "Delete it and run again what makes it.") from error


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write numpy arrays as one safetensors file, atomically."""
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    atomic_write(path, lambda temporary: save_file(arrays, str(temporary), metadata=dict(metadata or {})))


def read_tensors(path: Path, key: str, what: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the arrays and the JSON card that `write_tensors` wrote, the card under a key of the metadata.

    Raises
    ------
    DiskError
        If there is no such file.
    InvalidInput
        If it holds no such thing; `what` says what was to be read.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DiskError(str(path), "there is no such file", f"Make the {what} and save it first.")
    try:
        with safe_open(str(path), framework="np") as file:
            card = parse_json((file.metadata() or {})[key])
            if not isinstance(card, dict):
                raise ValueError("its card is no object")
            return {name: file.get_tensor(name) for name in file.keys()}, card  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise InvalidInput(str(path), f"it holds no {what}", "Give a file that `save` wrote.") from error


@contextmanager
def read_as(path: Path, what: str) -> Iterator[None]:
    """Turn what goes wrong when tensors and a card do not fit together into `InvalidInput`; `what` was to be read."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(str(path), f"it holds no {what}", "Give a file that `save` wrote.") from error


def jsonable(value: Any) -> Any:
    """Return `value` with numpy scalars and arrays, tuples and paths as plain JSON values."""
    # Most values of a page's data; the check of an abstract class takes ten times as long.
    if value is None or type(value) in (str, int, bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def content_hash(*parts: Any) -> str:
    """Return 16 hex digits that change when any part (JSON value, bytes or array) changes."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, bytes):
            digest.update(part)
        elif isinstance(part, np.ndarray):
            digest.update(str((part.dtype, part.shape)).encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(json.dumps(jsonable(part), ensure_ascii=False, sort_keys=True).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def file_hash(paths: Path | Iterable[Path]) -> str:
    """Return the sha256 (64 hex digits) over the bytes of one or several files, in the order given."""
    digest = hashlib.sha256()
    for path in [paths] if isinstance(paths, Path) else paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
