"""What can be shared: which files each kind consists of, and the card that stands before them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import emospace
from emospace.artefacts import read_as, read_object
from emospace.errors import DiskError, InvalidInput
from emospace.norms import list_norms

MARK = "emospace.json"
"""The file beside a card that says what lies there."""

RATINGS = ("report.html", "tables/predictions.parquet", "tables/circumplex.parquet", "tables/rdm_human_*")
"""Files of a run that hold people's ratings, or can be turned into them."""


@dataclass(frozen=True)
class Kind:
    """One kind of folder.

    Parameters
    ----------
    name
        ``run``, ``vectors`` or ``sae``.
    mark
        The file by which a folder is known to be of this kind.
    patterns
        The files that are shared; all others stay here.
    repo_type
        As what it lies on the hub.
    about
        Gives what the card says, of what the mark holds.
    in_folder
        Whether its files lie in a folder of the repository, as SAELens looks for them: then one may hold several.
    withheld
        Gives the patterns of files that may not be passed on.
    use
        How it is used once it is pulled, ``{path}`` being where it lies.
    """

    name: Literal["run", "vectors", "sae"]
    mark: str
    patterns: tuple[str, ...]
    repo_type: Literal["model", "dataset"]
    use: str
    about: Callable[[Mapping[str, Any]], Mapping[str, object]]
    in_folder: bool = False
    withheld: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda _: ()

    def files(self, folder: Path) -> list[Path]:
        """Return the files of a folder that are shared, relative to it."""
        with self._card(folder) as card:
            withheld = self.withheld(card)
        named = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
        return [
            path
            for path in named
            if any(fnmatch(path.as_posix(), pattern) for pattern in self.patterns)
            and not any(fnmatch(path.as_posix(), pattern) for pattern in withheld)
        ]

    @contextmanager
    def _card(self, folder: Path) -> Iterator[dict[str, Any]]:
        """Give what the mark of a folder holds; what is of another form than emospace writes is the file's fault."""
        mark = folder / self.mark
        card = read_object(mark)
        with read_as(mark, f"card of a folder of {self.name}"):
            yield card

    def card(self, folder: Path, repo: str, left_out: int) -> str:
        """Return the README of a folder."""
        with self._card(folder) as card:
            about = {name: value for name, value in self.about(card).items() if value}
        head = ["---", "library_name: emospace", f"tags: [emospace, {self.name}]", "---", ""]
        rows = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in about.items())]
        lines = [
            *head,
            f"# {repo.rpartition('/')[2]}",
            "",
            f"Made with emospace {emospace.__version__}: {TITLES[self.name]}.",
            "",
            *rows,
        ]
        if left_out:
            lines += [
                "",
                f"{left_out} files with people's ratings, which may not be passed on, are left out.",
            ]
        place = f"/{folder.resolve().name}" if self.in_folder else ""
        get = f"emospace hub pull {repo}{place}"
        return "\n".join([*lines, "", "```sh", get, self.use.format(path="FOLDER"), "```", ""])


def _of_run(results: Mapping[str, Any]) -> dict[str, object]:
    manifest = results.get("manifest", {})
    return {
        "model": results.get("model", {}).get("model"),
        "languages": ", ".join(manifest.get("languages", ())),
        "command": f"`{manifest['command']}`" if manifest.get("command") else None,
        "seed": manifest.get("seed"),
    }


def _ratings(results: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what of a run may not be passed on: ratings of norms that are not bundled."""
    bundled = set(list_norms()["name"])
    sources = results.get("manifest", {}).get("sources", ())
    norms = {source.get("name") for source in sources if source.get("kind") == "norms"}
    return RATINGS if norms - bundled else ()


def _of_vectors(card: Mapping[str, Any]) -> dict[str, object]:
    names = dict.fromkeys(each["name"] for each in card.get("vectors", ()))
    return {
        "model": card.get("model"),
        "hash of its weights": card.get("model_hash"),
        "vectors": ", ".join(names),
    }


def _of_sae(card: Mapping[str, Any]) -> dict[str, object]:
    metadata = card.get("metadata") or {}
    keys = ("model_name", "hook_name")
    return {
        "architecture": card.get("architecture"),
        "latents": card.get("d_sae"),
        **{key.replace("_", " "): card.get(key) or metadata.get(key) for key in keys},
    }


TITLES: Mapping[str, str] = {
    "run": "the results of a study",
    "vectors": "calibrated steering vectors",
    "sae": "a sparse autoencoder, in the format of SAELens",
}

KINDS: tuple[Kind, ...] = (
    Kind(
        "run",
        "results.json",
        ("results.json", "spec.json", "report.html", "tables/*.parquet"),
        "dataset",
        "emospace compare {path} MINE",
        _of_run,
        withheld=_ratings,
    ),
    Kind(
        "vectors",
        "card.json",
        ("card.json", "vectors.safetensors"),
        "model",
        'emospace steer --emotion joy "Tell me about your day."',
        _of_vectors,
    ),
    Kind(
        "sae",
        "cfg.json",
        ("cfg.json", "sae_weights.safetensors", "sparsity.safetensors"),
        "model",
        "emospace study --sae {path}",
        _of_sae,
        in_folder=True,
    ),
)
"""In the order in which a folder is tried."""


def kind_of(folder: Path) -> Kind:
    """Return the kind of a folder.

    Raises
    ------
    EmospaceError
        If there is no such folder, or it is of no kind that is shared.
    """
    if not folder.is_dir():
        raise DiskError(str(folder), "there is no such folder", "Check the path.")
    for kind in KINDS:
        if (folder / kind.mark).is_file():
            return kind
    marks = ", ".join(f"{kind.mark} ({TITLES[kind.name]})" for kind in KINDS)
    raise InvalidInput(
        str(folder), f"it holds none of {marks}", "Name a run, a folder of vectors or an autoencoder."
    )


def mark_of(kind: Kind, folder: Path) -> str:
    """Return the text of `MARK`: kind, and the folder's name, by which vectors are found again."""
    return json.dumps({"kind": kind.name, "name": folder.resolve().name, "version": emospace.__version__})
