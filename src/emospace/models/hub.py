"""The model hub: asked where it can be reached, else its cache alone."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies

log = logging.getLogger(__name__)

SECONDS = 4.0
"""How long a connection may take; a hub that is not there makes its own client try for more than a minute."""


@contextmanager
def hub(source: str) -> Iterator[None]:
    """Let what is loaded within come from the hub's cache alone where the hub cannot be reached.

    Parameters
    ----------
    source
        What is loaded: a folder, for which nothing is asked, or an id of the hub.
    """
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    if not offline and not Path(source).exists() and not is_reachable(constants.ENDPOINT):
        log.warning("%s cannot be reached: only models already downloaded can be loaded", constants.ENDPOINT)
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline


def is_reachable(endpoint: str) -> bool:
    """Return whether a server answers within `SECONDS`; behind a proxy it is taken to."""
    address = urlsplit(endpoint)
    if address.scheme in getproxies():
        return True
    answers: list[bool] = []

    def connect() -> None:
        try:
            port = address.port or (443 if address.scheme == "https" else 80)
            socket.create_connection((address.hostname or "", port), SECONDS).close()
            answers.append(True)
        except OSError:
            answers.append(False)

    # A name may take longer to be looked up than any timeout of a socket.
    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return answers == [True]
