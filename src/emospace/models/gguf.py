"""GGUF files turned into folders that `transformers` loads."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr
from functools import cache
from io import StringIO
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from typing import Any

from emospace.artefacts import cache_dir, file_hash, read_object, write_json
from emospace.display import is_terminal, quiet_bars
from emospace.errors import DiskError, EmospaceError, first_line

log = logging.getLogger(__name__)

FORMAT = 3
"""Of the card; one of an older format does not list the files, and the folder is made again."""

CARD = "emospace.json"
"""The file of a converted model's folder that says what it was made of and what each other file's hash is."""


def from_gguf(
    path: Path, name: str, *, dtype: str = "float32", digest: str | None = None
) -> tuple[str, dict[str, str | None]]:
    """Turn a GGUF file into a safetensors folder, once, and return the folder and its identity.

    A folder of which a file is missing or has changed is made again.

    Parameters
    ----------
    path
        The GGUF file; it need not be there any more where `digest` is known and the folder is whole.
    name
        The model's name in its identity.
    dtype
        The precision in which the folder keeps the weights.
    digest
        The file's sha256 where it is known already.
    """
    digest = digest or file_hash(path)
    card = read_conversion(path, digest)
    if card is None:
        log.info("turning %s into safetensors, once", path.name)
        with _quick_reader():
            card = _convert(path, name, digest, dtype)
    return conversion_identity(path, card)


def conversion_identity(path: Path, card: Mapping[str, Any]) -> tuple[str, dict[str, str | None]]:
    """Return the folder a GGUF file was turned into, and what its card says of the model."""
    folder = converted_folder(path, card["sha256"])
    return str(folder), {key: card[key] for key in ("name", "sha256", "quantisation")}


def converted_folder(path: Path, digest: str) -> Path:
    """Return the folder in the cache that a GGUF file with this sha256 is turned into."""
    return cache_dir() / "models" / f"{path.stem}-{digest[:12]}"


def read_conversion(path: Path, digest: str) -> dict[str, Any] | None:
    """Return the card of the folder a GGUF file was turned into, None where it is not there or a file has changed."""
    folder = converted_folder(path, digest)
    if not folder.exists():
        return None
    try:
        card = read_object(folder / CARD)
        if card["format"] != FORMAT:
            log.info("%s was written by another version; making it again", folder)
            return None
        changed = [name for name, sha256 in card["files"].items() if file_hash(folder / name) != sha256]
        if not changed:
            return card
        log.warning("%s changed since it was written (%s); making it again", folder, ", ".join(changed))
    # A damaged card can be wrong in any of these ways.
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s cannot be read (%s); making it again", folder, first_line(error))
    return None


def _convert(path: Path, name: str, digest: str, dtype: str) -> dict[str, Any]:
    """Write what a GGUF file holds as `transformers` saves a model, and return the card; the folder appears whole."""
    model, tokenizer = _loaded(path, dtype)
    folder = converted_folder(path, digest)
    fresh = folder.with_name(f".{folder.name}.{token_hex(4)}")
    try:
        with quiet_bars():
            model.save_pretrained(fresh)
            tokenizer.save_pretrained(fresh)
        card = {
            "format": FORMAT,
            "name": name,
            "sha256": digest,
            "quantisation": _quantisation(path),
            "files": {file.name: file_hash(file) for file in sorted(fresh.iterdir())},
        }
        write_json(fresh / CARD, card)
        # safetensors keeps its files from other users; a cache may be shared.
        for file in fresh.iterdir():
            file.chmod((fresh / CARD).stat().st_mode)
        rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    except EmospaceError:
        raise
    except Exception as error:
        # Another process may have put the same folder there in the meantime.
        if isinstance(error, OSError) and (card := read_conversion(path, digest) or {}):
            return card
        raise DiskError(
            f"folder '{folder}'",
            f"the model could not be written there ({first_line(error)})",
            "Free some space, or set EMOSPACE_CACHE to a folder that can be written.",
        ) from error
    finally:
        rmtree(fresh, ignore_errors=True)
    return card


def _loaded(path: Path, dtype: str) -> tuple[Any, Any]:
    """Return a GGUF file's model, of plain floats, and its tokenizer."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    location = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    # Newer releases keep weights packed where they have kernels for that.
    plain = getattr(transformers, "GgufConfig", None)
    options = {"quantization_config": plain(dequantize=True)} if plain else {}
    try:
        # The bar over the tensors cannot be turned off; it is kept off a stream that is no terminal.
        with quiet_bars(), nullcontext() if is_terminal() else redirect_stderr(StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(**location)
            model = AutoModelForCausalLM.from_pretrained(**location, dtype=getattr(torch, dtype), **options)
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
    return model, tokenizer


@contextmanager
def _quick_reader() -> Iterator[None]:
    """Let `transformers` read a file once, and fast.

    It opens the file for the tokenizer, the config and the weights anew, and the reader takes half a minute for a
    vocabulary of 262,144 tokens, four array views for each; and it makes the table of tensor names for each module
    of the model.
    """
    import gguf
    import numpy as np

    opened, named = gguf.GGUFReader, gguf.get_tensor_name_map

    class Reader(opened):  # type: ignore[misc, valid-type]
        """The same fields, with an array's elements cut from its bytes in one pass."""

        def _get_field_parts(
            self, orig_offs: int, raw_type: int
        ) -> tuple[int, list[Any], list[int], list[Any]]:
            if gguf.GGUFValueType(raw_type) != gguf.GGUFValueType.ARRAY or self.byte_order == "S":
                return super()._get_field_parts(orig_offs, raw_type)  # type: ignore[no-any-return]
            element, count = self._get(orig_offs, np.uint32), self._get(orig_offs + 4, np.uint64)
            kind, length, start = gguf.GGUFValueType(element[0]), int(count[0]), orig_offs + 12
            types = [gguf.GGUFValueType.ARRAY, *([kind] if length else [])]
            if kind == gguf.GGUFValueType.STRING:
                pieces, end = _strings(memoryview(self.data), start, length)
                return end - orig_offs, [element, count, *pieces], list(range(3, 3 + 2 * length, 2)), types
            scalar = self.gguf_scalar_to_np.get(kind)
            if scalar is None:
                return super()._get_field_parts(orig_offs, raw_type)  # type: ignore[no-any-return]
            values = np.asarray(self._get(start, scalar, length)).reshape(-1, 1)
            return 12 + values.nbytes, [element, count, *values], list(range(2, 2 + length)), types

    readers = cache(Reader)
    gguf.GGUFReader = lambda path, *rest: readers(str(path), *rest)
    gguf.get_tensor_name_map = cache(named)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = opened, named


def _strings(data: memoryview, start: int, count: int) -> tuple[list[Any], int]:
    """Return the length and the bytes of each of an array's strings as numpy arrays, and where the array ends."""
    import struct

    import numpy as np

    pieces: list[Any] = []
    at = start
    for _ in range(count):
        (size,) = struct.unpack_from("<Q", data, at)
        pieces += [np.frombuffer(data, np.uint64, 1, at), np.frombuffer(data, np.uint8, size, at + 8)]
        at += 8 + size
    return pieces, at


def _quantisation(path: Path) -> str:
    """Return what a GGUF file calls its quantisation, such as ``Q4_K_M``, else that of most weights of its blocks.

    A file mixes several: embeddings are kept in a finer one, and in a small model they are most of the weights.
    """
    from collections import Counter

    from gguf import GGUFReader, LlamaFileType

    reader = GGUFReader(str(path))
    field = reader.fields.get("general.file_type")
    kinds: dict[int, str] = {
        int(kind): kind.name for kind in LlamaFileType if kind is not LlamaFileType.GUESSED
    }
    if field is not None and (declared := kinds.get(int(field.parts[-1][0]))):
        return declared.removeprefix("MOSTLY_").removeprefix("ALL_")
    sizes: Counter[str] = Counter()
    for tensor in reader.tensors:
        if tensor.name.startswith("blk."):
            sizes[tensor.tensor_type.name] += int(tensor.n_elements)
    return sizes.most_common(1)[0][0]
