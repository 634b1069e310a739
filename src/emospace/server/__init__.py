"""The server: an OpenAI-compatible API that sets a model's tone, and the page on top of it."""

from emospace.server.app import create_app
from emospace.server.engine import Engine
from emospace.server.settings import Settings, read_keys
from emospace.specs import Limits

__all__ = ["Engine", "Limits", "Settings", "create_app", "read_keys"]
