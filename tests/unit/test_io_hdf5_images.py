"""Images in HDF5: masters and their files, which data set it is, what is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from image_files import Frames, marked_frames

from refimpl.errors import ConfigError, FormatError
from refimpl.io.images import read


@pytest.fixture
def frames() -> Frames:
    return marked_frames()


def _eiger(folder: Path, frames: Frames, with_files: bool = True) -> Path:
    master = folder / "run_master.h5"
    with h5py.File(master, "w") as file:
        group = file.create_group("entry/data")
        for number, part in enumerate((frames[:2], frames[2:]), start=1):
            name = f"run_data_{number:06d}.h5"
            if with_files:
                with h5py.File(folder / name, "w") as data:
                    settings = hdf5plugin.Bitshuffle()
                    data.create_dataset("entry/data/data", data=part.astype("<u4"), **settings)
            group[f"data_{number:06d}"] = h5py.ExternalLink(name, "entry/data/data")
        pixel_mask = np.zeros((40, 60), np.uint32)
        pixel_mask[5, 5], pixel_mask[3, 4] = 8, 2
        file["entry/instrument/detector/detectorSpecific/pixel_mask"] = pixel_mask
        file["entry/instrument/detector/saturation_value"] = 70
    return master


def test_eiger_master(tmp_path: Path, frames: Frames) -> None:
    image = read(_eiger(tmp_path, frames))
    good = ~image.mask
    assert image.n_frames == 3
    assert image.dataset == "entry/data"
    assert image.masked == {
        "value 4294967295": 40,
        "value 4294967294": 2,
        "pixel mask of the detector": 1,
    }
    np.testing.assert_allclose(image.data[good], frames.mean(axis=0)[good], rtol=1e-15)
    assert image.saturation == 70
    assert image.n_saturated == np.count_nonzero((frames >= 70).any(axis=0) & good)
    np.testing.assert_array_equal(read(image.path, frames=2).data[good], frames[2][good])
    part = read(image.path, dataset="entry/data/data_000002")
    assert part.n_frames == 1


def test_eiger_with_a_missing_file(tmp_path: Path, frames: Frames) -> None:
    master = _eiger(tmp_path, frames, with_files=False)
    with pytest.raises(FormatError, match=r"data file run_data_000001\.h5 .* missing"):
        read(master)


def test_single_image_is_discovered(tmp_path: Path, frames: Frames) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images/ge3/images"] = np.abs(frames)
        file["table"] = np.zeros((2000, 3))
        file["thumbnail"] = np.zeros((16, 16))
        file["buffer"] = np.zeros((40, 60), bool)
    assert read(tmp_path / "a.h5").dataset == "images/ge3/images"


def test_ambiguous_hdf5_lists_candidates(tmp_path: Path, frames: Frames) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ge1/images"] = np.abs(frames)
        file["ge2/images"] = np.abs(frames)
    text = r"several datasets could be the image: ge1/images \(3, 40, 60\), ge2/images"
    with pytest.raises(FormatError, match=text):
        read(tmp_path / "a.h5")
    assert read(tmp_path / "a.h5", dataset="/ge2/images").dataset == "ge2/images"


def test_many_candidates_are_cut_short(tmp_path: Path, frames: Frames) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number in range(11):
            file[f"ge{number}"] = np.abs(frames[0])
    with pytest.raises(FormatError, match=r"and 3 more; name one \(dataset=\.\.\.\)"):
        read(tmp_path / "a.h5")


def test_hdf5_refusals(tmp_path: Path, frames: Frames) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["table"] = np.zeros((200, 3))
        file["group/cube"] = np.zeros((2, 2, 20, 20))
        file["words"] = np.full((20, 20), b"x")
    with pytest.raises(FormatError, match="no 2-D or 3-D numeric dataset of image size found"):
        read(path)
    with pytest.raises(ConfigError, match="dataset 'no' does not exist"):
        read(path, dataset="no")
    with pytest.raises(ConfigError, match=r"'group/cube' is of shape \(2, 2, 20, 20\)"):
        read(path, dataset="group/cube")
    with pytest.raises(ConfigError, match="'group' is a group; a dataset"):
        read(path, dataset="group")
    with pytest.raises(FormatError, match="are not numbers; integers or floats are read"):
        read(path, dataset="words")
    with h5py.File(path, "a") as file:
        file["none"] = np.zeros((0, 20, 20))
    with pytest.raises(FormatError, match="the file holds no frame"):
        read(path, dataset="none")


def test_eiger_parts_of_different_shape(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data_000001"] = np.zeros((1, 20, 20))
        file["entry/data/data_000002"] = np.zeros((1, 20, 30))
    with pytest.raises(FormatError, match=r"parts of entry/data differ in shape: \[\(20, 20\)"):
        read(tmp_path / "a.h5")


def test_unknown_hdf5_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("exchange/data", data=np.ones((1, 20, 20)), compression="gzip")
    monkeypatch.setattr("h5py.h5z.filter_avail", lambda _: False)
    with pytest.raises(FormatError, match=r"compressed with HDF5 filter 1 \(deflate\), which is"):
        read(tmp_path / "a.h5")


def test_corrupt_chunk(tmp_path: Path, frames: Frames) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("exchange/data", data=frames, chunks=(1, 40, 60), compression=4)
        chunk = data.id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + 40] = b"x" * 40
    path.write_bytes(content)
    with pytest.raises(FormatError, match="frame 1 of 3 cannot be read, the file is truncated"):
        read(path)
    assert read(path, frames=0).n_frames == 1


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "u8"])
def test_counts_of_an_eiger_of_any_width(tmp_path: Path, dtype: str) -> None:
    """Files of 8 and 16 bits hold their largest number where a pixel is dead, too."""
    from refimpl.io.eiger_master import eiger_counts
    from refimpl.io.flat_formats import source_of_array

    own = np.dtype(dtype)
    frame = np.array([[0, 1], [100, np.iinfo(own).max]], own)
    if own.kind == "i":
        frame[1, 1] = -1
    found = eiger_counts(source_of_array(frame, tmp_path / "a.npy", {}), 0)
    assert found.dtype == np.int32
    assert found.tolist() == [[0, 1], [100, -1]]
