"""One colour an option, the same in every chart: grey for skip, then light to dark as candidates grow.

One hue that no label uses, so that a chart's colours are not taken for structures; lightness carries the order, which
colour-blind eyes and grey prints keep.
"""

_SKIP = "#C3C8CE"
_CANDIDATES = ("#CDB7EA", "#8E63CE", "#5B2A9D", "#2E0F5C", "#E8A9CB", "#BC4A86", "#7D1B53", "#000000")


def option_color(option: int) -> str:
    """Hexadecimal colour of an option; 0 is skip. Beyond eight candidates colours repeat."""
    return _SKIP if option == 0 else _CANDIDATES[(option - 1) % len(_CANDIDATES)]
