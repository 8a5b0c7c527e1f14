"""The numbers, each beside its bare limit measured in the same run."""
