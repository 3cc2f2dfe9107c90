"""Measured claims: what is said about speed is said by a run of this package, with the machine it ran on."""
