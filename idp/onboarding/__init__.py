"""How does a relying party get here? Applications, their review, and what follows from it.

Owns the cases and their history; it asks the registry for clients and never writes them itself.
It knows nothing of the protocol and nothing of how people log in.
"""
