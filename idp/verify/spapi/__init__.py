"""HOW DOES THE SP-API SAY WHO THIS IS? The client side of the ministry's successor interfaces.

verifier   SpApi, the Verifier; client: the calls, and what may be sent twice; checks: for doctor
wire       the interfaces as a table; fields read tolerantly, written exactly; answers, ticket
checksum   AES-256-GCM over a SHA-256, a leaf
rules      its methods, its codes, and who is believed; evidence: the citizen's own signature
settings   what an operator decides, and everything that is not publicly known
simulator  a pretend SP-API, written independently: it imports none of the above

Owns the interface's words (sp_ticket, id_num, hint). Must not touch: the browser, the database.
"""
