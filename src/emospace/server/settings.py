"""What the server is allowed to do: where it listens, who may ask, and how much."""

from __future__ import annotations

import os
import re
import stat
from ipaddress import ip_address
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from emospace.artefacts import read_text
from emospace.errors import InvalidInput
from emospace.specs import DRAIN_SECONDS

SHORTEST_KEY = 16
_OF_OTHERS = stat.S_IROTH | stat.S_IWOTH
_ORIGIN = re.compile(r"https?://[a-z0-9.\-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")


class Settings(BaseModel):
    """How the server runs.

    Attributes
    ----------
    model
        The id under which the model is offered.
    host, port
        Where it listens.
    api_keys
        Who may ask; empty: everybody who reaches it, which is allowed on loopback alone.
    names
        Further names of this machine that a ``Host`` header may hold.
    origins
        Origins whose pages may use the server beside its own page, as ``https://lab.example``.
    drain
        Seconds that requests under way have to finish when the server is told to stop.
    runs
        The folder whose subfolders are finished studies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "embedded"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_keys: tuple[SecretStr, ...] = ()
    names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    drain: float = Field(default=DRAIN_SECONDS, ge=0)
    runs: Path | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether it listens to this machine alone."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    def check(self) -> Settings:
        """Return the settings; raises `InvalidInput` where they open the server to all or name no origin."""
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise InvalidInput(
                    f"--allow-origin {origin}",
                    "it is no origin",
                    "Name scheme and host, in small letters: https://lab.example, http://localhost:3000.",
                )
        if not self.is_loopback and not self.api_keys:
            raise InvalidInput(
                f"--host {self.host}",
                "others could use the server without a key",
                "Give --api-key-file FILE (one key a line), or bind to 127.0.0.1.",
            )
        return self


def read_keys(path: Path) -> tuple[SecretStr, ...]:
    """Return the keys of a file: one a line, ``#`` begins a comment.

    Raises
    ------
    EmospaceError
        If it cannot be read, others of this machine can read or change it, it holds no key, or one too short to be
        secret.
    """
    text = read_text(path, f"--api-key-file {path}", "Name a text file with one key a line.")
    if os.name == "posix" and path.stat().st_mode & _OF_OTHERS:
        raise InvalidInput(
            f"--api-key-file {path}",
            "all users of this machine can read or change it",
            f"Run: chmod 600 {path}",
        )
    keys = [line.partition("#")[0].strip() for line in text.splitlines()]
    keys = list(dict.fromkeys(key for key in keys if key))
    hint = "Make one: python -c 'import secrets; print(secrets.token_urlsafe())'"
    if not keys:
        raise InvalidInput(f"--api-key-file {path}", "it holds no key", hint)
    if any(len(key) < SHORTEST_KEY or not key.isascii() for key in keys):
        raise InvalidInput(
            f"--api-key-file {path}", f"a key has fewer than {SHORTEST_KEY} plain characters", hint
        )
    return tuple(SecretStr(key) for key in keys)
