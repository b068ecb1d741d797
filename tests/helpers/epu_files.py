"""XML as EPU writes it, with made-up values, and folders of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHARED = "http://schemas.datacontract.org/2004/07/Fei.SharedObjects"
TYPES = "http://schemas.datacontract.org/2004/07/Fei.Types"
ARRAYS = "http://schemas.microsoft.com/2003/10/Serialization/Arrays"
MEDIA = "http://schemas.datacontract.org/2004/07/System.Windows.Media"
NIL = "http://www.w3.org/2001/XMLSchema-instance"

VALUES: dict[str, Any] = {
    "uid": "00000000-1111-2222-3333-444444444444",
    "time": "2021-03-27T23:59:59.1234567+01:00",
    "bsx": "0.0123456789012345",
    "bsy": "-0.23456789012345678",
    "x": "-0.00022280296949999997",
    "y": "0.000150706592",
    "diameter": "9.499999999999999E-07",
    "defocus": "-9.1E-07",
    "camera": "BM-Falcon",
    "phase_plate": "false",
    "applied": "-1.2E-06",
}


def vector(tag: str, x: str, y: str, uri: str = TYPES) -> str:
    """An element with two components in another namespace."""
    return f'<{tag} xmlns:a="{uri}"><a:_x>{x}</a:_x><a:_y>{y}</a:_y></{tag}>'


def pair(key: str, value: str, kind: str = "double") -> str:
    """One entry of CustomData."""
    schema = "http://www.w3.org/2001/XMLSchema"
    return (
        f"<a:KeyValueOfstringanyType><a:Key>{key}</a:Key>"
        f'<a:Value i:type="b:{kind}" xmlns:b="{schema}">{value}</a:Value>'
        "</a:KeyValueOfstringanyType>"
    )


def exposure_xml(**changed: Any) -> str:
    """XML of one exposure, in the order that EPU writes; ``changed`` are values of VALUES.

    What stands elsewhere under the same names (ExposureTime, numericValue, Name, Position of
    another kind) has other values.
    """
    v = VALUES | changed
    optics = (
        f"<BeamDiameter>{v['diameter']}</BeamDiameter>"
        + vector("BeamShift", v["bsx"], v["bsy"])
        + vector("BeamTilt", "0.0056", "0.0263")
        + f"<Defocus>{v['defocus']}</Defocus>"
        + vector("ImageShift", "0.001", "-0.002")
        + "<TemMagnification><NominalMagnification>96000</NominalMagnification></TemMagnification>"
    )
    custom = (
        pair("DoseOnCamera", "23.07")
        + pair("Dose", "3.04E+21")
        + pair("PhasePlateUsed", v["phase_plate"], "boolean")
        + pair("AppliedDefocus", v["applied"])
    )
    matrix = "".join(
        f"<a:_m{ij}>{value}</a:_m{ij}>"
        for ij, value in (
            ("11", "-8.7E-11"),
            ("12", "-6.8E-12"),
            ("21", "-6.9E-12"),
            ("22", "8.6E-11"),
        )
    )
    scale = "<offset><x><numericValue>7</numericValue></x></offset>"
    scale += "<pixelSize><x><numericValue>8.5E-11</numericValue></x></pixelSize>"
    acquisition = (
        f"<acquisitionDateTime>{v['time']}</acquisitionDateTime><camera>"
        f"<ExposureTime>33.4</ExposureTime><Name>{v['camera']}</Name></camera>"
        "<plateCamera><ExposureTime>0</ExposureTime></plateCamera>"
        '<scanningDetector><Name i:nil="true"/></scanningDetector>'
    )
    stage = (
        f"<Position><A>0.000174</A><B>0.0176</B><X>{v['x']}</X><Y>{v['y']}</Y>"
        "<Z>-2.22E-05</Z></Position>"
    )
    return (
        f'<MicroscopeImage xmlns="{SHARED}" xmlns:i="{NIL}"><name>Empty</name>'
        f"<uniqueID>{v['uid']}</uniqueID>"
        f'<CustomData xmlns:a="{ARRAYS}">{custom}</CustomData>'
        f'<ReferenceTransformation><matrix xmlns:a="{MEDIA}">{matrix}</matrix>'
        f"</ReferenceTransformation><SpatialScale>{scale}</SpatialScale><microscopeData>"
        f"<acquisition>{acquisition}</acquisition>"
        "<core><ApplicationSoftwareVersion>2.6.0.59</ApplicationSoftwareVersion></core>"
        "<gun><AccelerationVoltage>300000</AccelerationVoltage></gun>"
        "<instrument><InstrumentModel>TITAN1</InstrumentModel></instrument>"
        f"<optics>{optics}</optics><stage>{stage}</stage></microscopeData></MicroscopeImage>"
    )


FRACTIONS = '<?xml version="1.0" encoding="utf-8"?>\n<Acquisition><Info/></Acquisition>\n'

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]>"
)


def name_of(i: int, *, hole: int = 5330585, area: int = 5338216) -> str:
    """Stem of exposure ``i``, taken in second ``i`` after noon: three shots a hole."""
    shot = i % 3
    stamp = f"20210327_12{i // 60:02d}{i % 60:02d}"
    return f"FoilHole_{hole + i // 3}_Data_{area + shot}_{area + shot + 2}_{stamp}"


def write_session(folder: Path, n: int = 12, square: int = 5324661) -> Path:
    """Folder with ``n`` exposures 1 s apart: beam shift x is 0.001 times the number of each."""
    data = folder / "Images-Disc1" / f"GridSquare_{square}" / "Data"
    data.mkdir(parents=True)
    for i in range(n):
        (data / f"{name_of(i)}.xml").write_text(xml_of(i), encoding="utf-8")
    return data


def xml_of(i: int, **changed: Any) -> str:
    """XML of exposure ``i`` of :func:`write_session`."""
    values = {
        "uid": f"00000000-1111-2222-3333-{i:012d}",
        "time": f"2021-03-27T12:{i // 60:02d}:{i % 60:02d}.5000000+01:00",
        "bsx": repr(0.001 * i),
        "x": repr(1e-6 * (i // 3)),
    }
    return exposure_xml(**(values | changed))
