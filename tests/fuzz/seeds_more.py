"""Where the corpus of folders, nets and outputs began; all values are made up."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import seeds_images as images
from mutations import zipped

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

__all__ = ["SEEDS_MORE"]


def _folder(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """A zip of the files that a function makes in a folder."""

    def write(path: Path) -> None:
        with tempfile.TemporaryDirectory() as name:
            make(Path(name))
            files = sorted(p for p in Path(name).rglob("*") if p.is_file())
            members = [(p.relative_to(name).as_posix(), p.read_bytes()) for p in files]
        path.write_bytes(zipped(members))

    return write


def _session(folder: Path) -> None:
    from epu_files import exposure_xml
    from seeds import grid, square

    data = folder / "Images-Disc1" / "GridSquare_1" / "Data"
    data.mkdir(parents=True)
    for number, shift in enumerate(("0.1", "0.2", "-0.3")):
        name = f"FoilHole_5330585_Data_{number}_7_20210327_23595{number}.xml"
        uid = f"00000000-1111-2222-3333-44444444444{number}"
        (data / name).write_text(exposure_xml(uid=uid, bsx=shift))
    (data.parent / "GridSquare_20210327_220000.xml").write_text("<MicroscopeImage/>")
    metadata = folder / "Metadata"
    metadata.mkdir()
    square(metadata / "GridSquare_1.dm")
    grid(folder / "EpuSession.dm")


def _zarr(folder: Path) -> None:
    import zipfile

    with tempfile.TemporaryDirectory() as name:
        images.zarr(Path(name) / "a.zip")
        with zipfile.ZipFile(Path(name) / "a.zip") as file:
            file.extractall(folder)


def _frames(folder: Path) -> None:
    import tifffile

    for number in range(2):
        counts = images.counts(1)[0].clip(0).astype(np.uint16)
        tifffile.imwrite(folder / f"f_{number:06d}.tif", counts)
    np.save(folder / "f_000002.npy", counts)


def _ice9(folder: Path) -> None:
    for number in range(2):
        images.peaks(folder / f"f_{number:06d}.bin")


def _corrections(folder: Path) -> None:
    from refimpl.io.xds_tables import write_corrections

    x, y = np.random.default_rng(3).normal(size=(2, 20, 24))
    write_corrections(folder, x, y, names=("X.cbf", "Y.cbf"))


def _seed_spots(folder: Path) -> None:
    (folder / "DiffractionSpots.bin").write_bytes(np.arange(9.0).tobytes())
    (folder / "Key.bin").write_bytes(np.array([[2, 0], [1, 2]], "<i4").tobytes())
    (folder / "OrientMat.bin").write_bytes(np.array([np.eye(3)] * 2).tobytes())


def _picks(folder: Path) -> None:
    rows = np.array([[1.0, 2.0, 0.1], [np.nan, np.nan, np.nan]])
    np.savez(folder / "one_picks.npz", p0=rows, p1=rows[:1])
    np.savez(folder / "one_pick_hkls.npz", p0=np.ones((2, 3)), p1=np.ones((1, 3)))


def _nexus_poni(path: Path) -> None:
    from refimpl.detector.panel import Detector, Panel
    from refimpl.interop.pyfai_nexus import write_nexus_detector

    place, fast, slow = (1.2, 1.0, 200.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)
    panel = Panel("p0", np.array(place), np.array(fast), np.array(slow), (0.1, 0.1), (24, 20))
    write_nexus_detector(path, Detector((panel,), (20, 24)), panel, {"a": 1})


def _hexrd(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        panel = file.create_group("instrument/detectors/a")
        panel["pixels/rows"], panel["pixels/columns"] = [40], [30]
        panel["pixels/size"] = [0.1, 0.2]
        panel["transform/tilt"], panel["transform/translation"] = [0.0, 0.1, 0.0], [1.0, 2.0, -90.0]
        panel["buffer"] = np.ones((40, 30), dtype=bool)
        panel["distortion/function_name"], panel["distortion/parameters"] = "GE_41RT", [0.0] * 6
        file["instrument/beam/energy"] = [60.0]
        file["instrument/beam/vector/azimuth"] = [90.0]
        file["instrument/beam/vector/polar_angle"] = [90.0]


def _samples() -> dict[str, Any]:
    return {
        "kind": np.array(["refimpl.centring_samples"]), "schema": np.array([1]),
        "images": np.zeros((3, 1, 8, 8)), "count": np.array([1, 5, 9]),
        "crystal": np.array(["a", "b", "b"]), "crop_px": np.array([3.0, 2.0]),
    }  # fmt: skip


def _dataset_h5(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, values in _samples().items():
            file[name] = values.astype(object) if values.dtype.kind == "U" else values


def _dataset_npz(path: Path) -> None:
    np.savez(path, **_samples())


def _checkpoint(path: Path) -> None:
    """Weights of 0, so that the corpus stays small."""
    import pytorch_lightning as lightning
    import torch

    from refimpl.centring.modules import Regressor
    from refimpl.centring.targets import Target

    net = Regressor("a_fcn", Target("tanh", 5.0, 2.0, 0.0).__dict__, size=128)
    with torch.no_grad():
        for values in net.parameters():
            values.zero_()
    trainer = lightning.Trainer(
        logger=False, enable_checkpointing=False, accelerator="cpu", devices=1, max_epochs=0,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.strategy.connect(net)
    trainer.save_checkpoint(path, weights_only=True)


def _refl_npz(path: Path) -> None:
    stream = io.BytesIO()
    np.savez(stream, miller_index=np.array([[1, 0, 0], [0, 1, 2]]), id=np.zeros(2, int),
             panel=np.zeros(2, int), **{"xyzobs.px.value": np.ones((2, 3))})  # fmt: skip
    path.write_bytes(stream.getvalue())


def _points(path: Path) -> None:
    path.write_text(
        "crystal,series,omega_deg,x_px,y_px,um_per_px\na,1,0.0,5.5,6.5,1.2\na,1,90.0,,,1.2\n"
        "b,2,45,7.5,1.0,1.2\n"
    )


def _grid_counts(path: Path) -> None:
    path.write_text("series,frame,rc\n1,1,5\n1,2,0\n1,3,7\n1,5,2\n1,6,9\n")


def _names(path: Path) -> None:
    path.write_text("FoilHole_1_Data_2_3_20210327_235959_fractions.tiff\nImages/FoilHole_2.jpg\n")


def _outputs(path: Path) -> None:
    from refimpl.testing.conform_files import write_outputs
    from refimpl.testing.conform_records import quantities

    quantity = next(iter(quantities().values()))
    write_outputs(path, quantity, {"a-1": {"x_mm": np.arange(3.0), "name": "text"}})


def _outputs_text(path: Path) -> None:
    from refimpl.testing.conform_records import quantities

    quantity = next(iter(quantities()))
    path.write_text(f"refimpl-conformance 1 {quantity}\ncase a-1\nx_mm 1 3 0 1 2\ny_mm 0 5\n")


def _known_failures(path: Path) -> None:
    path.write_text("# of a code\nmisorientation/edge-*\nring_radii\n")


SEEDS_MORE: dict[str, tuple[Callable[[Path], None], ...]] = {
    "folder.session": (_folder(_session),),
    "folder.zarr": (_folder(_zarr),),
    "folder.frames": (_folder(_frames),),
    "folder.ice9": (_folder(_ice9),),
    "folder.xds_corrections": (_folder(_corrections),),
    "folder.seed_spots": (_folder(_seed_spots),),
    "folder.hexrd_picks": (_folder(_picks),),
    "nexus_poni": (_nexus_poni,),
    "hexrd_hdf5": (_hexrd,),
    "dataset_hdf5": (_dataset_h5,),
    "dataset_npz": (_dataset_npz,),
    "checkpoint": (_checkpoint,),
    "refl_npz": (_refl_npz,),
    "points": (_points,),
    "grid_counts": (_grid_counts,),
    "name_list": (_names,),
    "conform_json": (_outputs,),
    "conform_hdf5": (_outputs,),
    "conform_text": (_outputs_text,),
    "known_failures": (_known_failures,),
}
