"""WHAT WOULD TW FidO ANSWER? A pretend TW FidO for development, tests and integrators.

Owns: the nine interfaces, their checksums, the personas, the phone page, the ledger, the faults.
Must not touch: anything else of `idp`. It was written from the ministry's papers and never from
our client, so that the two can find each other's mistakes.
`create_simulator` returns a Starlette app; its world is `app.state.simulator`.
"""

from idp.verify.twfido.simulator.app import create_simulator
from idp.verify.twfido.simulator.world import SimulatedSystem

__all__ = ["SimulatedSystem", "create_simulator"]
