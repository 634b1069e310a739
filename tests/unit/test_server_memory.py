"""What a server does to the memory of its process; each time in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")

MAPPED = """
import ctypes, json
from emospace.server.memory import return_large_blocks

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes, library.mallinfo.restype = [ctypes.c_void_p], Info
does = return_large_blocks()
# A large block that is freed raises the threshold, unless somebody has set it.
library.free(library.malloc(24 * 2**20))
before = library.mallinfo().hblks
blocks = [library.malloc(size) for size in (2 * 2**20, 2**19)]
print(json.dumps([does, library.mallinfo().hblks - before]))
"""


def mapped(**environment: str) -> list[object]:
    """Return whether the thresholds were set, and how many of a block of 2 MB and one of half a megabyte are mapped alone."""
    hidden = ("GLIBC_TUNABLES", "MALLOC_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    command = [sys.executable, "-c", MAPPED]
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def test_blocks_of_megabytes_are_mapped_alone_whatever_was_freed_before():
    assert mapped() == [True, 1]


@pytest.mark.parametrize(
    "environment",
    [{"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=8388608"}, {"MALLOC_MMAP_THRESHOLD_": "8388608"}],
)
def test_the_users_own_thresholds_stay(environment: dict[str, str]):
    assert mapped(**environment) == [False, 0]
