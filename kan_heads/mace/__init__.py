"""MACE with KANs: readouts, radial networks, training options, migration of old models.

MACE imports this package while it parses its arguments, so it imports nothing.
"""
