"""The parts of DynamicSeg's panel: each file is one thing that a user sees or that drives it."""
