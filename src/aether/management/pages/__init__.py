"""The page of a cluster: one document, one style, and ES modules, all of them in the package."""
