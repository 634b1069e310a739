"""What the server is allowed to do: where it listens, who may ask, and how much."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from emospace.artefacts import read_text
from emospace.errors import InvalidInput

SHORTEST_KEY = 16


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
    runs
        The folder whose subfolders are finished studies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "embedded"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_keys: tuple[SecretStr, ...] = ()
    names: tuple[str, ...] = ()
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
        """Return the settings; raises `EmospaceError` where they would open the server to everybody."""
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
        If it cannot be read, holds no key, or one that is too short to be secret.
    """
    text = read_text(path, f"--api-key-file {path}", "Name a text file with one key a line.")
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
