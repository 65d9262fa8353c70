"""Measurements that are run by hand, out of a checkout."""
