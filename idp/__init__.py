"""An OpenID Connect identity provider in front of TW FidO. The map of the house:

cli, app      the doors: commands; the one file that knows every room
oidc          how do we answer?            the protocol, on Authlib
registry      who may ask?                 relying parties and their keys
members       who belongs?                 member directory, WeCard callback
login         what does the browser do next?
verify        who is this person?          one Verifier per national scheme; verify/twfido
kernel        the ground floor: settings, errors, clock, database, keys, audit
guard         may this call pass?          an agency's API; stands alone
windows       counts of a rate in memory, which the guard and the ground floor share
dev, demo     the whole thing on one machine; an agency application as an agency would write it

Imports go downstairs only; `make lint` proves it.
"""

__version__ = "0.1.0"
