"""HOW DOES TW FIDO SAY WHO THIS IS? The client side of the ministry's nine interfaces.

verifier   TwFido, the Verifier; rules: its methods, result codes and who is believed
client     the calls: one sequence number each, what may be sent twice
wire       the papers' fields, read tolerantly, written exactly; answers, callback
checksum   3DES, a leaf; settings
simulator  a pretend TW FidO, written independently: it imports none of the above

Owns the papers' words (syscode, tranSeq, qrid). Must not touch: the browser, the database.
"""
