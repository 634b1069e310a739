"""One run at a time in a run folder."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emospace.artefacts import disk_error, read_object, remove_unfinished
from emospace.errors import EmospaceError

_held: set[Path] = set()
"""Locks of this process: one that names it and is none of these is of an earlier process of the same number."""

log = logging.getLogger(__name__)

LOCK = "running.json"
"""Names the process that writes into a run folder, while it does."""


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder within; the lock of a process that died on this machine is taken over.

    What such a process left half-written is removed.

    Raises
    ------
    EmospaceError
        If another run is writing there, or the folder cannot be written.
    """
    lock = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(folder, error) from error
    if lock.exists() and _is_gone(lock, owner := _owner(lock)):
        log.warning("%s: process %s, which wrote here, is gone; going on from it", folder, owner["pid"])
        lock.unlink(missing_ok=True)
    try:
        _create(lock)
    except FileExistsError as error:
        owner = _owner(lock)
        raise EmospaceError(
            str(folder),
            f"another run is writing into it (process {owner.get('pid', 'unknown')} on "
            f"{owner.get('host', 'an unknown machine')}, since {owner.get('start', 'an unknown time')})",
            f"Wait for it or give another --out; if no such process runs any more, delete {lock}.",
        ) from error
    except OSError as error:
        raise disk_error(lock, error) from error
    _held.add(lock.resolve())
    try:
        remove_unfinished(folder)
        yield
    finally:
        _held.discard(lock.resolve())
        lock.unlink(missing_ok=True)


def _create(lock: Path) -> None:
    """Write the lock, or raise FileExistsError where one is."""
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "start": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with lock.open("x", encoding="utf-8") as file:
        json.dump(owner, file)


def _owner(lock: Path) -> dict[str, Any]:
    """Return what a lock says of its process; nothing where it is only just being written."""
    try:
        return read_object(lock)
    except EmospaceError:
        return {}


def _is_gone(lock: Path, owner: dict[str, Any]) -> bool:
    """Return whether a lock's process is known to have ended: what runs on other machines is not."""
    pid = owner.get("pid")
    # On Windows a signal of number 0 is no question but Ctrl-C.
    if not isinstance(pid, int) or owner.get("host") != socket.gethostname() or os.name == "nt":
        return False
    if pid == os.getpid():
        return lock.resolve() not in _held
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
