"""An agency's application, written as an agency would: a stock OpenID Connect client library
and nothing of ours. It is what a newcomer sees first, and what the browser tests log in to.
"""
