"""Every reader that is given files from outside, and how the campaign calls it.

Not here: Parsl configurations, which are programs and are run; files of objects that refimpl
hands to its own processes (``io.shared``: pickles by design, never read from a name that a user
gives). Movies (MRC, EER) are found by name and never opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from one_reader import Kind, Reader, get
from readers_more import MORE

__all__ = ["READERS", "Reader"]


def _of(target: str, file: str, kind: Kind = "text", *more: Any, **options: Any) -> Reader:
    """Reader of a path that does all of its work at once."""
    name = options.pop("name", target.replace(":", "."))
    return Reader(name, file, lambda path: get(target)(path, *more, **options), kind, target)


def _content(target: str, file: str, takes: Literal["text", "bytes"]) -> Reader:
    """Reader of what stands in a file."""

    def call(path: Path) -> object:
        data = path.read_bytes()
        return get(target)(data if takes == "bytes" else data.decode("utf-8", errors="replace"))

    return Reader(target.replace(":", "."), file, call, "text", target, takes)


def _image(file: str, kind: Kind = "bytes", *traced: str, **options: Any) -> Reader:
    """``io.images.read`` of a format, each frame of it."""

    def call(path: Path) -> object:
        return get("io.images:read")(path, **options)

    return Reader(f"image.{file.split('.', 1)[1]}", file, call, kind, traced=("refimpl", *traced))


def _minicbf(path: Path) -> object:
    from refimpl.io.minicbf import experiment_from_minicbf, read_minicbf

    read_minicbf(path)
    return experiment_from_minicbf(path)


def _expt(path: Path) -> object:
    """Read, and write what was read."""
    from refimpl.io.expt_files import read_expt, write_expt

    return write_expt(path.with_name("back.expt"), read_expt(path))


def _refl(path: Path) -> object:
    """Read, and write what was read."""
    from refimpl.io.refl_files import read_refl, write_refl

    return write_refl(path.with_name("back.refl"), read_refl(path))


def _star(path: Path) -> object:
    from refimpl.io.star import read_star

    star = read_star(path)
    for name in star.names:
        table = star.table(name)
        for column in table.columns:
            table.column(column)
    return star.text()


def _targets(path: Path) -> object:
    from refimpl.io.epu_dm import read_grid, read_targets

    data = path.read_bytes()
    return read_grid(data) if b"EpuSession" in data else read_targets(data)


def _labelme(path: Path) -> object:
    from refimpl.io.labelme import read_labelme

    labelled = read_labelme(path)
    return [labelled.click_px, *(labelled.mask(label) for label in labelled.labels)]


def _cbf_head(path: Path) -> object:
    from refimpl.io.cbf import read_cbf, read_head

    read_head(path)
    return read_cbf(path)


def _epu_fast(path: Path) -> object:
    """Read often: from the second time on a file of the same layout takes the fast way."""
    from refimpl.io.epu_templates import EpuReader
    from refimpl.io.epu_xml import read_strict

    reader, data = EpuReader(), path.read_bytes()
    found = [repr(reader.read(data)) for _ in range(3)]
    if set(found) != {repr(read_strict(data))}:
        raise AssertionError("the fast way gives other values than the strict one")
    return reader.read_file(path)


def _epu_cache(path: Path) -> object:
    from refimpl.epu.file_cache import FileCache

    return FileCache.load(path)


def _nexus(path: Path) -> object:
    from refimpl.errors import RefimplError
    from refimpl.interop.nexus import detector_from_nexus
    from refimpl.interop.nexus_experiment import experiment_from_nexus

    try:
        detector_from_nexus(path)
    except RefimplError:
        return experiment_from_nexus(path)
    return experiment_from_nexus(path)


READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        # images
        _image("a.tif", "bytes", "tifffile"),
        _image("a.deflate.tif", "bytes", "tifffile"),
        _image("a.tif.gz", "gzip", "tifffile"),
        _image("a.cbf", "bytes", "fabio"),
        _image("a.edf", "bytes", "fabio"),
        _image("a.npy"),
        _image("a.h5", "hdf5"),
        _image("a.zip", "zip"),
        _image("a.raw", data_type=5, head_size=16, shape=(20, 24)),
        Reader("cbf", "a.cbf", _cbf_head, "bytes"),
        Reader("minicbf", "a_0001.cbf", _minicbf, "bytes"),
        _of("io.eiger_master:read_eiger_geometry", "a_master.h5", "hdf5", (20, 24)),
        _of("io.midas_zip:read_archive", "a.MIDAS.zip", "zip"),
        _of("io.photographs:read_photograph", "a.png", "bytes"),
        _of("io.panel_files:read_panel_tif", "a.tif", "bytes"),
        _of("nearfield.grid:read_tomo_image", "a.tif", "bytes"),
        _of("io.hexomap:read_peak_file", "a.bin", "bytes"),
        _of("io.hexomap:read_npz_stack", "a.npz", "zip"),
        _of("io.lit_files:read_frame_pixels", "l.h5", "hdf5"),
        _of("io.spots_info:read_lit", "SpotsInfo.bin", "bytes", (2, 3, 16, 32)),
        # parameters and geometry
        _of("io.midas_params:read_params", "ps.txt"),
        _of("io.nearfield_params:read_nearfield_params", "ps.txt"),
        _of("powder.config:read_config", "p.toml"),
        _of("nearfield.config:read_config", "n.toml"),
        _of("io.geometry_json:read_geometry", "geometry.json", "json"),
        Reader("expt", "a.expt", _expt, "json", "io.expt_files:read_expt"),
        _of("io.simulated_frame:load_truth", "frame.tif", "bytes"),
        _of("powder.joint_frames:read_frame", "f.toml"),
        _of(
            "powder.known_geometry:read_known_geometry",
            "geometry.json",
            "json",
            (100, 110),
            (0.2, 0.2),
        ),
        _of("metrology.hexrd_grains:read_stage", "a.yml"),
        _of("interop.hexrd_file:read_hexrd", "a.yml"),
        _content("interop.crystfel_file:parse_geom", "a.geom", "text"),
        _content("interop.gsas:parse_imctrl", "a.imctrl", "text"),
        _content("interop.poni_file:parse_poni", "a.poni", "text"),
        _content("interop.imaged11:parse_par", "a.par", "text"),
        _content("interop.xparm_file:parse_xparm", "XPARM.XDS", "text"),
        Reader("nexus", "a.nxs", _nexus, "hdf5", "interop.nexus:detector_from_nexus"),
        # tables and maps
        Reader("refl", "a.refl", _refl, "msgpack", "io.refl_files:read_refl"),
        _of("io.midas_outputs:read_panel_shifts", "panelshifts.txt"),
        _of("io.midas_outputs:read_corr", "a.corr.csv"),
        _of("io.midas_outputs:read_mean_values", "a_screen_out.csv"),
        _of("io.panel_files:read_corrections", "c.txt", "text", 3),
        _of("io.mic:read_mic", "a.mic"),
        _of("io.mic:read_mic", "b.mic", "bytes", name="io.mic.read_mic.binary"),
        _of("io.mic_matches:read_all_matches", "a.AllMatches", "bytes", 2),
        _of("nearfield.map_hdf5:read_map_hdf5", "m.h5", "hdf5"),
        _of("io.nearfield_files:read_grid", "grid.txt"),
        _of("io.nearfield_files:read_seeds", "seeds.txt"),
        _of("io.grains_csv:read_grains", "Grains.csv"),
        _of("io.hexrd_picks:read_grain_table", "grains.out"),
        _content("crystal.hkls_csv:parse_hkls", "hkls.csv", "text"),
        _of("io.distl_log:read_distl_log", "a.log"),
        _of("io.dials_spot_log:read_dials_spot_log", "a.log"),
        _of("io.camera_log:read_camera_log", "a.csv"),
        _of("io.eiger_log:read_eiger_log", "a.csv"),
        _of("io.picture_table:read_picture_table", "a.csv"),
        Reader("labelme", "a.json", _labelme, "json", "io.labelme:read_labelme"),
        _of("centring.mesh_files:read_meshes", "m.toml"),
        _of("centring.splits:load_split", "s.json", "json"),
        # EPU and STAR
        _content("io.epu_xml:read_strict", "a.xml", "bytes"),
        Reader("epu_xml.fast", "a.xml", _epu_fast),
        Reader("epu_dm", "a.dm", _targets, "text"),
        _of("epu.csv_tables:read_csv", "s.csv"),
        _of("epu.calibration:load_calibration", "cal.json", "json"),
        Reader("epu_cache", "c.csv", _epu_cache),
        Reader("star", "a.star", _star, "text", "io.star:read_star"),
        *MORE,
    )
}
