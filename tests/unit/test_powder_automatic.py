"""The start as a whole: a false guess is not believed, a wrong calibrant is named."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.errors import FormatError, NoRingsError
from refimpl.forward.powder_image import simulate
from refimpl.powder import automatic
from refimpl.powder.automatic import automatic_start, doubts
from refimpl.powder.config import PowderConfig, config_from
from refimpl.powder.identify import Match, accounted, other_calibrants
from refimpl.powder.observations import Frame
from refimpl.powder.prepare import prepare, read_source

WAVELENGTH = 0.25
TRUE = TiltedFlat(
    (240, 260), (0.3, 0.3), 250.0, (128.3, 117.6), (0.0, 0.01, -0.015), image_transform=(2,)
)
CERIA = rings("CeO2", WAVELENGTH, 1.4)
GOOD = Match(1.0, 1.0, 0.05, 0.01)


def config(**settings: object) -> PowderConfig:
    return config_from({"wavelength_angstrom": WAVELENGTH, "pixel_size_mm": 0.3} | settings)


def prepared(lines, model: TiltedFlat = TRUE, **settings: object) -> tuple[Frame, PowderConfig]:
    image = simulate(
        model, lines, wavelength_angstrom=WAVELENGTH, fwhm_rad=3e-3, peak_counts=3000.0, seed=5
    ).image
    c = config(**settings)
    return prepare(read_source(image), c).frame, c


@pytest.fixture(scope="module")
def ceria() -> tuple[Frame, PowderConfig]:
    return prepared(rings("CeO2", WAVELENGTH, 0.25))


def test_no_guess_is_needed(ceria) -> None:
    grown, found = automatic_start(ceria[0], CERIA, ceria[1])
    assert grown.match.is_good
    assert abs(grown.model.lsd_mm / TRUE.lsd_mm - 1.0) < 1e-3
    assert np.hypot(*np.subtract(grown.model.beam_centre_px, TRUE.beam_centre_px)) < 0.3
    assert len(found) > 5


@pytest.mark.parametrize(
    ("lsd", "centre", "tilts"),
    [
        (287.6, (115.1, 116.7), (0.048, 0.046)),  # grow to false geometries that explain half
        (283.7, (130.8, 104.2), (-0.034, 0.047)),
        (314.4, (150.7, 95.7), (0.029, 0.018)),
        (25.0, (-500.0, 20.0), (0.0, 0.0)),  # explains nothing
    ],
)
def test_a_false_start_is_not_believed(ceria, lsd, centre, tilts) -> None:
    start = TRUE.replace(lsd_mm=lsd, beam_centre_px=centre, tilts_rad=(0.0, *tilts))
    searched, _ = automatic_start(ceria[0], CERIA, ceria[1])
    grown, _ = automatic_start(ceria[0], CERIA, ceria[1], start=start)
    assert grown.model.lsd_mm == searched.model.lsd_mm
    assert grown.match.is_good


def test_a_good_start_spares_the_search(ceria, monkeypatch) -> None:
    monkeypatch.setattr(automatic, "reduce_image", None)
    start = TRUE.replace(lsd_mm=250.5, tilts_rad=(0.0, 0.0, 0.0))
    grown, _ = automatic_start(ceria[0], CERIA, ceria[1], start=start)
    assert grown.match.is_good
    flipped = (128.0, 240.0 - 117.0)  # the file's pixel order is upside down
    settings = config(lsd_mm=250.5, beam_centre_px=flipped)
    by_settings, _ = automatic_start(ceria[0], CERIA, settings)
    assert abs(by_settings.model.lsd_mm / grown.model.lsd_mm - 1.0) < 1e-4


def test_a_doubtful_start_is_kept_where_the_search_finds_nothing(ceria, monkeypatch) -> None:
    def nothing(*args: object) -> None:
        raise NoRingsError("no rings found: on purpose")

    monkeypatch.setattr(automatic, "reduce_image", nothing)
    start = TRUE.replace(lsd_mm=314.4, beam_centre_px=(150.7, 95.7), tilts_rad=(0.0, 0.029, 0.018))
    grown, _ = automatic_start(ceria[0], CERIA, ceria[1], start=start)
    assert not grown.match.is_good
    with pytest.raises(NoRingsError, match="on purpose"):
        automatic_start(ceria[0], CERIA, ceria[1])


@pytest.mark.parametrize("told", ["LaB6", "Si", "Ni", "Au"])
def test_the_right_calibrant_is_named(ceria, told) -> None:
    text = rf"^the rings of the image are those of CeO2 \(certified .*\), not of {told}: with CeO2 "
    with pytest.raises(NoRingsError, match=text):
        automatic_start(ceria[0], rings(told, WAVELENGTH, 1.4), config(calibrant=told))


def test_an_unknown_powder_is_refused() -> None:
    two_theta = np.cumsum([0.07, 0.011, 0.029, 0.013, 0.017, 0.019, 0.023])
    frame, c = prepared((two_theta, np.array([1.0, 0.5, 0.8, 0.6, 0.9, 0.4, 0.7])))
    with pytest.raises(NoRingsError, match=r"^the rings of the image are not those of CeO2 at any"):
        automatic_start(frame, CERIA, c)


def test_a_distorted_detector_is_no_wrong_calibrant() -> None:
    """An error of 0.7 px at the edge: whatever the doubts, the calibrant is right."""
    distorted = TRUE.replace(rho_d_mm=50.0, p=(4e-3, 0.0, 3e-3) + (0.0,) * 12)
    frame, c = prepared(rings("CeO2", WAVELENGTH, 0.25), distorted)
    grown, _ = automatic_start(frame, CERIA, c)
    assert abs(grown.model.lsd_mm / TRUE.lsd_mm - 1.0) < 0.01


def test_match() -> None:
    assert GOOD.is_good
    assert not GOOD.is_hopeless
    for worse in (
        Match(0.79, 1.0, 0.05, 0.01),
        Match(1.0, 0.89, 0.05, 0.01),
        Match(1.0, 1.0, 0.26, 0.01),
        Match(1.0, 1.0, 0.05, 0.11),
    ):
        assert not worse.is_good
        assert not worse.is_hopeless
        assert worse.merit < GOOD.merit < 1.0
    assert Match(0.5, 0.5, 0.0, 0.0).is_hopeless
    assert not Match(0.4, 1.0, 0.1, 0.01).is_hopeless
    assert Match(0.4, 1.0, 0.3, 0.01).is_hopeless
    assert Match(0.4, 1.0, 0.1, 0.06).is_hopeless
    assert Match(1.0, 1.0, 1.1, 0.0).is_hopeless
    assert str(Match(0.5, 0.25, 0.1, 0.01)) == (
        "50% of the places where a ring must show have one, 25% of the rings in the image are the "
        "calibrant's, misfit 0.10 ring widths"
    )


def test_accounted_counts_the_rings_that_are_not_the_calibrants(ceria) -> None:
    seen = CERIA.select(CERIA.two_theta_rad < 0.25)
    assert accounted(ceria[0], TRUE, seen, 3e-3) == 1.0
    strongest = seen.select(np.arange(len(seen)) == int(np.argmax(seen.intensity)))
    part = accounted(ceria[0], TRUE, strongest, 3e-3)
    assert 0.15 < part < 0.5  # the highest of eight rings
    assert accounted(ceria[0], TRUE, seen.select(np.zeros(len(seen), bool)), 3e-3) == 0.0


def test_accounted_of_a_picture_without_rings_or_without_pixels(ceria) -> None:
    frame = ceria[0]
    flat = Frame(np.full_like(frame.counts, 7.0), *_rest(frame, frame.usable))
    assert accounted(flat, TRUE, CERIA, 3e-3) == 1.0
    hidden = Frame(frame.counts, *_rest(frame, np.zeros_like(frame.usable)))
    assert accounted(hidden, TRUE, CERIA, 3e-3) == 1.0


def _rest(frame: Frame, usable) -> tuple:
    return usable, frame.panel_map, frame.n_panels, frame.boxes


def test_a_bright_grain_is_no_ring(ceria) -> None:
    frame = ceria[0]
    counts = frame.counts.copy()
    counts[30:33, 40:43] = 1e6
    spotted = Frame(counts, *_rest(frame, frame.usable))
    assert accounted(spotted, TRUE, CERIA.select(CERIA.two_theta_rad < 0.25), 3e-3) == 1.0


def test_others_leave_out_the_given_one_unless_its_lattice_was_given() -> None:
    names = [n for n, _ in other_calibrants("ceo2", None, WAVELENGTH, 0.3)]
    assert "LaB6" in names
    assert "CeO2" not in names
    assert "CeO2" in [n for n, _ in other_calibrants("CeO2", 5.0, WAVELENGTH, 0.3)]


def test_doubts_are_said(ceria) -> None:
    grown, _ = automatic_start(ceria[0], CERIA, ceria[1])
    assert doubts(grown, ceria[1]) == ()
    start = TRUE.replace(lsd_mm=314.4, beam_centre_px=(150.7, 95.7), tilts_rad=(0.0, 0.029, 0.018))
    given = automatic._given(ceria[0], ceria[1], start)
    assert given is not None
    found = automatic._from_given(ceria[0], CERIA, ceria[1], given, start, None)
    assert found is not None
    (text,) = doubts(found[0], ceria[1])
    assert text.startswith("Image and calibrant agree in part only: 51% of the places")
    assert text.endswith("Is it CeO2, and are wavelength and pixel size right?")


def test_no_rings_are_bad_input() -> None:
    assert issubclass(NoRingsError, FormatError)
