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
    cdef Py_ssize_t i = 0, wide = n_bins + 1
    cdef double* b = table + wide
    cdef double* c = table + 2 * wide
    cdef double* d = table + 3 * wide
    if lanes == 4:
        while i + 4 <= n:
            table[place(bins[i], n_bins)] += <double> values[i]
            b[place(bins[i + 1], n_bins)] += <double> values[i + 1]
            c[place(bins[i + 2], n_bins)] += <double> values[i + 2]
            d[place(bins[i + 3], n_bins)] += <double> values[i + 3]
            i += 4
    while i < n:  # blocks begin at a multiple of the lanes
        table[(i % lanes) * wide + place(bins[i], n_bins)] += <double> values[i]
        i += 1


cdef void add_shares(
    const number* values, Py_ssize_t n_values, const int* pixel, const int* bins,
    const unsigned char* share, Py_ssize_t n, unsigned int n_bins, double* table
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
        table[b] += v
        table[n_bins + 1 + b] += s * v


cdef void reduce(const double* tables, Py_ssize_t count, Py_ssize_t wide, double[::1] out) noexcept nogil:
    """Add the tables in order; the spare bin is left out."""
    cdef Py_ssize_t t, b, n = out.shape[0]
    for t in range(count):
        for b in range(n):
            out[b] += tables[t * wide + b]


def _bin_sums(
    const number[::1] values, const int[::1] bins, double[:, ::1] tables, double[::1] out,
    Py_ssize_t blocks, int threads,
):
    cdef Py_ssize_t n = bins.shape[0], k, first, size
    cdef int lanes = tables.shape[0] // blocks
    cdef unsigned int n_bins = out.shape[0]
    cdef int team = threads if n > SERIAL else 1
    if n == 0:
        return
    size = (n + blocks * lanes - 1) // (blocks * lanes) * lanes
    for k in prange(blocks, nogil=True, num_threads=team, schedule="dynamic", chunksize=1):
        first = k * size
        if first < n:
            add_block(&values[first], &bins[first], min(size, n - first), n_bins, lanes,
                      &tables[k * lanes, 0])
    reduce(&tables[0, 0], tables.shape[0], tables.shape[1], out)


def bin_sums(
    values,                  # IN (n) any real type
    const int[::1] bins,     # IN (n)
    int n_bins,
    int blocks,
    int lanes,
    int threads=1,
):
    """Return the sum of each bin (n_bins); see the definition."""
    sums = np.zeros(n_bins)
    _bin_sums(np.ascontiguousarray(values), bins, np.zeros((blocks * lanes, n_bins + 1)), sums,
              blocks, threads)
    return sums


def _split_sums(
    const number[::1] values, const int[::1] pixel, const int[::1] bins,
    const unsigned char[::1] share, double[:, :, ::1] tables, double[::1] first_out,
    double[::1] second_out, int threads,
):
    cdef Py_ssize_t n = bins.shape[0], blocks = tables.shape[0], k, first, size
    cdef unsigned int n_bins = first_out.shape[0]
    cdef int team = threads if n > SERIAL else 1
    if n == 0 or values.shape[0] == 0:
        return
    size = (n + blocks - 1) // blocks
    for k in prange(blocks, nogil=True, num_threads=team, schedule="dynamic", chunksize=1):
        first = k * size
        if first < n:
            add_shares(&values[0], values.shape[0], &pixel[first], &bins[first], &share[first],
                       min(size, n - first), n_bins, &tables[k, 0, 0])
    reduce(&tables[0, 0, 0], blocks, 2 * tables.shape[2], first_out)
    reduce(&tables[0, 1, 0], blocks, 2 * tables.shape[2], second_out)


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
    _split_sums(np.ascontiguousarray(values), pixel, bins, share,
                np.zeros((blocks, 2, n_bins + 1)), linear, squared, threads)
    return linear, squared
