"""How freed memory goes back to the system while a server runs for days."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt`` (glibc, malloc.h)."""

MAPPED_FROM = 2**20
"""Bytes from which a block is mapped on its own and given back as soon as it is free.

glibc raises its threshold to 32 MB as blocks are freed. Keys, values and states of a batch, of a new size at every step, are
then cut out of the engine's heap between small blocks that stay, and the heap grows for hours.
"""

TRIMMED_FROM = 2**27
"""Bytes free at a heap's end from which they are given back; with a threshold set above, glibc would take 128 kB."""

SET_BY_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def return_large_blocks() -> bool:
    """Let malloc map large blocks on their own, and return whether it does.

    It does not where the user has set these thresholds (``GLIBC_TUNABLES`` or the variables of malloc), and where the C
    library is not glibc.
    """
    if "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "") or any(
        name in os.environ for name in SET_BY_USER
    ):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # musl and macOS have a malloc of another kind
        set_parameter = library.mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(set_parameter(M_MMAP_THRESHOLD, MAPPED_FROM)) and bool(
        set_parameter(M_TRIM_THRESHOLD, TRIMMED_FROM)
    )
