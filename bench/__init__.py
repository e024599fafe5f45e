"""HOW MUCH DOES IT COST? `make bench`, or `python -m bench --help`.

Real servers on one core, load on another, both on this machine's loopback. What is compared is
CPU time of the server process per request, beside that of a bare handler in the same run:
requests per second depend on the machine and on who else is using it.

Owns nothing of the product and changes nothing in it; knows its tables, to fill them quickly.
"""
