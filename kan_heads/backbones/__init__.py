"""What each backbone tells ``kan_heads.swap``; found by the entry point ``kan_heads.backbones``.

Every installed adapter is asked about every model, so these files import no backbone.
"""
