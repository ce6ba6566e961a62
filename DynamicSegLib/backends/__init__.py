"""Backends: where networks really run."""
