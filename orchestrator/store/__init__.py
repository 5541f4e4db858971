"""PostgreSQL: tables, one module per aggregate, and the auth-state store."""
