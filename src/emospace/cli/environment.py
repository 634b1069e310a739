"""`emospace doctor` and `emospace cache`: what this machine has, and what was kept on it."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

import typer
from packaging.requirements import Requirement

from emospace.cli.options import takes
from emospace.display import say, table
from emospace.errors import unknown
from emospace.specs import CacheSpec

LIBRARIES = ("emospace", "torch", "transformers", "numpy", "scipy", "scikit-learn", "pandas", "safetensors")

MADE_AGAIN = ("activations", "comparisons", "hashes", "models", "readers")
"""What `clean` deletes unless kinds are named: those that are made again in minutes."""

DEAR = ("judges", "steering")
"""Kinds that took long or cost money, which are deleted only by name."""

cache = typer.Typer(no_args_is_help=True, help="What emospace keeps to be faster the next time: list, clean.")


def doctor() -> None:
    """Show what emospace finds here: versions, extras, device, models, vectors, cache and hub.

    For example:

    emospace doctor --json
    """
    table(
        "emospace doctor", ("what", "here"), [*_libraries(), *_extras(), *_machine(), *_models(), *_cache()]
    )


@cache.command("ls")
def list_all() -> None:
    """Show what lies in the cache, by kind."""
    from emospace.artefacts import cache_dir

    rows = []
    for kind in sorted(path for path in cache_dir().glob("*") if path.is_dir()):
        files = [path.stat() for path in kind.rglob("*") if path.is_file()]
        if files:
            days = (time.time() - max(file.st_mtime for file in files)) / 86_400
            size = sum(file.st_size for file in files) / 1e6
            rows.append((kind.name, len(files), f"{size:,.1f}", f"{days:.0f}"))
    table(f"Cache: {cache_dir()}", ("kind", "files", "MB", "days since the last was written"), rows)


@cache.command("gc")
@takes(CacheSpec)
def clean(spec: CacheSpec) -> None:
    """Delete what was not used for a while and is made again when it is needed.

    Calibrated vectors (steering) and the answers of language models that judge (judges) stay, unless --kinds names them.

    For example:

    emospace cache gc --days 7 --dry-run

    emospace cache gc --days 0 --kinds activations
    """
    for kind in spec.kinds:
        if kind not in (*MADE_AGAIN, *DEAR):
            raise unknown("kind of the cache", kind, (*MADE_AGAIN, *DEAR))
    before = time.time() - spec.days * 86_400
    n_bytes = n_parts = 0
    for part in _parts(spec.kinds):
        files = [part] if part.is_file() else [path for path in part.rglob("*") if path.is_file()]
        used = max((max(path.stat().st_atime, path.stat().st_mtime) for path in files), default=0.0)
        if used > before:
            continue
        n_parts += 1
        n_bytes += sum(path.stat().st_size for path in files)
        if not spec.dry_run:
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
    say(f"{'Would delete' if spec.dry_run else 'Deleted'} {n_parts:,} parts, {n_bytes / 1e6:,.1f} MB.")


def _parts(kinds: tuple[str, ...]) -> Iterator[Path]:
    """Yield what is deleted whole: a converted model, a set of vectors, and every single file elsewhere."""
    from emospace.artefacts import cache_dir

    for kind in sorted(path for path in cache_dir().glob("*") if path.is_dir()):
        if kind.name not in (kinds or MADE_AGAIN):
            continue
        for part in sorted(kind.iterdir()):
            if kind.name in ("models", "steering") and part.name != "trials":
                yield part
            else:
                yield from [part] if part.is_file() else (path for path in part.rglob("*") if path.is_file())


def _libraries() -> Iterator[tuple[str, str]]:
    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    for name in LIBRARIES:
        yield name, version(name)


def _extras() -> Iterator[tuple[str, str]]:
    """Yield for each extra whether all it asks for is installed."""
    wanted = [Requirement(line) for line in requires("emospace") or ()]
    for extra in metadata("emospace").get_all("Provides-Extra") or ():
        names = [each.name for each in wanted if each.marker and each.marker.evaluate({"extra": extra})]
        ready = all(_installed(name) for name in names)
        yield f"extra {extra}", "installed" if ready else f"pip install 'emospace[{extra}]'"


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _machine() -> Iterator[tuple[str, str]]:
    import torch

    from emospace.models.devices import faster_dtype, find_device

    device = find_device("auto")
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    yield "device", f"{device} ({name})"
    yield "--dtype auto", f"{faster_dtype(device)}, which is the faster one here"
    yield "threads", f"{torch.get_num_threads()} of {os.cpu_count()} processors"
    if hasattr(os, "sysconf"):
        yield "memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"


def _models() -> Iterator[tuple[str, str]]:
    from huggingface_hub import constants

    from emospace.models import list_models, shipped
    from emospace.models.hub import is_reachable

    for model in list_models():
        if model["kind"] == "package":
            yield f"model {model['name']}", model["detail"]
    yield "autoencoders", ", ".join(folder.name for folder in shipped("sae")) or "none"
    yield "steering vectors", ", ".join(folder.name for folder in shipped("steering")) or "none"
    offline = "switched off (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else None
    reached = "can be reached" if not offline and is_reachable(constants.ENDPOINT) else "cannot be reached"
    yield "model hub", f"{constants.ENDPOINT} {offline or reached}"


def _cache() -> Iterator[tuple[str, str]]:
    from emospace.artefacts import cache_dir

    folder = cache_dir()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    rights = (
        "writable" if os.access(existing, os.W_OK) else "not writable: set EMOSPACE_CACHE to another folder"
    )
    free = shutil.disk_usage(existing).free / 1e9
    yield "cache", f"{folder}: {size:,.1f} MB, {rights}, {free:,.1f} GB free"
