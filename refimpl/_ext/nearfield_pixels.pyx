"""Twin of refimpl/forward/nearfield_pixels.py: same formulas, same order of operations."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport cos, floor, round, sin
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from refimpl._ext.nearfield_geometry cimport (
    BLOCK, Places, frames_of, in_footprint, look_from, orient, place_spots,
)
from refimpl._ext.nearfield_hits cimport CORNERS, Hits, Scene, add, met, touched

cdef int SERIAL = 64  # below this many voxels a parallel region costs more than it saves
cdef int CHUNK = 16  # voxels that share a list of hits


cdef void carry(
    Scene* w, double yc, double zc, long long oy, long long oz, Py_ssize_t voxel, long long frame,
    Hits* hits,
) noexcept nogil:
    """One pixel of a footprint at each distance in turn, up to the first that misses it."""
    cdef Py_ssize_t d
    cdef double y, z  # a far distance may be NaN or huge, which no integer holds
    for d in range(w.n_distances):
        y = floor((yc - w.centre[0]) * w.ratio[d] + w.centre[2 * d]) + oy
        z = floor((zc - w.centre[1]) * w.ratio[d] + w.centre[2 * d + 1]) + oz
        if not (0.0 <= y < w.ny and 0.0 <= z < w.nz):
            return
        add(hits, voxel, d, frame, <long long> y, <long long> z)


cdef void scaled(
    Scene* w, const Places* p, int at, bint filled, Py_ssize_t voxel, Hits* hits
) noexcept nogil:
    """Hits of one of the placed spots."""
    cdef double yc = p.yc[at], zc = p.zc[at]
    cdef long long frame = <long long> p.frame[at]
    cdef long long vy[CORNERS]
    cdef long long vz[CORNERS]
    cdef long long y0, y1, z0, z1, by, bz, py, pz, area = 0, way = 1
    cdef int i, j, k = w.corners
    if not filled:
        carry(w, yc, zc, <long long> p.oy[at], <long long> p.oz[at], voxel, frame, hits)
        return
    for i in range(k):
        vy[i], vz[i] = <long long>round(p.y[i][at] - yc), <long long>round(p.z[i][at] - zc)
    y0, y1, z0, z1 = vy[0], vy[0], vz[0], vz[0]
    for i in range(k):
        j = i + 1 if i + 1 < k else 0
        y0, y1 = min(y0, vy[i]), max(y1, vy[i])
        z0, z1 = min(z0, vz[i]), max(z1, vz[i])
        area += orient(vy[0], vz[0], vy[i], vz[i], vy[j], vz[j])
    if area < 0 and not w.published:
        way = -1
    # what the first distance does not see is dropped anyway
    by = <long long>floor((yc - w.centre[0]) + w.centre[0])
    bz = <long long>floor((zc - w.centre[1]) + w.centre[1])
    y0, y1 = max(y0, -by), min(y1, w.ny - 1 - by)
    z0, z1 = max(z0, -bz), min(z1, w.nz - 1 - bz)
    for pz in range(z0, z1 + 1):
        for py in range(y0, y1 + 1):
            if in_footprint(vy, vz, k, way, py, pz):
                carry(w, yc, zc, py, pz, voxel, frame, hits)


cdef void exactly(
    Scene* w, double yl, double zl, double c, double s, const double* corner,
    Py_ssize_t voxel, long long frame, Hits* hits,
) noexcept nogil:
    cdef double ry = yl / w.lsd[0], rz = zl / w.lsd[0], xa, ya
    cdef Py_ssize_t d
    cdef bint seen
    cdef int i
    for d in range(w.n_distances):
        seen = True
        for i in range(w.corners):
            xa = corner[2 * i] * c - corner[2 * i + 1] * s
            ya = corner[2 * i] * s + corner[2 * i + 1] * c
            if not met(
                w, d, ry, rz, w.view.cos_wedge * xa, ya, w.view.sin_wedge * xa,
                &w.ay[i], &w.az[i],
            ):
                seen = False
        if seen:
            touched(w, d, voxel, frame, hits)


cdef void block_of_spots(
    Scene* w, const double* yl, const double* zl, const double* omega, Py_ssize_t n,
    const double* corner, bint filled, Py_ssize_t voxel, Places* p, Hits* hits,
) noexcept nogil:
    """Hits of at most BLOCK spots of a voxel."""
    cdef Py_ssize_t i
    cdef int m = 0, j
    frames_of(omega, n, w.start, w.step, <double> w.n_frames, p.yc)
    for i in range(n):
        if p.yc[i] >= 0.0:
            p.yl[m], p.zl[m], p.frame[m] = yl[i], zl[i], p.yc[i]
            p.cos_omega[m], p.sin_omega[m] = cos(omega[i]), sin(omega[i])
            m += 1
    if w.exact:
        for j in range(m):
            exactly(
                w, p.yl[j], p.zl[j], p.cos_omega[j], p.sin_omega[j], corner, voxel,
                <long long> p.frame[j], hits,
            )
        return
    place_spots(&w.view, corner, w.corners, <double> w.ny, <double> w.nz, m, p)
    for j in range(m):
        if p.near[j] and (filled or p.one[j]):
            scaled(w, p, j, filled, voxel, hits)


cdef void chunk_of_voxels(
    Scene w, const double[:, :, ::1] vertices, const double[::1] edge,
    const long long[:, ::1] key, const double[::1] yl, const double[::1] zl,
    const double[::1] omega, Py_ssize_t first, Py_ssize_t last, Hits* hits,
) noexcept nogil:
    """Hits of some voxels; the scene is this chunk's own copy."""
    cdef Places p
    cdef Py_ssize_t voxel, i, end
    for voxel in range(first, last):
        i, end = key[voxel, 1], key[voxel, 1] + key[voxel, 0]
        while i < end:
            block_of_spots(
                &w, &yl[i], &zl[i], &omega[i], min(<Py_ssize_t> BLOCK, end - i),
                &vertices[voxel, 0, 0], edge[voxel] > w.pixel, voxel, &p, hits,
            )
            i = i + BLOCK


cdef gather(const Hits* lists, Py_ssize_t n):
    """All hits as one array."""
    cdef Py_ssize_t i, total = 0
    for i in range(n):
        if lists[i].full:
            raise MemoryError("no memory for the hits: feed fewer voxels at a time")
        total += lists[i].n
    out = np.empty((total, 5), dtype=np.int32)
    cdef int[:, ::1] o = out
    total = 0
    for i in range(n):
        if lists[i].n:
            memcpy(&o[total, 0], lists[i].row, lists[i].n * 5 * sizeof(int))
        total += lists[i].n
    return out


def voxel_pixels(
    const double[:, :, ::1] vertices_mm,     # IN (n, k, 2) sample
    const double[::1] edge_mm,               # IN (n)
    const long long[:, ::1] key,             # IN (n, 2)
    const double[::1] yl_mm,                 # IN (s)
    const double[::1] zl_mm,                 # IN (s)
    const double[::1] omega_rad,             # IN (s)
    const double[:, ::1] rotation,           # IN (3, 3)
    const double[::1] lsd_mm,                # IN (d)
    const double[:, ::1] beam_centre_px,     # IN (d, 2)
    double pixel_size_mm,
    const long long[::1] shape_px,           # IN (2)
    double start_rad,
    double step_rad,
    long long n_frames,
    double wedge_rad,
    bint published_footprint,
    bint exact,
    int threads=1,
):
    """Return hits (h, 5): voxel, distance, frame, Y, Z; see the definition."""
    cdef Py_ssize_t n = vertices_mm.shape[0], i, chunks = (n + CHUNK - 1) // CHUNK
    cdef Scene w
    cdef Hits* lists
    if lsd_mm.shape[0] == 0:
        return np.empty((0, 5), dtype=np.int32)
    cdef double[::1] ratio = np.asarray(lsd_mm) / lsd_mm[0]
    look_from(
        &w.view, &rotation[0, 0], lsd_mm[0], beam_centre_px[0, 0], beam_centre_px[0, 1],
        pixel_size_mm, cos(wedge_rad), sin(wedge_rad),
    )
    w.rotation, w.lsd, w.ratio, w.centre = (
        &rotation[0, 0], &lsd_mm[0], &ratio[0], &beam_centre_px[0, 0]
    )
    w.n_distances, w.ny, w.nz = lsd_mm.shape[0], shape_px[0], shape_px[1]
    w.start, w.step, w.n_frames, w.pixel = start_rad, step_rad, n_frames, pixel_size_mm
    w.corners, w.published, w.exact = <int>vertices_mm.shape[1], published_footprint, exact
    lists = <Hits*>calloc(max(chunks, 1), sizeof(Hits))
    if lists == NULL:
        raise MemoryError("no memory for the lists of hits")
    try:
        for i in prange(
            chunks, nogil=True, num_threads=threads if n > SERIAL else 1, schedule="static"
        ):
            chunk_of_voxels(
                w, vertices_mm, edge_mm, key, yl_mm, zl_mm, omega_rad,
                i * CHUNK, min((i + 1) * CHUNK, n), &lists[i],
            )
        return gather(lists, chunks)
    finally:
        for i in range(chunks):
            free(lists[i].row)
        free(lists)
