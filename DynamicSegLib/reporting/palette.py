"""One colour an option, the same in every chart: grey for skip, then Okabe and Ito's colour-blind-safe colours."""

_SKIP = "#C3C8CE"
_CANDIDATES = ("#56B4E9", "#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#F0E442", "#000000")


def option_color(option: int) -> str:
    """Hexadecimal colour of an option; 0 is skip. Beyond eight candidates colours repeat."""
    return _SKIP if option == 0 else _CANDIDATES[(option - 1) % len(_CANDIDATES)]
