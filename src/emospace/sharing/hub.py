"""Push and pull: what is staged, sent and fetched. The token is the hub client's own, and is never read here."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from emospace.artefacts import cache_dir, read_object
from emospace.errors import DiskError, EmospaceError, InvalidInput, first_line, unknown
from emospace.sharing.kinds import KINDS, MARK, Kind, kind_of, mark_of

_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:/([\w.-]+))?")
_VECTORS = re.compile(r"[\w.-]+")
CARD = "README.md"


def push(folder: Path | str, repo: str, *, private: bool = False, message: str | None = None) -> str:
    """Send a run, calibrated vectors or an autoencoder to the Hugging Face hub, with a card, and return its address.

    Only the files of its kind are sent; of a run whose norms are not bundled with emospace, none that hold ratings.

    Parameters
    ----------
    folder
        A run, a folder of vectors (``VectorBank.save``) or an autoencoder.
    repo
        ``NAME/REPO`` on the hub; made where it is missing.
    private
        Whether a repository that is made is private.
    message
        Of the commit.

    Raises
    ------
    EmospaceError
        If the folder is of no kind that is shared, or the hub refuses it.
    """
    folder = Path(folder).expanduser()
    kind = kind_of(folder)
    repo, _ = _parts(repo)
    files = kind.files(folder)
    matching = [path for pattern in kind.patterns for path in folder.glob(pattern)]
    with tempfile.TemporaryDirectory() as name:
        staged = Path(name)
        inside = staged / folder.resolve().name if kind.in_folder else staged
        for path in files:
            (inside / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, inside / path)
        (staged / CARD).write_text(kind.card(folder, repo, len(matching) - len(files)), encoding="utf-8")
        (staged / MARK).write_text(mark_of(kind, folder), encoding="utf-8")
        api = _api()
        with _told(repo):
            api.create_repo(repo, repo_type=kind.repo_type, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=repo,
                repo_type=kind.repo_type,
                folder_path=str(staged),
                commit_message=message or f"emospace: {kind.name}",
            )
    return str(getattr(done, "repo_url", None) or f"{api.endpoint}/{_address(kind, repo)}")


def pull(repo: str, out: Path | str | None = None, *, revision: str | None = None) -> Path:
    """Fetch what `push` sent and return the folder it lies in; files of no known kind are not fetched.

    Parameters
    ----------
    repo
        ``NAME/REPO`` on the hub; ``NAME/REPO/FOLDER`` where it holds several autoencoders.
    out
        The folder, which may not hold anything yet; None puts vectors where `load_vectors` finds them, all else
        under the cache.
    revision
        A branch, tag or commit; the newest unless given.

    Raises
    ------
    EmospaceError
        If the hub has no such repository, or it holds nothing that emospace shares.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    repo, inside = _parts(repo)
    api = _api()
    given = [pattern for kind in KINDS for pattern in kind.patterns]
    given += [f"*/{pattern}" for kind in KINDS if kind.in_folder for pattern in kind.patterns]
    patterns = [*given, MARK, CARD]
    with tempfile.TemporaryDirectory() as name, _told(repo):
        fetched = Path(name) / "fetched"
        for repo_type in ("model", "dataset"):
            try:
                api.snapshot_download(
                    repo,
                    repo_type=repo_type,
                    revision=revision,
                    local_dir=str(fetched),
                    allow_patterns=patterns,
                )
                break
            except RepositoryNotFoundError:
                if repo_type == "dataset":
                    raise
        fetched = _within(fetched, repo, inside)
        kind = kind_of(fetched)
        target = Path(out).expanduser() if out is not None else _place(kind, repo, fetched)
        if target.exists() and any(target.iterdir()):
            raise InvalidInput(
                f"the folder {target}", "something is there already", "Name a new folder with --out."
            )
        for path in (
            *kind.files(fetched),
            *(Path(name) for name in (MARK, CARD) if (fetched / name).is_file()),
        ):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(fetched / path, target / path)
    return target


def _place(kind: Kind, repo: str, fetched: Path) -> Path:
    """Return where a pulled folder lies unless said otherwise."""
    name = str(read_object(fetched / MARK).get("name")) if (fetched / MARK).is_file() else ""
    if kind.name == "vectors" and _VECTORS.fullmatch(name) and not name.startswith("."):
        return cache_dir() / "steering" / name
    return cache_dir() / "hub" / repo.replace("/", "--")


def _parts(repo: str) -> tuple[str, str | None]:
    """Return the repository and the folder in it that an id names."""
    match = _ID.fullmatch(repo)
    if match is None or ".." in repo:
        raise InvalidInput(
            f"the repository '{repo}'", "it is no NAME/REPO of the hub", "Write it as me/my-vectors."
        )
    return match[1], match[2]


def _within(fetched: Path, repo: str, inside: str | None) -> Path:
    """Return the folder of what was fetched that holds what is meant."""
    if inside is None and any((fetched / kind.mark).is_file() for kind in KINDS):
        return fetched
    marks = [kind.mark for kind in KINDS if kind.in_folder]
    folders = sorted({path.parent for mark in marks for path in fetched.glob(f"*/{mark}")})
    names = [path.name for path in folders]
    if inside is not None and inside not in names:
        raise unknown(f"folder of the repository '{repo}'", inside, names)
    if inside is None and len(folders) > 1:
        raise InvalidInput(
            f"the repository '{repo}'",
            f"it holds several: {', '.join(names)}",
            f"Name one: {repo}/{names[0]}.",
        )
    return fetched / inside if inside is not None else next(iter(folders), fetched)


def _address(kind: Kind, repo: str) -> str:
    return f"datasets/{repo}" if kind.repo_type == "dataset" else repo


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(library_name="emospace")


class _told:
    """Turns what the hub's client raises into one message, without the token."""

    def __init__(self, repo: str) -> None:
        self.repo = repo

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, EmospaceError) or not isinstance(error, Exception):
            return
        text = first_line(error) or type(error).__name__
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            if token := os.environ.get(name):
                text = text.replace(token, "TOKEN")
        raise DiskError(
            f"the repository '{self.repo}'",
            f"the hub did not do it ({text})",
            "Check the name, the network and your token: set HF_TOKEN, or run 'hf auth login'.",
        ) from None
