# What the twins of the overlap share: look-up of lit pixels, count of one spot and of one voxel
# with one orientation; formulas of objective/overlap_counts.py.
from libc.math cimport cos, floor, round, sin

from refimpl._ext.nearfield_geometry cimport (
    BLOCK, Crossings, Selection, Spot, View, in_footprint, look_from, on_tilted, orient,
    project, seen_in_block, spot_of_root,
)

cdef enum:
    MOST_CORNERS = 8
    MOST_DISTANCES = 16


cdef struct Scene:
    View view
    Selection selection
    const double* table         # (8, h), see nearfield_arithmetic.h
    Py_ssize_t h
    const double* distance      # (d, 4): Lsd, beam centre Y, Z, Lsd / Lsd0
    int d
    int ny
    int nz
    double start
    double step
    int frames
    bint published
    const unsigned long long* coarse  # lit pixels, see detector/lit_pixels.py
    const int* rank
    const unsigned int* tiles
    Py_ssize_t words
    int ty
    int tz


cdef inline int check(Py_ssize_t corners, Py_ssize_t distances) except -1:
    """Refuse what the arrays of one spot would not hold."""
    if not 1 <= corners <= MOST_CORNERS:
        raise IndexError(f"voxels of {corners} corners: expected 1 to {MOST_CORNERS}")
    if not 1 <= distances <= MOST_DISTANCES:
        raise IndexError(f"{distances} distances: expected 1 to {MOST_DISTANCES}")
    return 0


cdef inline void set_scene(
    Scene* c, const double[:, ::1] table, const double[:, ::1] windows, const double[:, ::1] boxes,
    const double[::1] camera, const double[:, ::1] distances, const double[::1] scan,
    bint published, const unsigned long long[:, ::1] coarse, const int[:, ::1] rank,
    const unsigned int[:, ::1] tiles
) noexcept:
    """Point at the arrays, which must outlive the scene; see the definitions for what they are."""
    cdef double wedge = camera[12], lean = 0.0 if camera[13] != 0.0 else wedge
    c.h = table.shape[1]
    c.table = &table[0, 0] if c.h else NULL
    c.d, c.distance = <int> distances.shape[0], &distances[0, 0]
    c.ny, c.nz = <int> camera[10], <int> camera[11]
    c.start, c.step, c.frames = scan[0], scan[1], <int> scan[2]
    c.published = published
    look_from(
        &c.view, &camera[0], distances[0, 0], distances[0, 1], distances[0, 2], camera[9],
        cos(lean), sin(lean),
    )
    c.selection.k = windows.shape[0]
    c.selection.ranges = &windows[0, 0] if c.selection.k else NULL
    c.selection.boxes = &boxes[0, 0] if c.selection.k else NULL
    c.selection.cos_pole = cos(camera[14])
    c.selection.cos_wedge, c.selection.sin_wedge = cos(lean), sin(lean)
    c.selection.cos_published, c.selection.sin_published = cos(wedge), sin(wedge)
    c.selection.published = camera[13] != 0.0
    c.coarse, c.words = &coarse[0, 0], coarse.shape[1]
    c.rank = &rank[0, 0]
    c.tiles = &tiles[0, 0] if tiles.shape[0] else NULL
    c.ty, c.tz = (c.ny + 31) // 32, (c.nz + 31) // 32


cdef inline int frame_of(const Scene* c, double omega) noexcept nogil:
    """Frame of an angle; -1 outside the scan."""
    cdef double f = floor((omega - c.start) / c.step)
    return <int> f if f >= 0.0 and f < c.frames else -1


cdef inline int whole(double x) noexcept nogil:
    """Floor as an int; NaN and what no detector reaches become -2^30."""
    x = floor(x)
    return <int> x if x > -1073741824.0 and x < 1073741824.0 else -1073741824


cdef inline int set_bits(unsigned long long x) noexcept nogil:
    x = x - ((x >> 1) & 0x5555555555555555ULL)
    x = (x & 0x3333333333333333ULL) + ((x >> 2) & 0x3333333333333333ULL)
    x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0FULL
    return <int> ((x * 0x0101010101010101ULL) >> 56)


cdef inline bint is_lit(const Scene* c, int d, int frame, int y, int z) noexcept nogil:
    cdef Py_ssize_t k = (<Py_ssize_t> frame * c.ty + (y >> 5)) * c.tz + (z >> 5)
    cdef Py_ssize_t at = d * c.words + (k >> 6), tile
    cdef unsigned long long word = c.coarse[at]
    cdef int bit = k & 63
    if not (word >> bit) & 1:
        return False
    tile = c.rank[at] + set_bits(word & (((<unsigned long long> 1) << bit) - 1))
    return (c.tiles[tile * 32 + (y & 31)] >> (z & 31)) & 1


cdef inline bint count_pixel(
    const Scene* c, const int* y0, const int* z0, int oy, int oz, int frame, int* count, int* each
) noexcept nogil:
    """One pixel of a footprint: False where a distance does not see it; `each` may be NULL."""
    cdef int d, y, z
    cdef bint every = True
    for d in range(c.d):
        y, z = y0[d] + oy, z0[d] + oz
        if y < 0 or y >= c.ny or z < 0 or z >= c.nz:
            return False
    count[0] += 1
    for d in range(c.d):
        if is_lit(c, d, frame, y0[d] + oy, z0[d] + oz):
            if each != NULL:
                each[d] += 1
        else:
            every = False
            if each == NULL:
                break
    if every:
        count[1] += 1
    return True


cdef inline void count_spot(
    const Scene* c, double yl, double zl, double cs, double sn, int frame, double yc, double zc,
    const double* corner, int k, bint single, int* count, int* each
) noexcept nogil:
    """Add a spot's pixels to count = (total, overlap) and, if not NULL, to each distance."""
    cdef double y[MOST_CORNERS]
    cdef double z[MOST_CORNERS]
    cdef double mean_y = 0.0, mean_z = 0.0
    cdef int y0[MOST_DISTANCES]
    cdef int z0[MOST_DISTANCES]
    cdef const double* there
    cdef int i
    for i in range(k):
        project(&c.view, yl, zl, cs, sn, corner[2 * i], corner[2 * i + 1], &y[i], &z[i])
        if not (y[i] >= 0.0 and y[i] <= c.ny and z[i] >= 0.0 and z[i] <= c.nz):
            return
        y[i] = y[i] - yc
        z[i] = z[i] - zc
    for i in range(c.d):
        there = c.distance + 4 * i
        y0[i] = whole((yc - c.distance[1]) * there[3] + there[1])
        z0[i] = whole((zc - c.distance[2]) * there[3] + there[2])
    if single:
        for i in range(k):
            mean_y = mean_y + y[i]
            mean_z = mean_z + z[i]
        count_pixel(
            c, y0, z0, whole(round(mean_y / k)), whole(round(mean_z / k)), frame, count, each
        )
    else:
        count_polygon(c, y0, z0, y, z, k, frame, count, each)


cdef inline void count_polygon(
    const Scene* c, const int* y0, const int* z0, const double* y, const double* z, int k,
    int frame, int* count, int* each
) noexcept nogil:
    """Add the pixels of a polygon of relative corners y, z."""
    cdef long long vy[MOST_CORNERS]
    cdef long long vz[MOST_CORNERS]
    cdef long long area = 0, way = 1, y_low, y_high, z_low, z_high, py, pz
    cdef int i
    for i in range(k):
        vy[i], vz[i] = whole(round(y[i])), whole(round(z[i]))
        if i > 1:
            area += orient(vy[0], vz[0], vy[i - 1], vz[i - 1], vy[i], vz[i])
    if area < 0 and not c.published:
        way = -1
    y_low = y_high = vy[0]
    z_low = z_high = vz[0]
    for i in range(1, k):
        y_low, y_high = min(y_low, vy[i]), max(y_high, vy[i])
        z_low, z_high = min(z_low, vz[i]), max(z_high, vz[i])
    for pz in range(z_low, z_high + 1):
        for py in range(y_low, y_high + 1):
            if not in_footprint(vy, vz, k, way, py, pz):
                continue
            if not count_pixel(c, y0, z0, <int> py, <int> pz, frame, count, each):
                if c.published:
                    return


cdef inline void count_voxel(
    const Scene* c, const double* u, const double* corner, int k, bint single, int* count, int* each
) noexcept nogil:
    """Total and overlap of a voxel of orientation u."""
    cdef Crossings at
    cdef Spot spot
    cdef Py_ssize_t first = 0
    cdef double yc, zc
    cdef int j, m, n, root, frame
    while first < c.h:
        n = seen_in_block(&c.selection, u, c.table, c.h, first, &at)
        for m in range(n):
            j = at.which[m]
            for root in range(2):
                if not spot_of_root(
                    &c.selection, &at, j, root, c.table, c.h, first + j, &spot
                ):
                    continue
                frame = frame_of(c, spot.omega)
                if frame < 0:
                    continue
                on_tilted(&c.view, spot.yl, spot.zl, &yc, &zc)
                count_spot(
                    c, spot.yl, spot.zl, spot.cos, spot.sin, frame, yc, zc, corner, k, single,
                    count, each,
                )
        first += BLOCK
