"""XML of a simulated session: exposures, their fractions, and what EPU plans (.dm).

The elements, their order and namespaces are those of EPU 2.6 (exposures, fractions) and, for the
.dm files, those that the readers of others look for; every value is simulated.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from refimpl.epu.simulate_settings import SimulationSettings

__all__ = ["epu_session_xml", "exposure_xml", "fractions_xml", "grid_square_xml"]

_FEI = "http://schemas.datacontract.org/2004/07/"
_MS = "http://schemas.microsoft.com/2003/10/Serialization/"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_XSD = "http://www.w3.org/2001/XMLSchema"
_FRACTIONS = 22
_FRAMES = 59


def _number(value: float) -> str:
    """Shortest digits that restore it, an exponent with a capital E."""
    value = float(value)
    return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value).upper()


def _leaf(name: str, text: str, attributes: str = "") -> str:
    return f"<{name}{attributes}>{text}</{name}>"


def _nil(name: str) -> str:
    return f'<{name} i:nil="true"/>'


def _pair(key: str, kind: str, text: str) -> str:
    """One entry of CustomData."""
    value = _leaf("a:Value", text, f' i:type="b:{kind}" xmlns:b="{_XSD}"')
    return _leaf("a:KeyValueOfstringanyType", _leaf("a:Key", key) + value)


def _xy(name: str, x: float, y: float) -> str:
    inner = _leaf("a:_x", _number(x)) + _leaf("a:_y", _number(y))
    return _leaf(name, inner, f' xmlns:a="{_FEI}Fei.Types"')


def _metres(name: str, value: float) -> str:
    unit = (
        f'<unit xmlns:a="{_FEI}Fei.Common.Types">'
        "<a:_x003C_PrefixExponent_x003E_k__BackingField>1"
        "</a:_x003C_PrefixExponent_x003E_k__BackingField>"
        "<a:_x003C_Symbol_x003E_k__BackingField>m</a:_x003C_Symbol_x003E_k__BackingField></unit>"
    )
    return _leaf(name, _leaf("numericValue", _number(value)) + unit)


def exposure_xml(row: Mapping[str, Any], settings: SimulationSettings) -> str:
    """Return the XML of one exposure.

    Parameters
    ----------
    row
        One row of the session's table.
    settings
        For the camera.
    """
    return (
        f'<MicroscopeImage xmlns="{_FEI}Fei.SharedObjects" xmlns:i="{_XSI}"><name>Empty</name>'
        f"<uniqueID>{row['uid']}</uniqueID>{_custom_data(row)}{_nil('IntensityScale')}"
        f"{_scales(row)}<microscopeData>{_acquisition(row, settings)}{_machine(row)}"
        f"{_optics(row)}<sample>{_nil('Description')}{_nil('ID')}</sample>{_stage(row)}"
        "<vacuum><ProjectionChamberPressure>0</ProjectionChamberPressure><SamplePressure>0"
        "</SamplePressure><VacuumMode>Ready</VacuumMode></vacuum></microscopeData>"
        "</MicroscopeImage>"
    )


def _custom_data(row: Mapping[str, Any]) -> str:
    dose = row["dose_per_angstrom2"]
    pairs = (
        _pair("DoseOnCamera", "double", _number(dose * row["pixel_size_angstrom"] ** 2))
        + _pair("Dose", "double", _number(dose * 1e20))
        + _pair("PhasePlateUsed", "boolean", "true" if row["phase_plate"] == 1 else "false")
        + _pair("BinaryResult.Detector", "string", row["camera"])
        + _pair("AppliedDefocus", "double", _number(row["applied_defocus_um"] * 1e-6))
    )
    return _leaf("CustomData", pairs, f' xmlns:a="{_MS}Arrays"')


def _scales(row: Mapping[str, Any]) -> str:
    names = ("_m11", "_m12", "_m21", "_m22")
    values = (row[f"image_to_stage{name.replace('m', '')}"] * 1e-6 for name in names)
    matrix = "".join(_leaf(f"a:{n}", _number(v)) for n, v in zip(names, values, strict=True))
    matrix += "<a:_offsetX>0</a:_offsetX><a:_offsetY>0</a:_offsetY><a:_padding>0</a:_padding>"
    matrix += "<a:_type>TRANSFORM_IS_UNKNOWN</a:_type>"
    unit = _metres("x", 0.0)[len("<x><numericValue>0</numericValue>") : -len("</x>")]
    pixel = row["pixel_size_angstrom"] * 1e-10
    return (
        "<ReferenceTransformation>"
        + _leaf("matrix", matrix, f' xmlns:a="{_FEI}System.Windows.Media"')
        + unit
        + "</ReferenceTransformation><SpatialScale>"
        + _leaf("offset", _metres("x", 0.0) + _metres("y", 0.0))
        + _leaf("pixelSize", _metres("x", pixel) + _metres("y", pixel))
        + "</SpatialScale>"
    )


def _fraction_settings() -> str:
    parts = "".join(
        '<a:anyType i:type="b:DoseFractionDefinition">'
        f"<b:EndFrameNumber>{(i + 1) * _FRAMES}</b:EndFrameNumber>"
        f"<b:StartFrameNumber>{i * _FRAMES + 1}</b:StartFrameNumber></a:anyType>"
        for i in range(_FRACTIONS)
    )
    return (
        "<a:KeyValueOfstringanyType><a:Key>FractionationSettings</a:Key>"
        '<a:Value i:type="b:VaridistantFractionation" '
        f'xmlns:b="{_FEI}Fei.Applications.Common.Omp.Interface"><b:DoseFractions>{parts}'
        "</b:DoseFractions></a:Value></a:KeyValueOfstringanyType>"
    )


def _acquisition(row: Mapping[str, Any], settings: SimulationSettings) -> str:
    drawing = f' xmlns:a="{_FEI}System.Drawing"'
    side = settings.instrument.camera_px
    specific = _pair("ElectronCountingEnabled", "boolean", "true") + _fraction_settings()
    nothing = "<a:height>0</a:height><a:width>0</a:width>"
    return (
        f"<acquisition><acquisitionDateTime>{row['time']}</acquisitionDateTime>"
        f"<analyticalDetectors/><camera><Binning{drawing}><a:x>1</a:x><a:y>1</a:y></Binning>"
        "<CameraLocation>BottomMounted</CameraLocation>"
        + _leaf("CameraSpecificInput", specific, f' xmlns:a="{_MS}Arrays"')
        + "<DarkGainCorrection>None</DarkGainCorrection>"
        f"<ExposureTime>{_number(row['exposure_s'])}</ExposureTime><Inserted>true</Inserted>"
        f"<Name>{row['camera']}</Name><PreExposurePauseTime>0</PreExposurePauseTime>"
        "<PreExposureSupported>false</PreExposureSupported><PreExposureTime>0</PreExposureTime>"
        f"<ReadoutArea{drawing}><a:height>{side}</a:height><a:width>{side}</a:width>"
        "<a:x>0</a:x><a:y>0</a:y></ReadoutArea><Shutter>PreSpecimen</Shutter></camera>"
        "<plateCamera><ExposureTime>0</ExposureTime><Use>false</Use></plateCamera>"
        f"<scanSettings><DwellTime>0</DwellTime><Resolution{drawing}>{nothing}</Resolution>"
        f"<ScanArea{drawing}>{nothing}<a:x>0</a:x><a:y>0</a:y></ScanArea>"
        "<ScanRotation>0</ScanRotation></scanSettings><scanningDetector>"
        f"<DetectorType>SecondaryElectrons</DetectorType>{_nil('Gain')}<Inserted>false"
        f"</Inserted>{_nil('Name')}{_nil('Offset')}</scanningDetector></acquisition>"
    )


def _machine(row: Mapping[str, Any]) -> str:
    return (
        "<core><ApplicationSoftware>EPU</ApplicationSoftware>"
        f"<ApplicationSoftwareVersion>{row['epu_version']}</ApplicationSoftwareVersion>"
        f"<Guid>{uuid.UUID(int=0)}</Guid></core>"
        f"<gun><AccelerationVoltage>{_number(row['voltage_kv'] * 1e3)}</AccelerationVoltage>"
        f"<ExtractorVoltage>4000</ExtractorVoltage>{_nil('Filament')}<GunLens>5</GunLens>"
        f"<Sourcetype>FieldEmission</Sourcetype>{_nil('WehneltBias')}</gun><instrument>"
        f"{_nil('AcquisitionSoftware')}{_nil('AcquisitionSoftwareVersion')}"
        f"<ComputerName>{row['instrument']}</ComputerName><InstrumentID>0</InstrumentID>"
        f"<InstrumentModel>{row['instrument']}</InstrumentModel></instrument>"
    )


def _optics(row: Mapping[str, Any]) -> str:
    return (
        f"<optics>{_nil('Apertures')}{_nil('BeamConvergence')}"
        f"<BeamDiameter>{_number(row['beam_diameter_um'] * 1e-6)}</BeamDiameter>"
        + _xy("BeamShift", row["beam_shift_x"], row["beam_shift_y"])
        + _xy("BeamTilt", row["beam_tilt_x"], row["beam_tilt_y"])
        + "<Cameralength>0</Cameralength><ColumnOperatingMode>TEM</ColumnOperatingMode>"
        "<ColumnOperatingTemSubMode>BrightField</ColumnOperatingTemSubMode>"
        + _xy("CondenserStigmator", 0.0, 0.0)
        + f"<Defocus>{_number(row['applied_defocus_um'] * 1e-6)}</Defocus>"
        "<DiffractionFocus>0</DiffractionFocus>"
        + _xy("DiffractionShift", 0.0, 0.0)
        + _xy("DiffractionStigmator", 0.0, 0.0)
        + f"<EFTEMOn>false</EFTEMOn>{_nil('EnergyFilter')}<Focus>0</Focus>"
        f"{_nil('GunStigmator')}<IlluminationMode>Parallel</IlluminationMode>"
        + _nil("IlluminationProbeSubMode")
        + _xy("ImageShift", row["image_shift_x"], row["image_shift_y"])
        + "<Intensity>0.4</Intensity><ObjectiveLensMode>HM</ObjectiveLensMode>"
        + _xy("ObjectiveStigmator", 0.0, 0.0)
        + "<ProbeMode>NanoProbe</ProbeMode><ProjectorMode>Imaging</ProjectorMode>"
        f"<SpotIndex>7</SpotIndex><StemDefocus>0</StemDefocus>{_nil('StemFieldOfView')}"
        f"{_nil('StemMagnification')}<TemMagnification><NominalMagnification>"
        f"{_number(row['magnification'])}</NominalMagnification></TemMagnification></optics>"
    )


def _stage(row: Mapping[str, Any]) -> str:
    values = {
        "A": row["alpha_rad"], "B": row["beta_rad"], "X": row["stage_x_um"] * 1e-6,
        "Y": row["stage_y_um"] * 1e-6, "Z": row["stage_z_um"] * 1e-6,
    }  # fmt: skip
    position = "".join(_leaf(name, _number(value)) for name, value in values.items())
    return (
        f"<stage><Holder>Unspecified</Holder><Position>{position}</Position>"
        "<SampleLoader>None</SampleLoader></stage>"
    )


def fractions_xml(row: Mapping[str, Any]) -> str:
    """Return the XML beside a movie: another root, no optics, an ``ExposureTime`` a fraction."""
    share = _number(row["exposure_s"] / _FRACTIONS)
    parts = "".join(
        f"        <Fraction>\n            <Index>{i}</Index>\n"
        f"            <StartFrame>{i * _FRAMES}</StartFrame>\n"
        f"            <NumberOfFrames>{_FRAMES}</NumberOfFrames>\n"
        "            <SampleType>DoseFraction</SampleType>\n"
        f"            <ExposureTime>{share}</ExposureTime>\n"
        "            <MeanPixelValue>109.0</MeanPixelValue>\n        </Fraction>\n"
        for i in range(_FRACTIONS)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<Acquisition>\n    <Info>\n'
        f"        <Detector>{row['camera']}</Detector>\n"
        f"        <DateTimeWithTimeZone>{row['time']}</DateTimeWithTimeZone>\n"
        f"        <RecordedNumberOfFractions>{_FRACTIONS}</RecordedNumberOfFractions>\n"
        f"    </Info>\n    <Fractions>\n{parts}    </Fractions>\n</Acquisition>\n"
    )


def epu_session_xml(spacing_um: float, settings: SimulationSettings) -> str:
    """Return EpuSession.dm, as far as it is of use here; lacey grids have no spacing."""
    sizes = _leaf("HoleSize", _number(settings.hole_um * 1e-6))
    if not settings.lacey:
        sizes += _leaf("HoleSpacing", _number(spacing_um * 1e-6))
    kind = "Lacey" if settings.lacey else "HoleyCarbon"
    return (
        f'<EpuSessionXml xmlns="{_FEI}Applications.Epu.Persistence" xmlns:i="{_XSI}" '
        f'xmlns:z="{_MS}"><ClusteringMode>ClusteringWithImageBeamShift</ClusteringMode>'
        f"<ClusteringRadius>1E-05</ClusteringRadius><Name>simulated</Name><Samples><_items>"
        f"<SampleXml><GridType>{kind}</GridType><FilterHolesSettings>{sizes}"
        "</FilterHolesSettings></SampleXml></_items></Samples></EpuSessionXml>"
    )


def grid_square_xml(
    holes: Iterable[tuple[int, float, float]], centre_um: tuple[float, float],
    settings: SimulationSettings,
) -> str:  # fmt: skip
    """Return GridSquare_<id>.dm.

    Parameters
    ----------
    holes
        Number and stage position [um] of each.
    centre_um
        Stage position of the middle of the square.
    settings
        Its holes' diameter; a lacey grid has its targets in another element.
    """
    width = _number(settings.hole_um / _SQUARE_PX_UM)
    pairs = "".join(
        f"<b:KeyValuePairOfintTargetLocationXmlBpEWF4JT><b:key>{number}</b:key><b:value>"
        f"<IsNearGridBar>false</IsNearGridBar><PixelCenter><c:x>"
        f"{_number((x - centre_um[0]) / _SQUARE_PX_UM + 2048.0)}</c:x><c:y>"
        f"{_number((y - centre_um[1]) / _SQUARE_PX_UM + 2048.0)}</c:y></PixelCenter>"
        f"<PixelWidthHeight><c:height>{width}</c:height><c:width>{width}</c:width>"
        f"</PixelWidthHeight><Selected>true</Selected><StagePosition><d:X>{_number(x * 1e-6)}"
        f"</d:X><d:Y>{_number(y * 1e-6)}</d:Y></StagePosition></b:value>"
        "</b:KeyValuePairOfintTargetLocationXmlBpEWF4JT>"
        for number, x, y in holes
    )
    inner = "TargetLocations" if settings.lacey else "TargetLocationsEfficient"
    return (
        f'<GridSquareXml xmlns="{_FEI}Applications.Epu.Persistence" xmlns:i="{_XSI}" '
        f'xmlns:a="{_MS}Arrays" xmlns:b="{_FEI}System.Collections.Generic" '
        f'xmlns:c="{_FEI}System.Drawing" xmlns:d="{_FEI}Fei.SharedObjects">'
        f"<Position><d:X>{_number(centre_um[0] * 1e-6)}</d:X>"
        f"<d:Y>{_number(centre_um[1] * 1e-6)}</d:Y></Position><Selected>true</Selected>"
        f"<TargetLocations><{inner}><a:m_serializationArray>{pairs}</a:m_serializationArray>"
        f"</{inner}></TargetLocations></GridSquareXml>"
    )


_SQUARE_PX_UM = 0.02
"""Pixel of the picture of a grid square; free."""
