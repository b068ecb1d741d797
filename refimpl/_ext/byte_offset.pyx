"""Twin of refimpl/io/byte_offset.py: one pass over the bytes. Sequential: threads play no part."""

import numpy as np

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    RUN = 16
    NEAR = 1 << 30


cdef inline uint64_t little(const uint8_t* p, int size) noexcept nogil:
    """Unsigned little-endian number of ``size`` bytes, whatever the machine's own order."""
    cdef uint64_t value = 0
    cdef int k
    for k in range(size):
        value |= (<uint64_t> p[k]) << (8 * k)
    return value


cdef inline bint is_plain(const uint8_t* p) noexcept nogil:
    """Whether none of the next RUN bytes announces a longer difference."""
    cdef int k, escapes = 0
    for k in range(RUN):
        escapes |= p[k] == 128
    return escapes == 0


cdef void decode(
    const uint8_t* p, Py_ssize_t n, int32_t* out, Py_ssize_t n_pixels, int64_t* end
) noexcept nogil:
    cdef Py_ssize_t at = 0, found = 0, start
    cdef uint64_t value = 0  # sums wrap, as NumPy's do
    cdef int64_t delta, wide = 0
    cdef int32_t near
    cdef int k
    while found < n_pixels and at < n:
        # most differences are single bytes: take RUN of them where no sum can leave 32 bits
        if (
            at + RUN <= n and found + RUN <= n_pixels and is_plain(p + at)
            and -NEAR < <int64_t> value < NEAR
        ):
            near = <int32_t> <int64_t> value
            for k in range(RUN):
                near += <int8_t> p[at + k]
                out[found + k] = near
            value = <uint64_t> <int64_t> near
            found += RUN
            at += RUN
            continue
        delta = <int8_t> p[at]
        start = at + 1
        if delta == -128:
            if start + 2 > n:
                break
            delta = <int16_t> <uint16_t> little(p + start, 2)
            start += 2
            if delta == -32768:
                if start + 4 > n:
                    break
                delta = <int32_t> <uint32_t> little(p + start, 4)
                start += 4
                if delta == -2147483648LL:
                    if start + 8 > n:
                        break
                    delta = <int64_t> little(p + start, 8)
                    start += 8
        value += <uint64_t> delta
        out[found] = <int32_t> <uint32_t> value
        if <int64_t> value != out[found]:
            wide += 1
        found += 1
        at = start
    end[0] = found
    end[1] = at
    end[2] = wide


def decode_byte_offset(const uint8_t[::1] data, Py_ssize_t n_pixels, int threads=1):
    pixels = np.zeros(n_pixels, dtype=np.int32)
    end = np.zeros(3, dtype=np.int64)
    cdef int32_t[::1] out = pixels
    cdef int64_t[::1] stop = end
    cdef uint8_t nothing = 0
    with nogil:
        decode(
            &data[0] if data.shape[0] else &nothing, data.shape[0],
            &out[0] if n_pixels else NULL, n_pixels, &stop[0],
        )
    return pixels, end
