"""Twin of refimpl/objective/overlap_counts.py: same formulas, same order of operations."""

import numpy as np

from cython.parallel cimport prange

from refimpl._ext.overlap_core cimport Scene, check, count_voxel, set_scene

from refimpl._ext.nearfield_spots import reflection_table

cdef int SERIAL = 8  # below this many pairs a parallel region costs more than it saves


def count_overlap(
    const double[:, :, ::1] vertices,      # IN (n, k, 2) [mm]
    const double[:, :, ::1] orientations,  # IN (n, 3, 3)
    const unsigned char[::1] single,       # IN (n)
    const double[:, ::1] g,                # IN (h, 3) [1/A]
    const double[::1] theta_rad,           # IN (h)
    const double[:, ::1] ranges,           # IN (w, 2) [rad]
    const double[:, ::1] boxes,            # IN (w, 4) [mm]
    const double[::1] camera,              # IN (15)
    const double[:, ::1] distances,        # IN (d, 4)
    const double[::1] scan,                # IN (3)
    const unsigned long long[:, ::1] coarse,  # IN (d, c)
    const int[:, ::1] rank,                # IN (d, c)
    const unsigned int[:, ::1] tiles,      # IN (t, 32)
    bint published,
    int threads=1,
):
    """Return counts (n, 2 + d); see the definition."""
    cdef Py_ssize_t n = vertices.shape[0], i
    cdef int k = <int> vertices.shape[1]
    cdef Scene c
    cdef const double[:, ::1] table = reflection_table(g, theta_rad, distances[0, 0])
    check(vertices.shape[1], distances.shape[0])
    set_scene(
        &c, table, ranges, boxes, camera, distances, scan, published, coarse, rank, tiles
    )
    counts = np.zeros((n, 2 + distances.shape[0]), dtype=np.int32)
    cdef int[:, ::1] out = counts
    for i in prange(
        n, nogil=True, num_threads=threads if n > SERIAL else 1, schedule="dynamic", chunksize=4
    ):
        count_voxel(
            &c, &orientations[i, 0, 0], &vertices[i, 0, 0], k, single[i] != 0, &out[i, 0],
            &out[i, 2],
        )
    return counts
