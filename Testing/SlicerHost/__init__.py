"""A test host for Slicer scripted modules: the real MRML libraries below, stand-ins for the Qt application above."""

from .host import Host, start

__all__ = ["Host", "start"]
