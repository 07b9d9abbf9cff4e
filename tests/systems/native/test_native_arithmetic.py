"""What replaces a division by a number that stays is that division, to the last bit."""

import ctypes
import shutil

import numpy as np
import pytest

from systems.native import build, emit

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler")


@pytest.mark.parametrize(
    ("real", "dtype", "fuses"), [("double", "f8", "__FP_FAST_FMA"), ("float", "f4", "__FP_FAST_FMAF")]
)
def test_a_quotient_by_what_stays(real, dtype, fuses):
    source = f"#include <tgmath.h>\ntypedef {real} real;\n#define FUSES {fuses}\n{emit.file('quotient')}\n" + (
        "void all(long count, const real *a, const real *b, real *found) {\n"
        "  for (long k = 0; k < count; k++) found[k] = quotient(a[k], b[k], 1 / b[k]);\n}"
    )
    draws = np.random.default_rng(0)
    count, digits = 400_000, np.finfo(dtype).nmant
    a, b = (draws.uniform(1, 2, (2, count)) * 2.0 ** draws.integers(-20, 20, (2, count))).astype(dtype)
    # Where quotients are hardest to round: both within a few last places of a power of two.
    near = 1 + draws.integers(-64, 64, (2, count // 2)) * 2.0**-digits
    a[: count // 2], b[: count // 2] = near.astype(dtype)
    found = np.empty_like(a)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (a, b, found)]
    build.library(source).all(ctypes.c_long(count), *pointers)
    assert np.array_equal(found, a / b)
    assert not np.array_equal(found, a * (1 / b))
