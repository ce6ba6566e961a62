"""One colour an option, the same in every chart: grey for skip, then light to dark as candidates grow.

One hue that no label uses, so that a chart's colours are not taken for structures; lightness carries the order, which
colour-blind eyes and grey prints keep.
"""

_SKIP = "#C3C8CE"
_RAMP = ("#CDB7EA", "#8E63CE", "#5B2A9D", "#2E0F5C")
# As many as any model that ships has: for charts that do not know how many there are.
USUAL_CANDIDATES = 5


def option_color(option: int, candidates: int = USUAL_CANDIDATES) -> str:
    """Hexadecimal colour of an option; 0 is skip, the last of `candidates` is the darkest."""
    if option == 0:
        return _SKIP
    place = (len(_RAMP) - 1) * min(1.0, (option - 1) / max(1, candidates - 1))
    lower = min(int(place), len(_RAMP) - 2)
    lighter, darker = (bytes.fromhex(tone[1:]) for tone in _RAMP[lower : lower + 2])
    mixed = (round(a + (b - a) * (place - lower)) for a, b in zip(lighter, darker, strict=True))
    return "#" + "".join(f"{channel:02X}" for channel in mixed)
