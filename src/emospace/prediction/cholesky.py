"""Solve symmetric positive systems by LAPACK, in threads that run beside one another."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np


def solve_positive(matrix: np.ndarray, rows: np.ndarray) -> None:
    """Put x of ``matrix x = row`` in the place of each row, by a Cholesky factor; NaN where there is none.

    Parameters
    ----------
    matrix
        float32 or float64 ``[k, k]``, contiguous; overwritten. Symmetric, or in Fortran order its lower triangle alone.
    rows
        ``[n, k]``, contiguous, of the same type.
    """
    columns, size, failed = (ctypes.c_int(value) for value in (*rows.shape, 0))
    k, n, info = (ctypes.byref(value) for value in (size, columns, failed))
    # Fortran's lower triangle is the upper one of C, which a symmetric matrix has as well; its columns are our rows.
    _posv(matrix.dtype.char)(b"L", k, n, matrix.ctypes.data, k, rows.ctypes.data, k, info)
    if failed.value:
        rows.fill(np.nan)


@cache
def _posv(kind: str) -> Any:
    """Return LAPACK's `posv` in single (``f``) or double (``d``) precision.

    SciPy's own functions hold Python's lock, and torch's factor spends as long on setting its other triangle to zero.
    A pointer from SciPy's interface for compiled code has neither.
    """
    from scipy.linalg import cython_lapack

    capsule = cython_lapack.__pyx_capi__[{"f": "sposv", "d": "dposv"}[kind]]
    name = ctypes.pythonapi.PyCapsule_GetName
    name.argtypes, name.restype = [ctypes.py_object], ctypes.c_char_p
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.argtypes, pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 8)(pointer(capsule, name(capsule)))
