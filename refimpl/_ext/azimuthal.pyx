"""Twins of refimpl/imaging/azimuthal.py: add pixels to bins in one streaming pass."""

import numpy as np

from cython.parallel cimport prange

cdef int SERIAL = 20000      # fewer pixels than this are not worth waking threads

ctypedef fused number:
    signed char
    short
    int
    long long
    unsigned char
    unsigned short
    unsigned int
    unsigned long long
    float
    double


cdef inline unsigned int place(int b, unsigned int n_bins) noexcept nogil:
    """Bin, or the spare one behind the last for anything that is no bin."""
    return <unsigned int> b if <unsigned int> b < n_bins else n_bins


cdef void add_block(
    const number* values, const int* bins, Py_ssize_t n, unsigned int n_bins, int lanes,
    double* table
) noexcept nogil:
    """Four lanes keep neighbours that fall into one bin from waiting for each other."""
    cdef Py_ssize_t i = 0, wide = <Py_ssize_t> n_bins + 1
    cdef double* b
    cdef double* c
    cdef double* d
    if lanes == 4:
        b = table + wide
        c = b + wide
        d = c + wide
        while i + 4 <= n:
            table[place(bins[i], n_bins)] += <double> values[i]
            b[place(bins[i + 1], n_bins)] += <double> values[i + 1]
            c[place(bins[i + 2], n_bins)] += <double> values[i + 2]
            d[place(bins[i + 3], n_bins)] += <double> values[i + 3]
            i += 4
        for i in range(i, n):  # blocks begin at a multiple of the lanes
            table[(i & 3) * wide + place(bins[i], n_bins)] += <double> values[i]
    else:
        for i in range(n):
            table[place(bins[i], n_bins)] += <double> values[i]


cdef void add_shares(
    const number* values, Py_ssize_t n_values, const int* pixel, const int* bins,
    const unsigned char* share, Py_ssize_t n, unsigned int n_bins,
    double* linear, double* squared
) noexcept nogil:
    cdef Py_ssize_t i, p
    cdef unsigned int b
    cdef double s, v
    for i in range(n):
        b = place(bins[i], n_bins)
        p = pixel[i]
        if p < 0 or p >= n_values:
            p = 0
            b = n_bins
        s = share[i]
        v = s * <double> values[p]
        linear[b] += v
        squared[b] += s * v


cdef void reduce(const double[:, ::1] tables, double[::1] out) noexcept nogil:
    """Add the tables in order; the spare bin is left out."""
    cdef Py_ssize_t t, b
    for t in range(tables.shape[0]):
        for b in range(out.shape[0]):
            out[b] += tables[t, b]


def _bin_sums(
    const number[::1] values, const int[::1] bins, double[:, ::1] tables, unsigned int n_bins,
    Py_ssize_t blocks, int threads,
):
    cdef Py_ssize_t n = bins.shape[0], k, first, size
    cdef int lanes = tables.shape[0] // blocks
    cdef int team = min(threads, <int> blocks) if n > SERIAL else 1
    if n == 0:
        return
    size = (n + blocks * lanes - 1) // (blocks * lanes) * lanes
    for k in prange(blocks, nogil=True, num_threads=team, schedule="dynamic", chunksize=1):
        first = k * size
        if first < n:
            add_block(&values[first], &bins[first], min(size, n - first), n_bins, lanes,
                      &tables[k * lanes, 0])


def bin_sums(
    values,                  # IN (n) any real type
    const int[::1] bins,     # IN (n)
    int n_bins,
    int blocks,
    int lanes,
    int threads=1,
):
    """Return the sum of each bin (n_bins); see the definition."""
    if lanes != 1 and lanes != 4:
        raise ValueError(f"bin_sums: lanes = {lanes}: expected 1 or 4")
    tables = np.zeros((blocks * lanes, n_bins + 1))
    _bin_sums(np.ascontiguousarray(values), bins, tables, n_bins, blocks, threads)
    if len(tables) == 1:  # a table of a large cake is not copied
        return tables[0, :n_bins]
    sums = np.zeros(n_bins)
    reduce(tables, sums)
    return sums


def _split_sums(
    const number[::1] values, const int[::1] pixel, const int[::1] bins,
    const unsigned char[::1] share, double[:, :, ::1] tables, unsigned int n_bins,
    int threads,
):
    cdef Py_ssize_t n = bins.shape[0], blocks = tables.shape[1], k, first, size
    cdef int team = min(threads, <int> blocks) if n > SERIAL else 1
    if n == 0 or values.shape[0] == 0:
        return
    size = (n + blocks - 1) // blocks
    for k in prange(blocks, nogil=True, num_threads=team, schedule="dynamic", chunksize=1):
        first = k * size
        if first < n:
            add_shares(&values[0], values.shape[0], &pixel[first], &bins[first], &share[first],
                       min(size, n - first), n_bins, &tables[0, k, 0], &tables[1, k, 0])


def split_sums(
    values,                          # IN (n) any real type
    const int[::1] pixel,            # IN (m)
    const int[::1] bins,             # IN (m)
    const unsigned char[::1] share,  # IN (m)
    int n_bins,
    int blocks,
    int threads=1,
):
    """Return sums of share * value and share**2 * value (n_bins); see the definition."""
    linear, squared = np.zeros(n_bins), np.zeros(n_bins)
    tables = np.zeros((2, blocks, n_bins + 1))
    _split_sums(np.ascontiguousarray(values), pixel, bins, share, tables, n_bins, threads)
    reduce(tables[0], linear)
    reduce(tables[1], squared)
    return linear, squared
