"""What a slice author imports: a class becomes a contract.

Knows: decorators, contracts, field specifiers, faults, codecs, HTTP parameters, in-memory maps, proxies.
Never: runtime rooms, trio services, sockets, clocks.
Holds: a slice is unit-testable with this room alone; its class is the same object before and after decoration.
"""
