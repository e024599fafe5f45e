"""WHAT WOULD THE SP-API ANSWER? A pretend 行動自然人憑證 for development, tests and integrators.

Owns: its five interfaces and the app link, its checksums and tickets, a certificate authority of
its own. Must not touch: anything else of `idp` but what simulators share. It was written from what
is publicly known and never from our client, so that the two can find each other's mistakes.
`create_simulator` returns a Starlette app; its world is `app.state.simulator`.
"""

from idp.verify.spapi.simulator.app import create_simulator
from idp.verify.spapi.simulator.authority import Authority
from idp.verify.spapi.simulator.world import SimulatedService

__all__ = ["Authority", "SimulatedService", "create_simulator"]
