"""Stand-in of slicer.parameterNodeWrapper: typed parameters in a node, bound to widgets.

Written anew for the types that a segmentation module uses; Slicer's own package takes its place where
SLICER_PYTHON_SOURCE is set. A type or widget that is not covered raises.
"""

from .connectors import connector
from .storage import Default, storage
from .validators import Choice, Exclude, Maximum, Minimum, NotNone, Validator, WithinRange
from .wrapper import SlicerParameterNamePropertyName, isParameterNodeWrapper, parameterNodeWrapper

__all__ = [
    "Choice",
    "Default",
    "Exclude",
    "Maximum",
    "Minimum",
    "NotNone",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "connector",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
    "storage",
]
