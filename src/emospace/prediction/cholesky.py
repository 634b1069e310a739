"""Solve symmetric positive systems by LAPACK, in threads that run beside one another."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np


def solve_positive(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return x of ``matrix x = right`` by a Cholesky factor, NaN where the matrix is not positive definite.

    Parameters
    ----------
    matrix
        float32 or float64 ``[k, k]``, contiguous; overwritten. Symmetric, or in Fortran order its lower triangle alone.
    right
        ``[k, n]``
    """
    solution = np.array(right, dtype=matrix.dtype, order="F")
    size, columns, failed = (ctypes.c_int(value) for value in (*solution.shape, 0))
    k, n, info = (ctypes.byref(value) for value in (size, columns, failed))
    # Fortran's lower triangle is the upper one of C, which a symmetric matrix has as well.
    _posv(matrix.dtype.char)(b"L", k, n, matrix.ctypes.data, k, solution.ctypes.data, k, info)
    return np.full_like(solution, np.nan) if failed.value else solution


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
