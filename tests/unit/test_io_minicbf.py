"""Byte offsets, CBF files, mini headers, and the experiments that they state."""

from __future__ import annotations

import bz2
import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from refimpl.detector.attenuation import silicon_mu_per_mm
from refimpl.errors import ConfigError, FormatError
from refimpl.io.byte_offset import decode_byte_offset, encode_byte_offset
from refimpl.io.cbf import read_cbf, write_cbf
from refimpl.io.images import read
from refimpl.io.minicbf import (
    experiment_from_minicbf,
    header_fields,
    read_header,
    read_minicbf,
    valid_pixels,
)

HEADER = """\
# Detector: PILATUS3 6M, S/N 60-0119
# 2019-09-11T13:20:28.989
# Pixel_size 172e-6 m x 172e-6 m
# Silicon sensor, thickness 0.000450 m
# Exposure_time 0.0190000 s
# Tau = 0 s
# Count_cutoff 115897 counts
# Wavelength 0.96859 A
# Detector_distance 0.35100 m
# Beam_xy (1261.61, 1306.96) pixels
# Start_angle 89.9997 deg.
# Angle_increment 0.0000 deg.
"""
SHAPE = (619, 981)  # 2 x 3 modules
IMAGE = np.random.default_rng(2).poisson(3.0, SHAPE).astype(np.int32)
IMAGE[190:200] = -1
IMAGE[5, 7], IMAGE[6, 8] = -2, 2**31 - 1


def pixels(data: bytes, n: int):
    return decode_byte_offset(np.frombuffer(data, np.uint8), n)


@pytest.mark.parametrize("backend", ["python", "cython"])
def test_differences_of_every_size(backend):
    data = bytes([5, 0xFF])  # 5, then -1
    data += b"\x80" + (-200).to_bytes(2, "little", signed=True)
    data += b"\x80\x00\x80" + (70000).to_bytes(4, "little")
    data += b"\x80\x00\x80\x00\x00\x00\x80" + (-(1 << 31) - 69814).to_bytes(
        8, "little", signed=True
    )
    values, end = decode_byte_offset(np.frombuffer(data, np.uint8), 5, backend=backend)
    # by hand; the last sum is 10 below the smallest int32, and wraps
    assert values.tolist() == [5, 4, -196, 69804, (1 << 31) - 10]
    assert end.tolist() == [5, len(data), 1]
    for cut in (1, 4, 8, 14):  # less than the last difference, its escapes included
        part = np.frombuffer(data[:-cut], np.uint8)
        values, end = decode_byte_offset(part, 5, backend=backend)
        assert (end[0], values[4]) == (4, 0)


@pytest.mark.parametrize("step", [127, 128, -127, -128, 32767, 32768, -32767, -32768, -32769])
def test_steps_around_the_escapes(step):
    values = np.array([0, step, 2 * step, step, 0], np.int32)
    data = encode_byte_offset(values)
    assert pixels(data, 5)[0].tolist() == values.tolist()
    assert len(data) == 1 + 4 * (1 if abs(step) < 128 else 3 if abs(step) < 32768 else 7)


def test_the_largest_steps():
    low, high = -(1 << 31), (1 << 31) - 1
    values = np.array([high, low, high, 0, low, -1, -1], np.int32)
    assert pixels(encode_byte_offset(values), 7)[0].tolist() == values.tolist()
    assert encode_byte_offset(np.zeros(0, np.int32)) == b""


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["cbf", "cbf.gz", "cbf.bz2"])
def test_an_image_survives(tmp_path, suffix):
    path = write_cbf(tmp_path / f"a_0001.{suffix}", IMAGE, HEADER)
    image, fields = read_minicbf(path)
    assert (image.dtype, image.shape) == (np.int32, SHAPE)
    assert np.array_equal(image, IMAGE)
    assert fields == header_fields(HEADER)


def test_other_readers_read_what_we_write(tmp_path):
    for text in (HEADER, ""):
        path = write_cbf(tmp_path / "a.cbf", np.abs(IMAGE), text)
        assert np.array_equal(read(path).data, np.abs(IMAGE))


def edited(tmp_path: Path, change) -> Path:
    path = write_cbf(tmp_path / "bad.cbf", IMAGE, HEADER)
    path.write_bytes(change(path.read_bytes()))
    return path


def swap(old: bytes, new: bytes):
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return change


def drop(line: bytes):
    return lambda data: re.sub(rb"(?m)^" + line + rb".*\r\n", b"", data)


MD5 = re.compile(rb"Content-MD5: .*\r\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "not a CBF: starts with b''"),
        (lambda data: b"\x89HDF" + data, "not a CBF: starts with b'.x89HDF###C', not ###CBF"),
        (lambda data: b"###CBF: VERSION 1.5\r\n_x 1\r\n", "a CBF without a binary section"),
        (lambda data: data[: data.index(b"Content-MD5")], "truncated before its pixels"),
        (lambda data: data[: len(data) // 2],
         r"truncated: the pixels have \d+ of \d+ bytes \(X-Binary-Size\)"),
        (swap(b"x-CBF_BYTE_OFFSET", b"x-CBF_PACKED"),
         "compression x-CBF_PACKED: only x-CBF_BYTE_OFFSET is read"),
        (swap(b'     conversions="x-CBF_BYTE_OFFSET"\r\n', b""), "compression none: only"),
        (swap(b"signed 32-bit integer", b"signed 64-bit real IEEE"),
         "pixels of type 'signed 64-bit real IEEE': only 32-bit integers are read"),
        (drop(b"X-Binary-Size:"), "binary section: X-Binary-Size '' is no number"),
        (swap(b"Fastest-Dimension: 981", b"Fastest-Dimension: 98x"),
         "binary section: X-Binary-Size-Fastest-Dimension '98x' is no number"),
        (swap(b"Fastest-Dimension: 981", b"Fastest-Dimension: 980"),
         "607239 pixels are not 619 x 980"),
        (lambda data: data[:20000] + b"\x01\x02\x03" + data[20003:],
         "corrupt: the MD5 of the pixels differs from the header's"),
    ],
)  # fmt: skip
def test_refused_images(tmp_path, change, message):
    path = edited(tmp_path, change)
    with pytest.raises(FormatError, match=rf"bad\.cbf: {message}") as caught:
        read_cbf(path)
    assert "\n" not in str(caught.value)


def test_too_few_pixels_in_the_bytes(tmp_path):
    def change(data: bytes) -> bytes:
        data = MD5.sub(b"", data).replace(b"Second-Dimension: 619", b"Second-Dimension: 620")
        return data.replace(b"-Elements: 607239", b"-Elements: 608220")

    with pytest.raises(FormatError, match=r"corrupt: 607239 of 608220 pixels decoded, 0 beyond 32"):
        read_cbf(edited(tmp_path, change))


@pytest.mark.parametrize("pack", [bz2.compress, gzip.compress])
def test_cut_compressed_files(tmp_path, pack):
    path = write_cbf(tmp_path / "a.cbf", IMAGE, HEADER)
    path.write_bytes(pack(path.read_bytes())[:-100])
    with pytest.raises(FormatError, match=r"a\.cbf: truncated or corrupt compressed file: "):
        read_cbf(path)
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_cbf(tmp_path / "none.cbf")


@pytest.mark.parametrize("wrong", [np.zeros((2, 2)), np.zeros(4, int), np.full((2, 2), 1 << 31)])
def test_arrays_that_are_no_image(tmp_path, wrong):
    with pytest.raises(FormatError, match=r"is no image of 32-bit integers"):
        write_cbf(tmp_path / "a.cbf", wrong)


# --- headers --------------------------------------------------------------------------------------


def test_lines_of_a_header():
    fields = header_fields(HEADER)
    assert fields["timestamp"] == "2019-09-11T13:20:28.989"
    assert fields["Detector"] == "PILATUS3 6M, S/N 60-0119"
    assert fields["Silicon"] == "sensor, thickness 0.000450 m"
    assert fields["Tau"] == "0 s"


def image(folder: Path, number: int, **changes) -> Path:
    text = HEADER
    for key, value in changes.items():
        text = re.sub(rf"(?m)^# {key}\b.*\n", f"# {key} {value}\n" if value else "", text)
    return write_cbf(folder / f"x_{number:04d}.cbf", IMAGE, text)


def test_one_panel(tmp_path):
    made = experiment_from_minicbf(image(tmp_path, 1))
    (module,) = made.detector.modules
    assert made.is_still
    assert made.scan is None
    assert made.beam.s0.tolist() == pytest.approx([0.0, 0.0, -1.0 / 0.96859])
    # published for this detector: origin (-216.997, 224.797, -351)
    assert module.origin_mm == pytest.approx((-216.997, 224.797, -351.0), abs=5e-4)
    assert (module.fast_axis, module.slow_axis) == ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    assert module.trusted_range == (0.0, 115897.0)
    assert (module.size_px, module.thickness_mm, module.parallax) == ((981, 619), 0.45, True)


def test_the_same_as_modules(tmp_path):
    path = image(tmp_path, 1)
    whole = experiment_from_minicbf(path).detector
    parts = experiment_from_minicbf(path, multi_panel=True).detector
    assert (len(parts), parts.depth) == (6, 1)
    assert [m.raw_image_offset for m in parts.modules[:3]] == [(0, 0), (494, 0), (0, 212)]
    assert {m.size_px for m in parts.modules} == {(487, 195)}
    for k, module in enumerate(parts.modules):
        fast0, slow0 = module.raw_image_offset
        corner = whole.d[0] @ [0.172 * fast0, 0.172 * slow0, 1.0]
        assert np.allclose(parts.d[k][:, 2], corner, atol=1e-12)
        assert np.allclose(parts.d[k][:, :2], whole.d[0][:, :2], atol=1e-15)
    # the gaps between the modules are what is not in any of them
    covered = np.zeros(SHAPE, bool)
    for fast0, slow0 in (m.raw_image_offset for m in parts.modules):
        covered[slow0 : slow0 + 195, fast0 : fast0 + 487] = True
    assert np.flatnonzero(~covered.any(axis=1)).tolist() == [*range(195, 212), *range(407, 424)]
    assert np.flatnonzero(~covered.any(axis=0)).tolist() == [*range(487, 494)]


def test_a_scan(tmp_path):
    paths = [
        image(tmp_path, 8 + k, Start_angle=f"{10 + 0.15 * k:.4f} deg.", Angle_increment="0.15 deg.")
        for k in range(3)
    ]
    made = experiment_from_minicbf(paths)
    assert not made.is_still
    assert (made.scan.image_range, made.scan.oscillation_deg) == ((8, 10), (10.0, 0.15))
    assert made.goniometer.rotation_axis.tolist() == [1.0, 0.0, 0.0]
    assert made.imageset["template"] == str(tmp_path / "x_####.cbf")
    with pytest.raises(FormatError, match=r"x_0010\.cbf: does not follow image x_0008\.cbf"):
        experiment_from_minicbf(paths[::2])
    late = image(tmp_path, 10, Start_angle="10.4 deg.", Angle_increment="0.15 deg.")
    with pytest.raises(FormatError, match=r"x_0010\.cbf: Start_angle 10.4: expected 10.3000"):
        experiment_from_minicbf([*paths[:2], late])
    other = image(tmp_path, 10, Start_angle="10.3", Angle_increment="0.15", Wavelength="1.0 A")
    with pytest.raises(FormatError, match=r"wavelength_angstrom 1.0 differs from the first"):
        experiment_from_minicbf([*paths[:2], other])
    nameless = paths[0].rename(tmp_path / "image.cbf")
    with pytest.raises(FormatError, match=r"image\.cbf: no image number at the end of the name"):
        experiment_from_minicbf(nameless)
    with pytest.raises(ConfigError, match="no images given"):
        experiment_from_minicbf([])


def test_several_stills(tmp_path):
    paths = [image(tmp_path, 1), image(tmp_path, 2)]
    made = experiment_from_minicbf(paths)
    assert made.imageset["images"] == [str(p) for p in paths]
    assert made.is_still


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Beam_xy": ""}, "no line 'Beam_xy' in the header: not a mini-CBF"),
        ({"Wavelength": "unknown"}, r"Wavelength 'unknown': expected 1 number\(s\)"),
        ({"Pixel_size": "172e-6 m"}, r"Pixel_size '172e-6 m': expected 2 number\(s\)"),
        ({"Count_cutoff": ""}, "no line 'Count_cutoff'"),
    ],
)
def test_refused_headers(tmp_path, changes, message):
    with pytest.raises(FormatError, match=rf"x_0001\.cbf: {message}"):
        read_header(image(tmp_path, 1, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Detector": "PILATUS 12M, S/N 120-0100"},
         "PILATUS 12M, S/N 120-0100: its modules stand on a barrel of which the header says"),
        ({"Tau": "= 0 s\n# Detector_2theta 12.5 deg."},
         "Detector_2theta 12.5: expected 0; the axis of the arm is not stated"),
    ],
)  # fmt: skip
def test_detectors_that_a_header_cannot_place(tmp_path, changes, message):
    path = image(tmp_path, 1, **changes)
    for multi_panel in (False, True):
        with pytest.raises(FormatError, match=rf"x_0001\.cbf: {message}"):
            experiment_from_minicbf(path, multi_panel=multi_panel)


def test_a_long_header_is_read_to_its_end(tmp_path):
    text = "# Comment: " + "x" * 200_000 + "\n" + HEADER
    path = write_cbf(tmp_path / "a_0001.cbf.bz2", IMAGE, text)
    assert read_header(path).beam_px == (1261.61, 1306.96)


def test_other_sensors(tmp_path):
    path = image(tmp_path, 1, Silicon="")
    assert not experiment_from_minicbf(path).detector.modules[0].parallax
    text = HEADER.replace("Silicon sensor", "CdTe sensor")
    write_cbf(path, IMAGE, text)
    with pytest.raises(ConfigError, match="attenuation of CdTe is not known: give mu_per_mm"):
        experiment_from_minicbf(path)
    (module,) = experiment_from_minicbf(path, mu_per_mm=20.0).detector.modules
    assert (module.material, module.mu_per_mm, module.parallax) == ("CdTe", 20.0, True)
    write_cbf(path, IMAGE[:600], HEADER)
    with pytest.raises(FormatError, match="981 x 600 pixels is no whole number of modules"):
        experiment_from_minicbf(path, multi_panel=True)


def test_pixels_within_the_trusted_range():
    values = np.array([[-2, -1, 0, 5, 9, 10]])
    assert valid_pixels(values, (0.0, 9.0)).tolist() == [[False, False, True, True, True, False]]


@pytest.mark.parametrize(
    ("wavelength", "expected"), [(0.97625, 3.92204), (0.6889, 1.41535), (0.96859, 3.83262)]
)
def test_attenuation_of_silicon(wavelength, expected):
    # stated values; 1e-3 is the spread of the published tables
    assert silicon_mu_per_mm(wavelength) == pytest.approx(expected, rel=1e-3)


def test_attenuation_beyond_the_table():
    for wavelength in (0.05, 7.0, 0.0, -1.0, np.nan):
        with pytest.raises(ConfigError, match=r"silicon is known from 0\.062 to 6\.742 Å"):
            silicon_mu_per_mm(wavelength)
