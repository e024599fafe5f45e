"""WHO MAY ASK? Relying parties, programs, and their secrets.

Owns: what a client is (metadata in the words of RFC 7591), its secrets (only digests are kept),
the cache of clients in each process. Must not touch: protocol endpoints, browsers, persons.
"""
