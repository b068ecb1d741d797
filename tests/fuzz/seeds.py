"""Where the corpus of the formats began that no test writes small: all values are made up."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import seeds_images as images

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

__all__ = ["SEEDS", "seeds_of"]


def _par(path: Path) -> None:
    path.write_text(
        "distance 200000.0\nfit_tolerance 0.05\no11 1\no12 0\no21 0\no22 -1\nomegasign 1.0\n"
        "tilt_x 0.01\ntilt_y 0.02\ntilt_z 0.03\nwavelength 0.2\nwedge 0.0\nchi 0.0\ny_center 10.5\n"
        "y_size 172.0\nz_center 9.25\nz_size 172.0\nimage_n_slow 20\nimage_n_fast 24\n"
    )


def _xparm(path: Path) -> None:
    path.write_text(
        " XPARM.XDS    VERSION Jan 10, 2022  BUILT=20220220\n"
        "     1        5.0000    0.5000  1.000000  0.000000  0.000000\n"
        "       0.976250       0.000000       0.000000       1.024328\n"
        "     1     78.0000     78.0000     37.0000  90.000  90.000  90.000\n"
        "      78.000000       0.000000       0.000000\n"
        "       0.000000      78.000000       0.000000\n"
        "       0.000000       0.000000      37.000000\n"
        "         1        24        20    0.172000    0.172000\n"
        "      12.500000      10.500000     200.000000\n"
        "       1.000000       0.000000       0.000000\n"
        "       0.000000       1.000000       0.000000\n"
        "       0.000000       0.000000       1.000000\n"
        "         1         1        24         1        20\n"
        "    0.00    0.00    0.00  1.00000  0.00000  0.00000  0.00000  1.00000  0.00000\n"
    )


def _hkls(path: Path) -> None:
    from refimpl.crystal.calibrants import calibrant
    from refimpl.crystal.hkls_csv import format_hkls, published_hkls

    path.write_text(format_hkls(published_hkls(calibrant("CeO2"), 0.2, 200.0, 15.0)))


def _split(path: Path) -> None:
    path.write_text(
        '{"kind": "refimpl.centring_split", "schema": 1, "train": ["a", "b"], "val": ["c"],'
        ' "test": ["d"]}'
    )


def _session_csv(path: Path) -> None:
    from refimpl.epu.csv_tables import write_csv
    from refimpl.epu.session import Session, table_of

    table = table_of(
        beam_shift_x=[0.1, 0.2],
        beam_shift_y=[0.0, -0.1],
        stage_x_um=[1.0, 2.0],
        stage_y_um=[3.0, 4.0],
    )
    write_csv(Session(table), path)


def _exposure(path: Path) -> None:
    from epu_files import exposure_xml

    path.write_bytes(exposure_xml().encode())


_EPU = "http://schemas.datacontract.org/2004/07/Applications.Epu.Persistence"


def square(path: Path) -> None:
    """Targets of a grid square."""
    kind = "KeyValuePairOfintTargetLocationXmlBpEWF4JT"
    holes = "".join(
        f"<b:{kind}><b:key>{key}</b:key><b:value><Id>99</Id>"
        f'<StagePosition xmlns:c="shared"><c:A>0</c:A><c:X>{x}</c:X><c:Y>1.5E-4</c:Y>'
        f"<c:Z>7</c:Z></StagePosition></b:value></b:{kind}>"
        for key, x in ((5330585, "-2E-4"), (5330586, "3E-4"))
    )
    path.write_text(
        f'<GridSquareXml xmlns="{_EPU}"><key>1</key><TargetLocations>'
        '<TargetLocationsEfficient xmlns:a="x" xmlns:b="y"><a:m_serializationArray>'
        f"{holes}</a:m_serializationArray></TargetLocationsEfficient></TargetLocations>"
        "</GridSquareXml>"
    )


def grid(path: Path) -> None:
    """Holes of a session."""
    path.write_text(
        f'<EpuSessionXml xmlns="{_EPU}"><Samples><_items><SampleXml><FilterHolesSettings>'
        "<HoleSize>1.2E-06</HoleSize><HoleSpacing>2.51E-06</HoleSpacing></FilterHolesSettings>"
        "</SampleXml></_items></Samples></EpuSessionXml>"
    )


def _cache(path: Path) -> None:
    from epu_files import exposure_xml

    from refimpl.epu.file_cache import FileCache
    from refimpl.io.epu_xml import read_strict

    cache, one = FileCache(), path.with_name("one.xml")
    one.write_bytes(exposure_xml().encode())
    cache.put("one.xml", one.stat(), read_strict(one.read_bytes()))
    cache.save(path)


SEEDS: dict[str, tuple[Callable[[Path], None], ...]] = {
    "image.tif": (images.tif, images.imagej),
    "image.deflate.tif": (images.deflate,),
    "image.tif.gz": (images.gz,),
    "image.cbf": (images.cbf,),
    "image.edf": (images.edf,),
    "image.npy": (images.npy,),
    "image.h5": (images.h5, images.eiger, images.h5_latest),
    "image.zip": (images.zarr,),
    "image.raw": (images.raw,),
    "cbf": (images.cbf,),
    "minicbf": (images.minicbf,),
    "io.eiger_master.read_eiger_geometry": (images.eiger,),
    "io.midas_zip.read_archive": (images.archive,),
    "io.photographs.read_photograph": (images.photograph,),
    "io.panel_files.read_panel_tif": (images.panel_tif,),
    "nearfield.grid.read_tomo_image": (images.tomography,),
    "io.hexomap.read_peak_file": (images.peaks,),
    "io.hexomap.read_npz_stack": (images.npz_stack,),
    "io.spots_info.read_lit": (images.lit_bits,),
    "io.simulated_frame.load_truth": (images.truth,),
    "interop.imaged11.parse_par": (_par,),
    "interop.xparm_file.parse_xparm": (_xparm,),
    "crystal.hkls_csv.parse_hkls": (_hkls,),
    "centring.splits.load_split": (_split,),
    "epu.csv_tables.read_csv": (_session_csv,),
    "labelme": (images.labelme,),
    "nexus": (images.nexus,),
    "io.epu_xml.read_strict": (_exposure,),
    "epu_xml.fast": (_exposure,),
    "epu_dm": (square, grid),
    "epu_cache": (_cache,),
}


def _makers(name: str) -> tuple[Callable[[Path], None], ...]:
    from seeds_more import SEEDS_MORE

    return SEEDS.get(name, SEEDS_MORE.get(name, ()))


def seeds_of(name: str, file: str) -> list[bytes]:
    """Files of a reader as they are written by sound programs."""
    out = []
    for make in _makers(name):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            make(path)
            out.append(path.read_bytes())
    return out
