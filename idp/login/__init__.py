"""WHAT DOES THE BROWSER DO NEXT? From "who are you?" to a session of a verified person.

Owns: login transactions and their attempts, persons, SSO sessions, the pages of the login.
Must not touch: OpenID Connect. It is told who asks (Purpose) and where to go back to, so the
card binding page and later the portal log people in by the same door.

flow.py decides (pure), store.py loads and commits, desk.py speaks to the verifier within
budgets.py, pages.py takes what is pressed and view.py draws, returns.py is the door for whatever
comes from outside and arrivals.py judges it, session.py remembers.
"""
