"""WHO BELONGS? The member directory, and the WeCard callback that answers from it.

Owns: members (imported from CSV), their binding codes and directory passwords, the callback
that Tencent calls, the page where a person gets a code, and the profile claims of a member.
Must not touch: OpenID Connect, relying parties, how a person is verified (login does that).

record.py, sheet.py and envelope.py are pure; directory.py and codes.py load and commit;
verdict.py decides a call; callback.py speaks to Tencent, whose side wecard_client.py plays;
binding.py speaks to the person.
"""
