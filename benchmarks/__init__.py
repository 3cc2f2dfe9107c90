"""Measurements of speed and steadiness. Whatever is claimed about them comes from a run of this package, with its
machine."""
