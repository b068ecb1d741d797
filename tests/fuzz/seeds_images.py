"""Small binary files as sound programs write them; all values are made up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))


def counts(n: int = 2) -> Any:
    """Frames of counts with marked pixels."""
    counts = np.random.default_rng(7).poisson(50.0, (n, 20, 24)).astype(np.int32)
    counts[:, :, 5] = -1
    counts[:, 3, 4] = -2
    return counts


def tif(path: Path) -> None:
    import tifffile

    tifffile.imwrite(path, counts(), photometric="minisblack")


def imagej(path: Path) -> None:
    import tifffile

    tifffile.imwrite(path, counts().astype(np.uint16), imagej=True)


def deflate(path: Path) -> None:
    import tifffile

    tifffile.imwrite(path, counts(), compression="zlib", photometric="minisblack")


def gz(path: Path) -> None:
    import gzip

    plain = path.with_name("a.tif")
    tif(plain)
    path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))


def edf(path: Path) -> None:
    from fabio.edfimage import EdfImage

    image = EdfImage(data=counts()[0])
    image.append_frame(data=counts()[1])
    image.write(str(path))


def cbf(path: Path) -> None:
    from refimpl.io.cbf import write_cbf

    write_cbf(path, counts()[0])


def minicbf(path: Path) -> None:
    from refimpl.io.cbf import write_cbf

    header = """\
# Detector: PILATUS3 6M, S/N 60-0119
# Pixel_size 172e-6 m x 172e-6 m
# Silicon sensor, thickness 0.000450 m
# Exposure_time 0.0190000 s
# Count_cutoff 115897 counts
# Wavelength 0.96859 A
# Detector_distance 0.35100 m
# Beam_xy (12.61, 13.96) pixels
# Start_angle 89.9997 deg.
# Angle_increment 0.1000 deg.
"""
    write_cbf(path, counts()[0], header)


def npy(path: Path) -> None:
    np.save(path, counts())


def h5(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("exchange/data", data=counts(), chunks=(1, 20, 24), compression=1)


def h5_latest(path: Path) -> None:
    """The newer structures of HDF5: fractal heaps, extensible arrays, trees with checksums."""
    import h5py

    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_dataset(
            "exchange/data", data=counts(3), chunks=(1, 10, 12), maxshape=(None, 20, None),
            shuffle=True, fletcher32=True,
        )  # fmt: skip
        for number in range(12):  # more than the header itself holds
            data.attrs[f"a{number}"] = number
        for number in range(20):
            file[f"entry/log/{number}"] = np.array(["text", f"number {number}"], dtype=object)


def eiger(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for number in (1, 2):
            file[f"entry/data/data_{number:06d}"] = counts(1).astype("u2")
        detector = file.create_group("entry/instrument/detector")
        detector["detectorSpecific/pixel_mask"] = np.zeros((20, 24), np.uint32)
        detector["detectorSpecific/countrate_correction_count_cutoff"] = 126634
        detector["saturation_value"] = 70
        for name, value, unit in (
            ("x_pixel_size", 75e-6, "m"), ("beam_center_x", 11.5, "pixel"),
            ("beam_center_y", 9.5, "pixel"), ("detector_distance", 0.2, "m"),
        ):  # fmt: skip
            detector[name] = value
            detector[name].attrs["units"] = unit
        file["entry/instrument/beam/incident_wavelength"] = 0.98
        file["entry/instrument/beam/incident_wavelength"].attrs["units"] = "angstrom"


def zarr(path: Path) -> None:
    from image_files import write_zarr

    write_zarr(path, counts())


def archive(path: Path) -> None:
    import tifffile

    from refimpl.io.midas_params import MidasParams
    from refimpl.io.midas_zip import convert

    params: dict[str, Any] = {
        "SpaceGroup": 225, "LatticeConstant": (5.41153, 5.41153, 5.41153, 90.0, 90.0, 90.0),
        "Wavelength": 0.2, "px": 172.0, "BC": (10.5, 9.25), "RingsToExclude": (7, 8),
        "ImTransOpt": (2,), "FileStem": "CeO2",
    }  # fmt: skip
    image = path.with_name("CeO2_000005.tif")
    tifffile.imwrite(image, counts(1)[0])
    convert(image, MidasParams(params), convert_file=3).rename(path)


def raw(path: Path) -> None:
    path.write_bytes(bytes(16) + counts().astype("<i4").tobytes())


def panel_tif(path: Path) -> None:
    import tifffile

    tifffile.imwrite(path, np.ones((20, 24), np.float32))


def tomography(path: Path) -> None:
    path.write_bytes(np.eye(12, dtype=np.uint8).tobytes())


def truth(path: Path) -> None:
    from refimpl.detector.model import TiltedFlat
    from refimpl.forward.powder_image import simulate

    model = TiltedFlat((20, 24), (0.1, 0.1), 200.0, (40.0, 31.0))
    simulate(model, ([0.008], [1.0]), wavelength_angstrom=0.2, seed=4).save(path)


def npz_stack(path: Path) -> None:
    y, x = np.array([3, 2, 0], np.uint16), np.array([1, 4, 5], np.uint16)
    np.savez(path, x=x, y=y, intensity=np.array([9, 8, 7], np.uint16),
             ptr=np.array([0, 2, 3]), shape=np.array([8, 9]))  # fmt: skip


def lit_bits(path: Path) -> None:
    path.write_bytes(
        np.random.default_rng(1).integers(0, 256, 2 * 3 * 16 * 32 // 8, np.uint8).tobytes()
    )


def nexus(path: Path) -> None:
    """One module 100 mm behind the sample, which turns about omega."""
    import h5py

    away, offset = "/e/i/d/t/distance", "/e/i/d/module/module_offset"
    with h5py.File(path, "w") as file:

        def group(name: str, nx_class: str, **fields: Any) -> None:
            file.require_group(name).attrs["NX_class"] = nx_class
            for key, value in fields.items():
                file[f"{name}/{key}"] = value

        def axis(name: str, value: Any, kind: str, units: str, vector: Any, on: str) -> None:
            file[name] = value
            file[name].attrs.update(
                transformation_type=kind, units=units, vector=vector, depends_on=on
            )

        group("/e/i/d", "NXdetector", saturation_value=1000, sensor_material="Si",
              sensor_thickness=450e-6)  # fmt: skip
        file["/e/i/d/sensor_thickness"].attrs["units"] = "m"
        axis(away, 0.1, "translation", "m", (0, 0, 1), ".")
        group("/e/i/d/module", "NXdetector_module", data_origin=(0, 0), data_size=(40, 50))
        axis(offset, 5.0, "translation", "mm", (1, 0, 0), away)
        for name, vector in (("fast", (-1, 0, 0)), ("slow", (0, -1, 0))):
            place = f"/e/i/d/module/{name}_pixel_direction"
            axis(place, 75e-6, "translation", "m", vector, offset)
        group("/e/i/beam", "NXbeam", incident_wavelength=0.97625)
        file["/e/i/beam/incident_wavelength"].attrs["units"] = "angstrom"
        group("/e/s", "NXsample", depends_on="/e/s/omega")
        axis("/e/s/omega", [5.0, 5.5, 6.0], "rotation", "deg", (1, 0, 0), ".")
        file["/e/s/omega_end"] = [5.5, 6.0, 6.5]


def photograph(path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.arange(20 * 24 * 3, dtype=np.uint8).reshape(20, 24, 3)).save(path)


def labelme(path: Path) -> None:
    import base64
    import json

    picture = path.with_name("p.png")
    photograph(picture)
    shape = {"label": "loop", "shape_type": "polygon", "points": [[2, 2], [12, 3], [9, 15]]}
    click = {"label": "click", "shape_type": "point", "points": [[5, 6]]}
    data = base64.b64encode(picture.read_bytes()).decode()
    content = {"shapes": [shape, click], "imageData": data, "imageHeight": 20, "imageWidth": 24}
    path.write_text(json.dumps(content))


def peaks(path: Path) -> None:
    """Three pixels in the layout that ``io.hexomap`` describes."""
    import struct

    def block(content: bytes) -> bytes:
        return (
            struct.pack("<IHHHHIHH", 0xFEEDBEEF, 0, 0, 0, 2, 2 + len(content), 0, 0)
            + b"b\x00"
            + content
        )

    first, second = np.array([1, 2, 3], "<u2"), np.array([4, 5, 6], "<u2")
    columns = (first, second, np.array([1, 2, 3], "<f4"), first)
    head = struct.pack("<f", 1.0) + block(bytes(20))
    path.write_bytes(head + b"".join(block(column.tobytes()) for column in columns))
