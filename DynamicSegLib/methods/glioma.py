"""The task that all three papers share: adult glioma on four MRI modalities, as in the BraTS challenges."""

from DynamicSegLib.bundle import Code, Label
from DynamicSegLib.study import InputSpec

INPUT = InputSpec(modalities=("flair", "t1ce", "t1", "t2"))

_ABNORMAL = Code("SCT", "49755003", "Morphologically Altered Structure")
LABELS = (
    Label(1, "Necrotic and non-enhancing tumor core", (70, 110, 220), Code("SCT", "6574001", "Necrosis"), _ABNORMAL),
    Label(2, "Peritumoral edema", (90, 190, 110), Code("SCT", "79654002", "Edema"), _ABNORMAL),
    Label(4, "Enhancing tumor", (240, 160, 50), Code("SCT", "86049000", "Neoplasm, Primary"), _ABNORMAL),
)
REGIONS = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
OPTIONAL = {4: 1}
"""Some gliomas do not enhance; what little is then found falsely is taken for necrosis (Isensee et al. 2020)."""
