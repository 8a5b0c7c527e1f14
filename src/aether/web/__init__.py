"""HTTP/1.1 at the edge: bytes to requests, routes to handlers, errors to problem details.

Knows: HTTP bytes, route templates, limits, problem details; handlers are passed in.
Never: who answers a request (rooms invocation and management), replicated rows.
"""
