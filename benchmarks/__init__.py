"""Measured claims: what is said about speed and steadiness is said by a run of this package, with the machine it ran on."""
