"""WHAT IS THE SAME IN EVERY PRETEND SERVICE? The parts that the simulators share.

people, numbers   who acts by number; national and resident IDs
world             transactions that persons and time decide, and the ledger
weather           lies and accidents on demand
bodies, pages, phone, control   what arrives, what is shown, what tests pull

Must not touch: anything else of `idp`, above all no client's code: an oracle must not share a
mistake with what it checks. A simulator adds its interfaces, its checksum and its words.
"""
