"""Who calls, and whether they may: decided at the edge, before a request is read.

Whatever proves who a caller is, a key, a certificate, a token or a socket, becomes a `Caller` with grants here. The
service sees nothing else.
"""
