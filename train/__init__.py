"""Offline work: audit the data, train, evaluate, compare. Of our packages it imports only rcdnet."""
