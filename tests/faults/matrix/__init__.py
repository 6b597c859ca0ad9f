"""The crash matrix: real processes that die at named points, against PostgreSQL, Valkey and the fake exchanges."""
