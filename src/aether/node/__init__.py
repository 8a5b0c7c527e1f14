"""Assembly: which room is built from which, in what order, on which addresses.

Knows: every room's constructor, configuration, data directories, the admin token.
Never: decisions of any room; being imported by one.
"""
