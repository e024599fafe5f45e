"""What every room stands on.

Owns: settings, errors, clock, tables, database, keyring, vault, audit, throttle, templates, edge.
Must not touch: any room. Nothing here knows OpenID Connect, a national ID scheme or a card.
"""
