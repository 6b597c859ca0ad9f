"""Everything on one machine: PostgreSQL and Valkey embedded, and a supervisor for our own processes."""
