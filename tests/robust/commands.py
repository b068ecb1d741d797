"""The commands that write, each on small inputs: what the campaigns kill, starve and shut out.

``IN`` stands for the folder of the inputs (``inputs.py``). A command works in an empty folder,
where all that it leaves is compared.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["JOBS", "Job"]


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes
    ----------
    name, words
        Of the command; its words as typed, behind ``refimpl``.
    copies
        Folders of the inputs that it works in: it writes beside what it reads.
    grows
        Patterns of files that grow line by line and are what the next run goes on from.
    changes
        Patterns of files that are rewritten whole as the run goes on.
    kept
        Patterns of what is there in the middle of a run and gone at its end.
    again
        Words with which it is run again after a kill; default: none.
    code
        Exit code of a run that nothing disturbs.
    endless
        It runs until Ctrl-C.
    out
        What is written first of all: the folder or file of ``-o``.
    """

    name: str
    words: str
    group: str = ""
    copies: tuple[str, ...] = ()
    grows: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    again: str = ""
    code: int = 0
    endless: bool = False
    out: str = "out"


_P = "--wavelength-angstrom 0.25 --pixel-size-um 300"
_TRAIN = "--size 16 --epochs 3 --patience 9"
_LEDGER = ("*ledger.jsonl",)
_LOOPS = ("*ledger.jsonl", "*run.jsonl", "*_out.csv", "*_err.csv", "*.log")
_BLOCKS = ("*/blocks/*", "*.shared*")
_RUN = ("*.ckpt", "*history.csv", "*run.json", "*split.json")

_ALL = (
    Job("powder calibrate", f"powder calibrate IN/powder/ceria.tif {_P} -o out"),
    Job("powder calibrate --joint",
        "powder calibrate IN/powder/near.toml --joint IN/powder/far.toml --pixel-size-um 300 "
        "--no-report -o out"),
    Job("powder map", "powder map IN/powder/calibrated/geometry.json --tiff -o out"),
    Job("powder integrate", "powder integrate IN/powder/ceria.tif "
        "IN/powder/calibrated/geometry.json --azimuth-bins 12 -o out"),
    Job("powder batch", f"powder batch IN/powder/frames {_P} --jobs 1 -o out", grows=_LEDGER,
        changes=("*summary.csv",)),
    Job("powder batch, processes", f"powder batch IN/powder/frames {_P} --jobs 2 "
        "--engine processes -o out", grows=_LEDGER, changes=("*summary.csv",)),
    Job("powder panels", "powder panels powder/panels.txt 1 -o out", copies=("powder",)),
    Job("powder panels, in place", "powder panels powder/panels.txt 1", copies=("powder",),
        out="powder"),
    Job("powder autocalibrate", "powder autocalibrate -dataFN powder/ceria.tif -ConvertFile 3 "
        "-paramFN powder/published.txt -ImTransOpt 2 -EtaBinSize 4 -LsdGuess 250500 "
        "-BCGuess 128 117 -NoMedian 1 --max-iterations 2 -SavePlotsHDF cal.h5",
        copies=("powder",), code=4, out="powder"),
    Job("metrology import", "metrology import IN/metrology/x_####.cbf -o out.expt",
        out="out.expt"),
    Job("metrology find-spots", "metrology find-spots IN/metrology/imported.expt --threads 1 "
        "-o out", kept=("out/*parts*",)),
    Job("metrology count-spots", "metrology count-spots IN/metrology/imported.expt --threads 1 "
        "-o out", changes=("out/counts.json",)),
    Job("metrology index", "metrology index IN/metrology/lattice.expt IN/metrology/lattice.refl "
        "--unit-cell 38,47,61,82,95,104 --set n_grid=64 --set macro_cycles=1 -o out"),
    Job("metrology refine", "metrology refine IN/metrology/start.expt IN/metrology/spots.refl "
        "--hierarchy-level 1 -o out"),
    Job("metrology validate", "metrology validate IN/metrology/start.expt "
        "IN/metrology/spots.refl --hierarchy-level 1 -o out"),
    Job("metrology predict", "metrology predict IN/metrology/start.expt --d-min-angstrom 4 "
        "-o out.refl", out="out.refl"),
    Job("metrology report", "metrology report IN/metrology/refined.expt "
        "IN/metrology/refined.refl --before IN/metrology/start.expt -o out"),
    Job("metrology view", "metrology view IN/metrology/imported.expt -o out.png", out="out.png"),
    Job("metrology export xds", "metrology export IN/metrology/refined.expt --to xds-geo -o out"),
    Job("metrology export crystfel", "metrology export IN/metrology/refined.expt --to crystfel "
        "-o out.geom", out="out.geom"),
    Job("metrology transfer", "metrology transfer IN/metrology/refined.expt --distance-mm 300 "
        "-o out.expt", out="out.expt"),
    Job("metrology remeasure", "metrology remeasure IN/metrology/refined.expt "
        "IN/metrology/spots.refl -o out.refl", out="out.refl"),
    Job("metrology simulate", "metrology simulate IN/metrology/start.expt --d-min-angstrom 4 "
        "-o out"),
    Job("nearfield simulate", "nearfield simulate IN/nearfield/nf/ps.txt "
        "IN/nearfield/nf/truth.mic -o out"),
    Job("nearfield process-images", "nearfield process-images nf/ps.txt", copies=("nf",),
        out="nf"),
    Job("nearfield grid", "nearfield grid IN/nearfield/nf/ps.txt -o out.txt", out="out.txt"),
    Job("nearfield seeds", "nearfield seeds IN/nearfield/nf/ps.txt --spacing-deg 8 -o out.txt",
        out="out.txt"),
    Job("nearfield reconstruct", "nearfield reconstruct IN/nearfield/nf/ps.txt -nCPUs 1 -o out",
        grows=_LOOPS, kept=_BLOCKS),
    Job("nearfield reconstruct, coarse to fine",
        "nearfield reconstruct loops/ps.txt --no-report -nCPUs 1", copies=("loops",),
        grows=_LOOPS, kept=_BLOCKS, out="loops"),
    Job("nearfield calibrate", "nearfield calibrate IN/nearfield/off/ps.txt -o out"),
    Job("nearfield grains", "nearfield grains IN/nearfield/nf/ps.txt IN/nearfield/nf/truth.mic "
        "-o out.csv", out="out.csv"),
    Job("nearfield view", "nearfield view IN/nearfield/nf/ps.txt IN/nearfield/nf/truth.mic -o out"),
    Job("epu calibrate", "epu calibrate IN/epu/session -o out.json --scatter s.png",
        out="out.json"),
    Job("epu duplicates", "epu duplicates IN/epu/session --map --montage --cache kept.csv "
        "--report page -o out", out="out"),
    Job("epu duplicates --watch", "epu duplicates IN/epu/session --calibration IN/epu/titan.json "
        "--watch 0.2 -o out", endless=True),
    Job("epu groups", "epu groups IN/epu/session --prefix Movies -o out.star --cryosparc out.csv",
        out="out.star"),
    Job("epu simulate", "epu simulate --set squares=1 --set groups=3 --set missed=0 "
        "--set revisits=1 --set overlaps=0 --set singles=1 --set shots=1 --set near_misses=0 "
        "--image-px 32 -o out"),
    Job("centring simulate", "centring simulate --crystals 1 --seconds 1 --scans helical -o out"),
    Job("centring match", "centring match IN/centring/loops_seen/camera.csv "
        "IN/centring/loops_seen/detector.csv --counts IN/centring/loops_seen/counts.csv "
        "-o out.csv --unmatched rest.csv", out="out.csv"),
    Job("centring train", f"centring train simulated:4 {_TRAIN} -o out", changes=_RUN,
        again="--resume"),
    Job("centring classify", "centring classify simulated:24 --size 24 --epochs 2 -o out",
        changes=_RUN, again="--resume"),
    Job("centring train-segment", "centring train-segment --crystals 5 --views 1 --crops 2 "
        "--size 16 --epochs 3 -o out", changes=_RUN, again="--resume"),
    Job("centring reproduce", "centring reproduce --simulated --small --archs a4 "
        "--targets tanh,log --no-classifier --crystals 10 --views 1 --crops 2 --size 32 --aim 2 "
        "--epochs 1 --engine serial -o out", grows=_LEDGER, changes=("*tables*",)),
    Job("centring evaluate", "centring evaluate IN/centring/net/best.ckpt --aim 1 --maps 1 "
        "-o out"),
    Job("centring heatmap", "centring heatmap IN/centring/net/best.ckpt IN/centring/view.jpg "
        "--zoom 1 --step 40 --map out.npz -o out.png", out="out.png"),
    Job("centring export", "centring export IN/centring/net/best.ckpt -o out.onnx",
        out="out.onnx"),
    Job("convert", "convert IN/powder/calibrated/geometry.json out.poni", group="powder",
        out="out.poni"),
    Job("convert to NeXus", "convert IN/powder/calibrated/geometry.json out.nxs --lossy",
        group="powder", out="out.nxs"),
    Job("compare", "compare IN/powder/calibrated/geometry.json "
        "IN/powder/calibrated/geometry.json -o out.txt --picture out.png", group="powder",
        out="out.txt"),
    Job("conform", "conform --backend python --only misorientation/* -o out.txt --junit out.xml",
        group="none", out="out.txt"),
    Job("conform --write-vectors", "conform --write-vectors out", group="none"),
    Job("validate", "validate --only epu/* --quick -o out.html --json out.json "
        "--junit out.xml", group="none", out="out.html"),
    Job("cluster", "cluster local -o out.py --cpus-per-node 2", group="none", out="out.py"),
    Job("demo", "demo --no-download -o out", group="none"),
)  # fmt: skip

JOBS = {job.name: job for job in _ALL}
