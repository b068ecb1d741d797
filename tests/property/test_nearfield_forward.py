"""Laws that near-field spots and pixels obey whatever the geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refimpl.crystal.cell import b_matrix
from refimpl.forward.nearfield_pixels import voxel_pixels
from refimpl.forward.nearfield_setup import NearfieldDetector
from refimpl.forward.nearfield_spots import theory_spots
from refimpl.forward.nearfield_stack import model_image, raw_image
from refimpl.frames import F64
from refimpl.rotations import expmap, ry, rz
from refimpl.units import DEG

LAMBDA = 0.18
CUBIC = (4.08, 4.08, 4.08, 90.0, 90.0, 90.0)
INDICES = np.array([h for h in np.ndindex(5, 5, 5) if h != (2, 2, 2)]) - 2
G = INDICES @ b_matrix(CUBIC).T
THETA = np.arcsin(0.5 * LAMBDA * np.sqrt((G * G).sum(axis=1)))
EVERYWHERE = {
    "ranges_rad": np.array([[-4.0, 4.0]]),
    "boxes_mm": np.array([[-99.0, 99.0, -99.0, 99.0]]),
}
BACKENDS = pytest.mark.parametrize("backend", ["python", "cython"])
SEEDS = st.integers(0, 2**32 - 1)


def spots(u: F64, backend: str, wedge: float = 0.0, pole: float = 0.0) -> tuple[F64, ...]:
    return theory_spots(  # type: ignore[return-value]
        u, G, THETA, **EVERYWHERE, exclude_pole_rad=pole, wedge_rad=wedge, published_wedge=False,
        lsd0_mm=8.0, backend=backend,
    )  # type: ignore[call-arg]  # fmt: skip


def random_orientations(seed: int, n: int = 3) -> F64:
    rng = np.random.default_rng(seed)
    return np.array([expmap(rng.normal(size=3) * 2.0) for _ in range(n)])


@BACKENDS
@given(seed=SEEDS, wedge=st.floats(-0.05, 0.05))
def test_every_spot_diffracts(backend: str, seed: int, wedge: float) -> None:
    u = random_orientations(seed)
    yl, zl, omega, key, row = spots(u, backend, wedge)
    assert len(omega)
    owner = np.repeat(np.arange(len(u)), key[:, 0])
    g = np.einsum("sij,sj->si", u[owner], G[row])
    c, s = np.cos(omega), np.sin(omega)
    turned = np.stack([g[:, 0] * c - g[:, 1] * s, g[:, 0] * s + g[:, 1] * c, g[:, 2]], axis=-1)
    lab = turned @ ry(-wedge).T
    v = np.sin(THETA[row]) * np.sqrt((g * g).sum(axis=1))
    assert np.abs(lab[:, 0] + v).max() < 1e-12  # spec 8.1
    across = np.hypot(lab[:, 1], lab[:, 2])
    want = (8.0 * np.tan(2.0 * THETA[row]) / across)[:, None] * lab[:, 1:]
    # mm; a touching sphere loses half the digits, and such spots are near the pole
    loss = 1.0 / np.maximum(1e-9, 1.0 - (lab[:, 2] / across) ** 2)
    assert (np.abs(np.stack([yl, zl], axis=-1) - want) < 1e-12 * loss[:, None]).all()
    assert (omega > -np.pi).all()
    assert (omega <= np.pi).all()


@BACKENDS
@given(seed=SEEDS, wedge=st.floats(-0.05, 0.05))
def test_no_spot_is_missed(backend: str, seed: int, wedge: float) -> None:
    """Each sign change of equation (1) round the turn is one spot."""
    u = random_orientations(seed, 1)
    _, _, _, _, row = spots(u, backend, wedge)
    turn = np.linspace(-np.pi, np.pi, 2001)
    g = G @ u[0].T
    level = (
        np.cos(wedge) * (g[:, :1] * np.cos(turn) - g[:, 1:2] * np.sin(turn))
        - np.sin(wedge) * g[:, 2:]
        + (np.sin(THETA) * np.sqrt((G * G).sum(axis=1)))[:, None]
    )
    crossings = (np.diff(np.sign(level), axis=1) != 0).sum(axis=1)
    counted = np.bincount(row, minlength=len(G))
    # a touch between two samples shows no change of sign: at most those differ
    touching = np.abs(level).min(axis=1) < 1e-5
    np.testing.assert_array_equal(counted[~touching], crossings[~touching])


@BACKENDS
@given(seed=SEEDS)
def test_symmetry_gives_the_same_spots(backend: str, seed: int) -> None:
    """U and U S are one crystal: S a quarter turn of the cubic cell."""
    u = random_orientations(seed, 1)
    quarter = np.rint(rz(np.pi / 2.0))
    one, two = (np.array(spots(o, backend)[:3]) for o in (u, u @ quarter))
    assert one.shape == two.shape
    # hkl differ, so order by omega; 1e-9: where the sphere is touched digits are lost
    for a, b in zip(one[:, np.argsort(one[2])], two[:, np.argsort(two[2])], strict=True):
        np.testing.assert_allclose(a, b, rtol=0.0, atol=1e-7)


@BACKENDS
@given(seed=SEEDS, pole=st.floats(0.01, 0.5))
def test_the_pole_is_left_out(backend: str, seed: int, pole: float) -> None:
    u = random_orientations(seed, 2)
    yl, zl, *_ = spots(u, backend, 0.0)
    eta = np.abs(np.arctan2(-yl, zl))
    want = ((eta >= pole) & (np.pi - eta >= pole)).sum()
    assert len(spots(u, backend, 0.0, pole)[0]) == want


@given(seed=SEEDS, turn=st.floats(-0.5, 0.5))
def test_turning_the_sample_turns_omega(seed: int, turn: float) -> None:
    u = random_orientations(seed, 1)
    _, _, before, _, _ = spots(u, "cython")
    _, _, after, _, _ = spots(rz(turn)[None] @ u, "cython")
    moved = np.mod(after + turn + np.pi, 2.0 * np.pi)
    away = np.abs(np.sort(moved) - np.sort(np.mod(before + np.pi, 2.0 * np.pi)))
    assert np.minimum(away, 2.0 * np.pi - away).max() < 1e-6 or _wraps(moved)


def _wraps(angles: F64) -> bool:
    """An angle within 1e-6 of the seam sorts to the other end."""
    return bool((np.minimum(angles, 2.0 * np.pi - angles) < 1e-6).any())


def one_voxel(
    vertices: F64, edge: float, *, published: bool = False, exact: bool = False,
    backend: str = "cython", at: tuple[float, float, float] = (0.7, 0.9, 0.4),
) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:  # fmt: skip
    detector = NearfieldDetector(
        [8.0, 10.0], [[1000.3, 200.4], [998.1, 210.2]], [0.01, -0.008, 0.006], 0.0015, (2048, 2048)
    )
    return voxel_pixels(  # type: ignore[no-any-return]
        vertices[None], [edge], [[1, 0]], [at[0]], [at[1]], [at[2]], detector.rotation,
        detector.lsd_mm, detector.beam_centre_px, 0.0015, [2048, 2048], np.pi, -0.005, 1257, 0.0,
        published, exact, backend=backend,
    )  # type: ignore[call-arg]  # fmt: skip


def triangle(x: float, y: float, edge: float, up: bool) -> F64:
    way = 1.0 if up else -1.0
    far, near = way * edge / np.sqrt(3.0), -way * edge / (2.0 * np.sqrt(3.0))
    return np.array([[x, y + far], [x - edge / 2.0, y + near], [x + edge / 2.0, y + near]])


SHAPES = st.tuples(
    st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(0.002, 0.06), st.booleans()
)


@BACKENDS
@given(shape=SHAPES, exact=st.booleans())
def test_the_order_of_corners_does_not_matter(
    backend: str, shape: tuple[float, float, float, bool], exact: bool
) -> None:
    v = triangle(*shape)
    want = one_voxel(v, shape[2], exact=exact, backend=backend)
    for other in (v[::-1], v[[1, 2, 0]]):
        got = one_voxel(other, shape[2], exact=exact, backend=backend)
        np.testing.assert_array_equal(got, want)


@given(shape=SHAPES)
@example(shape=(0.01, 0.02, 0.08, False))
def test_fault_07_published_down_triangles_are_hollow(
    shape: tuple[float, float, float, bool],
) -> None:
    """Fault 7 of spec 6.2: clockwise corners light their rims only."""
    x, y, edge, up = shape
    v = triangle(x, y, edge, up)
    ours, theirs = one_voxel(v, edge), one_voxel(v, edge, published=True)
    if up:
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert set(map(tuple, theirs)) <= set(map(tuple, ours))
        assert len(theirs) < len(ours) or edge < 0.05  # smaller ones have no inside


@given(shape=SHAPES, exact=st.booleans())
def test_pixels_against_the_area(shape: tuple[float, float, float, bool], exact: bool) -> None:
    """Between the area and the area of the triangle dilated by a pixel's reach all round."""
    x, y, edge, up = shape
    hits = one_voxel(triangle(x, y, edge, up), edge, exact=exact)
    # in the detector the triangle is sheared: y' = ya + yl (1 - xa / L), z' = zl (1 - xa / L)
    c, s = np.cos(0.4), np.sin(0.4)
    v = triangle(x, y, edge, up) @ np.array([[c, -s], [s, c]]).T
    p = np.stack([v[:, 1] - 0.7 * v[:, 0] / 8.0, -0.9 * v[:, 0] / 8.0], axis=-1) / 0.0015
    sides = p[[1, 2, 0]] - p
    area = abs(sides[0, 0] * sides[1, 1] - sides[0, 1] * sides[1, 0]) / 2.0
    around = np.hypot(*sides.T).sum()
    for distance in range(2):
        count = (hits[:, 1] == distance).sum()
        # corners rounded by up to 0.71 px, rim 0.99 px; the tilts change areas by 1 per cent
        assert 0.98 * area - 0.75 * around <= count <= 1.02 * area + 1.75 * around + 12.0


def test_threads_do_not_change_a_bit() -> None:
    u = random_orientations(5, 700)
    want = theory_spots(
        u, G, THETA, **EVERYWHERE, exclude_pole_rad=0.1, wedge_rad=0.01, published_wedge=False,
        lsd0_mm=8.0, backend="cython", threads=1,
    )  # type: ignore[call-arg]  # fmt: skip
    for threads in (2, 5):
        got = theory_spots(
            u, G, THETA, **EVERYWHERE, exclude_pole_rad=0.1, wedge_rad=0.01,
            published_wedge=False, lsd0_mm=8.0, backend="cython", threads=threads,
        )  # type: ignore[call-arg]  # fmt: skip
        for a, b in zip(want, got, strict=True):
            assert a.tobytes() == b.tobytes()


@given(ny=st.integers(1, 5), nz=st.integers(1, 5), y=st.integers(0, 4), z=st.integers(0, 4))
def test_a_raw_image_is_flipped_in_both_axes(ny: int, nz: int, y: int, z: int) -> None:
    y, z = min(y, ny - 1), min(z, nz - 1)
    image = np.zeros((ny, nz))
    image[y, z] = 1.0
    raw = raw_image(image)
    assert raw.shape == (nz, ny)
    assert raw[nz - 1 - z, ny - 1 - y] == 1.0  # spec 1.0
    np.testing.assert_array_equal(model_image(raw), image)


def test_degrees() -> None:
    """A reflection along -x at theta: both crossings are where a drawing says."""
    theta = 5.0 * DEG
    got = theory_spots(
        np.eye(3)[None], np.array([[0.0, 0.5, 0.0]]), np.array([theta]), **EVERYWHERE,
        exclude_pole_rad=0.0, wedge_rad=0.0, published_wedge=False, lsd0_mm=8.0,
    )  # fmt: skip
    # (R_z(omega) y)_x = -sin omega = -sin theta: omega = theta and 180 deg - theta
    np.testing.assert_allclose(got[2] / DEG, [5.0, 175.0], rtol=0.0, atol=1e-12)
    # larger cosine of omega first; g leaves to +y, then to -y
    radius = 8.0 * np.tan(2.0 * theta)
    np.testing.assert_allclose(got[0], [radius, -radius], rtol=1e-14)
    np.testing.assert_allclose(got[1], 0.0, atol=1e-15)
