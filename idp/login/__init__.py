"""WHAT DOES THE BROWSER DO NEXT? From "who are you?" to a session of a verified person.

Owns: login transactions and their attempts, persons, SSO sessions, the pages of the login.
Must not touch: OpenID Connect. It is told who asks (Purpose) and where to go back to, so the
card binding page and later the portal log people in by the same door.

flow.py decides (pure). entrance.py is what other rooms ask, own_pages.py what pages of our own
share. pages.py takes what is pressed, view.py draws. opening.py opens an attempt within
budgets.py, asking.py asks how it ended, complete.py makes a session of an approval.
upstream_routes.py is the door for what comes from outside, and upstream_returns.py judges it.
store.py, attempts.py, persons.py, session.py, endings.py and history.py hold the statements on the
room's tables; nothing else runs any.
"""
