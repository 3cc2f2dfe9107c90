"""Measured claims: what is said about speed and steadiness, a run of this package says, with the machine it ran on."""
