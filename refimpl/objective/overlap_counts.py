r"""How much of what a voxel of an orientation should show is lit: the counts behind confidence.

For each spot within the scan whose projected corners are all on the detector, each pixel of the
voxel's footprint that every distance sees counts in the total; it counts in the overlap if it is
lit at every distance, in its frame: :math:`C = \mathrm{overlap} / \mathrm{total}`, 0 if the total
is 0. Pooled over the spots, no intensities, no tolerance.

Source: near-field specification 1.9. The published program drops, at the detector's edge, a
footprint pixel *and all later ones of that spot*, which depends on the order in which it looks;
here that is ``published``, with its filling of clockwise triangles, and by default only the pixel
itself is dropped. Vectors are in the MIDAS near-field frame. Not here: which orientations to try
(:mod:`refimpl.objective.overlap`), climbing (:mod:`refimpl.objective.overlap_climb`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_finite
from refimpl.detector.lit_pixels import lit_at
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_projection import footprint_pixels, projected, round_away
from refimpl.forward.nearfield_spots import theory_spots
from refimpl.frames import F64, I64

__all__ = ["SCENE", "Place", "check_scene", "count_overlap", "count_voxel", "turned_spots"]

I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

SCENE = {
    "g": "f8 h,3", "theta_rad": "f8 h", "ranges": "f8 w,2", "boxes": "f8 w,4", "camera": "f8 15",
    "distances": "f8 d,4", "scan": "f8 3", "coarse": "u8 d,c", "rank": "i4 d,c", "tiles": "u4 t,32",
}  # fmt: skip
"""Arguments that describe a setup and its lit pixels, the same for every pair here."""

MOST_CORNERS, MOST_DISTANCES = 8, 16
"""What the twins have room for."""

MOST_PIXELS = 2**20
"""Largest number of rows, columns or frames."""


@dataclass(frozen=True, eq=False)
class Place:
    """The detector and what is lit on it, as the definitions below need them.

    Attributes
    ----------
    camera, distances, coarse, rank, tiles, published
        As of :func:`count_overlap`.
    """

    camera: F64
    distances: F64
    coarse: U64
    rank: I32
    tiles: U32
    published: bool

    @property
    def shape(self) -> tuple[int, int]:
        """NY, NZ."""
        return int(self.camera[10]), int(self.camera[11])

    def project(self, spots: F64, points: F64) -> F64:
        """(s, k, 2) pixels Y, Z of spots (s, 4) from points (k, 2) of the sample: (3) and (4)."""
        yl, zl, c, s = (spots[:, i, None] for i in range(4))
        lean = 0.0 if self.camera[13] else self.camera[12]
        along = points[:, 0] * c - points[:, 1] * s
        across = points[:, 0] * s + points[:, 1] * c
        xyz = np.stack([np.cos(lean) * along, across, np.sin(lean) * along], axis=-1)
        lsd, centre = float(self.distances[0, 0]), self.distances[0, 1:3]
        rotation, per_mm = self.camera[:9].reshape(3, 3), 1.0 / float(self.camera[9])
        return np.stack(projected(yl, zl, xyz, rotation, lsd, centre, per_mm), axis=-1)


def count_voxel(place: Place, spots: F64, frame: I64, corner: F64, single: bool) -> I32:
    """Count (2 + d,) total, overlap and lit at each distance, of one voxel and its spots.

    Parameters
    ----------
    place
        Detector and lit pixels.
    spots
        (s, 4) yl, zl [mm], cosine and sine of omega.
    frame
        (s,) negative for spots outside the scan.
    corner
        (k, 2) [mm].
    single
        The voxel is as small as a pixel: it touches one, at its mean offset.
    """
    ny, nz = place.shape
    spots, frame = spots[frame >= 0], frame[frame >= 0]
    at = place.project(spots, corner)
    centre = place.project(spots, np.zeros((1, 2)))[:, 0]
    with np.errstate(invalid="ignore"):
        seen = ((at >= 0.0) & (at <= (ny, nz))).all(axis=(1, 2))
    at, centre, frame = at[seen], centre[seen], frame[seen]
    first = place.distances[0, 1:3]
    ratio = place.distances[:, 3][:, None]
    base = np.floor((centre[:, None] - first) * ratio + place.distances[:, 1:3]).astype(np.int64)
    offset = at - centre[:, None]
    if single:
        mean = np.cumsum(offset, axis=1)[:, -1] / len(corner)
        pixels, owner = round_away(mean), np.arange(len(at))
    else:
        parts = [
            np.stack(footprint_pixels(*round_away(o).T, published=place.published), axis=-1)
            for o in offset
        ]
        pixels = np.concatenate([np.zeros((0, 2), np.int64), *parts])
        owner = np.repeat(np.arange(len(at)), [len(p) for p in parts])
    pixel = base[owner] + pixels[:, None]
    inside = ((pixel >= 0) & (pixel < (ny, nz))).all(axis=(1, 2))
    if place.published:  # the first pixel that is off ends its spot
        off = np.flatnonzero(~inside)
        ended = np.full(len(at), len(owner))
        np.minimum.at(ended, owner[off], off)
        inside = np.arange(len(owner)) < ended[owner]
    pixel, frame = pixel[inside], frame[owner[inside]]
    tiles = -(-ny // 32), -(-nz // 32)
    lit = [
        lit_at(
            place.coarse, place.rank, place.tiles, tiles, d, frame, pixel[:, d, 0], pixel[:, d, 1]
        )
        for d in range(len(place.distances))
    ]
    counts = [len(pixel), np.logical_and.reduce(lit).sum(), *(one.sum() for one in lit)]
    return np.array(counts, dtype=np.int32)


def turned_spots(yl: F64, zl: F64, omega: F64, scan: F64) -> tuple[F64, I64]:
    """Spots (s, 4) yl, zl, cos, sin and frames (s,), negative outside the scan."""
    frame = np.floor((omega - scan[0]) / scan[1])
    frame = np.where((frame >= 0.0) & (frame < scan[2]), frame, -1.0).astype(np.int64)
    return np.stack([yl, zl, np.cos(omega), np.sin(omega)], axis=-1), frame


def spots_of(
    u: F64, g: F64, theta_rad: F64, ranges: F64, boxes: F64, camera: F64, scan: F64, lsd0_mm: float
) -> tuple[F64, I64]:
    """Spots and frames as of :func:`turned_spots`, of u (3, 3)."""
    yl, zl, omega, _, _ = theory_spots(
        u[None], g, theta_rad, ranges, boxes, camera[14], camera[12],
        bool(camera[13]), lsd0_mm, backend="python",
    )  # type: ignore[call-arg]  # fmt: skip
    return turned_spots(yl, zl, omega, scan)


def check_scene(
    corners: int, camera: F64, distances: F64, scan: F64, coarse: U64, rank: I32, tiles: U32
) -> None:
    """Refuse a scene that a loop would follow out of its arrays.

    Parameters
    ----------
    corners
        Of a voxel.
    camera, distances, scan, coarse, rank, tiles
        See :func:`count_overlap`.

    Raises
    ------
    IndexError
        Corners or distances are more than the loops have room for, or none.
    ConfigError
        The detector or the frames are no numbers of pixels and frames, or the lit pixels are not
        those of such frames.
    """
    if not 1 <= corners <= MOST_CORNERS:
        raise IndexError(f"voxels of {corners} corners: expected 1 to {MOST_CORNERS}")
    if not 1 <= len(distances) <= MOST_DISTANCES:
        raise IndexError(f"{len(distances)} distances: expected 1 to {MOST_DISTANCES}")
    for name, size in (("NY", camera[10]), ("NZ", camera[11]), ("frames", scan[2])):
        if not 0.0 <= size <= MOST_PIXELS:
            raise ConfigError(f"{name} = {size}: expected 0 to {MOST_PIXELS}", got=size)
    if not camera[9] > 0.0:
        raise ConfigError(f"pixel size = {camera[9]} mm: expected above 0", got=camera[9])
    ny, nz, frames = int(camera[10]), int(camera[11]), int(scan[2])
    words, tiles_of_all = coarse.shape[1], frames * ((ny + 31) // 32) * ((nz + 31) // 32)
    if 64 * words < tiles_of_all:
        raise ConfigError(f"coarse has {words} words: expected {-(-tiles_of_all // 64)} or more")
    if words and (rank.min() < 0 or (rank + np.bitwise_count(coarse)).max() > len(tiles)):
        raise ConfigError(f"rank points beyond the {len(tiles)} stored tiles")


def _check_counted(
    vertices: F64, camera: F64, distances: F64, scan: F64, coarse: U64, rank: I32, tiles: U32
) -> None:
    check_scene(vertices.shape[1], camera, distances, scan, coarse, rank, tiles)
    check_finite(wedge=camera[12], pole=camera[14])


@twin(
    "arithmetic", check=_check_counted, vertices="f8 n,k,2", orientations="f8 n,3,3",
    single="u1 n", **SCENE,
)  # fmt: skip
def count_overlap(
    vertices: F64,
    orientations: F64,
    single: U8,
    g: F64,
    theta_rad: F64,
    ranges: F64,
    boxes: F64,
    camera: F64,
    distances: F64,
    scan: F64,
    coarse: U64,
    rank: I32,
    tiles: U32,
    published: bool,
) -> I32:
    r"""Count what voxels show and what of it is lit, each with an orientation of its own.

    Parameters
    ----------
    vertices
        (n, k, 2) corners [mm] in the sample, 1 to 8.
    orientations
        (n, 3, 3) crystal to sample; one with NaN has no spots.
    single
        (n,) 1 for a voxel as small as a pixel.
    g
        (h, 3) reciprocal vectors in the crystal [1/Å].
    theta_rad
        (h,) Bragg angles.
    ranges, boxes
        (w, 2) omega [rad] and (w, 4) [mm] that count, see
        :func:`refimpl.forward.nearfield_spots.theory_spots`.
    camera
        (15,): tilt R row by row, pixel size [mm], NY, NZ, wedge [rad], 1 for the published wedge,
        exclusion of the pole [rad].
    distances
        (d, 4): Lsd [mm], beam centre Y, Z [px], Lsd / Lsd of the first; at most 16.
    scan
        (3,): start, step [rad], number of frames.
    coarse, rank, tiles
        Of :class:`refimpl.detector.lit_pixels.LitPixels`.
    published
        Count at the detector's edge, and fill clockwise polygons, as MIDAS C does.

    Returns
    -------
    (n, 2 + d): total, overlap, and pixels lit at each distance whatever the others show.

    Notes
    -----
    Source: near-field specification 1.9. Twin: ``refimpl/_ext/overlap_counts.pyx``.
    """
    place = Place(camera, distances, coarse, rank, tiles, published)
    out = np.zeros((len(vertices), 2 + len(distances)), dtype=np.int32)
    for i, (corner, u) in enumerate(zip(vertices, orientations, strict=True)):
        lsd0 = float(distances[0, 0])
        spots, frame = spots_of(u, g, theta_rad, ranges, boxes, camera, scan, lsd0)
        out[i] = count_voxel(place, spots, frame, corner, bool(single[i]))
    return out
