"""Arguments for the pairs of :mod:`refimpl.io`."""

from __future__ import annotations

import numpy as np

from refimpl.testing.strategies import Arguments, strategy

__all__: list[str] = []


@strategy("byte_offset.decode_byte_offset", chunk=4096)  # bytes that the definition scans at once
def _bytes(rng: np.random.Generator, n: int) -> Arguments:
    """Bytes in which every size of difference, cut ends and sums beyond int32 occur."""
    data = rng.integers(-20, 20, n).astype(np.int8).view(np.uint8)
    leads = (b"\x80", b"\x80\x00\x80", b"\x80\x00\x80\x00\x00\x00\x80")
    for lead in leads:
        for at in rng.integers(0, max(n, 1), max(n // 40, 1)):
            if at + len(lead) <= n:
                data[at : at + len(lead)] = np.frombuffer(lead, np.uint8)
    return {"data": data, "n_pixels": int(rng.choice([n, n // 2, n + 3]))}
