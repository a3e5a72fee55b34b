"""One module for each family of use cases: decides, and knows no Flask, SQL dialect or adapter."""
