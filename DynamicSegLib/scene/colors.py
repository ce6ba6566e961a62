"""One colour an option, the same in chart, legend and panel: the more effort, the deeper.

Lightness alone tells the options apart, so that they are distinct to the colour-blind and in print; the hue is one
that segments rarely have, so that nobody takes an option for a label.
"""

from collections.abc import Sequence

import numpy as np

Color = tuple[float, float, float]

SKIP_COLOR: Color = (0.76, 0.78, 0.81)
_CHEAPEST: Color = (0.77, 0.70, 0.90)
_MIDDLE: Color = (0.52, 0.33, 0.75)
_COSTLIEST: Color = (0.22, 0.05, 0.38)


def option_color(option: str, options: Sequence[str]) -> Color:
    """Red, green and blue, 0..1, of an option; `options` names all of them, skip first, then by growing cost."""
    place = list(options).index(option)
    if place == 0:
        return SKIP_COLOR
    steps = len(options) - 2
    effort = (place - 1) / steps if steps else 0.5
    red, green, blue = (
        float(np.interp(effort, (0.0, 0.5, 1.0), channel))
        for channel in zip(_CHEAPEST, _MIDDLE, _COSTLIEST, strict=True)
    )
    return red, green, blue
