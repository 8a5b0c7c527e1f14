"""The API page: one document, one style, one script, all of them in the package."""
