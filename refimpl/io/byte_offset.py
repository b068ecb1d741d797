r"""Byte-offset compression of CBF images: differences between neighbouring pixels, escaped by size.

The value starts at 0. A difference is an int8; where that is -128 it is the int16 that follows;
where that is -32768 the int32 after it; where that is :math:`-2^{31}` the int64 after it (all
little endian). Source: CBFlib, ``x-CBF_BYTE_OFFSET``. The two directions are inverse for every
array of int32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import twin

__all__ = ["decode_byte_offset", "encode_byte_offset"]

_WIDER = ((2, "<i2", -(1 << 15)), (4, "<i4", -(1 << 31)), (8, "<i8", None))
"""Size of each longer difference, its type, and the value that says that the next one follows."""


@twin("arithmetic", data="u1 n")
def decode_byte_offset(
    data: NDArray[np.uint8], n_pixels: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Pixels of compressed bytes.

    Parameters
    ----------
    data
        (n,) compressed bytes.
    n_pixels
        Number of pixels expected; what follows them is not read.

    Returns
    -------
    pixels
        (n_pixels,) in the order of storage; 0 after the end of the data.
    end
        (3,) pixels decoded, bytes used, pixels that int32 cannot hold (their low 32 bits are
        given).
    """
    differences = np.zeros(n_pixels, dtype=np.int64)
    at = n_found = 0
    while n_found < n_pixels and at < len(data):
        # one run of plain bytes up to the next escape, then the escaped difference
        run = data[at : at + n_pixels - n_found]
        escapes = np.flatnonzero(run[:_RUN] == 0x80)
        n_plain = int(escapes[0]) if len(escapes) else len(run[:_RUN])
        differences[n_found : n_found + n_plain] = run[:n_plain].view(np.int8)
        n_found, at = n_found + n_plain, at + n_plain
        if not len(escapes):
            continue
        start = at + 1
        for size, kind, wider in _WIDER:
            stop = start + size
            if stop > len(data):
                return _ended(differences, n_found, at)
            value = int(np.frombuffer(data[start:stop].tobytes(), kind)[0])
            start = stop
            if value != wider:
                break
        differences[n_found] = value
        n_found, at = n_found + 1, stop
    return _ended(differences, n_found, at)


_RUN = 4096
"""Bytes looked at for the next escape: bounds the work where escapes are many."""


def _ended(
    differences: NDArray[np.int64], n_found: int, at: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Sum the differences, of which those after the first ``n_found`` are no pixels."""
    values = np.cumsum(differences)
    values[n_found:] = 0
    pixels = values.astype(np.int32)
    return pixels, np.array([n_found, at, np.count_nonzero(pixels != values)], dtype=np.int64)


def encode_byte_offset(pixels: NDArray[np.int32]) -> bytes:
    """Compressed bytes of pixels, in the order of storage; see :func:`decode_byte_offset`."""
    values = np.asarray(pixels, dtype=np.int32).ravel().astype(np.int64)
    differences = np.diff(values, prepend=np.int64(0))
    size = np.abs(differences)
    # -128, -32768 and -2^31 are the escapes themselves: such differences need the next size
    level = (size > 127).astype(np.int64) + (size > 32767) + (size > (1 << 31) - 1)
    length = np.array([1, 3, 7, 15])[level]
    start = np.cumsum(length) - length
    out = np.zeros(int(length.sum()), dtype=np.uint8)
    plain = level == 0
    out[start[plain]] = differences[plain].astype(np.int8).view(np.uint8)
    for k, (lead, kind) in enumerate(_LEADS, start=1):
        rows = level == k
        body = np.ascontiguousarray(differences[rows].astype(kind)).view(np.uint8)
        body = body.reshape(-1, np.dtype(kind).itemsize)
        whole = np.concatenate(
            [np.broadcast_to(np.frombuffer(lead, np.uint8), (len(body), len(lead))), body], axis=1
        )
        out[start[rows][:, None] + np.arange(whole.shape[1])] = whole
    return out.tobytes()


_LEADS = ((b"\x80", "<i2"), (b"\x80\x00\x80", "<i4"), (b"\x80\x00\x80\x00\x00\x00\x80", "<i8"))
"""Escapes before each longer difference, and its type."""
