"""What KANs do on a graphics processor: right or wrong, and how fast. See ``__main__.py``."""
