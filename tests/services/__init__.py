"""WHAT REAL PARTS DO THE TESTS STAND ON?

Real PostgreSQL, Redis, nginx, Chromium and Node, started on loopback on free ports in
folders of their own and ended by their process ids. Knows nothing of the bridge: each
of them takes ports, paths and addresses. A part that is not on this machine raises
`Missing` with the reason; the fixtures print it as the reason of the skip.
"""

from tests.services.process import Missing, Service, free_port

__all__ = ["Missing", "Service", "free_port"]
