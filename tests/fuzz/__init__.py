"""Schemathesis over the whole OpenAPI document: a bounded run in make test, a long one as make fuzz."""
