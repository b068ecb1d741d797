"""Real measurements by name: where they come from, under which licence, and where they lie here.

A file is looked for in the folder that ``REFIMPL_DATA`` names, then in the user's cache; it is
downloaded only on request and checked against its SHA-256. Measured data are never part of the
package. Files that were derived from a set (plain JSON of its geometry) or produced with another
code have no public home and are found in ``REFIMPL_DATA`` only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from refimpl.errors import ConfigError, FormatError

__all__ = ["SETS", "DataFile", "DataSet", "is_here", "names", "path", "url"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class DataFile:
    """One file: its checksum, and its path in the repository of the set (None: local only)."""

    sha256: str
    source: str | None = None


@dataclass(frozen=True)
class DataSet:
    """One measurement, or a set of golden values.

    Attributes
    ----------
    title
        What it is, with the numbers that a user needs first.
    licence
        SPDX identifier.
    repository, commit
        Public home on GitHub, or None.
    image
        The file that the set's own name stands for.
    files
        Files by name.
    is_open
        Whether the folder may hold files that are not listed here (checked by its SHA256SUMS).
    """

    title: str
    licence: str
    repository: str | None = None
    commit: str | None = None
    image: str | None = None
    files: Mapping[str, DataFile] = field(default_factory=dict)
    is_open: bool = False


_HEXRD = ("HEXRD/examples", "acc6ae2aaa581272d2f8c280257fef0ecc5c5275")
_HEXRD_LICENCE = DataFile(
    "d23df491015363c5e0cff7a364690a61bc4664e10a08c9a636da60debfad8a4e", "LICENSE"
)
_PILATUS2M, _CPF = "powder_diffraction/Pilatus2M", "Example1-Fe"

SETS: Final[dict[str, DataSet]] = {
    "pilatus2m-ceria-hexrd": DataSet(
        "CeO2 on a Pilatus 2M (24 modules), 61.3323 keV, 739.8 mm, a = 5.41153 Angstrom (APS 1-ID)",
        "BSD-3-Clause",
        *_HEXRD,
        image="ceria_50x30_740mm_000005_Pilatus2M.hdf5",
        files={
            "ceria_50x30_740mm_000005_Pilatus2M.hdf5": DataFile(
                "f66ff8e4c60cefd87b4bcbe6dfca99cac488614276e8b775703f4b5bd10cbf71",
                f"{_PILATUS2M}/images/ceria_50x30_740mm_000005_Pilatus2M.hdf5",
            ),
            "Pilatus2M_CeO2_Yb_edge.hexrd": DataFile(
                "ce16b79c0c47e0c82b2b526cba47d98cae3a8bf56910486ca633474c7710d32d",
                f"{_PILATUS2M}/include/Pilatus2M_CeO2_Yb_edge.hexrd",
            ),
            "Pilatus2M_CeO2_Yb_edge_composite.hexrd": DataFile(
                "1e1f2d51c7d2ebf643c0d424ed401b9624438a8149c6e07aafcb7cc5c2cc9fad",
                f"{_PILATUS2M}/include/Pilatus2M_CeO2_Yb_edge_composite.hexrd",
            ),
            "geometry_24panels.json": DataFile(
                "cea09386b5a77243395f9de202dad245f3a3b7eacaea7c17e2c07d397e5fa86f"
            ),
            "geometry_monolithic.json": DataFile(
                "6f0da96eda5c68ce44270697b355b196c8bdb1b144132da8a3f7e9009ca6418f"
            ),
            "LICENSE": _HEXRD_LICENCE,
        },
    ),
    "ge-ceria-hexrd": DataSet(
        "CeO2 on a GE 41RT with published distortion, 80.725 keV, 1050.75 mm (APS 1-ID)",
        "BSD-3-Clause",
        *_HEXRD,
        image="ge_wppf.h5",
        files={
            "ge_wppf.h5": DataFile(
                "d7be7d24a8ef8e533590d77a6fb196dcbb5642ac004b33711f3ab6f0e872fdb3",
                "state_examples/GE_WPPF/ge_wppf.h5",
            ),
            "expt_spectrum.npy": DataFile(
                "34e31aa9ab16fc640b1d501120dbdf052414bde968cad3bf5e903e9b68ffe852",
                "ge/wppf/expt_spectrum.npy",
            ),
            "geometry.json": DataFile(
                "644c647a178cb071c3766a41b4dda5deb18f84346ce145e5bd05fa8d5897c5ac"
            ),
            "LICENSE": _HEXRD_LICENCE,
        },
    ),
    "pilatus1m-ceria-cpf": DataSet(
        "Low-count CeO2 on a Pilatus 1M, 0.40663 Angstrom, 207.4 mm; valid flipped up-down",
        "MIT",
        "ExperimentalMineralPhysics/Continuous-Peak-Fit",
        "e49ac3d71db56a9f0a13484ad6d07b5eb4b9b3dc",
        image="CeO2_Pil207_E30_2Nov2016_001.tif",
        files={
            "CeO2_Pil207_E30_2Nov2016_001.tif": DataFile(
                "b3f24279fd149500bf6e9af2a7b7451dd0b7d96b31d2d7887c4c277d779e203f",
                f"{_CPF}/CeO2_Pil207_E30_2Nov2016_001.tif",
            ),
            "CeO2_Pil207_E30_2Nov2016_001.imctrl": DataFile(
                "b38c350b485c7a92f6cd8bfe6d9312c524dfaafb13f29a434b2e776c370ef653",
                f"{_CPF}/CeO2_Pil207_E30_2Nov2016_001.imctrl",
            ),
            "CeO2_cal_Dioptas.poni": DataFile(
                "0f7316dd3262f3391730be29f4a2719b9262821be2745bd13d295762a496bc73",
                f"{_CPF}/CeO2_cal_Dioptas.poni",
            ),
            "CeO2_cal_GSAS.imctrl": DataFile(
                "dd38728a7bdd2c3f521d6adb278d6add0eb8cc3faa5547ede0e01588465a9bdd",
                f"{_CPF}/CeO2_cal_GSAS.imctrl",
            ),
            "LICENSE.txt": DataFile(
                "9117263e8acdbfce7da65555bc51ec6ce7e990596496d20833b9a7a0721b5c0e", "LICENSE.txt"
            ),
        },
    ),
    "metrology": DataSet(
        "Spots and models of rotation data (thaumatin th82, i23, CSPAD) and DIALS runs on them",
        "CC-BY-4.0",
        is_open=True,
    ),
    "ff-ruby-dexela-hexrd": DataSet(
        "Picked spots of three NIST ruby spheres (SRM 1990a), two Dexela 2923, 41.9906 keV, 671 mm",
        "BSD-3-Clause",
        is_open=True,
    ),
    "powder-golden": DataSet(
        "Outputs of the published calibration on the Pilatus 2M frame, and its forward model",
        "BSD-3-Clause",
        is_open=True,
    ),
    "nearfield-golden": DataSet(
        "Outputs of the published near-field programs on their gold example: spots, pixels, maps",
        "BSD-3-Clause",
        is_open=True,
    ),
    "nf-gold-hexomap": DataSet(
        "Gold crystal in the near field, 65.351 keV, 2 distances x 180 frames of 1 degree",
        "BSD-3-Clause",
        is_open=True,
    ),
    "thaumatin-grid": DataSet(
        "Thaumatin grid scan, images 1-10, Pilatus3 6M S/N 60-0119, 0.96859 Angstrom, 351 mm",
        "CC-BY-4.0",
        is_open=True,
    ),
    "epu-afis": DataSet(
        "EPU session of EPU_group_AFIS: XML of 189 exposures (63 holes x 3 shots), Titan, Falcon 3",
        "MIT",
        is_open=True,
    ),
    "lucid3-snapshots": DataSet(
        "Photographs of four loops, 1280 x 1024, and where lucid3 finds them (OpenCV 5.0.0)",
        "MIT",
        is_open=True,
    ),
    "centring": DataSet(
        "Parameter counts of the nets of Schurmann & Lindhe (2019), simulated loops of a prototype",
        "BSD-3-Clause",
        is_open=True,
    ),
}
"""Data sets by name."""


def names() -> tuple[str, ...]:
    """Every listed file as ``set/file``."""
    return tuple(f"{group}/{file}" for group, data in SETS.items() for file in data.files)


def _resolve(name: str) -> tuple[str, str]:
    """Split into set and file; a set's own name stands for its image.

    Raises
    ------
    ConfigError
        Unknown set or file.
    """
    group, _, file = name.partition("/")
    if group not in SETS:
        raise ConfigError(f"unknown data set {group!r}; known: {', '.join(SETS)}", got=name)
    data = SETS[group]
    file = file or data.image or ""
    if file in data.files or (data.is_open and file and ".." not in Path(file).parts):
        return group, file
    known = ", ".join(data.files) or "name a file of the folder"
    raise ConfigError(f"unknown file {file!r} of {group}; known: {known}", got=name)


def url(name: str) -> str | None:
    """Address of a file in its public home, or None where it has none."""
    group, file = _resolve(name)
    data = SETS[group]
    source = data.files[file].source if file in data.files else None
    if source is None or data.repository is None:
        return None
    return f"https://github.com/{data.repository}/raw/{data.commit}/{source}"


def _local(name: str) -> Path | None:
    """Where the file lies already: ``REFIMPL_DATA`` first, then the cache."""
    folder = os.environ.get("REFIMPL_DATA")
    if folder and (Path(folder) / name).is_file():
        return Path(folder) / name
    cached = _cache() / name
    return cached if cached.is_file() else None


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("refimpl"))


def is_here(name: str) -> bool:
    """Whether ``path(name)`` needs no download."""
    return _local("/".join(_resolve(name))) is not None


def path(name: str, *, allow_download: bool = False, verify: bool = False) -> Path:
    """Path of a real data file.

    Parameters
    ----------
    name
        ``set/file``, or the name of a set for its image.
    allow_download
        Fetch it from its public home into the user's cache where it is not here. A download is
        always checked against its SHA-256.
    verify
        Check the SHA-256 of a file that is here.

    Raises
    ------
    ConfigError
        Unknown name, or the file is not here and may not or cannot be downloaded.
    FormatError
        The checksum differs.
    """
    group, file = _resolve(name)
    full = f"{group}/{file}"
    found = _local(full)
    if found is None:
        return _download(full, allow_download)
    if verify:
        _verify(found, group, file)
    return found


def _download(name: str, allow: bool) -> Path:
    group, _, file = name.partition("/")
    data, address = SETS[group], url(name)
    where = "set REFIMPL_DATA to the folder that holds the data sets"
    if address is None:
        raise ConfigError(f"real data {name!r} is not here and has no public home: {where}")
    if not allow:
        raise ConfigError(
            f"real data {name!r} is not here: {where}, or allow the download from "
            f"github.com/{data.repository} ({data.licence})"
        )
    import pooch

    target = _cache() / name
    try:
        pooch.retrieve(
            address,
            known_hash=f"sha256:{data.files[file].sha256}",
            fname=target.name,
            path=target.parent,
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"real data {name!r} could not be downloaded: {reason}; {where}"
        ) from error
    return target


def _verify(found: Path, group: str, file: str) -> None:
    known = SETS[group].files.get(file)
    expected = known.sha256 if known is not None else _listed_sum(found, file)
    with open(found, "rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(_CHUNK):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise FormatError(
            f"checksum {digest.hexdigest()[:12]}... differs from the expected {expected[:12]}...: "
            "the file was changed or its download was cut off",
            path=found,
        )


def _listed_sum(found: Path, file: str) -> str:
    """Checksum from the SHA256SUMS of the set's folder."""
    root = found.parents[len(Path(file).parts) - 1]
    sums = root / "SHA256SUMS"
    for line in sums.read_text().splitlines() if sums.is_file() else ():
        digest, _, listed = line.partition("  ")
        if listed.removeprefix("./") == file:
            return digest
    raise FormatError(f"no checksum of {file} in {sums}", path=found)
