"""emospace: does a language model represent emotion as people do?

``import emospace as es`` gives the names listed in ``__init__.pyi``; each is imported when it is first used, so the
import itself loads none of the heavy libraries.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_RENAMED = {"compare": "compare_predictions", "export": "export_vector", "read": "read_emotions"}
"""Names of 0.1, kept for one version."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("emospace")
    if name in _RENAMED:
        import warnings

        warnings.warn(f"emospace.{name} is now emospace.{_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        return _load(_RENAMED[name])
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return _load(name)
