"""HOW DO WE ANSWER? OAuth 2.0 and OpenID Connect, with Authlib as the core.

Owns: every protocol endpoint; routes.py is their list. The token endpoint reads strictly, proves
the client (authenticate.py), preloads what its grant needs (loading.py), lets the core decide
without I/O (core.py, grants.py), and commits the effects in one transaction (commit.py).
/authorize decides what is next (interaction.py), sends the browser there, and ends an authorization
in one transaction (endings.py). Statements on the room's tables stand in store.py,
authorizations.py and consents.py.
Must not touch: how a person is verified (that is login and verify). Only this room imports
authlib, and each thing in it that is corrected here has a test that names it.
"""
