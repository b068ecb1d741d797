"""The output of distl.signal_strength that the thesis prints (LU-CS-EX 2019-25, Appendix B)."""

from __future__ import annotations

HEAD = """\
distl.signal_strength: characterization of candidate
  Bragg spots
#Parameters used:
#phil __ON__
distl {
  image = "/data/staff/common/ML-crystals/real_cbf
    /20181214/Sample-3-07/20180479_1_master/out000137.
    cbf"
  res {
    outer = None
    inner = None
  }
  verbose = False
  dxtbx = False
  bins {
    verbose = False
    N = 20
    corner = True
  }
  range = None
}
autoindex_override_beam = None
autoindex_override_distance = None
autoindex_override_wavelength = None
```

```
autoindex override twotheta = None
autoindex_override_deltaphi = None
image specific osc start = None
codecamp {
}
pdf_output {
}
distl {
  minimum_spot_area = None
  minimum signal height = None
  minimum spot height = None
  spot_area_maximum_factor = None
  peak_intensity_maximum_factor = None
  method2_cutoff_percentage = 20
  compactness_filter = False
  scanbox_windows = 101 51 51
  peripheral margin = 20
  pdf output = None
  port = 8125
  processors = 1
  nproc = 1
}
#phil __OFF__
"""

LISTING = """\
                     File : out000137.cbf
               Spot Total :
                              1707
               Remove Ice :
                              1610
      In-Resolution Total :
                              1543
    Good Bragg Candidates :
                              1313
                Ice Rings :
                                  6
      Method 1 Resolution :
                              1.60
      Method 2 Resolution :
                              1.52
        Maximum unit cell : 153.7
<Spot model eccentricity> :
                              0.790
%Saturation, Top 50 Peaks :
                               1.46
In-Resolution Ovrld Spots :
                                 0
"""

NOTES = """\
Bin population cutoff for method 2 resolution: 20%
Number of focus spots on image #137 within the input
  resolution range: 1543
Total integrated signal, pixel-ADC units above local
  background (just the good Bragg candidates) 927143
Signals range from 14.3 to 18020.4 with mean integrated signal 755.7
Saturations range from 0.0% to 3.0% with mean saturation 0.1%
"""

APPENDIX_B = HEAD + "MAX-IV Eiger 16M\n" + LISTING + NOTES
