"""Gives the tests here the running host."""

from Testing.SlicerHost.fixtures import host

__all__ = ["host"]
