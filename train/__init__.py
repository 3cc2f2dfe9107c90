"""Offline work: audit the data, train, evaluate, compare. Imports rcdnet alone."""
