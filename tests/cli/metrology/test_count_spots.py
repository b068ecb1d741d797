"""``refimpl metrology count-spots``: published counts, broken off, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from refimpl.cli import metrology_images
from refimpl.cli.main import main
from refimpl.io.dials_files import read_expt, write_expt


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


def test_counts_are_the_published_ones(real_data, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    images = [real_data(f"thaumatin-grid/thau_3_2_{k:04d}.cbf.bz2") for k in (1, 2)]
    assert metrology("import", *images, "--multi-panel") == 0
    capsys.readouterr()
    assert metrology("count-spots", "imported.expt", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    wanted = ("spot_total", "remove_ice", "in_resolution", "good_bragg", "ice_rings")
    assert [first[k] for k in wanted] == [280, 279, 228, 212, 2]
    assert [second[k] for k in wanted] == [977, 977, 872, 739, 0]
    assert round(first["method1_angstrom"], 2) == 2.34
    assert round(first["max_cell_angstrom"], 1) == 239.7


def test_an_interrupted_count_goes_on(image_folder, pictures, monkeypatch, capsys) -> None:
    expt = image_folder / "imported.expt"
    options = ("--set", "scanbox_windows=[41,31,31]", "--kind", "pilatus")
    assert metrology("count-spots", expt, *options) == 0
    whole = capsys.readouterr().out
    assert whole.startswith(
        " image  spots   dry  in-res   good  ice  method 1  method 2  max cell\n"
    )
    assert whole.count("\n") == len(pictures) + 1
    assert sum(int(line.split()[1]) for line in whole.splitlines()[1:]) > 30
    plain = metrology_images.Images.__getitem__

    def fails(self, k):
        if k == 5:
            raise RuntimeError("pulled the plug")
        return plain(self, k)

    monkeypatch.setattr(metrology_images.Images, "__getitem__", fails)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        metrology("count-spots", expt, *options, "-o", "counts")
    seen: list[int] = []
    monkeypatch.setattr(
        metrology_images.Images, "__getitem__", lambda self, k: seen.append(k) or plain(self, k)
    )
    capsys.readouterr()
    assert metrology("count-spots", expt, *options, "-o", "counts") == 0
    said = capsys.readouterr()
    assert seen == [5, 6, 7, 8]
    assert said.err == "counts: 5 images done before, kept\n"
    assert said.out == whole
    assert metrology("count-spots", expt, *options, "--again", "-o", "counts") == 0
    assert len(seen) == 4 + len(pictures)


def test_what_a_count_refuses(image_folder, refused) -> None:
    (experiment,) = read_expt(image_folder / "imported.expt")
    said = refused("count-spots", image_folder / "imported.expt", "--set", "speed=1")
    assert said.startswith("unknown setting 'speed': expected some of ")
    said = refused("count-spots", image_folder / "imported.expt", "--kind", "ccd")
    assert said == "detector kind 'ccd': expected one of pilatus, eiger, other"
    write_expt("bare.expt", [replace(experiment, detector=None)])
    said = refused("count-spots", "bare.expt")
    assert said == "counting spots needs an experiment with a beam and a detector"
    said = refused("find-spots", "bare.expt", "-o", "x")
    assert said == "bare.expt: the experiment has no detector"
    write_expt("two.expt", [experiment, experiment])
    assert refused("count-spots", "two.expt") == "two.expt: 2 experiments: expected one, or stills"

    def with_modules(*modules) -> str:
        detector = replace(experiment.detector, modules=modules, root=None)
        write_expt("odd.expt", [replace(experiment, detector=detector)])
        return refused("count-spots", "odd.expt")

    (module,) = experiment.detector.modules
    tilted = replace(module, fast_axis=(np.cos(0.1), 0.0, np.sin(0.1)))
    assert with_modules(tilted) == (
        "the detector is tilted by 0.1000 rad to the beam: a count takes one that faces it, within "
        "0.002 rad"
    )
    assert with_modules(replace(module, pixel_size_mm=(0.172, 0.1))) == (
        "counting spots needs square pixels, the same on all panels"
    )
    left, right = (replace(module, size_px=(240, 195)) for _ in range(2))
    assert with_modules(left, replace(right, raw_image_offset=(247, 0))) == (
        "panel 1 does not lie on the grid of panel 0: a count takes one flat detector"
    )
