"""HOW DO WE ANSWER? OAuth 2.0 and OpenID Connect, with Authlib as the core.

Owns: every protocol endpoint. The shape is the same everywhere: the edge reads strictly and
preloads a World (routes.py, store.py), the core decides without I/O and appends effects
(core.py, grants.py), the store commits all effects in one transaction, the answer goes out.
Must not touch: how a person is verified (that is login and verify). Only this room imports
authlib, and each thing in it that is corrected here has a test that names it.
"""
