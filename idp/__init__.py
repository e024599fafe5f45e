"""An OpenID Connect identity provider in front of national mobile IDs. The map, from the top down:

cli, dev      commands; the whole thing on one machine
app           settings in, application out
jobs          what a worker does besides answering
house         which parts the rooms are made of, and which schemes there are
health        readiness and metrics
account       what may I see of myself?    the citizen's own page
oidc          how do we answer?            the protocol, on Authlib
registry      who may ask?                 relying parties and their keys
members       who belongs?                 member directory, WeCard callback
login         what does the browser do next?
verify        who is this person?          one Verifier per national scheme
kernel        what every room stands on    errors, clock, database, keys, audit
guard         may this call pass?          an agency's API; stands alone
rates         counts of a rate in memory, which the guard and the kernel share
serving       how uvicorn serves our applications
demo          an agency application as an agency would write it

Imports go downstairs only, and every table has one room; `make lint` and the tests prove it.
"""

__version__ = "0.2.0"
