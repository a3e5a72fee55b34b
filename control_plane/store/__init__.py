"""Persistence: SQLAlchemy tables, the unit of work and row mappers; no business rules."""
